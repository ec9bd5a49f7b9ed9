import { type Tensor, tensor } from '../core/tensor.ts';
import { layerNorm } from '../ref/layerNorm.ts';
import { type Case, noiseArray } from './case.ts';

/** Rows of noise times `scale` around `center`, with gamma and beta. */
function rows(count: number, width: number, center = 0, scale = 1): Record<string, Tensor> {
  return {
    x: tensor(
      [count, width],
      noiseArray(count * width, 1).map((v) => center + scale * v),
    ),
    gamma: tensor([width], noiseArray(width, 2)),
    beta: tensor([width], noiseArray(width, 3)),
  };
}

function backward({ x, gamma, beta }: Record<string, Tensor>): Record<string, Tensor> {
  const { mean, rstd } = layerNorm(x!, gamma!, beta!);
  return { dy: tensor(x!.shape, noiseArray(x!.size, 4)), x: x!, gamma: gamma!, mean, rstd };
}

/** Elements of one plane of the seed's layer: 32 x 49 rows. */
const plane = 1568 * 512;

export const cases: readonly Case[] = [
  {
    op: 'layerNorm',
    label: 'one layer of the seed',
    shape: '[1568, 512]',
    inputs: () => rows(1568, 512),
    bytes: plane * 8,
  },
  {
    op: 'layerNorm',
    label: 'mean 10000, deviation 1',
    shape: '[37, 511]',
    inputs: () => rows(37, 511, 1e4, 2),
  },
  {
    op: 'layerNorm',
    label: 'one column: every row is constant',
    shape: '[5, 1]',
    inputs: () => rows(5, 1),
  },
  {
    op: 'layerNormBackward',
    label: 'one layer of the seed',
    shape: '[1568, 512]',
    inputs: () => backward(rows(1568, 512)),
    bytes: plane * 12,
  },
  {
    op: 'layerNormBackward',
    label: 'mean 10000, deviation 1',
    shape: '[37, 511]',
    inputs: () => backward(rows(37, 511, 1e4, 2)),
  },
];
