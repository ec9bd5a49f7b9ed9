import { type Tensor, tensor } from '../core/tensor.ts';
import { softmax } from '../ref/softmax.ts';
import { type Case, noiseArray } from './case.ts';

/** Logits within +-6. */
function logits(shape: readonly number[], seed: number): Tensor {
  return tensor(
    shape,
    noiseArray(
      shape.reduce((n, s) => n * s, 1),
      seed,
    ).map((v) => 6 * v),
  );
}

/** Rows that are masked in part and throughout, with one element, with NaN and infinities, extremes and equal elements. */
function hardRows(): Tensor {
  const [no, max] = [-Infinity, 3.4028234663852886e38];
  const rows = [
    [no, 1, no, 2, no],
    [no, no, no, no, no],
    [no, no, -5, no, no],
    [0, 1, Number.NaN, 2, 3],
    [0, 1, 2, 3, 4],
    [0, Infinity, 1, no, 2],
    [max, -max, max, 0, 1],
    [-max, -max, no, -max, no],
    [88, 0, -88, 103, 104],
    [7, 7, 7, 7, 7],
    [-0, 0, -0, 0, 1e-45],
  ];
  const x = tensor([rows.length, 5], rows.flat());
  // NaN with its sign bit set, which sorts below everything when bits are compared.
  new Uint32Array(x.data.buffer)[4 * 5 + 2] = 0xffc00000;
  return x;
}

export const cases: readonly Case[] = [
  {
    op: 'softmax',
    label: 'attention of the seed, if it had any',
    shape: '[256, 49, 49]',
    inputs: () => ({ x: logits([256, 49, 49], 1) }),
    bytes: 256 * 49 * 49 * 8,
  },
  {
    op: 'softmax',
    label: 'the vocabulary of the seed',
    shape: '[49, 8460]',
    inputs: () => ({ x: logits([49, 8460], 2) }),
    bytes: 49 * 8460 * 8,
  },
  {
    op: 'softmax',
    label: 'masked rows, NaN, infinities, extremes',
    shape: '[11, 5]',
    inputs: () => ({ x: hardRows() }),
  },
  {
    op: 'softmax',
    label: 'along the first axis',
    shape: '[33, 40] axis 0',
    inputs: () => ({ x: logits([33, 40], 3) }),
    options: { axis: 0 },
  },
  {
    op: 'softmaxBackward',
    label: 'attention of the seed, if it had any',
    shape: '[256, 49, 49]',
    inputs: () => ({
      dy: tensor([256, 49, 49], noiseArray(256 * 49 * 49, 4)),
      y: softmax(logits([256, 49, 49], 1)),
    }),
    bytes: 256 * 49 * 49 * 12,
  },
  {
    op: 'softmaxBackward',
    label: 'along the first axis',
    shape: '[33, 40] axis 0',
    inputs: () => ({
      dy: tensor([33, 40], noiseArray(33 * 40, 5)),
      y: softmax(logits([33, 40], 3), { axis: 0 }),
    }),
    options: { axis: 0 },
  },
];
