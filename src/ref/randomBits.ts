import { type Key, threefry2x32 } from '../core/key.ts';
import { planRandomBits } from '../core/ops/randomBits.ts';
import { type Shape, Tensor } from '../core/tensor.ts';

/**
 * Uniform random 32-bit words: bits[i] = a xor b, where (a, b) is the cipher of the counter i under the key.
 *
 * @param key two u32 words
 * @param shape sizes per axis; i counts its elements row-major, as a 64-bit counter
 * @returns u32 of that shape
 * @throws ArgumentError, ShapeError
 * @accuracy exact
 * @edge An element depends on the key and on its position only, so a longer tensor starts with the shorter one.
 * @source jax.random.bits, with jax_threefry_partitionable
 */
export function randomBits(key: Key, shape: Shape): Tensor {
  const { size } = planRandomBits(key, shape);
  const bits = new Uint32Array(size);
  const words = new Uint32Array(2);
  for (let i = 0; i < size; i++) {
    threefry2x32(key, Math.floor(i / 2 ** 32), i >>> 0, words);
    bits[i] = words[0]! ^ words[1]!;
  }
  return new Tensor('u32', shape, bits);
}
