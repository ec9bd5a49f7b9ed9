import { ArgumentError } from './errors.ts';

/**
 * A key of the counter-based random generator: two u32 words. A value, not a state: the same key always gives the same
 * numbers, so make a new one for every use with {@link split} or {@link foldIn}.
 */
export type Key = readonly [number, number];

/**
 * A key from a seed.
 *
 * The words are the high and the low half of the seed as a 64-bit two's complement integer.
 *
 * @param seed an integer: a safe one, or a bigint in [-2^63, 2^63)
 * @throws ArgumentError when the seed is no integer, or is too large
 * @source jax.random.PRNGKey, with 64-bit types enabled
 */
export function key(seed: number | bigint): Key {
  if (typeof seed === 'number' && !Number.isSafeInteger(seed)) {
    throw new ArgumentError(
      'key',
      `seed is ${seed}; it must be an integer within +-(2^53 - 1), or a bigint for larger ones`,
    );
  }
  if (typeof seed !== 'number' && typeof seed !== 'bigint') {
    throw new ArgumentError('key', `seed is ${String(seed)}; it must be an integer or a bigint`);
  }
  const wide = BigInt(seed);
  if (BigInt.asIntN(64, wide) !== wide) {
    throw new ArgumentError('key', `seed is ${wide}; it must be in [-2^63, 2^63)`);
  }
  const bits = BigInt.asUintN(64, wide);
  return freeze(Number(bits >> 32n), Number(bits & 0xffffffffn));
}

/**
 * `n` new keys from one. They are independent of each other and of what the old key generates elsewhere, except that
 * the numbers drawn from the old key itself share its counters: after splitting a key, use only the new ones.
 *
 * Key i is the cipher of the counter i.
 *
 * @throws ArgumentError when n is no integer in [0, 2^32]
 * @source jax.random.split, with jax_threefry_partitionable
 */
export function split(k: Key, n = 2): readonly Key[] {
  requireKey('split', k);
  if (!Number.isInteger(n) || n < 0 || n > 2 ** 32) {
    throw new ArgumentError('split', `n is ${n}; it must be an integer from 0 to 2^32`);
  }
  const words = new Uint32Array(2);
  return Array.from({ length: n }, (_, i) => {
    threefry2x32(k, 0, i, words);
    return freeze(words[0]!, words[1]!);
  });
}

/**
 * A new key from a key and a number, such as the step of a training loop or the number of a layer.
 *
 * @param data an integer in [0, 2^32)
 * @throws ArgumentError
 * @source jax.random.fold_in
 */
export function foldIn(k: Key, data: number): Key {
  requireKey('foldIn', k);
  if (!Number.isInteger(data) || data < 0 || data >= 2 ** 32) {
    throw new ArgumentError('foldIn', `data is ${data}; it must be an integer from 0 to 2^32 - 1`);
  }
  const words = new Uint32Array(2);
  threefry2x32(k, 0, data, words);
  return freeze(words[0]!, words[1]!);
}

/** Refuse what is not a key. */
export function requireKey(op: string, k: Key): void {
  if (!Array.isArray(k) || k.length !== 2 || !k.every((w) => Number.isInteger(w) && w >= 0 && w < 2 ** 32)) {
    throw new ArgumentError(op, `key is ${show(k)}; make one with key(seed), or give two u32 words`);
  }
}

/**
 * The block cipher Threefry-2x32 with 20 rounds: two words of a counter to two random words.
 *
 * One round adds the second word to the first, rotates the second and xors it with the first. After every fourth round
 * two of the three key words (the third is the parity of the others with a constant) and the group's number are added.
 *
 * @param out where the two words go
 * @source Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011)
 */
export function threefry2x32(k: Key, high: number, low: number, out: Uint32Array): void {
  let z = k[0] | 0;
  let x = k[1] | 0;
  let y = z ^ x ^ 0x1bd11bda;
  let a = (high + z) | 0;
  let b = (low + x) | 0;
  for (let group = 1; group <= 5; group++) {
    const odd = group % 2 === 1;
    a = (a + b) | 0;
    b = rotate(b, odd ? 13 : 17) ^ a;
    a = (a + b) | 0;
    b = rotate(b, odd ? 15 : 29) ^ a;
    a = (a + b) | 0;
    b = rotate(b, odd ? 26 : 16) ^ a;
    a = (a + b) | 0;
    b = rotate(b, odd ? 6 : 24) ^ a;
    a = (a + x) | 0;
    b = (b + y + group) | 0;
    [x, y, z] = [y, z, x];
  }
  out[0] = a;
  out[1] = b;
}

function rotate(x: number, by: number): number {
  return (x << by) | (x >>> (32 - by));
}

function freeze(high: number, low: number): Key {
  return Object.freeze([high, low] as const);
}

function show(k: unknown): string {
  return Array.isArray(k) ? `[${k.join(', ')}]` : String(k);
}
