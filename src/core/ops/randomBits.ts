import { type Key, requireKey } from '../key.ts';
import { type AnyTensor, type Shape, sizeOf } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface RandomBitsOps<T extends AnyTensor> {
  /** Uniform random u32 words, one per counter. */
  randomBits(key: Key, shape: Shape): T;
}

export const randomBitsContract: Contract = {
  name: 'randomBits',
  summary: 'Uniform random 32-bit words, equal to those of jax.random.bits.',
  formula:
    'bits[i] = a xor b, where (a, b) = Threefry-2x32(key, (i div 2^32, i mod 2^32)), i counted row-major',
  params: ['key', 'shape'],
  inputs: [],
  options: [
    { name: 'key', type: 'key', about: 'two u32 words; use a key once' },
    { name: 'shape', type: 'shape', about: 'sizes per axis' },
  ],
  outputs: [{ name: 'bits', dtypes: ['u32'], shape: 'shape', about: 'the words' }],
  accuracy: 'exact, bit for bit; equal to jax.random.bits with jax_threefry_partitionable',
  edge: 'an element depends on the key and its row-major position only: a longer tensor starts with the shorter one',
  source: 'Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011); jax.random.bits',
};

/** Check a randomBits call and count its elements. @throws ArgumentError, ShapeError */
export function planRandomBits(key: Key, shape: Shape): { readonly size: number } {
  requireKey('randomBits', key);
  return { size: sizeOf(shape, 'randomBits') };
}
