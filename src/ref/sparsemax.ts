import { planSparsemax, planSparsemaxBackward } from '../core/ops/sparsemax.ts';
import { allocate, Tensor } from '../core/tensor.ts';

/**
 * Projection of every row onto the probability simplex: y[j] = max(x[j] - tau, 0), the row adding up to 1.
 *
 * With the row sorted, z(1) >= z(2) >= ...: the support is the longest beginning with 1 + j z(j) > z(1) + ... + z(j), and
 * tau = (sum of the support - 1) / its size.
 *
 * @param x f32 or f64 [..., N]; -Infinity = masked
 * @returns shaped like x
 * @throws ShapeError, DTypeError
 * @accuracy f64, rounded once
 * @edge A row that is masked throughout gives zeros; NaN or +Infinity gives NaN in the whole row.
 * @source Martins and Astudillo (2016)
 */
export function sparsemax(x: Tensor): Tensor {
  const { rows, length } = planSparsemax(x);
  const y = allocate(x.dtype, x.size);
  for (let row = 0; row < rows; row++) {
    const from = row * length;
    const z = Float64Array.from(x.data.subarray(from, from + length))
      .sort()
      .reverse();
    if (z.some((v) => Number.isNaN(v) || v === Infinity)) {
      y.fill(Number.NaN, from, from + length);
      continue;
    }
    const top = z[0] ?? -Infinity;
    if (top === -Infinity) continue; // the zeros are there already
    let sum = 0;
    let tau = 0;
    for (let j = 0; j < length; j++) {
      const d = z[j]! - top; // shifted by the maximum, which changes nothing and keeps the digits
      sum += d;
      if (1 + (j + 1) * d <= sum) break;
      tau = (sum - 1) / (j + 1);
    }
    for (let j = 0; j < length; j++) y[from + j] = Math.max(x.data[from + j]! - top - tau, 0);
  }
  return new Tensor(x.dtype, x.shape, y);
}

/**
 * Gradient of {@link sparsemax}: dx[j] = dy[j] - mean of dy over the support where y[j] > 0, else 0.
 *
 * @param dy, y f32 or f64 [..., N]
 * @throws ShapeError, DTypeError
 * @accuracy f64, rounded once
 * @source the Jacobian diag(s) - s sᵀ / |s|, s the indicator of the support
 */
export function sparsemaxBackward(dy: Tensor, y: Tensor): Tensor {
  const { rows, length } = planSparsemaxBackward(dy, y);
  const dx = allocate(dy.dtype, dy.size);
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    let size = 0;
    for (let at = row * length; at < (row + 1) * length; at++) {
      if (!(y.data[at]! > 0)) continue;
      sum += dy.data[at]!;
      size++;
    }
    for (let at = row * length; at < (row + 1) * length; at++) {
      if (y.data[at]! > 0) dx[at] = dy.data[at]! - sum / size;
    }
  }
  return new Tensor(dy.dtype, dy.shape, dx);
}
