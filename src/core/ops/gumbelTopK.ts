import { ArgumentError, ShapeError } from '../errors.ts';
import { type Key, requireKey } from '../key.ts';
import {
  type AnyTensor,
  type Outputs,
  requireDType,
  requireInteger,
  requireShape,
  type Shape,
  show,
  sizeOf,
} from '../tensor.ts';
import type { Contract } from './contract.ts';

/** The smooth stand-ins for a hard top-k; their formulas are in docs/gumbelTopK.md. */
export type Relaxation =
  | 'thresholdExp'
  | 'thresholdSigmoid'
  | 'thresholdLaplace'
  | 'exactK'
  | 'relaxedTopK'
  /** Only in smoothTopK: its gradient is 0 for all but a few entries. */
  | 'thresholdClip';

const relaxations: readonly Relaxation[] = [
  'thresholdExp',
  'thresholdSigmoid',
  'thresholdLaplace',
  'exactK',
  'relaxedTopK',
];

/** Where the noise comes from: a key, or a tensor. */
export interface NoiseOptions<T> {
  /** Draw the noise: the one of `gumbelNoise(key, logits.shape)`, bit for bit. */
  readonly key?: Key;
  /** Take this noise, shaped like the logits. */
  readonly noise?: T;
  /** u32 shaped like the logits, nonzero = the position takes part. */
  readonly mask?: T;
}

export interface GumbelTopKOptions<T> extends NoiseOptions<T> {
  /** Also return the selection as zeros and ones over all positions. @defaultValue false */
  readonly kHot?: boolean;
  /** Nothing here depends on these two; a tape passes them on to the gradient. @defaultValue 'thresholdExp' */
  readonly relaxation?: Relaxation;
  /** @defaultValue 1 */
  readonly temperature?: number;
}

export interface RelaxationOptions<T> extends NoiseOptions<T> {
  /** @defaultValue 'thresholdExp' */
  readonly relaxation?: Relaxation;
  /** Above zero; smaller is closer to the hard selection. @defaultValue 1 */
  readonly temperature?: number;
}

export interface GumbelTopKBackwardOptions<T> extends RelaxationOptions<T> {
  /** i32 [..., m]: the positions that `dKHot` belongs to, as `gumbelTopK` returned them; -1 is passed over. */
  readonly positions?: T;
}

/** What `gumbelTopK` returns. */
export type GumbelTopKOutputs<T extends AnyTensor> = Outputs<{
  indices: T;
  scores: T;
  logInclusion: T;
  threshold: T;
  counts: T;
  kHot: T | undefined;
}>;

export interface GumbelTopKOps<T extends AnyTensor> {
  /** A sample of k positions without replacement: the k largest of logits + Gumbel noise, per row. */
  gumbelTopK(logits: T, k: number, options: GumbelTopKOptions<T>): GumbelTopKOutputs<T>;
  /** Straight-through gradient of the selection: the transposed Jacobian of a relaxation. */
  gumbelTopKBackward(dKHot: T, logits: T, k: number, options?: GumbelTopKBackwardOptions<T>): T;
  /** The relaxation itself: the smooth top-k of (logits + noise) / temperature. */
  gumbelTopKRelaxed(logits: T, k: number, options?: RelaxationOptions<T>): T;
}

