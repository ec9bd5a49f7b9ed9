import { type AnyTensor, type Outputs, requireDType, requireShape } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface AddOps<T extends AnyTensor> {
  /** Elementwise sum of two tensors of one shape. */
  add(a: T, b: T): T;
  /** Gradient of {@link AddOps.add}: both inputs get the gradient as it is. */
  addBackward(dy: T): Outputs<{ da: T; db: T }>;
}

export const addContract: Contract = {
  name: 'add',
  summary: 'Elementwise sum.',
  formula: 'y[i] = a[i] + b[i]',
  params: ['a', 'b'],
  inputs: [
    { name: 'a', dtypes: ['f32', 'f64'], shape: 'any', about: 'the first summand' },
    { name: 'b', dtypes: ['f32', 'f64'], shape: 'a', about: 'the second summand' },
  ],
  options: [],
  outputs: [{ name: 'y', dtypes: ['f32', 'f64'], shape: 'a', about: 'the sum' }],
  accuracy: 'one rounding',
  edge: 'no broadcasting: the shapes are equal',
  source: 'IEEE 754 addition',
};

export const addBackwardContract: Contract = {
  name: 'addBackward',
  summary: 'Gradient of add.',
  formula: 'da = db = dy',
  params: ['dy'],
  inputs: [{ name: 'dy', dtypes: ['f32', 'f64'], shape: 'any', about: 'the gradient of y' }],
  options: [],
  outputs: [
    { name: 'da', dtypes: ['f32', 'f64'], shape: 'dy', about: 'the gradient of a' },
    { name: 'db', dtypes: ['f32', 'f64'], shape: 'dy', about: 'the gradient of b' },
  ],
  accuracy: 'exact: copies',
  edge: 'none',
  source: 'the sum rule',
};

/** Check an add call. @throws DTypeError, ShapeError */
export function planAdd(a: AnyTensor, b: AnyTensor): { readonly size: number } {
  requireDType('add', 'a', a, ['f32', 'f64']);
  requireDType('add', 'b', b, [a.dtype]);
  requireShape('add', 'b', b, a.shape);
  return { size: a.size };
}

/** Check an addBackward call. @throws DTypeError */
export function planAddBackward(dy: AnyTensor): { readonly size: number } {
  requireDType('addBackward', 'dy', dy, ['f32', 'f64']);
  return { size: dy.size };
}
