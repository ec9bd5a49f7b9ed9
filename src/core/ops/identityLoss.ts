import { ArgumentError, ShapeError } from '../errors.ts';
import { type AnyTensor, requireDType, requireShape, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface IdentityLossOptions {
  /** Factor of the loss. @defaultValue 1 */
  readonly weight?: number;
}

export interface IdentityLossOps<T extends AnyTensor> {
  /** Mean over the rows of their squared distance to given rows. */
  identityLoss(x: T, goal: T, options?: IdentityLossOptions): T;
  /** Gradient of {@link IdentityLossOps.identityLoss}. */
  identityLossBackward(dLoss: T, x: T, goal: T, options?: IdentityLossOptions): T;
}

const floats = ['f32', 'f64'] as const;
const xField = { name: 'x', dtypes: floats, shape: '[N, D]', about: 'predicted rows' } as const;
const goalField = {
  name: 'goal',
  dtypes: floats,
  shape: 'x',
  about: 'the rows that they should be; constant',
} as const;
const weight = { name: 'weight', type: 'number', default: 1, about: 'factor of the loss' } as const;
const source = "ZeTT's warm-up (arXiv 2405.07883), after MIMICK (Pinter et al., 2017)";
const edge = 'no rows: 0, and no gradient; the goal gets no gradient';

export const identityLossContract: Contract = {
  name: 'identityLoss',
  summary: 'Mean squared distance of rows to the rows that they should be.',
  formula: 'loss = weight / N * sum over n, d of (x[n, d] - goal[n, d])^2',
  params: ['x', 'goal'],
  inputs: [xField, goalField],
  options: [weight],
  outputs: [{ name: 'loss', dtypes: floats, shape: '[]', about: 'a sum over features, a mean over rows' }],
  accuracy: 'gamma_(N + D) of the loss itself: all terms are positive',
  edge,
  source,
};

export const identityLossBackwardContract: Contract = {
  name: 'identityLossBackward',
  summary: 'Gradient of identityLoss.',
  formula: 'dx = dLoss * 2 weight / N * (x - goal)',
  params: ['dLoss', 'x', 'goal'],
  inputs: [{ name: 'dLoss', dtypes: floats, shape: '[]', about: 'the gradient of loss' }, xField, goalField],
  options: [weight],
  outputs: [{ name: 'dx', dtypes: floats, shape: 'x', about: 'the gradient of x' }],
  accuracy: 'four roundings',
  edge,
  source: 'the chain rule',
};

export interface IdentityLossPlan {
  readonly rows: number;
  readonly width: number;
  readonly weight: number;
}

/** Check an identityLoss call. @throws ShapeError, DTypeError, ArgumentError */
export function planIdentityLoss(
  x: AnyTensor,
  goal: AnyTensor,
  options: IdentityLossOptions = {},
): IdentityLossPlan {
  return plan('identityLoss', x, goal, options);
}

/** Check an identityLossBackward call. @throws ShapeError, DTypeError, ArgumentError */
export function planIdentityLossBackward(
  dLoss: AnyTensor,
  x: AnyTensor,
  goal: AnyTensor,
  options: IdentityLossOptions = {},
): IdentityLossPlan {
  const op = 'identityLossBackward';
  const sizes = plan(op, x, goal, options);
  requireDType(op, 'dLoss', dLoss, [x.dtype]);
  if (dLoss.size !== 1)
    throw new ShapeError(op, `dLoss has shape ${show(dLoss.shape)}; it must hold one element`);
  return sizes;
}

function plan(
  op: string,
  x: AnyTensor,
  goal: AnyTensor,
  { weight = 1 }: IdentityLossOptions,
): IdentityLossPlan {
  requireDType(op, 'x', x, floats);
  if (x.shape.length !== 2) throw new ShapeError(op, `x has shape ${show(x.shape)}; it must be [N, D]`);
  requireDType(op, 'goal', goal, [x.dtype]);
  requireShape(op, 'goal', goal, x.shape);
  if (!Number.isFinite(weight))
    throw new ArgumentError(op, `weight is ${weight}; it must be a finite number`);
  return { rows: x.shape[0]!, width: x.shape[1]!, weight };
}
