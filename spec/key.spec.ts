import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { foldIn, type Key, key, split, threefry2x32 } from '../src/core/key.ts';

// Plan: keys, splits and folds equal those of JAX bit for bit; the cipher gives the known answers of its authors; bad
// seeds, counts and keys are refused.

const vectors = JSON.parse(readFileSync(new URL('vectors/key.json', import.meta.url), 'utf8')) as {
  source: string;
  key: { seed: string; key: Key }[];
  split: { key: Key; n: number; keys: Key[] }[];
  foldIn: { key: Key; data: number; result: Key }[];
};

describe(`vectors by ${vectors.source}`, () => {
  test.each(vectors.key)('key of the seed $seed', (v) => {
    expect(key(BigInt(v.seed))).toEqual(v.key);
    if (Number.isSafeInteger(Number(v.seed))) expect(key(Number(v.seed))).toEqual(v.key);
  });
  test.each(vectors.split)('split $key into $n', (v) => {
    expect(split(v.key, v.n)).toEqual(v.keys);
  });
  test.each(vectors.foldIn)('fold $data into $key', (v) => {
    expect(foldIn(v.key, v.data)).toEqual(v.result);
  });
});

test('the cipher gives the known answers that its authors publish', () => {
  const words = new Uint32Array(2);
  const known: [Key, number, number, number, number][] = [
    [[0, 0], 0, 0, 0x6b200159, 0x99ba4efe],
    [[0xffffffff, 0xffffffff], 0xffffffff, 0xffffffff, 0x1cb996fc, 0xbb002be7],
    [[0x13198a2e, 0x03707344], 0x243f6a88, 0x85a308d3, 0xc4923a9c, 0x483df7a0],
  ];
  for (const [k, high, low, a, b] of known) {
    threefry2x32(k, high, low, words);
    expect([...words]).toEqual([a, b]);
  }
});

test('a key is a frozen value', () => {
  expect(Object.isFrozen(key(1))).toBe(true);
  expect(Object.isFrozen(split(key(1))[0])).toBe(true);
  expect(split(key(1))).toHaveLength(2);
  expect(split(key(1), 0)).toEqual([]);
});

test.each([
  [() => key(1.5), 'key: seed is 1.5; it must be an integer'],
  [() => key(Number.NaN), 'key: seed is NaN'],
  [() => key(2 ** 53), 'key: seed is 9007199254740992; it must be an integer within'],
  [() => key(2n ** 63n), 'key: seed is 9223372036854775808; it must be in [-2^63, 2^63)'],
  [() => key('7' as unknown as number), 'key: seed is 7; it must be an integer or a bigint'],
  [() => split([1, 2], -1), 'split: n is -1'],
  [() => split([1, 2], 0.5), 'split: n is 0.5'],
  [() => split([1] as unknown as Key, 2), 'split: key is [1]; make one with key(seed)'],
  [() => split([1, -1], 2), 'split: key is [1, -1]'],
  [() => foldIn([1, 2], -1), 'foldIn: data is -1'],
  [() => foldIn([1, 2], 2 ** 32), 'foldIn: data is 4294967296'],
  [() => foldIn(7 as unknown as Key, 0), 'foldIn: key is 7'],
])('refused: %s', (run, message) => {
  expect(run).toThrow(message);
});
