import {
  planSkipTuning,
  planSkipTuningBackward,
  type SkipTuningOptions,
  type SkipTuningPlan,
} from '../core/ops/skipTuning.ts';
import { allocate, type Outputs, outputs, Tensor, type TypedArray } from '../core/tensor.ts';

/**
 * A skip connection joined to the backbone, scaled: concat: y = [u, rho d] along axis; add: y = u + rho d.
 * @param u f32 or f64 [..., U, ...]
 * @param d dtype of u, [..., D, ...]; add: the shape of u
 * @param rho the scale of the skip, rounded to f32 for f32 tensors; 1 changes no bit
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 inside, rounded once
 * @source Ma et al., arXiv 2402.15170; kexue.fm 10077
 */
export function skipTuning(u: Tensor, d: Tensor, rho: number, options: SkipTuningOptions = {}): Tensor {
  const plan = planSkipTuning(u, d, rho, options);
  const scale = u.dtype === 'f32' ? Math.fround(rho) : rho;
  if (plan.add) {
    const y = allocate(u.dtype, u.size);
    for (let i = 0; i < y.length; i++) y[i] = u.data[i]! + scale * d.data[i]!;
    return new Tensor(u.dtype, plan.shape, y);
  }
  const y = allocate(u.dtype, plan.outer * (plan.u + plan.d) * plan.inner);
  eachPart(plan, (from, first, length, skip) => {
    const source = (skip ? d : u).data;
    // A copy of the array, not of numbers: the bits of NaN stay.
    if (!skip || scale === 1)
      (y as Float32Array).set(source.subarray(from, from + length) as Float32Array, first);
    else for (let i = 0; i < length; i++) y[first + i] = scale * source[from + i]!;
  });
  return new Tensor(u.dtype, plan.shape, y);
}

/**
 * Gradient of {@link skipTuning}: du is the backbone's part of dy, dd the skip's times rho; add: du = dy, dd = rho dy.
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 inside, rounded once
 */
export function skipTuningBackward(
  dy: Tensor,
  u: Tensor,
  d: Tensor,
  rho: number,
  options: SkipTuningOptions = {},
): Outputs<{ du: Tensor; dd: Tensor }> {
  const plan = planSkipTuningBackward(dy, u, d, rho, options);
  const scale = u.dtype === 'f32' ? Math.fround(rho) : rho;
  const du = allocate(u.dtype, u.size);
  const dd = allocate(u.dtype, d.size);
  const copy = (to: TypedArray, at: number, from: number, length: number, by: number): void => {
    const part = dy.data.subarray(from, from + length);
    if (by === 1) (to as Float32Array).set(part as Float32Array, at);
    else for (let i = 0; i < length; i++) to[at + i] = by * part[i]!;
  };
  if (plan.add) {
    copy(du, 0, 0, dy.size, 1);
    copy(dd, 0, 0, dy.size, scale);
  } else {
    eachPart(plan, (from, first, length, skip) =>
      copy(skip ? dd : du, from, first, length, skip ? scale : 1),
    );
  }
  return outputs({ du: new Tensor(u.dtype, u.shape, du), dd: new Tensor(u.dtype, d.shape, dd) });
}

/** The runs of neighbours that u and d have in y: where each begins in its own tensor, where in y, and how long it is. */
function eachPart(
  { outer, u, d, inner }: SkipTuningPlan,
  part: (from: number, first: number, length: number, skip: boolean) => void,
): void {
  for (let o = 0; o < outer; o++) {
    const row = o * (u + d) * inner;
    part(o * u * inner, row, u * inner, false);
    part(o * d * inner, row + u * inner, d * inner, true);
  }
}
