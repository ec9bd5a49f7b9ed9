import { ArgumentError, ShapeError } from '../errors.ts';
import {
  type AnyTensor,
  type Outputs,
  requireDType,
  requireInteger,
  requireShape,
  type Shape,
} from '../tensor.ts';
import type { Contract } from './contract.ts';

/** What the loss asks of the target: see {@link inclusionLossContract}. */
export type InclusionForm = 'nll' | 'soft' | 'hinge' | 'forced';

export const inclusionForms: readonly InclusionForm[] = ['nll', 'soft', 'hinge', 'forced'];

export interface InclusionLossOptions<T> {
  /** @defaultValue 'nll' */
  readonly form?: InclusionForm;
  /** [..., n], scores + noise: what the selection is made of. Absent: the scores themselves. */
  readonly perturbed?: T;
  /** hinge: how far above the threshold the target is to be. @defaultValue 1 */
  readonly margin?: number;
  /** nll and hinge: the threshold is a constant for the gradient. @defaultValue false */
  readonly stopThreshold?: boolean;
  /** Rows with this target do not count. @defaultValue -1 */
  readonly ignoreIndex?: number;
}

export interface InclusionLossOps<T extends AnyTensor> {
  /** How far a target is from being among the k selected, as a loss. */
  inclusionLoss(
    scores: T,
    targets: T,
    k: number,
    options?: InclusionLossOptions<T>,
  ): Outputs<{ loss: T; count: T; included: T; threshold: T; rival: T }>;
  /** Gradient of {@link InclusionLossOps.inclusionLoss}. */
  inclusionLossBackward(
    dLoss: T,
    scores: T,
    targets: T,
    k: number,
    count: T,
    threshold: T,
    rival: T,
    options?: InclusionLossOptions<T>,
  ): Outputs<{ dScores: T; dPerturbed?: T }>;
}

const float = ['f32', 'f64'] as const;
const inputs = [
  {
    name: 'scores',
    dtypes: float,
    shape: '[..., n]',
    about: 'of each candidate; soft: its relaxed inclusion, in [0, 1]',
  },
  {
    name: 'targets',
    dtypes: ['i32'],
    shape: '[...]',
    about: 'the place of the right word among the candidates, in [0, n), or ignoreIndex',
  },
] as const;
const perturbedField = {
  name: 'perturbed',
  dtypes: float,
  shape: 'scores',
  about: 'scores + noise, which the selection is made of; absent: scores. Not for hinge',
  optional: true,
} as const;
const options = [
  { name: 'k', type: 'integer', about: 'how many are selected, at least 1' },
  {
    name: 'form',
    type: 'string',
    default: 'nll',
    choices: ['nll', 'soft', 'hinge', 'forced'],
    about:
      'nll: -log P(selected | the other perturbed scores); soft: -log of the relaxed inclusion; hinge: max(0, margin + k-th score - score); forced: 0, for targets that are put in anyway',
  },
  { name: 'margin', type: 'number', default: 1, about: 'hinge: at least 0' },
  {
    name: 'stopThreshold',
    type: 'boolean',
    default: false,
    about: 'nll and hinge: no gradient through the threshold',
  },
  { name: 'ignoreIndex', type: 'integer', default: -1, about: 'rows with this target do not count' },
] as const;
const outputs = [
  { name: 'loss', dtypes: float, shape: '[]', about: 'mean over the rows that count; 0 if none does' },
  { name: 'count', dtypes: ['i32'], shape: '[]', about: 'how many rows count' },
  {
    name: 'included',
    dtypes: ['i32'],
    shape: 'targets',
    about: '1: the target is among the k selected; 0: it is not; -1: the row does not count',
  },
  {
    name: 'threshold',
    dtypes: float,
    shape: 'targets',
    about: 'the score that the target has to exceed; -Infinity where there is none, or the form has none',
  },
  { name: 'rival', dtypes: ['i32'], shape: 'targets', about: 'the candidate that has this score, or -1' },
] as const;

export const inclusionLossContract: Contract = {
  name: 'inclusionLoss',
  summary: 'How far a target is from being among the k selected, as a loss in one of four forms.',
  formula:
    'nll: -log(1 - exp(-exp(scores[y] - threshold))), threshold = the k-th largest perturbed score of the others; soft: -log max(scores[y], 2^-126); hinge: max(0, margin + threshold - scores[y]), threshold = the k-th largest score; forced: 0',
  params: ['scores', 'targets', 'k'],
  inputs: [...inputs, perturbedField],
  options,
  outputs,
  accuracy:
    'included, threshold, rival: exact; loss: exp within 3 + 2|x| ulp, log within 2^-21 or 3 ulp, the mean of these',
  edge: 'a target with score -Infinity does not count, nor does ignoreIndex; fewer than k others: loss 0; ties: the smaller index is selected first; NaN ranks last, and as the score of a target makes the loss NaN; a target outside of [0, n): the reference throws, the kernel gives NaN',
  source:
    'P(y selected | the noise of the others) = 1 - exp(-exp(scores[y] - threshold)): Kool et al. (2019), Vieira (2014); hinge as in learning to rank',
};

