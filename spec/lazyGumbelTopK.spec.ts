import { describe, expect, test } from 'vitest';
import { foldIn, key } from '../src/core/key.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { hierarchicalAnn } from '../src/ref/hierarchicalAnn.ts';
import { noiseArray } from '../src/verify/case.ts';
import { wordVectors } from '../src/verify/words.ts';
import { lazyGumbelTopK, listBalls } from '../src/vocab/lazyGumbelTopK.ts';

// Plan: the balls hold their lists; the ordered samples have the frequencies of Plackett-Luce by enumeration, with one list open
// and the others lazy; a wrong condition is seen by the same test; a small part of a large vocabulary is scored.

const d = 3;
const n = 7;
const small = hierarchicalAnn(tensor([n, d], noiseArray(n * d, 4)), { lists: 4, iterations: 2 });
const balls = listBalls(small);
const query = Float32Array.of(1.5, -1, 0.7);

/** Scores by id, from the tensors of an index. */
function scoresOf(index: typeof small, q: Float32Array): Float64Array {
  const out = new Float64Array(index.ids.size);
  const width = index.vectors.shape[1]!;
  for (let at = 0; at < out.length; at++) {
    let sum = 0;
    for (let j = 0; j < width; j++) sum += index.vectors.data[at * width + j]! * q[j]!;
    out[index.ids.data[index.order.data[at]!]!] = sum;
  }
  return out;
}

/** Chi square of ordered samples of two words against Plackett-Luce. */
function chiSquare(draw: (i: number) => readonly number[], runs: number): number {
  const weights = scoresOf(small, query).map(Math.exp);
  const total = weights.reduce((a, b) => a + b, 0);
  const counts = new Float64Array(n * n);
  for (let i = 0; i < runs; i++) {
    const [a, b] = draw(i);
    counts[a! * n + b!]!++;
  }
  let sum = 0;
  for (let a = 0; a < n; a++) {
    for (let b = 0; b < n; b++) {
      if (a === b) continue;
      const expected = (runs * weights[a]! * weights[b]!) / (total * (total - weights[a]!));
      sum += (counts[a * n + b]! - expected) ** 2 / expected;
    }
  }
  return sum;
}

describe('an exact sample', () => {
  test('the balls hold the vectors of their lists', () => {
    const offsets = small.offsets!.data;
    for (let l = 0; l < 4; l++) {
      for (let at = offsets[l]!; at < offsets[l + 1]!; at++) {
        const apart = Math.hypot(
          ...Array.from({ length: d }, (_, j) => small.vectors.data[at * d + j]! - balls.centres[l * d + j]!),
        );
        expect(apart).toBeLessThanOrEqual(balls.radii[l]!);
      }
    }
  });

  const runs = 6000;
  // 41 degrees of freedom: 41 + 6 sqrt(82) is beyond 1 in 10^6.
  const limit = 95;
  test.each([
    ['one list open, the others lazy', 0, 1],
    ['opened by the share', 1, 0.5],
    ['all open', 4, 0],
  ])('%s', (_, lists, share) => {
    let scored = 0;
    const found = chiSquare((i) => {
      const sample = lazyGumbelTopK(small, balls, query, 2, foldIn(key(5), i), { lists, share });
      scored += sample.scored;
      return [...sample.ids];
    }, runs);
    expect(found).toBeLessThan(limit);
    if (lists === 4) expect(scored).toBe(runs * n);
    else expect(scored).toBeLessThan(runs * n);
  });

  test('the test sees a bound that does not hold', () => {
    const tight = { centres: balls.centres, radii: balls.radii.map((r) => -r) };
    const found = chiSquare(
      (i) => [...lazyGumbelTopK(small, tight, query, 2, foldIn(key(5), i), { share: 1 }).ids],
      runs,
    );
    expect(found).toBeGreaterThan(limit);
  });

  test('is sorted, without repeats, and takes any k', () => {
    for (const k of [0, 1, 7, 9]) {
      const { ids, perturbed, fraction } = lazyGumbelTopK(small, balls, query, k, key(1));
      expect(ids.length).toBe(Math.min(k, n));
      expect(new Set(ids).size).toBe(ids.length);
      expect([...perturbed]).toEqual([...perturbed].sort((a, b) => b - a));
      expect(fraction).toBeLessThanOrEqual(1);
    }
  });

  test('of a large vocabulary scores a small part, and the same for the same key', () => {
    const words = wordVectors({ n: 20_000, d: 8, queries: 4, clusters: 200, seed: 2 });
    const index = hierarchicalAnn(words.vectors as Tensor, { lists: 800, iterations: 2, refine: 0, beam: 4 });
    const around = listBalls(index);
    for (let i = 0; i < 4; i++) {
      const q = words.queries.data.slice(i * 8, (i + 1) * 8) as Float32Array;
      const one = lazyGumbelTopK(index, around, q, 64, key(i));
      expect(one.fraction).toBeLessThan(0.45);
      expect(lazyGumbelTopK(index, around, q, 64, key(i)).ids).toEqual(one.ids);
      expect(lazyGumbelTopK(index, around, q, 64, key(9)).ids).not.toEqual(one.ids);
    }
  });

  test.each([
    [() => lazyGumbelTopK(small, balls, query.subarray(1), 1, key(0)), 'the query must be 3 finite numbers'],
    [() => lazyGumbelTopK(small, balls, query, -1, key(0)), 'k is -1'],
    [() => lazyGumbelTopK(small, balls, query, 1, key(0), { temperature: 0 }), 'temperature is 0'],
    [() => lazyGumbelTopK(small, { ...balls, radii: new Float64Array(3) }, query, 1, key(0)), 'of 3 lists'],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});
