import { ArgumentError, ShapeError } from '../errors.ts';
import {
  type AnyTensor,
  type Outputs,
  requireDType,
  requireInteger,
  requireShape,
  type Shape,
  sizeOf,
} from '../tensor.ts';
import type { Contract } from './contract.ts';
import { maxTable, type Relaxation } from './gumbelTopK.ts';

/** Four thresholds with their f, the gradient of the smoothed sum of the k largest, and a counter-example. */
export type SmoothMethod = 'exp' | 'sigmoid' | 'laplace' | 'clip' | 'gradTopK' | 'iteratedSoftmax';

const methods: readonly SmoothMethod[] = ['exp', 'sigmoid', 'laplace', 'clip', 'gradTopK', 'iteratedSoftmax'];

/** The relaxation of gumbelTopK that a method is; the counter-example is none. */
export const relaxationOf: Readonly<Record<Exclude<SmoothMethod, 'iteratedSoftmax'>, Relaxation>> = {
  exp: 'thresholdExp',
  sigmoid: 'thresholdSigmoid',
  laplace: 'thresholdLaplace',
  clip: 'thresholdClip',
  gradTopK: 'exactK',
};

export interface SmoothTopKOptions {
  /** @defaultValue 'sigmoid' */
  readonly method?: SmoothMethod;
  /** Above zero; smaller is closer to the hard selection. @defaultValue 1 */
  readonly temperature?: number;
}

export interface SmoothTopKOps<T extends AnyTensor> {
  /** A differentiable top-k of the last axis: numbers with the sum k that tend to k ones and else zeros. */
  smoothTopK(x: T, k: number, options?: SmoothTopKOptions): Outputs<{ values: T; threshold: T }>;
  /** Gradient of {@link SmoothTopKOps.smoothTopK} by x, k and the temperature. */
  smoothTopKBackward(
    dValues: T,
    x: T,
    k: number,
    options?: SmoothTopKOptions,
  ): Outputs<{ dx: T; dK: T; dTemperature: T }>;
  /** How the values move when x moves by a tangent: the Jacobian times a vector. */
  smoothTopKJvp(tangent: T, x: T, k: number, options?: SmoothTopKOptions): T;
}

const dtypes = ['f32', 'f64'] as const;
const xField = {
  name: 'x',
  dtypes,
  shape: '[..., N]',
  about: 'the scores; -Infinity takes no part',
  refuses: ['NaN', 'Infinity'],
} as const;
const options: Contract['options'] = [
  { name: 'k', type: 'integer', about: 'the sum of each row, from 0 to N' },
  {
    name: 'method',
    type: 'string',
    default: 'sigmoid',
    choices: methods,
    about: 'how it is smoothed; iteratedSoftmax is kept as a counter-example',
  },
  { name: 'temperature', type: 'number', default: 1, about: 'above zero; smaller is closer to hard' },
];
const edge =
  'k >= what takes part: ones, but for iteratedSoftmax; k = 0: zeros; gradTopK and iteratedSoftmax: N (k + 1) <= 2^24; iteratedSoftmax may exceed 1 and is not monotone';
const source =
  'kexue.fm/archives/10373, with the missing case of Laplace; clip: projection on the capped simplex';

export const smoothTopKContract: Contract = {
  name: 'smoothTopK',
  summary: 'A differentiable top-k: numbers with the sum k that tend to the hard selection.',
  formula:
    'values = f(x / temperature - lambda) with sum k, f = min(1, e^y), 1 / (1 + e^-y), the distribution function of Laplace, or clip(y, 0, 1); gradTopK: the gradient of the log of the sum over all subsets of k of e^(sum of x / temperature)',
  params: ['x', 'k'],
  inputs: [xField],
  options,
  outputs: [
    { name: 'values', dtypes, shape: 'x', about: 'the smooth selection' },
    {
      name: 'threshold',
      dtypes,
      shape: '[...]',
      about:
        'temperature lambda, in units of x; +-Infinity where k is 0 or reaches what takes part; 0 for gradTopK and iteratedSoftmax, which have none',
    },
  ],
  accuracy: 'derived from the data; the threshold only as far as the values depend on it',
  edge,
  source,
};

