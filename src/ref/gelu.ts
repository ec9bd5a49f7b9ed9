import { type GeluOptions, planGelu, planGeluBackward } from '../core/ops/gelu.ts';
import { allocate, Tensor } from '../core/tensor.ts';
import { gates } from './lib/gates.ts';

/**
 * Gaussian error linear unit: y = x Phi(x), or y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
 *
 * @param x f32 or f64, any shape
 * @param options.form 'exact' (default) or 'tanh'
 * @returns shaped like x
 * @throws DTypeError, ArgumentError
 * @accuracy f64 inside, to about 1e-15 of the value, also far out in the tail; rounded once
 * @edge NaN gives NaN, +Infinity itself, -Infinity the limit -0.
 * @source Hendrycks and Gimpel (2016)
 */
export function gelu(x: Tensor, options: GeluOptions = {}): Tensor {
  const { size, form } = planGelu(x, options);
  const { act } = gates[form === 'exact' ? 'gelu' : 'geluTanh'];
  const y = allocate(x.dtype, size);
  for (let i = 0; i < size; i++) {
    const v = x.data[i]!;
    y[i] = v === Infinity ? v : v === -Infinity ? -0 : act(v);
  }
  return new Tensor(x.dtype, x.shape, y);
}

/**
 * Gradient of {@link gelu}: dx = dy (Phi(x) + x phi(x)), or dy times the derivative of the approximation.
 *
 * @param dy, x f32 or f64 of one shape
 * @returns shaped like dy
 * @throws DTypeError, ShapeError, ArgumentError
 * @accuracy f64 inside, rounded once
 * @edge The slope is 1 at +Infinity and 0 at -Infinity.
 */
export function geluBackward(dy: Tensor, x: Tensor, options: GeluOptions = {}): Tensor {
  const { size, form } = planGeluBackward(dy, x, options);
  const { slope } = gates[form === 'exact' ? 'gelu' : 'geluTanh'];
  const dx = allocate(dy.dtype, size);
  for (let i = 0; i < size; i++) {
    const v = x.data[i]!;
    const s = v === Infinity ? 1 : v === -Infinity ? 0 : slope(v);
    dx[i] = dy.data[i]! * s;
  }
  return new Tensor(dy.dtype, dy.shape, dx);
}
