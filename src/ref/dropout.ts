import type { Key } from '../core/key.ts';
import { type DropoutPlan, planDropout, planDropoutBackward } from '../core/ops/dropout.ts';
import { allocate, Tensor } from '../core/tensor.ts';
import { randomBits } from './randomBits.ts';

/**
 * Set elements to 0 at random and scale the others up, so that the expectation stays.
 *
 * y[i] = x[i] / (1 - p) where randomBits(key)[i] >= 2^32 p, else 0.
 *
 * @param x f32 or f64, any shape
 * @param p the share that is set to 0, in [0, 1)
 * @param key says which elements: use another one for every call, such as foldIn(key, step)
 * @returns shaped like x
 * @throws DTypeError, ArgumentError
 * @accuracy which elements stay is exact; the scale and each product are rounded once
 * @edge p = 0 gives x. A dropped element is 0 whatever it was. 2^32 p is rounded to an integer, and the scale made from that.
 * @source Srivastava et al. (2014); torch.nn.Dropout
 */
export function dropout(x: Tensor, p: number, key: Key): Tensor {
  return thinned(x, planDropout(x, p, key), key);
}

/**
 * Gradient of {@link dropout}: dx = dropout(dy, p, key), since the map is linear and diagonal.
 *
 * @param dy the gradient of y; @param p, key as in the forward call
 * @returns shaped like dy
 * @throws DTypeError, ArgumentError
 */
export function dropoutBackward(dy: Tensor, p: number, key: Key): Tensor {
  return thinned(dy, planDropoutBackward(dy, p, key), key);
}

function thinned(x: Tensor, { size, threshold, scale }: DropoutPlan, key: Key): Tensor {
  const bits = randomBits(key, [size]).data;
  const y = allocate(x.dtype, size);
  for (let i = 0; i < size; i++) y[i] = bits[i]! >= threshold ? x.data[i]! * scale : 0;
  return new Tensor(x.dtype, x.shape, y);
}
