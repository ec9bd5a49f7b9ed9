import { ArgumentError, ShapeError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType, requireShape, type Shape, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface LayerNormOptions {
  /** Added to the variance. @defaultValue 1e-5 */
  readonly eps?: number;
}

export interface LayerNormOps<T extends AnyTensor> {
  /** Each row minus its mean, divided by its standard deviation, scaled and shifted per column. */
  layerNorm(x: T, gamma: T, beta: T, options?: LayerNormOptions): Outputs<{ y: T; mean: T; rstd: T }>;
  /** Gradient of {@link LayerNormOps.layerNorm}. */
  layerNormBackward(dy: T, x: T, gamma: T, mean: T, rstd: T): Outputs<{ dx: T; dGamma: T; dBeta: T }>;
}

const floats = ['f32', 'f64'] as const;

export const layerNormContract: Contract = {
  name: 'layerNorm',
  summary: 'Each row minus its mean, divided by its standard deviation, scaled and shifted per column.',
  formula: 'y = gamma (x - mean) rstd + beta; rstd = 1 / sqrt(mean((x - mean)^2) + eps)',
  params: ['x', 'gamma', 'beta'],
  inputs: [
    { name: 'x', dtypes: floats, shape: '[..., D], D >= 1', about: 'the rows' },
    { name: 'gamma', dtypes: floats, shape: '[D]', about: 'the scale of each column' },
    { name: 'beta', dtypes: floats, shape: '[D]', about: 'the shift of each column' },
  ],
  options: [
    { name: 'eps', type: 'number', default: 1e-5, about: 'added to the variance; from 1e-37 to 1e37' },
  ],
  outputs: [
    { name: 'y', dtypes: floats, shape: 'x', about: 'the normalized rows' },
    { name: 'mean', dtypes: floats, shape: 'x without the last axis', about: 'the mean of each row' },
    {
      name: 'rstd',
      dtypes: floats,
      shape: 'x without the last axis',
      about: 'one over the standard deviation of each row',
    },
  ],
  accuracy:
    'within the condition number sqrt(1 + mean^2 / variance) of the row times the error of a sum of D terms',
  edge: 'the variance is biased (divided by D); a constant row and D = 1 give beta; squares of x - mean beyond 3.4e38 overflow on the GPU',
  source: 'Ba, Kiros and Hinton, Layer Normalization (2016); torch.nn.LayerNorm',
};

export const layerNormBackwardContract: Contract = {
  name: 'layerNormBackward',
  summary: 'Gradient of layerNorm.',
  formula:
    'u = (x - mean) rstd; g = dy gamma; dx = rstd (g - mean(g) - u mean(g u)); dGamma = sum of dy u, dBeta = sum of dy over the rows',
  params: ['dy', 'x', 'gamma', 'mean', 'rstd'],
  inputs: [
    { name: 'dy', dtypes: floats, shape: 'x', about: 'the gradient of y' },
    { name: 'x', dtypes: floats, shape: '[..., D]', about: 'as in the forward call' },
    { name: 'gamma', dtypes: floats, shape: '[D]', about: 'as in the forward call' },
    { name: 'mean', dtypes: floats, shape: 'x without the last axis', about: 'as layerNorm returned it' },
    { name: 'rstd', dtypes: floats, shape: 'x without the last axis', about: 'as layerNorm returned it' },
  ],
  options: [],
  outputs: [
    { name: 'dx', dtypes: floats, shape: 'x', about: 'the gradient of x' },
    { name: 'dGamma', dtypes: floats, shape: '[D]', about: 'the gradient of gamma' },
    { name: 'dBeta', dtypes: floats, shape: '[D]', about: 'the gradient of beta' },
  ],
  accuracy: 'as layerNorm for dx; dGamma and dBeta as sums over all rows',
  edge: 'no row: dGamma and dBeta are 0; D = 1: dx is 0 up to rounding',
  source: 'derivatives of the formula',
};

/** Sizes of a layerNorm call: x seen as [rows, width]. */
export interface LayerNormPlan {
  readonly rows: number;
  readonly width: number;
  readonly eps: number;
  /** The shape of x without the last axis. */
  readonly rowShape: Shape;
}

/** Check a layerNorm call and work out its sizes. @throws ShapeError, DTypeError, ArgumentError */
export function planLayerNorm<T extends AnyTensor>(
  x: T,
  gamma: T,
  beta: T,
  { eps = 1e-5 }: LayerNormOptions = {},
): LayerNormPlan {
  const op = 'layerNorm';
  const plan = rowsOf(op, x);
  for (const [name, t] of [
    ['gamma', gamma],
    ['beta', beta],
  ] as const) {
    requireDType(op, name, t, [x.dtype]);
    requireShape(op, name, t, [plan.width]);
  }
  // Below, the sum with a variance of zero could be flushed to zero, and its root would have no inverse.
  if (!(eps >= 1e-37 && eps <= 1e37)) {
    throw new ArgumentError(op, `eps is ${eps}; it must be from 1e-37 to 1e37`);
  }
  return { ...plan, eps };
}

/** Check a layerNormBackward call and work out its sizes. @throws ShapeError, DTypeError */
export function planLayerNormBackward<T extends AnyTensor>(
  dy: T,
  x: T,
  gamma: T,
  mean: T,
  rstd: T,
): LayerNormPlan {
  const op = 'layerNormBackward';
  const plan = rowsOf(op, x);
  for (const [name, t, shape] of [
    ['dy', dy, x.shape],
    ['gamma', gamma, [plan.width]],
    ['mean', mean, plan.rowShape],
    ['rstd', rstd, plan.rowShape],
  ] as const) {
    requireDType(op, name, t, [x.dtype]);
    requireShape(op, name, t, shape);
  }
  return { ...plan, eps: 0 };
}

function rowsOf(op: string, x: AnyTensor): Omit<LayerNormPlan, 'eps'> {
  requireDType(op, 'x', x, floats);
  const width = x.shape.at(-1) ?? 0;
  if (width === 0) {
    throw new ShapeError(op, `x has shape ${show(x.shape)}; its last axis must have at least one element`);
  }
  return { rows: x.size / width, width, rowShape: x.shape.slice(0, -1) };
}
