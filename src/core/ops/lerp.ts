import { ShapeError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType, requireShape, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface LerpOps<T extends AnyTensor> {
  /** Blend of two tensors of one shape by one learnable weight. */
  lerp(a: T, b: T, weight: T): T;
  /** Gradient of {@link LerpOps.lerp}. */
  lerpBackward(dy: T, a: T, b: T, weight: T): Outputs<{ da: T; db: T; dWeight: T }>;
}

export const lerpContract: Contract = {
  name: 'lerp',
  summary: 'Blend of two tensors by one weight.',
  formula: 'y[i] = (1 - w) a[i] + w b[i]',
  params: ['a', 'b', 'weight'],
  inputs: [
    { name: 'a', dtypes: ['f32', 'f64'], shape: 'any', about: 'what weight 0 gives' },
    { name: 'b', dtypes: ['f32', 'f64'], shape: 'a', about: 'what weight 1 gives' },
    { name: 'weight', dtypes: ['f32', 'f64'], shape: 'one element', about: 'w, for all elements' },
  ],
  options: [],
  outputs: [{ name: 'y', dtypes: ['f32', 'f64'], shape: 'a', about: 'the blend' }],
  accuracy: 'within gamma_4 * (|1 - w| |a| + |w| |b|)',
  edge: 'w outside of [0, 1] extrapolates',
  source: 'seed 001, the residual of a layer: alpha * ffn + (1 - alpha) * x',
};

export const lerpBackwardContract: Contract = {
  name: 'lerpBackward',
  summary: 'Gradient of lerp.',
  formula: 'da = (1 - w) dy; db = w dy; dWeight = sum of dy[i] (b[i] - a[i])',
  params: ['dy', 'a', 'b', 'weight'],
  inputs: [
    { name: 'dy', dtypes: ['f32', 'f64'], shape: 'any', about: 'the gradient of y' },
    { name: 'a', dtypes: ['f32', 'f64'], shape: 'dy', about: 'as in the forward call' },
    { name: 'b', dtypes: ['f32', 'f64'], shape: 'dy', about: 'as in the forward call' },
    { name: 'weight', dtypes: ['f32', 'f64'], shape: 'one element', about: 'as in the forward call' },
  ],
  options: [],
  outputs: [
    { name: 'da', dtypes: ['f32', 'f64'], shape: 'dy', about: 'the gradient of a' },
    { name: 'db', dtypes: ['f32', 'f64'], shape: 'dy', about: 'the gradient of b' },
    { name: 'dWeight', dtypes: ['f32', 'f64'], shape: 'weight', about: 'the gradient of the weight' },
  ],
  accuracy: 'da, db: two roundings; dWeight within gamma_n+3 * sum |dy| (|a| + |b|)',
  edge: 'the sum of dWeight has one fixed order: the same bits every time',
  source: 'the product rule',
};

/** Check a lerp call. @throws DTypeError, ShapeError */
export function planLerp(a: AnyTensor, b: AnyTensor, weight: AnyTensor): { readonly size: number } {
  return check('lerp', a, b, weight);
}

/** Check a lerpBackward call. @throws DTypeError, ShapeError */
export function planLerpBackward(
  dy: AnyTensor,
  a: AnyTensor,
  b: AnyTensor,
  weight: AnyTensor,
): { readonly size: number } {
  const plan = check('lerpBackward', a, b, weight);
  requireDType('lerpBackward', 'dy', dy, [a.dtype]);
  requireShape('lerpBackward', 'dy', dy, a.shape);
  return plan;
}

function check(op: string, a: AnyTensor, b: AnyTensor, weight: AnyTensor): { readonly size: number } {
  requireDType(op, 'a', a, ['f32', 'f64']);
  requireDType(op, 'b', b, [a.dtype]);
  requireShape(op, 'b', b, a.shape);
  requireDType(op, 'weight', weight, [a.dtype]);
  if (weight.size !== 1) {
    throw new ShapeError(op, `weight has shape ${show(weight.shape)}; it must hold one element`);
  }
  return { size: a.size };
}
