import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

/** A parameter in the middle of training: moments of gradients of all sizes, some of them zero. */
function state(n: number, seed: number): Record<string, ReturnType<typeof tensor>> {
  const sizes = noiseArray(n, seed + 9);
  const scaled = (offset: number) =>
    noiseArray(n, seed + offset).map((x, i) => x * 10 ** (4 * sizes[i]! - 4));
  return {
    param: tensor([n], noiseArray(n, seed)),
    grad: tensor(
      [n],
      scaled(1).map((g, i) => (i % 7 === 0 ? 0 : g)),
    ),
    m: tensor([n], scaled(2)),
    v: tensor(
      [n],
      scaled(3).map((x) => x * x),
    ),
  };
}

// One matrix of the seed's feed-forward block.
const matrix = 512 * 512;

export const cases: readonly Case[] = [
  {
    op: 'adamW',
    label: "one matrix of the seed, the seed's Adam",
    shape: '[512, 512]',
    inputs: () => state(matrix, 1),
    options: { step: 100, decoupled: false, weightDecay: 0 },
    bytes: matrix * 28,
  },
  {
    op: 'adamW',
    label: 'AdamW, first step, a scaled gradient',
    shape: '[1003]',
    inputs: () => ({
      ...state(1003, 2),
      m: tensor([1003], new Float32Array(1003)),
      v: tensor([1003], new Float32Array(1003)),
      factor: tensor([], [0.37]),
    }),
    options: { step: 1, lr: 0.01, weightDecay: 0.1 },
  },
];
