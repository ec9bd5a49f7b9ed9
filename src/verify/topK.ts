import { tensor } from '../core/tensor.ts';
import { topK } from '../ref/topK.ts';
import { type Case, noiseArray } from './case.ts';

const million = 1_000_000;
const k = 8192;
const hard = [0, -0, Number.NaN, 1e-45, -1e-45, 3.4028235e38, -3.4028235e38, Infinity, -Infinity, 1, 1, -1];

/** A row of many ties, both zeros, NaN, subnormals and extremes. */
function hardRow(length: number, seed: number): Float32Array {
  return noiseArray(length, seed).map((p) => hard[Math.floor((p + 1) * 6)]!);
}

export const cases: readonly Case[] = [
  {
    op: 'topK',
    label: 'the sub-vocabulary of the seed',
    shape: '[1000000], k = 8192',
    inputs: () => ({ x: tensor([million], noiseArray(million, 1)) }),
    options: { k },
    bytes: million * 4 + k * 8,
  },
  {
    op: 'topK',
    label: 'as a set, half of it tied at zero',
    shape: '[1000000], k = 600000',
    inputs: () => ({
      x: tensor(
        [million],
        noiseArray(million, 2).map((v) => Math.max(v, 0)),
      ),
    }),
    options: { k: 600_000, sorted: false },
    bytes: million * 4 + 600_000 * 8,
  },
  {
    op: 'topK',
    label: 'many rows, few of each',
    shape: '[1024, 1000], k = 10',
    inputs: () => ({ x: tensor([1024, 1000], noiseArray(1024 * 1000, 3)) }),
    options: { k: 10 },
    bytes: 1024 * 1000 * 4 + 10240 * 8,
  },
  {
    op: 'topK',
    label: 'the smallest along a middle axis, all of it',
    shape: '[3, 257, 5] axis 1, k = 257',
    inputs: () => ({ x: tensor([3, 257, 5], hardRow(3 * 257 * 5, 4)) }),
    options: { axis: 1, k: 257, largest: false },
  },
  {
    op: 'topK',
    label: 'NaN, both zeros, subnormals, ties; a mask; short rows padded',
    shape: '[3, 9000], k = 9003',
    inputs: () => ({
      x: tensor([3, 9000], hardRow(27_000, 5)),
      mask: tensor(
        [3, 9000],
        Uint32Array.from(noiseArray(27_000, 6), (v) => (v > -0.4 ? 1 : 0)),
      ),
    }),
    options: { k: 9003, onShort: 'pad' },
  },
  {
    op: 'topKBackward',
    label: 'gradients back to their places',
    shape: '[1000000], k = 8192',
    inputs: () => ({
      dValues: tensor([k], noiseArray(k, 7)),
      indices: topK(tensor([million], noiseArray(million, 1)), k).indices,
    }),
    options: { length: million },
    bytes: million * 4 + k * 8,
  },
];
