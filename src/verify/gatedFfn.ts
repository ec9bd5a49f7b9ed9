import type { Activation } from '../core/ops/gatedFfn.ts';
import { type Tensor, tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

/** Weights [out, in] of the size that keeps a layer's output near its input, with all three biases. */
function weights(d: number, h: number, e: number): Record<string, Tensor> {
  const scaled = (shape: readonly number[], seed: number, fan: number): Tensor => {
    const size = shape.reduce((a, b) => a * b, 1);
    return tensor(
      shape,
      noiseArray(size, seed).map((v) => v * Math.sqrt(3 / fan)),
    );
  };
  return {
    w1: scaled([h, d], 11, d),
    b1: scaled([h], 12, 3),
    wg: scaled([h, d], 13, d),
    bg: scaled([h], 14, 3),
    w2: scaled([e, h], 15, h),
    b2: scaled([e], 16, 3),
  };
}

function rows(shape: readonly number[], seed: number): Tensor {
  return tensor(
    shape,
    noiseArray(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
  );
}

const seedFlops = 2 * 1568 * 512 * 512;
const small = ['relu', 'silu', 'gelu', 'geluTanh'] as const satisfies readonly Activation[];

export const cases: readonly Case[] = [
  {
    op: 'gatedFfn',
    label: 'one layer of the seed, relu',
    shape: '[32, 49, 512]',
    inputs: () => ({ x: rows([32, 49, 512], 1), ...weights(512, 512, 512) }),
    independent: true,
    bytes: 4 * (2 * 1568 * 512 + 3 * 512 * 512),
    flops: 3 * seedFlops,
  },
  ...small.map(
    (activation): Case => ({
      op: 'gatedFfn',
      label: `${activation}, sizes off every tile`,
      shape: '[3, 11, 67] to 37 to 13',
      // Inputs up to 12: gates reach far into both tails.
      inputs: () => {
        const x = rows([3, 11, 67], 2);
        return { x: tensor(x.shape, x.data.map((v) => 12 * v) as Float32Array), ...weights(67, 37, 13) };
      },
      options: { activation },
      independent: true,
    }),
  ),
  {
    op: 'gatedFfnBackward',
    label: 'two sequences of the seed, relu',
    shape: '[2, 49, 512]',
    inputs: () => ({ dy: rows([2, 49, 512], 3), x: rows([2, 49, 512], 1), ...weights(512, 512, 512) }),
    independent: true,
    bytes: 4 * (3 * 98 * 512 + 6 * 512 * 512),
    flops: (8 * seedFlops) / 16,
  },
  ...small.map(
    (activation): Case => ({
      op: 'gatedFfnBackward',
      label: `${activation}, sizes off every tile`,
      shape: '[3, 11, 67] to 37 to 13',
      inputs: () => ({ dy: rows([3, 11, 13], 4), x: rows([3, 11, 67], 2), ...weights(67, 37, 13) }),
      options: { activation },
      independent: true,
    }),
  ),
];
