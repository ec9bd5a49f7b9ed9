/**
 * The k best of the first `count` scores by (score descending, row ascending), as positions in no particular order.
 *
 * Scores become integers that grow with them (`keysOf`). Three rounds look at 11, 11 and 10 bits: count how often each
 * value occurs, find the one that holds the k-th best, keep what is above it, go on with what equals it.
 *
 * @param keys from `keysOf`
 * @param rows decides between equal keys; all different
 */
export function bestOf(keys: Uint32Array, rows: Int32Array, count: number, k: number): Int32Array {
  let left = new Int32Array(count);
  for (let i = 0; i < count; i++) left[i] = i;
  if (k >= count) return left;
  // One place more than needed: each position is written behind what is kept, and stays if the number kept grows. That is
  // twice as fast as a branch that nobody can predict.
  const best = new Int32Array(k + 1);
  let kept = 0;
  let remaining = count;
  const histogram = new Int32Array(2048);
  for (const [shift, mask] of [
    [21, 2047],
    [10, 2047],
    [0, 1023],
  ] as const) {
    histogram.fill(0);
    for (let i = 0; i < remaining; i++) histogram[(keys[left[i]!]! >>> shift) & mask]!++;
    let digit = mask;
    for (let above = kept + histogram[digit]!; above < k; above += histogram[digit]!) digit--;
    const equal = new Int32Array(histogram[digit]! + 1);
    let equals = 0;
    for (let i = 0; i < remaining; i++) {
      const position = left[i]!;
      const own = (keys[position]! >>> shift) & mask;
      best[kept] = position;
      kept += Number(own > digit);
      equal[equals] = position;
      equals += Number(own === digit);
    }
    left = equal;
    remaining = equals;
  }
  // What is left has the key of the k-th: the lowest rows fill the places.
  left = left.subarray(0, remaining);
  if (remaining > k - kept) left.sort((a, b) => rows[a]! - rows[b]!);
  best.set(left.subarray(0, k - kept), kept);
  return best.subarray(0, k);
}

/** The integers 0 to count - 1, ordered by (key descending, row ascending); positions are taken from `among`. */
export function inOrder(keys: Uint32Array, rows: Int32Array, among: Int32Array): Int32Array {
  const sorted = sortBy(among, (position) => ~keys[position]! >>> 0);
  // The sort is stable, but `among` is in no order: within runs of equal keys the rows decide.
  for (let i = 0; i < sorted.length; ) {
    let end = i + 1;
    while (end < sorted.length && keys[sorted[end]!] === keys[sorted[i]!]) end++;
    if (end > i + 1) sorted.subarray(i, end).sort((a, b) => rows[a]! - rows[b]!);
    i = end;
  }
  return sorted;
}

/** Positions by ascending row. */
export function byRow(rows: Int32Array, among: Int32Array): Int32Array {
  return sortBy(among, (position) => rows[position]!);
}

/** Stable radix sort of positions by a 32-bit key, 11 bits at a time. */
function sortBy(among: Int32Array, keyOf: (position: number) => number): Int32Array {
  const n = among.length;
  let from = among.slice();
  let to = new Int32Array(n);
  let keys = new Uint32Array(n);
  let nextKeys = new Uint32Array(n);
  for (let i = 0; i < n; i++) keys[i] = keyOf(from[i]!);
  const starts = new Int32Array(2049);
  for (const shift of [0, 11, 22]) {
    starts.fill(0);
    for (let i = 0; i < n; i++) starts[((keys[i]! >>> shift) & 2047) + 1]!++;
    for (let digit = 0; digit < 2048; digit++) starts[digit + 1]! += starts[digit]!;
    for (let i = 0; i < n; i++) {
      const place = starts[(keys[i]! >>> shift) & 2047]!++;
      to[place] = from[i]!;
      nextKeys[place] = keys[i]!;
    }
    [from, to] = [to, from];
    [keys, nextKeys] = [nextKeys, keys];
  }
  return from;
}

/** Integers that grow with the first `count` scores; -0 counts as +0. The scores must not be NaN. */
export function keysOf(scores: Float32Array, count: number): Uint32Array {
  const bits = new Int32Array(scores.buffer, scores.byteOffset, count);
  const keys = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const own = bits[i] === minusZero ? 0 : bits[i]!;
    keys[i] = own ^ ((own >> 31) | 0x80000000); // negative: all bits turned over; otherwise the sign
  }
  return keys;
}

const minusZero = -0x80000000;

/**
 * The k best of scores that come piece by piece, by (score descending, row ascending), without keeping them all.
 *
 * Scores below `least` cannot be among the k best. When the places are used up, the k best of them stay, and the k-th is the
 * new `least`: with four times as many places as results, few scores are looked at twice.
 */
export class Best {
  private readonly k: number;
  private readonly scores: Float32Array;
  private readonly rows: Int32Array;
  private readonly places: number;
  private count = 0;
  private least = Number.NEGATIVE_INFINITY;

  /** @param total how many scores will come at most */
  constructor(k: number, total: number) {
    this.k = k;
    this.places = Math.min(4 * k + 1024, Math.max(total, k + 1));
    // One more: every score is written behind those kept, and stays if their number grows.
    this.scores = new Float32Array(this.places + 1);
    this.rows = new Int32Array(this.places + 1);
  }

  /** Take scores[i] * scale, which belongs to the row rows[first + i], for i from 0 to count - 1. */
  add(scores: Float64Array, scale: number, rows: Int32Array, first: number, count: number): void {
    const { scores: kept, rows: keptRows } = this;
    for (let i = 0; i < count; ) {
      if (this.count === this.places) this.shrink();
      const { least } = this;
      let at = this.count;
      const end = Math.min(count, i + this.places - at);
      for (; i < end; i++) {
        const score = Math.fround(scores[i]! * scale);
        kept[at] = score;
        keptRows[at] = rows[first + i]!;
        at += Number(score >= least);
      }
      this.count = at;
    }
  }

  /** The k best, or all if they are fewer: best first, or by ascending row. */
  take(sorted: boolean): { rows: Int32Array; scores: Float32Array } {
    const keys = keysOf(this.scores, this.count);
    const best = bestOf(keys, this.rows, this.count, this.k);
    return this.at(sorted ? inOrder(keys, this.rows, best) : byRow(this.rows, best));
  }

  private shrink(): void {
    const best = bestOf(keysOf(this.scores, this.count), this.rows, this.count, this.k);
    const { rows, scores } = this.at(best);
    this.scores.set(scores);
    this.rows.set(rows);
    this.count = best.length;
    this.least = Number.POSITIVE_INFINITY;
    for (const score of scores) this.least = Math.min(this.least, score);
  }

  private at(places: Int32Array): { rows: Int32Array; scores: Float32Array } {
    const rows = new Int32Array(places.length);
    const scores = new Float32Array(places.length);
    for (let i = 0; i < places.length; i++) {
      rows[i] = this.rows[places[i]!]!;
      scores[i] = this.scores[places[i]!]!;
    }
    return { rows, scores };
  }
}
