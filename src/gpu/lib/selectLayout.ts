/** What to select: the k entries of each row that come first by (key descending, index ascending). */
export interface SelectionSizes {
  /** The input seen as [outer, length, inner]; a row runs along `length`. */
  readonly outer: number;
  readonly length: number;
  readonly inner: number;
  /** Entries wanted per row, at most `length`. */
  readonly k: number;
  /** Result slots per row, at least k: those that cannot be filled are padded. */
  readonly slots: number;
  /** In order, or only as a set (then by ascending index). */
  readonly sorted: boolean;
  readonly largest: boolean;
  /** `inner` when the mask has the shape of the input, 1 when it stops at the axis, 0 without a mask. */
  readonly maskInner: number;
}

/** How the rows of one call are worked on. */
export interface Layout {
  /** all: every entry is a candidate; small: a guess by one invocation; large: a sample, counted digit by digit. */
  readonly guess: 'all' | 'small' | 'large';
  /** One entry out of so many is sampled, and the threshold is the rank-th largest of these. */
  readonly stride: number;
  readonly rank: number;
  readonly sampleSize: number;
  /** Results per block, and candidates that fit per row. */
  readonly block: number;
  readonly capacity: number;
  /** Entries per chunk, chunks per row (1 or a multiple of 8), words of marks per row. */
  readonly chunk: number;
  readonly chunks: number;
  readonly words: number;
  /** Parts of a row's candidates that are sorted side by side: 1 or a multiple of 8. */
  readonly parts: number;
  /** Entries of a row in one window of x. */
  readonly window: number;
  /** Rows of one batch: a number of slabs [length, inner], or some columns of one slab. */
  readonly slabs: number;
  readonly width: number;
}

/** Rows that are worked on together: row r lies in slab a + r / width, in column b + r % width. */
export interface Batch {
  readonly a: number;
  readonly b: number;
  readonly width: number;
  readonly rows: number;
}

/** Rows longer than this are sampled on a large scale, shorter ones by one invocation each. */
const longRow = 16384;
/** Entries in a large sample: of 16384 entries, the share of the threshold comes out within a few percent. */
const sampleGoal = 16384;
/** Entries in a small one, and the highest rank that its list of best keys can hold. */
const smallSample = 128;
const smallRank = 32;
/** Up to this k the candidates are put in order by insertion, without counters. */
export const few = 32;
/** Words that one scratch buffer of a batch should not exceed, unless a single row needs more. */
const scratchWords = 2 ** 23;

/** Choose how to select, for buffers bound in windows of at most `maxWords` words. */
export function layOut(sizes: SelectionSizes, maxWords: number): Layout {
  const { outer, length, inner, k } = sizes;
  // Candidates are pairs of words, and there should be room for twice as many as are wanted.
  const block = Math.max(Math.min(k, Math.floor(maxWords / 4)), 1);
  const many = outer * inner >= 64;

  // Windows may start anywhere in the tensor, but a binding only at a multiple of 64 elements.
  const usable = maxWords - 64;
  const slab = length * inner;
  const fits = slab <= usable;
  const guess = guessFor(length, block, k > block, Math.floor(maxWords / 2), fits);
  const lanes = length > longRow ? Math.ceil(length / 32768) : many ? 0 : Math.ceil(length / 4096);
  const wantedChunks = lanes === 0 && fits ? 1 : 8 * Math.min(Math.max(lanes, 1), 64);
  const wantedChunk = Math.max(Math.ceil(length / wantedChunks / 32) * 32, 32);
  const entries = fits ? length : Math.max(Math.floor(usable / inner), 1);
  const chunk = fits ? wantedChunk : Math.min(wantedChunk, entries);
  const chunks = wantedChunks === 1 ? 1 : Math.ceil(length / chunk / 8) * 8;
  const window = fits ? Math.max(length, 1) : Math.floor(entries / chunk) * chunk;
  const words = chunks * Math.ceil(chunk / 32);
  // Eight lanes at a time, each with counters of its own, as far as these fit into one binding.
  const sorters = Math.min(Math.ceil(guess.capacity / 2048), 64, Math.floor((maxWords / 2048 - 1) / 8));
  const parts = (many && guess.capacity <= longRow) || sorters < 1 ? 1 : 8 * sorters;

  const counters = block > few ? (parts + 1) * 2048 : 0;
  const counts = guess.guess === 'large' ? 6 * 2048 : 0;
  const perRow = Math.max(guess.capacity * 2, guess.sampleSize, words, chunks * 2, counters, counts, 16);
  const rows = Math.max(Math.floor(Math.min(scratchWords, maxWords) / perRow), 1);
  const slabs = clamp(Math.floor(rows / inner), 1, Math.max(Math.min(outer, Math.floor(usable / slab)), 1));
  const width = Math.min(inner, rows);
  return { ...guess, block, chunk, chunks, words, parts, window, slabs: width === inner ? slabs : 1, width };
}

/**
 * A threshold that lets through at least k entries, but hardly more. Of n entries one in `stride` is sampled; about
 * k / stride of the k best are among them, give or take the square root. The rank lies four deviations further on, so
 * that the guess fails once in ten thousand rows (at random: the second attempt is exact).
 */
function guessFor(
  n: number,
  k: number,
  several: boolean,
  maxPairs: number,
  fits: boolean,
): Pick<Layout, 'guess' | 'stride' | 'rank' | 'sampleSize' | 'capacity'> {
  const large = several || n > Math.min(longRow, maxPairs);
  const stride = Math.max(Math.ceil(n / (large ? sampleGoal : smallSample)), large ? 1 : 4);
  const rank = Math.ceil(k / stride + 4 * Math.sqrt(k / stride) + 3);
  const sampleSize = Math.floor(n / stride);
  if (large && (n > maxPairs || several || rank < 0.8 * sampleSize)) {
    const likely = (rank + 6 * Math.sqrt(rank) + 8) * stride;
    const capacity = Math.min(n, maxPairs, Math.max(k, Math.ceil(likely)));
    return { guess: 'large', stride, rank, sampleSize, capacity };
  }
  if (!large && fits && rank <= smallRank && rank < 0.6 * sampleSize) {
    return { guess: 'small', stride, rank, sampleSize: 0, capacity: n };
  }
  return { guess: 'all', stride: 1, rank: 1, sampleSize: 0, capacity: Math.max(n, 1) };
}

/** Cut all rows into batches. */
export function batchesOf({ outer, inner }: SelectionSizes, { slabs, width }: Layout): Batch[] {
  const out: Batch[] = [];
  for (let a = 0; a < outer; a += slabs) {
    const here = Math.min(slabs, outer - a);
    for (let b = 0; b < inner; b += width) {
      const columns = Math.min(width, inner - b);
      out.push({ a, b, width: columns, rows: here * columns });
    }
  }
  return out;
}

/** A part of a tensor that can be bound: it starts at a multiple of 64 elements, `origin` elements before what it holds. */
export interface Span {
  readonly offset: number;
  readonly length: number;
  readonly origin: number;
}

/** The span of `length` elements from `start`. */
export function spanOf(start: number, length: number): Span {
  const origin = start % 64;
  return { offset: start - origin, length: length + origin, origin };
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
