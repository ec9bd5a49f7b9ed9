import { type Key, requireKey } from '../key.ts';
import { type AnyTensor, type Shape, sizeOf } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface GumbelNoiseOps<T extends AnyTensor> {
  /** Standard Gumbel noise, the same bits on every twin and adapter. */
  gumbelNoise(key: Key, shape: Shape): T;
}

export const gumbelNoiseContract: Contract = {
  name: 'gumbelNoise',
  summary: 'Standard Gumbel noise, the same bits on both twins and on every adapter.',
  formula:
    'G[i] = -log(-log(u)), u = (bits[i] 2^32 + second[i] + 1/2) 2^-64, with bits as in randomBits and second the second word of the same block',
  params: ['key', 'shape'],
  inputs: [],
  options: [
    { name: 'key', type: 'key', about: 'two u32 words; use a key once' },
    { name: 'shape', type: 'shape', about: 'sizes per axis' },
  ],
  outputs: [{ name: 'noise', dtypes: ['f32'], shape: 'shape', about: 'the noise, in [-3.79, 44.4]' }],
  accuracy:
    'exact, bit for bit, between the twins (integer arithmetic defines it); within half an ulp + 1.2e-7 of the formula',
  edge: 'an element depends on the key and its row-major position only; never infinite; the upper tail is resolved to 2^-64 of probability',
  source: 'Briggs, Arithmetica Logarithmica (1624), for the logarithm; jax.random for the bits',
};

/** Check a gumbelNoise call and count its elements. @throws ArgumentError, ShapeError */
export function planGumbelNoise(key: Key, shape: Shape): { readonly size: number } {
  requireKey('gumbelNoise', key);
  return { size: sizeOf(shape, 'gumbelNoise') };
}
