import { planLerp, planLerpBackward } from '../core/ops/lerp.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';

/**
 * Blend of two tensors by one weight: y[i] = (1 - w) a[i] + w b[i].
 * @param a f32 or f64, any shape
 * @param b dtype and shape of a
 * @param weight one element of the same dtype
 * @throws DTypeError, ShapeError
 * @accuracy f64 inside, rounded once
 * @source seed 001: alpha * ffn + (1 - alpha) * x
 */
export function lerp(a: Tensor, b: Tensor, weight: Tensor): Tensor {
  const { size } = planLerp(a, b, weight);
  const w = weight.data[0]!;
  const y = allocate(a.dtype, size);
  for (let i = 0; i < size; i++) y[i] = (1 - w) * a.data[i]! + w * b.data[i]!;
  return new Tensor(a.dtype, a.shape, y);
}

/**
 * Gradient of {@link lerp}: da = (1 - w) dy; db = w dy; dWeight = sum of dy[i] (b[i] - a[i]).
 * @throws DTypeError, ShapeError
 * @accuracy f64 inside, rounded once
 */
export function lerpBackward(
  dy: Tensor,
  a: Tensor,
  b: Tensor,
  weight: Tensor,
): Outputs<{ da: Tensor; db: Tensor; dWeight: Tensor }> {
  const { size } = planLerpBackward(dy, a, b, weight);
  const w = weight.data[0]!;
  const da = allocate(a.dtype, size);
  const db = allocate(a.dtype, size);
  let dw = 0;
  for (let i = 0; i < size; i++) {
    const g = dy.data[i]!;
    da[i] = (1 - w) * g;
    db[i] = w * g;
    dw += g * (b.data[i]! - a.data[i]!);
  }
  const dWeight = allocate(a.dtype, 1);
  dWeight[0] = dw;
  return outputs({
    da: new Tensor(a.dtype, a.shape, da),
    db: new Tensor(a.dtype, a.shape, db),
    dWeight: new Tensor(a.dtype, weight.shape, dWeight),
  });
}
