import { planSoftmax, planSoftmaxBackward, type SoftmaxOptions } from '../core/ops/softmax.ts';
import { allocate, Tensor } from '../core/tensor.ts';

/**
 * Exponentials along an axis, divided by their sum: y[j] = exp(x[j] - m) / sum of exp(x[i] - m), m = max x.
 *
 * @param x f32 or f64 [..., N, ...]; -Infinity = masked
 * @param options.axis in [-rank, rank); default -1
 * @returns shaped like x
 * @throws ShapeError, DTypeError
 * @accuracy f64, rounded once
 * @edge A masked element gives 0, a row that is masked throughout gives zeros (torch gives NaN there). A row with NaN or
 * +Infinity gives NaN. N = 0: empty.
 * @source torch.softmax; the shift by the maximum keeps exp from overflowing and changes nothing else
 */
export function softmax(x: Tensor, options: SoftmaxOptions = {}): Tensor {
  const { outer, length, inner } = planSoftmax(x, options);
  const y = allocate(x.dtype, x.size);
  for (let row = 0; row < outer * inner; row++) {
    const first = Math.floor(row / inner) * length * inner + (row % inner);
    let max = Number.NEGATIVE_INFINITY;
    for (let j = 0; j < length; j++) max = Math.max(max, x.data[first + j * inner]!); // NaN if any is
    if (max === Number.NEGATIVE_INFINITY) continue; // the zeros are there already
    let sum = 0;
    for (let j = 0; j < length; j++) sum += Math.exp(x.data[first + j * inner]! - max);
    for (let j = 0; j < length; j++) y[first + j * inner] = Math.exp(x.data[first + j * inner]! - max) / sum;
  }
  return new Tensor(x.dtype, x.shape, y);
}

/**
 * Gradient of {@link softmax}, from its result: dx[j] = y[j] (dy[j] - sum of dy[i] y[i]).
 *
 * @param dy, y f32 or f64 [..., N, ...]
 * @param options.axis as in the forward call
 * @returns shaped like dy
 * @throws ShapeError, DTypeError
 * @accuracy f64, rounded once
 * @edge Where y is 0 (masked) dx is 0.
 * @source the Jacobian diag(y) - y y^T, which is symmetric, and whose rows add up to 0
 */
export function softmaxBackward(dy: Tensor, y: Tensor, options: SoftmaxOptions = {}): Tensor {
  const { outer, length, inner } = planSoftmaxBackward(dy, y, options);
  const dx = allocate(dy.dtype, dy.size);
  for (let row = 0; row < outer * inner; row++) {
    const first = Math.floor(row / inner) * length * inner + (row % inner);
    let mean = 0;
    for (let j = 0; j < length; j++) mean += dy.data[first + j * inner]! * y.data[first + j * inner]!;
    for (let j = 0; j < length; j++) {
      const at = first + j * inner;
      dx[at] = y.data[at]! * (dy.data[at]! - mean);
    }
  }
  return new Tensor(dy.dtype, dy.shape, dx);
}
