import { ShapeError } from '../errors.ts';
import { type AnyTensor, requireDType, requireShape } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface SparsemaxOps<T extends AnyTensor> {
  /** The point of the probability simplex that is nearest to a row: like softmax, but most entries are exactly 0. */
  sparsemax(x: T): T;
  /** Gradient of {@link SparsemaxOps.sparsemax}, from its result. */
  sparsemaxBackward(dy: T, y: T): T;
}

const floats = ['f32', 'f64'] as const;
const source = 'Martins and Astudillo, From softmax to sparsemax (2016); Michelot (1986) for the iteration';

export const sparsemaxContract: Contract = {
  name: 'sparsemax',
  summary: 'Projection of a row onto the probability simplex.',
  formula: 'y[j] = max(x[j] - tau, 0), with tau such that the row adds up to 1',
  params: ['x'],
  inputs: [{ name: 'x', dtypes: floats, shape: '[..., N]', about: 'the scores; -Infinity = masked' }],
  options: [],
  outputs: [{ name: 'y', dtypes: floats, shape: 'x', about: 'the weights' }],
  accuracy:
    'absolute: gamma of the mean distance to the maximum over the support, and a few ulp of 1 (src/core/bounds/sparsemax.ts)',
  edge: 'a row that is masked throughout gives zeros; a row with NaN or +Infinity gives NaN; of entries near tau, rounding decides which are 0',
  source,
};

export const sparsemaxBackwardContract: Contract = {
  name: 'sparsemaxBackward',
  summary: 'Gradient of sparsemax.',
  formula: 'dx[j] = dy[j] - mean of dy over the support, where y[j] > 0; else 0',
  params: ['dy', 'y'],
  inputs: [
    { name: 'dy', dtypes: floats, shape: '[..., N]', about: 'the gradient of y' },
    { name: 'y', dtypes: floats, shape: 'dy', about: 'the result of sparsemax' },
  ],
  options: [],
  outputs: [{ name: 'dx', dtypes: floats, shape: 'dy', about: 'the gradient of x' }],
  accuracy: 'gamma_k of the mean of |dy| over the k entries of the support, and two roundings',
  edge: 'no entry above 0: no gradient',
  source,
};

export interface SparsemaxPlan {
  readonly rows: number;
  readonly length: number;
}

/** Check a sparsemax call. @throws ShapeError, DTypeError */
export function planSparsemax(x: AnyTensor): SparsemaxPlan {
  return plan('sparsemax', 'x', x);
}

/** Check a sparsemaxBackward call. @throws ShapeError, DTypeError */
export function planSparsemaxBackward(dy: AnyTensor, y: AnyTensor): SparsemaxPlan {
  const op = 'sparsemaxBackward';
  const sizes = plan(op, 'dy', dy);
  requireDType(op, 'y', y, [dy.dtype]);
  requireShape(op, 'y', y, dy.shape);
  return sizes;
}

function plan(op: string, name: string, x: AnyTensor): SparsemaxPlan {
  requireDType(op, name, x, floats);
  const length = x.shape.at(-1);
  if (length === undefined)
    throw new ShapeError(op, `${name} is a scalar; it must have a last axis to project`);
  return { rows: x.shape.slice(0, -1).reduce((a, b) => a * b, 1), length };
}
