import { ArgumentError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType, requireInteger, requireShape } from '../tensor.ts';
import type { Contract } from './contract.ts';
import { wordsField } from './localIds.ts';
import {
  chunkOption,
  featuresField,
  planSubVocabHead,
  type SubVocabHeadOptions,
  type SubVocabHeadPlan,
  tableField,
} from './subVocabHead.ts';

export interface SampledCrossEntropyOptions<T> extends SubVocabHeadOptions {
  /** Tokens with this target do not count. @defaultValue -100 */
  readonly ignoreIndex?: number;
  /** How the sampled words stand for all. @defaultValue 'ht' */
  readonly correction?: 'ht' | 'tf';
  /** [..., k], the log-inclusion probability of each word, subtracted from its logit. Absent: 0 */
  readonly logInclusion?: T;
  /** [..., T], that of each target; `tf` only. */
  readonly targetLogInclusion?: T;
  /** [..., k], each word's weight in the sum: its log is added to the logit. Ones give the gradient of a selection. */
  readonly gates?: T;
}

export interface SampledCrossEntropyOps<T extends AnyTensor> {
  /** Mean cross entropy over a sampled sub-vocabulary and the target. */
  sampledCrossEntropy(
    x: T,
    table: T,
    words: T,
    targets: T,
    options?: SampledCrossEntropyOptions<T>,
  ): Outputs<{ loss: T; count: T; lse: T }>;
  /** Gradient of {@link SampledCrossEntropyOps.sampledCrossEntropy}: the logits are computed again, chunk by chunk. */
  sampledCrossEntropyBackward(
    dLoss: T,
    x: T,
    table: T,
    words: T,
    targets: T,
    lse: T,
    count: T,
    options?: SampledCrossEntropyOptions<T>,
  ): Outputs<{ dx: T; dTable: T; dGates?: T }>;
}

const float = ['f32', 'f64'] as const;
const targetsField = {
  name: 'targets',
  dtypes: ['i32'],
  shape: '[..., T]',
  about: 'the right word of each token, in [0, N), or ignoreIndex; it need not be in the sub-vocabulary',
} as const;
const optionalFields = [
  {
    name: 'logInclusion',
    dtypes: float,
    shape: '[..., k]',
    about: 'log-inclusion probability of each word, as gumbelTopK gives it; no gradient; absent: 0',
    optional: true,
  },
  {
    name: 'targetLogInclusion',
    dtypes: float,
    shape: '[..., T]',
    about: 'that of each target, for tf alone; no gradient',
    optional: true,
  },
  {
    name: 'gates',
    dtypes: float,
    shape: '[..., k]',
    about: 'at least 0: the weight of each word, 1 for a hard selection; absent: ones, and no gradient',
    optional: true,
  },
] as const;
const options = [
  {
    name: 'correction',
    type: 'string',
    default: 'ht',
    choices: ['ht', 'tf'],
    about:
      'ht (Horvitz and Thompson): the target stays uncorrected, the sum is unbiased; tf: both are corrected',
  },
  { name: 'ignoreIndex', type: 'integer', default: -100, about: 'tokens with this target do not count' },
  chunkOption,
] as const;
const lossFields = [
  { name: 'loss', dtypes: float, shape: '[]', about: 'mean over the tokens that count; 0 if none does' },
  { name: 'count', dtypes: ['i32'], shape: '[]', about: 'how many tokens count' },
  {
    name: 'lse',
    dtypes: float,
    shape: 'targets',
    about: 'log of the sum of exp of the corrected logits; of ignored tokens without a target',
  },
] as const;
const formula =
  's[j] = x . table[words[j]] + log gates[j] - logInclusion[j]; of the target y: s = x . table[y] (ht), minus targetLogInclusion (tf), plus log gates[j] where y = words[j], which counts once; loss = mean of log sum exp s - s[y]';

export const sampledCrossEntropyContract: Contract = {
  name: 'sampledCrossEntropy',
  summary:
    'Mean cross entropy over a sampled sub-vocabulary and the target, without ever holding all logits.',
  formula,
  params: ['x', 'table', 'words', 'targets'],
  inputs: [featuresField, tableField, wordsField, targetsField, ...optionalFields],
  options,
  outputs: lossFields,
  accuracy: 'each logit within gamma_D |x||table|; then as crossEntropy',
  edge: 'words are distinct within a row (the reference refuses others); a target among the words (an accidental hit) counts once; all N words without inclusion give the full softmax; -1 is no word; a target that is no word: an error of the reference, loss NaN on the GPU; no token counts: loss 0',
  source:
    'Kool et al. (2019), the weights p / q; Jean et al. (2015) and tf.nn.sampled_softmax_loss for the other convention',
};

