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
  if (k >= count) return Int32Array.from({ length: count }, (_, i) => i);
  const best = new Int32Array(k);
  let kept = 0;
  let left = new Int32Array(count);
  let remaining = count;
  for (let i = 0; i < count; i++) left[i] = i;
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
    const equal = new Int32Array(histogram[digit]!);
    let equals = 0;
    for (let i = 0; i < remaining; i++) {
      const position = left[i]!;
      const own = (keys[position]! >>> shift) & mask;
      if (own > digit) best[kept++] = position;
      else if (own === digit) equal[equals++] = position;
    }
    left = equal;
    remaining = equals;
  }
  // What is left has the key of the k-th: the lowest rows fill the places.
  if (remaining > k - kept) left.sort((a, b) => rows[a]! - rows[b]!);
  best.set(left.subarray(0, k - kept), kept);
  return best;
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
  let from = Int32Array.from(among);
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
  const keys = new Uint32Array(scores.buffer, scores.byteOffset, count).slice();
  for (let i = 0; i < count; i++) {
    const bits = keys[i]!;
    keys[i] = bits === 0x80000000 ? 0x80000000 : bits ^ (bits >>> 31 === 0 ? 0x80000000 : 0xffffffff);
  }
  return keys;
}
