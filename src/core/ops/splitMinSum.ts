import { type AnyTensor, type Outputs, requireDType } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface SplitMinSumOps<T extends AnyTensor> {
  /** Each number as ab + c with the least a + b + c. */
  splitMinSum(n: T): Outputs<{ a: T; b: T; c: T; sum: T }>;
}

const field = (name: string, about: string) => ({ name, dtypes: ['u32'], shape: 'n', about }) as const;

export const splitMinSumContract: Contract = {
  name: 'splitMinSum',
  summary: 'Each number as ab + c with the least a + b + c: the most even two-level tree over n leaves.',
  formula: 'n = ab + c, a <= b, with the least a + b + c; among several the one with the least a + b',
  params: ['n'],
  inputs: [{ name: 'n', dtypes: ['u32'], shape: '[...]', about: 'the numbers' }],
  options: [],
  outputs: [
    field('a', 'the smaller factor'),
    field('b', 'the larger factor'),
    field('c', 'what is left'),
    field('sum', 'a + b + c'),
  ],
  accuracy: 'exact integers',
  edge: 'n = 0 to 3: a = b = 0, c = n, since no product is as cheap; larger n always have a product',
  source: 'kexue.fm/archives/9775, with its interval repaired',
};

/** Check a splitMinSum call. @throws DTypeError */
export function planSplitMinSum<T extends AnyTensor>(n: T): { readonly size: number } {
  requireDType('splitMinSum', 'n', n, ['u32']);
  return { size: n.size };
}
