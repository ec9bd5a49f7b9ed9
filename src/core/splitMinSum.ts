import { ArgumentError } from './errors.ts';

/** n = ab + c with a <= b; sum = a + b + c. */
export interface Split<N> {
  readonly a: N;
  readonly b: N;
  readonly c: N;
  readonly sum: N;
}

/**
 * The best split of one natural number of any size: numbers up to 2^53 - 1, beyond that as bigint.
 * @throws ArgumentError for what is not a natural number, or a number that is not exact any more
 */
export function splitMinSumOf<N extends number | bigint>(n: N): Split<N> {
  if (typeof n === 'number' && !Number.isSafeInteger(n)) {
    throw new ArgumentError('splitMinSum', `n is ${n}; it must be an integer, above 2^53 - 1 a bigint`);
  }
  if (n < 0) throw new ArgumentError('splitMinSum', `n is ${n}; it must be at least 0`);
  if (typeof n === 'bigint') return splitBig(n) as Split<N>;
  // 4n must be exact.
  if (n < 2 ** 51) return splitNumber(n) as Split<N>;
  const { a, b, c, sum } = splitBig(BigInt(n));
  return { a: Number(a), b: Number(b), c: Number(c), sum: Number(sum) } as Split<N>;
}

/**
 * With p = a + b and q = b - a, ab = (p^2 - q^2)/4, so the best for a p has the least q of its parity with
 * q^2 >= p^2 - 4n, and sum = p + c. Up to floor(sqrt(4n)) q is 0 or 1, and the sum falls as p grows: only the last p counts.
 * Beyond, sum >= p ends the search: about the fourth root of n steps.
 */
function splitNumber(n: number): Split<number> {
  if (n < 4) return { a: 0, b: 0, c: n, sum: n };
  let p = rootOf(4 * n);
  let best = splitAt(n, p, p % 2);
  for (p++; p < best.sum; p++) {
    const over = p * p - 4 * n;
    let q = rootOf(over);
    if (q * q < over) q++;
    const split = splitAt(n, p, (p - q) % 2 === 0 ? q : q + 1);
    if (split.sum < best.sum) best = split;
  }
  return best;
}

function splitAt(n: number, p: number, q: number): Split<number> {
  const a = (p - q) / 2;
  const b = (p + q) / 2;
  const c = n - a * b;
  return { a, b, c, sum: p + c };
}

/** floor(sqrt(x)) for an integer below 2^53; Math.sqrt may round up to the next. */
function rootOf(x: number): number {
  const r = Math.floor(Math.sqrt(x));
  return r * r > x ? r - 1 : r;
}

function splitBig(n: bigint): Split<bigint> {
  if (n < 4n) return { a: 0n, b: 0n, c: n, sum: n };
  let p = bigRootOf(4n * n);
  let best = bigSplitAt(n, p, p % 2n);
  for (p++; p < best.sum; p++) {
    const over = p * p - 4n * n;
    let q = bigRootOf(over);
    if (q * q < over) q++;
    const split = bigSplitAt(n, p, (p - q) % 2n === 0n ? q : q + 1n);
    if (split.sum < best.sum) best = split;
  }
  return best;
}

function bigSplitAt(n: bigint, p: bigint, q: bigint): Split<bigint> {
  const a = (p - q) / 2n;
  const b = (p + q) / 2n;
  const c = n - a * b;
  return { a, b, c, sum: p + c };
}

/** floor(sqrt(x)): Newton's method from above falls until it is there. */
function bigRootOf(x: bigint): bigint {
  if (x < 2n) return x;
  let r = 1n << BigInt((x.toString(2).length + 1) >> 1);
  for (;;) {
    const next = (r + x / r) >> 1n;
    if (next >= r) return r;
    r = next;
  }
}
