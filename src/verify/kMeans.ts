import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';
import { wordVectors } from './words.ts';

const [n, d, k] = [8000, 64, 64];

/** Small integers: every score is exact in f32, and many are equal. */
const integers = (rows: number, columns: number, seed: number) =>
  tensor(
    [rows, columns],
    noiseArray(rows * columns, seed).map((v) => Math.round(v * 4)),
  );

export const cases: readonly Case[] = [
  {
    op: 'kMeans',
    label: 'assign word vectors to given centroids',
    shape: `[${n}, ${d}] k ${k}`,
    inputs: () => {
      const { vectors, queries } = wordVectors({ n, d, queries: k, clusters: 100, seed: 11 });
      return { points: vectors, initialCentroids: queries };
    },
    options: { k, iterations: 0 },
    bytes: 4 * d * (n + k) + 4 * n,
    flops: 3 * n * k * d,
  },
  {
    op: 'kMeans',
    label: 'spherical, sampled start, three iterations',
    shape: `[2000, ${d}] k 30`,
    inputs: () => ({ points: wordVectors({ n: 2000, d, queries: 0, clusters: 60, seed: 12 }).vectors }),
    options: { k: 30, iterations: 3, init: 'sample', metric: 'spherical' },
  },
  {
    op: 'kMeans',
    label: 'k-means++, integers with many ties, odd sizes',
    shape: '[517, 7] k 19',
    inputs: () => ({ points: integers(517, 7, 13) }),
    options: { k: 19, iterations: 3 },
  },
  {
    op: 'kMeans',
    label: 'one iteration from given centroids, ties, empty clusters',
    shape: '[300, 3] k 50',
    inputs: () => ({ points: integers(300, 3, 14), initialCentroids: integers(50, 3, 15) }),
    options: { k: 50, iterations: 1 },
  },
  {
    op: 'kMeans',
    label: 'balanced: no cluster above its share',
    shape: '[500, 5] k 16',
    inputs: () => ({ points: integers(500, 5, 16) }),
    options: { k: 16, iterations: 2, balanced: true, capacity: 1, rounds: 4 },
  },
];