const logitsField = {
  name: 'logits',
  dtypes: ['f32', 'f64'],
  shape: '[..., N]',
  about: 'unnormalised log-weights; -Infinity takes no part',
  refuses: ['NaN', 'Infinity'],
} as const;
const noiseFields = [
  {
    name: 'noise',
    dtypes: ['f32', 'f64'],
    shape: 'logits',
    about: 'finite noise to add, instead of a key',
    refuses: ['NaN', 'Infinity', '-Infinity'],
    optional: true,
  },
  {
    name: 'mask',
    dtypes: ['u32'],
    shape: 'logits',
    about: 'nonzero = the position takes part',
    optional: true,
  },
] as const;
const kField = { name: 'k', type: 'integer', about: 'how many to select, from 0 to N' } as const;
const keyField = {
  name: 'key',
  type: 'key',
  about: 'draw the noise of gumbelNoise(key, logits.shape)',
} as const;
const relaxationFields = [
  {
    name: 'relaxation',
    type: 'string',
    default: 'thresholdExp',
    choices: relaxations,
    about: 'the smooth stand-in for the hard top-k',
  },
  { name: 'temperature', type: 'number', default: 1, about: 'above zero; smaller is closer to hard' },
] as const;

export const gumbelTopKContract: Contract = {
  name: 'gumbelTopK',
  summary: 'A sample without replacement: the k largest of logits + Gumbel noise, with inclusion weights.',
  formula:
    'score = logits + noise, rounded to nearest; indices = its k first by (score descending, index ascending); threshold = the (k+1)-th score; logInclusion = log(1 - exp(-exp(logits[indices] - threshold)))',
  params: ['logits', 'k'],
  inputs: [logitsField, ...noiseFields],
  options: [
    kField,
    keyField,
    { name: 'kHot', type: 'boolean', default: false, about: 'also return the selection as zeros and ones' },
    { ...relaxationFields[0], about: 'for the gradient alone: the smooth stand-in for the hard top-k' },
    { ...relaxationFields[1], about: 'for the gradient alone: its temperature, above zero' },
  ],
  outputs: [
    {
      name: 'indices',
      dtypes: ['i32'],
      shape: '[..., k]',
      about: 'the selected positions, best first; then -1',
    },
    {
      name: 'scores',
      dtypes: ['f32', 'f64'],
      shape: '[..., k]',
      about: 'their perturbed logits; -Infinity where a row is short',
    },
    {
      name: 'logInclusion',
      dtypes: ['f32', 'f64'],
      shape: '[..., k]',
      about: 'log of the probability to exceed the threshold; 0 where a row is short',
    },
    {
      name: 'threshold',
      dtypes: ['f32', 'f64'],
      shape: '[...]',
      about: 'the largest score that was not selected; -Infinity when all were',
    },
    {
      name: 'counts',
      dtypes: ['i32'],
      shape: '[...]',
      about: 'how many were selected: k or all that take part; -1: the row holds NaN',
    },
    {
      name: 'kHot',
      dtypes: ['f32', 'f64'],
      shape: 'logits',
      about: '1 at the selected positions, else 0; only on request',
      optional: true,
    },
  ],
  accuracy:
    'the selection, scores and threshold are exact, bit for bit; logInclusion within a few ulp and the error of exp',
  edge: 'ties: the smaller index first; NaN or +Infinity in logits, or noise that is not finite: the reference throws, the kernel fills the row with index -1, NaN and count -1; k >= what takes part: threshold -Infinity, logInclusion 0; k = 0: empty',
  source:
    'Vieira (2014), Gumbel-max trick and weighted reservoir sampling; Kool, van Hoof, Welling (2019), Stochastic Beams',
};

export const gumbelTopKRelaxedContract: Contract = {
  name: 'gumbelTopKRelaxed',
  summary:
    'A smooth top-k: numbers that add up to k and tend to the hard selection as the temperature falls.',
  formula:
    'x = (logits + noise) / temperature; threshold*: f(x - lambda) with sum k, f = min(1, e^x), 1/(1+e^-x) or the Laplace distribution; exactK: marginals of exactly k; relaxedTopK: k softmax steps without replacement',
  params: ['logits', 'k'],
  inputs: [logitsField, ...noiseFields],
  options: [kField, keyField, ...relaxationFields],
  outputs: [{ name: 'relaxed', dtypes: ['f32', 'f64'], shape: 'logits', about: 'the smooth selection' }],
  accuracy: 'derived from the data; see docs/gumbelTopK.md',
  edge: 'without key and noise: of the logits as they are; positions that take no part get 0; k >= what takes part: ones (relaxedTopK: as many steps as take part); exactK and relaxedTopK: N (k + 1) <= 2^24',
  source:
    'Xie and Ermon (2019); Paulus et al. (2020); Ahmed et al. (2023, SIMPLE); Amos et al. (2019, LML); kexue.fm 10373',
};

