import { type Tensor, tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

/** Gradients of several shapes by the contract's names. */
function gradients(...shapes: readonly number[][]): Record<string, Tensor> {
  return Object.fromEntries(
    shapes.map((shape, i) => [
      `grads.${i}`,
      tensor(
        shape,
        noiseArray(
          shape.reduce((n, s) => n * s, 1),
          i + 1,
        ),
      ),
    ]),
  );
}

const block = [[512, 512], [512], [512], [512], []];
const size = 512 * 512 + 3 * 512 + 1;

export const cases: readonly Case[] = [
  {
    op: 'gradientClip',
    label: 'a matrix and vectors of the seed',
    shape: '[512, 512], 3 of [512], []',
    inputs: () => gradients(...block),
    options: { maxNorm: 1 },
    bytes: size * 12,
  },
  {
    op: 'gradientClipFactor',
    label: 'the factor alone',
    shape: '[512, 512], 3 of [512], []',
    inputs: () => gradients(...block),
    options: { maxNorm: 1 },
    bytes: size * 4,
  },
  {
    op: 'gradientClip',
    label: 'nothing to clip, odd sizes, an empty tensor',
    shape: '[3, 5], [0], [257], []',
    inputs: () => gradients([3, 5], [0], [257], []),
    options: { maxNorm: 1000 },
  },
];
