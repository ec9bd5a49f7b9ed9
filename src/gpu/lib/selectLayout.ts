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

/** How the threshold of a row is guessed: from a sample of keys, each the largest of some entries of the row. */
interface Guess {
  /** Keys in the sample, 0 for none: then every entry is a candidate. */
  readonly sampleSize: number;
  /** Each is the largest of so many entries, one out of every `stride`. */
  readonly draws: number;
  readonly stride: number;
  /** The threshold is about the rank-th largest key of the sample. */
  readonly rank: number;
  /** Where the guess failed: count all digits and start again; if not, every entry becomes a candidate. */
  readonly exact: boolean;
  /** Candidates that are likely to be enough room. */
  readonly likely: number;
}

/** How the rows of one call are worked on. */
export interface Layout extends Guess {
  /** Kernels with shared memory, a workgroup per chunk; else serial ones, an invocation per chunk. */
  readonly tiles: boolean;
  /** Tiles, and rows so short that one kernel does it all. */
  readonly short: boolean;
  /** Serial, and so few results of so many rows that one invocation does all of a row. */
  readonly few: boolean;
  /** Invocations per workgroup of the serial kernels. */
  readonly workgroup: number;
  /** Results per block, candidates that fit per row, and the distance between the candidates of two rows. */
  readonly block: number;
  readonly capacity: number;
  readonly room: number;
  /** Entries per chunk, chunks per row, words of marks per row. */
  readonly chunk: number;
  readonly chunks: number;
  readonly words: number;
  /** Words of digits per row. */
  readonly digitWords: number;
  /** Parts of a row's candidates that are worked on side by side: 1 or a multiple of the workgroup. */
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

/** Results per row that one invocation finds alone, and up to which candidates are put in order by insertion. */
export const inserted = 32;
/** Digits of a key have so many values; counts of three levels per row, and eight words to spare. */
export const bins = 2048;
const digitWords = 8 + 3 * bins;
export const stateWords = 16;
/** Entries of a row that one workgroup sorts whole, and of a tile of a larger sort. */
export const sortTile = 1024;
/** Entries per chunk of a workgroup. */
const tileChunk = 8192;
/** Rows up to this length need no counts of digits: where a guess fails, all of the row becomes candidates. */
const longRow = 16384;
/** Below this length a row has no sample. */
const sampledRow = 256;
/** Words that one scratch buffer of a batch should not exceed, unless a single row needs more. */
const scratchWords = 2 ** 23;

/** What an operator's kernels offer besides the plain serial ones. */
export interface Offer {
  readonly tiles: boolean;
  readonly few: boolean;
}

/** Choose how to select, for buffers bound in windows of at most `maxWords` words. */
export function layOut(sizes: SelectionSizes, maxWords: number, onGpu: boolean, offer: Offer): Layout {
  const { outer, length, inner, k, sorted } = sizes;
  // Windows may start anywhere in the tensor, but a binding only at a multiple of 64 elements.
  const usable = maxWords - 64;
  const slab = length * inner;
  const fits = slab <= usable;
  // Candidates are pairs of words, and there should be room for twice as many as are wanted.
  const maxPairs = onGpu ? 2 ** Math.floor(Math.log2(maxWords / 2)) : Math.floor(maxWords / 2);
  const block = Math.max(Math.min(k, Math.floor(maxPairs / 2)), 1);
  const several = k > block;
  // Short rows that are cut by windows are too many to give each a tile.
  const tiles = offer.tiles && onGpu && (sorted || !several) && (fits || length > sortTile);
  const short = tiles && length <= sortTile;
  const many = outer * inner >= 64;
  const few = offer.few && !tiles && many && fits && k <= inserted && length <= 4 * longRow;
  const workgroup = onGpu ? 64 : 8;
  const guess = guessFor(length, block, several, maxPairs, onGpu);

  const entries = fits ? length : Math.max(Math.floor(usable / inner), 1);
  const wanted = few ? blockOfFew(length) : tiles ? tileChunk : serialChunk(length, workgroup, fits && many);
  const chunk = fits ? wanted : Math.min(wanted, entries);
  const whole = Math.ceil(length / chunk);
  const chunks = tiles || few || (fits && whole <= 1) ? Math.max(whole, 1) : roundUp(whole, workgroup);
  const words = chunks * Math.ceil(chunk / 32);
  const window = fits ? Math.max(length, 1) : Math.floor(entries / chunk) * chunk;
  const capacity = few ? k : Math.min(Math.max(guess.likely, block), maxPairs);
  const room = tiles ? Math.max(2 ** Math.ceil(Math.log2(capacity)), sortTile) : capacity;

  // Lanes with counters of their own, as far as these fit into one binding.
  const sorters = Math.min(
    Math.ceil(capacity / 256 / workgroup),
    512 / workgroup,
    Math.floor((maxWords / bins - 1) / workgroup),
  );
  const parts = (many && capacity <= longRow) || sorters < 1 ? 1 : workgroup * sorters;
  const perRow = [stateWords, room * 2, words, chunks * 2];
  if (!few) perRow.push(guess.sampleSize, guess.exact ? digitWords : 8);
  if (!few && !tiles && block > inserted) perRow.push((parts + 1) * bins);
  const rowWords = short ? stateWords : Math.max(...perRow);
  const rows = Math.max(Math.floor(Math.min(scratchWords, maxWords) / rowWords), 1);
  const width = Math.min(inner, rows);
  const slabs = clamp(Math.floor(rows / inner), 1, clamp(Math.floor(usable / slab), 1, outer));
  return {
    ...guess,
    tiles,
    short,
    few,
    workgroup,
    block,
    capacity: tiles ? room : capacity,
    room,
    chunk,
    chunks,
    words,
    digitWords: guess.exact ? digitWords : 8,
    parts,
    window,
    slabs: width === inner ? slabs : 1,
    width,
  };
}

/** A workgroup belongs to one row, or every invocation to a row of its own where there are many short ones. */
function serialChunk(length: number, workgroup: number, many: boolean): number {
  if (length <= longRow && many) return Math.max(length, 1);
  const groups = clamp(Math.ceil(length / (length > longRow ? 4096 : 512) / workgroup), 1, 64);
  return Math.max(roundUp(Math.ceil(length / (workgroup * groups)), 32), 32);
}

/** A row is cut into as many blocks as have leaders in the kernel. */
function blockOfFew(length: number): number {
  return Math.max(roundUp(Math.ceil(length / 64), 4), 4);
}

/**
 * The sample is a number of keys, each the largest of some entries drawn from the row: up to eight, as long as the k best
 * entries are behind less than half of the keys. That tells as much about the threshold as all the entries drawn would,
 * in an eighth of the keys.
 */
function guessFor(n: number, k: number, several: boolean, maxPairs: number, onGpu: boolean): Guess {
  const none = { sampleSize: 0, draws: 1, stride: 1, rank: 1, exact: false, likely: Math.max(n, 1) };
  const exact = several || n > Math.min(longRow, maxPairs);
  if (!exact && n < sampledRow) return none;
  const share = k / n;
  const draws = clamp(Math.floor(0.5 / share), 1, 8);
  const goal = clamp(2 ** Math.round(Math.log2(n) / 2 + (onGpu ? 1 : 0)), 128, 4096);
  const stride = clamp(Math.ceil(n / goal / draws), 1, 65535);
  const sampleSize = Math.floor(n / stride / draws / 8) * 8;
  const rank = beyond(sampleSize * (1 - (1 - share) ** draws));
  if (!several && n <= maxPairs && rank > 0.7 * sampleSize) return none;
  // How far beyond that rank the pivot that is taken may lie, as the distance between the ranks of pivots grows.
  const gap = byLargest(rank, sampleSize) ? Math.exp((8 * rank) / sampleSize) : 8;
  const highest = Math.min((rank + 6 * Math.sqrt(rank) + 8 * gap) / sampleSize, 1);
  const likely = Math.min(Math.ceil((1 - (1 - highest) ** (1 / draws)) * n) + 64, n);
  return { sampleSize, draws, stride, rank, exact, likely: exact ? likely : n };
}

/** Are the largest of every eight keys dense enough around a rank to serve as pivots? */
export function byLargest(rank: number, sampleSize: number): boolean {
  return rank <= sampleSize / 4;
}

/**
 * A rank in a sample that surely lies behind the k best, of which `expected` are in the sample, give or take the square
 * root: four deviations further on, so that the guess fails once in ten thousand rows. The second attempt is exact.
 */
function beyond(expected: number): number {
  return Math.ceil(expected + 4 * Math.sqrt(expected) + 3);
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

export function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}
