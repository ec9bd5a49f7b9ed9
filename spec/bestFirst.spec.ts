/**
 * Plan: best-first search gives what exact search gives, to the bit, ties and doubled words among it; it reads a part where balls
 * bound something; and a ball that does not hold is seen.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tensor } from '../src/core/tensor.ts';
import { hierarchicalAnn } from '../src/ref/hierarchicalAnn.ts';
import { lazyGumbelTopKBalls } from '../src/ref/lazyGumbelTopK.ts';
import { bestFirstSearch } from '../src/vocab/bestFirst.ts';
import { flatIndex } from '../src/vocab/memoryIndex.ts';

/** Words around some centres, far enough apart that balls mean something. */
function clouds(n: number, d: number): Float32Array {
  const around = (i: number): number => 10 * Math.sin(7 * i + 1);
  return Float32Array.from({ length: n * d }, (_, i) => {
    const [word, j] = [Math.floor(i / d), i % d];
    return around((word % 20) * d + j) + Math.sin(i * i);
  });
}

describe('best-first search', () => {
  const small = fc.record({
    rows: fc.array(fc.tuple(fc.integer({ min: -2, max: 2 }), fc.integer({ min: -2, max: 2 })), {
      minLength: 1,
      maxLength: 60,
    }),
    query: fc.tuple(fc.constantFrom(0, 1, -1, 0.5, 3), fc.constantFrom(0, 1, -2, 0.25)),
    lists: fc.constantFrom(1, 3, 7),
    k: fc.constantFrom(0, 1, 4, 61),
  });
  test('is exact search, whatever is tied', async () => {
    await fc.assert(
      fc.asyncProperty(small, async ({ rows, query, lists, k }) => {
        const words = tensor([rows.length, 2], rows.flat());
        const index = hierarchicalAnn(words, { lists: Math.min(lists, rows.length), iterations: 2 });
        const asked = Float32Array.from(query);
        const got = bestFirstSearch(index, lazyGumbelTopKBalls(index), asked, k);
        const want = await flatIndex(words).search(asked, k);
        expect(got.ids).toEqual(want.ids);
        expect(got.scores).toEqual(want.scores);
        expect(got.counts).toEqual(want.counts);
      }),
      { numRuns: 150 },
    );
  });

  const [n, d] = [4000, 8];
  const words = tensor([n, d], clouds(n, d));
  const index = hierarchicalAnn(words, { lists: 40, iterations: 4 });
  const queries = Float32Array.from(words.data.subarray(0, 5 * d));

  test('reads a part of the words where clusters are far apart', async () => {
    const got = bestFirstSearch(index, lazyGumbelTopKBalls(index), queries, 100);
    const want = await flatIndex(words).search(queries, 100);
    expect(got.ids).toEqual(want.ids);
    expect(got.scores).toEqual(want.scores);
    expect(got.stats.scanned).toBeLessThan(0.5 * 5 * n);
  });

  test('a radius that is too small loses words', async () => {
    const { centres, radii } = lazyGumbelTopKBalls(index);
    const got = bestFirstSearch(
      index,
      { centres, radii: tensor(radii.shape, new Float32Array(radii.size)) },
      queries,
      100,
    );
    const want = await flatIndex(words).search(queries, 100);
    expect(got.ids).not.toEqual(want.ids);
  });

  test('bad queries are refused', () => {
    const balls = lazyGumbelTopKBalls(index);
    expect(() => bestFirstSearch(index, balls, queries.subarray(1), 3)).toThrow('give whole rows');
    expect(() => bestFirstSearch(index, balls, queries, 1.5)).toThrow('k is 1.5');
  });
});
