import { type Tensor, tensor } from '../core/tensor.ts';
import type { Case } from './case.ts';

function range(first: number, count: number): Tensor {
  return tensor(
    [count],
    Uint32Array.from({ length: count }, (_, i) => first + i),
  );
}

export const cases: readonly Case[] = [
  {
    op: 'splitMinSum',
    label: 'every number up to 30,000: the published interval misses some',
    shape: '[30000]',
    inputs: () => ({ n: range(0, 30_000) }),
  },
  {
    op: 'splitMinSum',
    label: 'the largest there are',
    shape: '[16]',
    inputs: () => ({ n: range(2 ** 32 - 16, 16) }),
  },
];