export const smoothTopKBackwardContract: Contract = {
  name: 'smoothTopKBackward',
  summary: 'Gradient of smoothTopK by x, k and the temperature.',
  formula:
    'dx = J^T dValues; dTemperature = -sum(dx x) / temperature; dK = sum(w dValues) / sum(w), w = f(x / temperature - lambda)',
  params: ['dValues', 'x', 'k'],
  inputs: [{ name: 'dValues', dtypes, shape: 'x', about: 'the gradient of the values' }, xField],
  options,
  outputs: [
    { name: 'dx', dtypes, shape: 'x', about: 'the gradient of x; its rows add up to 0' },
    {
      name: 'dK',
      dtypes,
      shape: '[...]',
      about: 'the gradient of k as if it were continuous; 0 for gradTopK and iteratedSoftmax',
    },
    { name: 'dTemperature', dtypes, shape: '[...]', about: 'the gradient of the temperature, of each row' },
  ],
  accuracy: 'derived from the data',
  edge: `where all entries are saturated nothing moves: zeros; the threshold hands nothing back; ${edge}`,
  source,
};

export const smoothTopKJvpContract: Contract = {
  name: 'smoothTopKJvp',
  summary: 'The Jacobian of smoothTopK times a vector.',
  formula: 'dValues = J tangent',
  params: ['tangent', 'x', 'k'],
  inputs: [{ name: 'tangent', dtypes, shape: 'x', about: 'how x moves' }, xField],
  options,
  outputs: [{ name: 'dValues', dtypes, shape: 'x', about: 'how the values move' }],
  accuracy: 'derived from the data',
  edge,
  source,
};

/** Sizes and settings: x seen as [rows, length]. */
export interface SmoothTopKPlan {
  readonly rows: number;
  readonly length: number;
  readonly rowShape: Shape;
  readonly method: SmoothMethod;
  readonly temperature: number;
}

/** Check a smoothTopK call. @throws ShapeError, DTypeError, ArgumentError */
export function planSmoothTopK<T extends AnyTensor>(
  x: T,
  k: number,
  options: SmoothTopKOptions = {},
  op = 'smoothTopK',
): SmoothTopKPlan {
  requireDType(op, 'x', x, dtypes);
  if (x.shape.length === 0)
    throw new ShapeError(op, 'x is a scalar; it needs an axis to select along, such as [1]');
  const length = x.shape.at(-1)!;
  requireInteger(op, 'k', k, 0, length);
  const { method = 'sigmoid', temperature = 1 } = options;
  if (!methods.includes(method)) {
    throw new ArgumentError(
      op,
      `method is ${JSON.stringify(method)}; it must be one of ${methods.join(', ')}`,
    );
  }
  if (!(temperature > 0 && temperature < Infinity)) {
    throw new ArgumentError(op, `temperature is ${temperature}; it must be a number above 0`);
  }
  const table = method === 'gradTopK' || method === 'iteratedSoftmax';
  if (table && length * (k + 1) > maxTable) {
    throw new ArgumentError(
      op,
      `${method} keeps N (k + 1) numbers per row, here ${length * (k + 1)}; it takes up to 2^24, the thresholds take any size`,
    );
  }
  const rowShape = x.shape.slice(0, -1);
  return { rows: sizeOf(rowShape), length, rowShape, method, temperature };
}

/** Check a smoothTopKBackward call. @throws ShapeError, DTypeError, ArgumentError */
export function planSmoothTopKBackward<T extends AnyTensor>(
  dValues: T,
  x: T,
  k: number,
  options: SmoothTopKOptions = {},
): SmoothTopKPlan {
  const plan = planSmoothTopK(x, k, options, 'smoothTopKBackward');
  requireDType('smoothTopKBackward', 'dValues', dValues, [x.dtype]);
  requireShape('smoothTopKBackward', 'dValues', dValues, x.shape);
  return plan;
}

/** Check a smoothTopKJvp call. @throws ShapeError, DTypeError, ArgumentError */
export function planSmoothTopKJvp<T extends AnyTensor>(
  tangent: T,
  x: T,
  k: number,
  options: SmoothTopKOptions = {},
): SmoothTopKPlan {
  const plan = planSmoothTopK(x, k, options, 'smoothTopKJvp');
  requireDType('smoothTopKJvp', 'tangent', tangent, [x.dtype]);
  requireShape('smoothTopKJvp', 'tangent', tangent, x.shape);
  return plan;
}
