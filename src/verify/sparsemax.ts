import { type Tensor, tensor } from '../core/tensor.ts';
import { sparsemax } from '../ref/sparsemax.ts';
import { type Case, noiseArray } from './case.ts';

export function scores(shape: readonly number[], seed: number, scale = 1): Tensor {
  const size = shape.reduce((n, s) => n * s, 1);
  return tensor(
    shape,
    noiseArray(size, seed).map((v) => scale * v),
  );
}

/** Rows that are masked, tied, extreme, NaN and infinite, and one whose entries are exactly 1 apart. */
export function hardScores(): Tensor {
  const [no, max] = [-Infinity, 3.4028234663852886e38];
  const rows = [
    [no, 1, no, 2, no],
    [no, no, no, no, no],
    [0, 1, Number.NaN, 2, 3],
    [0, Infinity, 1, no, 2],
    [max, -max, max, 0, 1],
    [7, 7, 7, 7, 7],
    [0, 1, 2, 3, 4],
    [0.25, 0.5, 0.5, 0.75, -4],
    [1e-45, -0, 0, 1e-40, -1e-45],
    [1e9, 1e9, 1e9 - 64, 0, 1],
  ];
  const x = tensor([rows.length, 5], rows.flat());
  new Uint32Array(x.data.buffer)[2 * 5 + 2] = 0xffc00000;
  return x;
}

export const cases: readonly Case[] = [
  {
    op: 'sparsemax',
    label: 'similarities of new tokens to old ones',
    shape: '[128, 2048]',
    inputs: () => ({ x: scores([128, 2048], 1) }),
    bytes: 128 * 2048 * 8,
  },
  {
    op: 'sparsemax',
    label: 'masked, NaN, infinities, extremes, ties',
    shape: '[10, 5]',
    inputs: () => ({ x: hardScores() }),
  },
  {
    op: 'sparsemaxBackward',
    label: 'similarities of new tokens to old ones',
    shape: '[128, 2048]',
    inputs: () => ({ dy: scores([128, 2048], 2), y: sparsemax(scores([128, 2048], 1)) }),
    bytes: 128 * 2048 * 12,
  },
];