export const sampledCrossEntropyBackwardContract: Contract = {
  name: 'sampledCrossEntropyBackward',
  summary: 'Gradient of sampledCrossEntropy; the logits are computed again, chunk by chunk.',
  formula:
    'g[t, j] = dLoss / count (softmax(s)[t, j] - [j is the target]); dx = g table[words], dTable = the rows of gᵀ x added up by word, dGates[j] = sum over t of g[t, j] / gates[j]',
  params: ['dLoss', 'x', 'table', 'words', 'targets', 'lse', 'count'],
  inputs: [
    { name: 'dLoss', dtypes: float, shape: '[]', about: 'the gradient of loss' },
    featuresField,
    tableField,
    wordsField,
    targetsField,
    { name: 'lse', dtypes: float, shape: 'targets', about: 'as sampledCrossEntropy returned it' },
    { name: 'count', dtypes: ['i32'], shape: '[]', about: 'as sampledCrossEntropy returned it' },
    ...optionalFields,
  ],
  options,
  outputs: [
    { name: 'dx', dtypes: float, shape: 'x', about: 'the gradient of x' },
    { name: 'dTable', dtypes: float, shape: 'table', about: 'the gradient of the table' },
    {
      name: 'dGates',
      dtypes: float,
      shape: '[..., k]',
      about: 'the gradient of gates, if there are any; 0 where a gate is 0',
      optional: true,
    },
  ],
  accuracy: 'the error of each probability followed through the sums',
  edge: 'ignored tokens get no gradient; logInclusion is a constant; one fixed order, so the same bits every time',
  source: 'see sampledCrossEntropy',
};

/** Sizes and settings of a call. */
export interface SampledCrossEntropyPlan extends SubVocabHeadPlan {
  readonly ignoreIndex: number;
  readonly correction: 'ht' | 'tf';
}

/** Check a sampledCrossEntropy call. @throws ShapeError, DTypeError, ArgumentError */
export function planSampledCrossEntropy<T extends AnyTensor>(
  x: T,
  table: T,
  words: T,
  targets: T,
  options: SampledCrossEntropyOptions<T> = {},
  op = 'sampledCrossEntropy',
): SampledCrossEntropyPlan {
  const plan = planSubVocabHead(x, table, words, options, op);
  const { ignoreIndex = -100, correction = 'ht', logInclusion, targetLogInclusion, gates } = options;
  requireDType(op, 'targets', targets, ['i32']);
  requireShape(op, 'targets', targets, plan.tokenShape);
  requireInteger(op, 'ignoreIndex', ignoreIndex, -(2 ** 31), 2 ** 31 - 1);
  if (correction !== 'ht' && correction !== 'tf')
    throw new ArgumentError(op, `correction is ${JSON.stringify(correction)}; it must be "ht" or "tf"`);
  if ((correction === 'tf') !== (targetLogInclusion !== undefined)) {
    const message =
      correction === 'tf'
        ? 'correction "tf" needs targetLogInclusion, the log-inclusion probability of each target'
        : 'targetLogInclusion is given, but correction "ht" leaves the target uncorrected; leave it out, or use "tf"';
    throw new ArgumentError(op, message);
  }
  for (const [name, t] of Object.entries({ logInclusion, gates })) {
    if (t === undefined) continue;
    requireDType(op, name, t, [x.dtype]);
    requireShape(op, name, t, words.shape);
  }
  if (targetLogInclusion !== undefined) {
    requireDType(op, 'targetLogInclusion', targetLogInclusion, [x.dtype]);
    requireShape(op, 'targetLogInclusion', targetLogInclusion, plan.tokenShape);
  }
  return { ...plan, ignoreIndex, correction };
}

/** Check a sampledCrossEntropyBackward call. @throws ShapeError, DTypeError, ArgumentError */
export function planSampledCrossEntropyBackward<T extends AnyTensor>(
  dLoss: T,
  x: T,
  table: T,
  words: T,
  targets: T,
  lse: T,
  count: T,
  options: SampledCrossEntropyOptions<T> = {},
): SampledCrossEntropyPlan {
  const op = 'sampledCrossEntropyBackward';
  const plan = planSampledCrossEntropy(x, table, words, targets, options, op);
  requireDType(op, 'dLoss', dLoss, [x.dtype]);
  requireShape(op, 'dLoss', dLoss, []);
  requireDType(op, 'lse', lse, [x.dtype]);
  requireShape(op, 'lse', lse, plan.tokenShape);
  requireDType(op, 'count', count, ['i32']);
  requireShape(op, 'count', count, []);
  return plan;
}
