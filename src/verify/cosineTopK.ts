import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

export const cases: readonly Case[] = [
  {
    op: 'cosineTopK',
    label: 'neighbours of new tokens among old ones',
    shape: '[200, 64] in [2000, 64], k = 10',
    inputs: () => ({
      q: tensor([200, 64], noiseArray(200 * 64, 1)),
      table: tensor([2000, 64], noiseArray(2000 * 64, 2)),
    }),
    options: { k: 10 },
    bytes: 4 * (200 + 2000) * 64,
    flops: 2 * 200 * 2000 * 64,
  },
  {
    op: 'cosineTopK',
    label: 'ties and rows of zeros, all of them',
    shape: '[3, 2] in [6, 2], k = 6',
    inputs: () => ({
      q: tensor([3, 2], [1, 0, 0, 0, -2, 0]),
      table: tensor([6, 2], [0, 0, 2, 0, 0, 5, 4, 0, -1, 0, 0, 0]),
    }),
    options: { k: 6 },
  },
];
