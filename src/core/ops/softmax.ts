import { type AnyTensor, normalizeAxis, requireDType, requireShape, type Shape } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface SoftmaxOptions {
  /** The axis that adds up to 1, in [-rank, rank). @defaultValue -1 */
  readonly axis?: number;
}

export interface SoftmaxOps<T extends AnyTensor> {
  /** Exponentials along an axis, divided by their sum. */
  softmax(x: T, options?: SoftmaxOptions): T;
  /** Gradient of {@link SoftmaxOps.softmax}, from its result. */
  softmaxBackward(dy: T, y: T, options?: SoftmaxOptions): T;
}

const floats = ['f32', 'f64'] as const;
const axisOption = {
  name: 'axis',
  type: 'integer',
  default: -1,
  about: 'the axis that adds up to 1, in [-rank, rank)',
} as const;

export const softmaxContract: Contract = {
  name: 'softmax',
  summary: 'Exponentials along an axis, divided by their sum.',
  formula: 'y[j] = exp(x[j] - max x) / sum over i of exp(x[i] - max x)',
  params: ['x'],
  inputs: [{ name: 'x', dtypes: floats, shape: '[..., N, ...]', about: 'the logits; -Infinity = masked' }],
  options: [axisOption],
  outputs: [{ name: 'y', dtypes: floats, shape: 'x', about: 'the probabilities' }],
  accuracy: 'relative: (3 + 3 |x - max|) ulp of exp, the error of a sum of N terms, and a division',
  edge: 'a masked element gives 0; a row that is masked throughout gives zeros; a row with NaN or +Infinity gives NaN; results below 2^-126 may be 0',
  source:
    'torch.softmax; Blanchard, D. Higham and N. Higham, Accurately computing the log-sum-exp and softmax functions (2021)',
};

export const softmaxBackwardContract: Contract = {
  name: 'softmaxBackward',
  summary: 'Gradient of softmax.',
  formula: 'dx[j] = y[j] (dy[j] - sum over i of dy[i] y[i])',
  params: ['dy', 'y'],
  inputs: [
    { name: 'dy', dtypes: floats, shape: '[..., N, ...]', about: 'the gradient of y' },
    { name: 'y', dtypes: floats, shape: 'dy', about: 'the result of softmax' },
  ],
  options: [{ ...axisOption, about: 'the axis of the forward call' }],
  outputs: [{ name: 'dx', dtypes: floats, shape: 'dy', about: 'the gradient of x' }],
  accuracy: 'within |y| (gamma_N * sum |dy y| + 3 roundings of |dy| and the sum)',
  edge: 'where y is 0, dx is 0',
  source: 'derivative of the formula: diag(y) - y y^T',
};

/** Sizes of a softmax call: x seen as [outer, length, inner]. */
export interface SoftmaxPlan {
  readonly shape: Shape;
  readonly outer: number;
  readonly length: number;
  readonly inner: number;
}

/** Check a softmax call and work out its sizes. @throws ShapeError, DTypeError */
export function planSoftmax<T extends AnyTensor>(x: T, options: SoftmaxOptions = {}): SoftmaxPlan {
  requireDType('softmax', 'x', x, floats);
  return along('softmax', x.shape, options);
}

/** Check a softmaxBackward call and work out its sizes. @throws ShapeError, DTypeError */
export function planSoftmaxBackward<T extends AnyTensor>(
  dy: T,
  y: T,
  options: SoftmaxOptions = {},
): SoftmaxPlan {
  const op = 'softmaxBackward';
  requireDType(op, 'dy', dy, floats);
  requireDType(op, 'y', y, [dy.dtype]);
  requireShape(op, 'y', y, dy.shape);
  return along(op, dy.shape, options);
}

function along(op: string, shape: Shape, { axis = -1 }: SoftmaxOptions): SoftmaxPlan {
  const at = normalizeAxis(op, axis, shape);
  const product = (sizes: Shape): number => sizes.reduce((n, s) => n * s, 1);
  return {
    shape,
    outer: product(shape.slice(0, at)),
    length: shape[at]!,
    inner: product(shape.slice(at + 1)),
  };
}
