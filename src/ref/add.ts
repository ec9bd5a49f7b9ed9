import { planAdd, planAddBackward } from '../core/ops/add.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';

/**
 * Elementwise sum: y[i] = a[i] + b[i].
 * @param a f32 or f64, any shape
 * @param b dtype and shape of a
 * @throws DTypeError, ShapeError
 * @accuracy one rounding
 */
export function add(a: Tensor, b: Tensor): Tensor {
  const { size } = planAdd(a, b);
  const y = allocate(a.dtype, size);
  for (let i = 0; i < size; i++) y[i] = a.data[i]! + b.data[i]!;
  return new Tensor(a.dtype, a.shape, y);
}

/** Gradient of {@link add}: da = db = dy. */
export function addBackward(dy: Tensor): Outputs<{ da: Tensor; db: Tensor }> {
  planAddBackward(dy);
  const copy = (): Tensor => new Tensor(dy.dtype, dy.shape, dy.data.slice());
  return outputs({ da: copy(), db: copy() });
}