export const inclusionLossBackwardContract: Contract = {
  name: 'inclusionLossBackward',
  summary: 'Gradient of inclusionLoss.',
  formula:
    'a = dLoss / count; nll: w = exp(scores[y] - threshold), dScores[y] = -a w / (e^w - 1), dPerturbed[rival] = a w / (e^w - 1); soft: dScores[y] = -a / scores[y]; hinge: dScores[y] -= a, dScores[rival] += a where it is above 0; forced: 0',
  params: ['dLoss', 'scores', 'targets', 'k', 'count', 'threshold', 'rival'],
  inputs: [
    { name: 'dLoss', dtypes: float, shape: '[]', about: 'the gradient of loss' },
    ...inputs,
    { name: 'count', dtypes: ['i32'], shape: '[]', about: 'as inclusionLoss returned it' },
    { name: 'threshold', dtypes: float, shape: 'targets', about: 'as inclusionLoss returned it' },
    { name: 'rival', dtypes: ['i32'], shape: 'targets', about: 'as inclusionLoss returned it' },
    perturbedField,
  ],
  options,
  outputs: [
    { name: 'dScores', dtypes: float, shape: 'scores', about: 'the gradient of scores' },
    {
      name: 'dPerturbed',
      dtypes: float,
      shape: 'scores',
      about: 'the gradient of perturbed, if it was given; else it is part of dScores',
      optional: true,
    },
  ],
  accuracy: 'the exponentials and a few roundings',
  edge: 'everything but the target and its rival is 0',
  source: 'see inclusionLoss',
};

/** Sizes and settings of a call. */
export interface InclusionLossPlan {
  readonly rows: number;
  readonly n: number;
  readonly k: number;
  readonly form: InclusionForm;
  readonly margin: number;
  readonly stopThreshold: boolean;
  readonly ignoreIndex: number;
  readonly rowShape: Shape;
}

/** Check an inclusionLoss call. @throws ShapeError, DTypeError, ArgumentError */
export function planInclusionLoss<T extends AnyTensor>(
  scores: T,
  targets: T,
  k: number,
  options: InclusionLossOptions<T> = {},
  op = 'inclusionLoss',
): InclusionLossPlan {
  requireDType(op, 'scores', scores, float);
  const n = scores.shape.at(-1);
  if (n === undefined) throw new ShapeError(op, 'scores is a scalar; it must be [..., n]');
  const rowShape = scores.shape.slice(0, -1);
  requireDType(op, 'targets', targets, ['i32']);
  requireShape(op, 'targets', targets, rowShape);
  requireInteger(op, 'k', k, 1, 2 ** 31 - 1);
  const { form = 'nll', margin = 1, stopThreshold = false, ignoreIndex = -1, perturbed } = options;
  if (!inclusionForms.includes(form))
    throw new ArgumentError(
      op,
      `form is ${JSON.stringify(form)}; it must be one of ${inclusionForms.join(', ')}`,
    );
  if (!(margin >= 0 && margin < Infinity))
    throw new ArgumentError(op, `margin is ${margin}; it must be a number of at least 0`);
  if (typeof stopThreshold !== 'boolean')
    throw new ArgumentError(op, `stopThreshold is ${String(stopThreshold)}; it must be true or false`);
  requireInteger(op, 'ignoreIndex', ignoreIndex, -(2 ** 31), 2 ** 31 - 1);
  if (perturbed !== undefined) {
    if (form === 'hinge')
      throw new ArgumentError(
        op,
        'perturbed is given, but hinge compares the scores themselves; leave it out',
      );
    requireDType(op, 'perturbed', perturbed, [scores.dtype]);
    requireShape(op, 'perturbed', perturbed, scores.shape);
  }
  return { rows: targets.size, n, k, form, margin, stopThreshold, ignoreIndex, rowShape };
}

/** Check an inclusionLossBackward call. @throws ShapeError, DTypeError, ArgumentError */
export function planInclusionLossBackward<T extends AnyTensor>(
  dLoss: T,
  scores: T,
  targets: T,
  k: number,
  count: T,
  threshold: T,
  rival: T,
  options: InclusionLossOptions<T> = {},
): InclusionLossPlan {
  const op = 'inclusionLossBackward';
  const plan = planInclusionLoss(scores, targets, k, options, op);
  requireDType(op, 'dLoss', dLoss, [scores.dtype]);
  requireShape(op, 'dLoss', dLoss, []);
  requireDType(op, 'count', count, ['i32']);
  requireShape(op, 'count', count, []);
  requireDType(op, 'threshold', threshold, [scores.dtype]);
  requireShape(op, 'threshold', threshold, plan.rowShape);
  requireDType(op, 'rival', rival, ['i32']);
  requireShape(op, 'rival', rival, plan.rowShape);
  return plan;
}