export const gumbelTopKBackwardContract: Contract = {
  name: 'gumbelTopKBackward',
  summary: 'Straight-through gradient of gumbelTopK: the transposed Jacobian of a relaxation.',
  formula: 'dLogits = J^T dKHot, J the Jacobian of gumbelTopKRelaxed at the same noise',
  params: ['dKHot', 'logits', 'k'],
  inputs: [
    {
      name: 'dKHot',
      dtypes: ['f32', 'f64'],
      shape: 'logits, or [..., m] with positions',
      about: 'the gradient of the selection',
    },
    logitsField,
    {
      name: 'positions',
      dtypes: ['i32'],
      shape: '[..., m]',
      about: 'the positions that dKHot belongs to, distinct within a row; -1 is passed over',
      optional: true,
    },
    ...noiseFields,
  ],
  options: [kField, keyField, ...relaxationFields],
  outputs: [
    { name: 'dLogits', dtypes: ['f32', 'f64'], shape: 'logits', about: 'the gradient; its rows add up to 0' },
  ],
  accuracy: 'derived from the data; see docs/gumbelTopK.md',
  edge: 'zero at positions that take no part, and everywhere when k is 0 or reaches what takes part (but for relaxedTopK)',
  source: 'Bengio et al. (2013), straight-through; the relaxations as in gumbelTopKRelaxed',
};

/** Sizes of a call: logits seen as [rows, length]. */
export interface GumbelTopKPlan {
  readonly rows: number;
  readonly length: number;
  /** The shape of indices, scores and logInclusion. */
  readonly shape: Shape;
  /** The shape of threshold and counts. */
  readonly rowShape: Shape;
}

/** Check a gumbelTopK call. @throws ShapeError, DTypeError, ArgumentError */
export function planGumbelTopK<T extends AnyTensor>(
  logits: T,
  k: number,
  options: GumbelTopKOptions<T>,
): GumbelTopKPlan {
  const op = 'gumbelTopK';
  const plan = planRows(op, logits, k, options);
  if (options?.key === undefined && options?.noise === undefined) {
    throw new ArgumentError(op, 'neither key nor noise is given; without noise, topK is what selects');
  }
  if (options.kHot !== undefined && typeof options.kHot !== 'boolean') {
    throw new ArgumentError(op, `kHot is ${JSON.stringify(options.kHot)}; it must be true or false`);
  }
  settingsOf(op, options);
  return plan;
}

/** Sizes and settings of a relaxation. */
export interface RelaxationPlan extends GumbelTopKPlan {
  readonly relaxation: Relaxation;
  readonly temperature: number;
}

/** Most entries of the tables that `exactK` and `relaxedTopK` keep, per row: they take N (k + 1). */
export const maxTable: number = 2 ** 24;

/** Check a gumbelTopKRelaxed call. @throws ShapeError, DTypeError, ArgumentError */
export function planGumbelTopKRelaxed<T extends AnyTensor>(
  logits: T,
  k: number,
  options: RelaxationOptions<T> = {},
): RelaxationPlan {
  return planRelaxation('gumbelTopKRelaxed', logits, k, options);
}

/** Sizes of a backward call: dKHot has `slots` entries per row. */
export interface GumbelTopKBackwardPlan extends RelaxationPlan {
  readonly slots: number;
}

