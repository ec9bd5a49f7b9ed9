import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

/** Integers in [-8, 8]: sums of their products are exact in f32. */
function integers(length: number, seed: number): Float32Array {
  return noiseArray(length, seed).map((v) => Math.round(8 * v));
}

export const cases: readonly Case[] = [
  {
    op: 'matmul',
    label: 'one projection of the seed',
    shape: '[32, 49, 512] x [512, 512]ᵀ',
    inputs: () => ({
      a: tensor([32, 49, 512], noiseArray(32 * 49 * 512, 1)),
      b: tensor([512, 512], noiseArray(512 * 512, 2)),
    }),
    options: { transposeB: true },
    independent: true,
    bytes: 4 * (2 * 1568 * 512 + 512 * 512),
    flops: 2 * 1568 * 512 * 512,
  },
  {
    op: 'matmul',
    label: 'broadcast batches, both transposed, bias, sizes off every tile',
    shape: '[2, 1, 67, 33]ᵀ x [3, 41, 67]ᵀ',
    inputs: () => ({
      a: tensor([2, 1, 67, 33], integers(2 * 67 * 33, 3)),
      b: tensor([3, 41, 67], integers(3 * 67 * 41, 4)),
      bias: tensor([41], integers(41, 5)),
    }),
    options: { transposeA: true, transposeB: true },
  },
  {
    op: 'matmul',
    label: 'large terms that cancel, one small one that stays',
    shape: '[5, 1027] x [1027, 9]',
    inputs: () => {
      // Neighbouring terms of a row cancel but for the last one.
      const a = noiseArray(5 * 1027, 6);
      for (let r = 0; r < 5; r++) {
        for (let k = 0; k < 1026; k++) a[r * 1027 + k]! = (k % 2 === 0 ? 1 : -1) * 4096 * (1 + (r & 1));
      }
      const b = noiseArray(1027 * 9, 7);
      for (let k = 1; k < 1026; k += 2) b.copyWithin(k * 9, (k - 1) * 9, k * 9);
      return { a: tensor([5, 1027], a), b: tensor([1027, 9], b) };
    },
  },
  {
    op: 'matmul',
    label: 'a sum over nothing is the bias',
    shape: '[3, 0] x [0, 5]',
    inputs: () => ({
      a: tensor([3, 0], []),
      b: tensor([0, 5], []),
      bias: tensor([5], noiseArray(5, 8)),
    }),
  },
  {
    op: 'matmulBackward',
    label: 'a projection, 98 rows',
    shape: '[2, 49, 512] x [512, 512]ᵀ',
    inputs: () => ({
      dy: tensor([2, 49, 512], noiseArray(98 * 512, 9)),
      a: tensor([2, 49, 512], noiseArray(98 * 512, 1)),
      b: tensor([512, 512], noiseArray(512 * 512, 2)),
    }),
    options: { transposeB: true },
    independent: true,
    bytes: 4 * (3 * 98 * 512 + 2 * 512 * 512),
    flops: 4 * 98 * 512 * 512,
  },
  {
    op: 'matmulBackward',
    label: 'gradients of factors that were broadcast',
    shape: '[2, 1, 17, 9] x [3, 9, 11]',
    inputs: () => ({
      dy: tensor([2, 3, 17, 11], integers(6 * 17 * 11, 10)),
      a: tensor([2, 1, 17, 9], integers(2 * 17 * 9, 11)),
      b: tensor([3, 9, 11], integers(3 * 9 * 11, 12)),
    }),
  },
];