/** Check a gumbelTopKBackward call. @throws ShapeError, DTypeError, ArgumentError */
export function planGumbelTopKBackward<T extends AnyTensor>(
  dKHot: T,
  logits: T,
  k: number,
  options: GumbelTopKBackwardOptions<T> = {},
): GumbelTopKBackwardPlan {
  const op = 'gumbelTopKBackward';
  const plan = planRelaxation(op, logits, k, options);
  requireDType(op, 'dKHot', dKHot, [logits.dtype]);
  const { positions } = options;
  if (positions === undefined) {
    requireShape(op, 'dKHot', dKHot, logits.shape);
    return { ...plan, slots: plan.length };
  }
  requireDType(op, 'positions', positions, ['i32']);
  const slots = positions.shape.at(-1) ?? 0;
  requireShape(op, 'positions', positions, [...plan.rowShape, slots]);
  requireShape(op, 'dKHot', dKHot, positions.shape);
  return { ...plan, slots };
}

function planRelaxation<T extends AnyTensor>(
  op: string,
  logits: T,
  k: number,
  options: RelaxationOptions<T>,
): RelaxationPlan {
  const plan = planRows(op, logits, k, options);
  const { relaxation, temperature } = settingsOf(op, options);
  const table = relaxation === 'exactK' || relaxation === 'relaxedTopK';
  if (table && plan.length * (k + 1) > maxTable) {
    throw new ArgumentError(
      op,
      `${relaxation} keeps N (k + 1) numbers per row, here ${plan.length * (k + 1)}; it takes up to 2^24, the threshold relaxations take any size`,
    );
  }
  return { ...plan, relaxation, temperature };
}

function settingsOf(
  op: string,
  options: Pick<RelaxationOptions<AnyTensor>, 'relaxation' | 'temperature'>,
): { relaxation: Relaxation; temperature: number } {
  const { relaxation = 'thresholdExp', temperature = 1 } = options;
  if (!relaxations.includes(relaxation)) {
    throw new ArgumentError(
      op,
      `relaxation is ${JSON.stringify(relaxation)}; it must be one of ${relaxations.join(', ')}`,
    );
  }
  if (!(temperature > 0 && temperature < Infinity)) {
    throw new ArgumentError(op, `temperature is ${temperature}; it must be a number above 0`);
  }
  return { relaxation, temperature };
}

function planRows<T extends AnyTensor>(
  op: string,
  logits: T,
  k: number,
  options: NoiseOptions<T> = {},
): GumbelTopKPlan {
  requireDType(op, 'logits', logits, ['f32', 'f64']);
  if (logits.shape.length === 0) {
    throw new ShapeError(op, 'logits are a scalar; they need an axis to select along, such as [1]');
  }
  const length = logits.shape.at(-1)!;
  if (length > 2 ** 31 - 1) {
    throw new ShapeError(op, `logits have rows of ${length}; indices are i32, so at most 2^31 - 1`);
  }
  requireInteger(op, 'k', k, 0, length);
  const { key, noise, mask } = options;
  if (key !== undefined && noise !== undefined) {
    throw new ArgumentError(op, 'both key and noise are given; give one of them');
  }
  if (key !== undefined) requireKey(op, key);
  if (noise !== undefined) {
    requireDType(op, 'noise', noise, [logits.dtype]);
    requireShape(op, 'noise', noise, logits.shape);
  }
  if (mask !== undefined) {
    requireDType(op, 'mask', mask, ['u32']);
    requireShape(op, 'mask', mask, logits.shape);
  }
  const rowShape = logits.shape.slice(0, -1);
  const shape = [...rowShape, k];
  sizeOf(shape, op);
  return { rows: sizeOf(rowShape), length, shape, rowShape };
}

/** For messages: `[2, 17]` of a flat index into [..., length]. */
export function placeOf(flat: number, shape: Shape): string {
  const place: number[] = [];
  let rest = flat;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    place.unshift(rest % shape[axis]!);
    rest = Math.floor(rest / shape[axis]!);
  }
  return show(place);
}
