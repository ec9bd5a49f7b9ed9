import { ArgumentError, ShapeError } from '../errors.ts';
import {
  type AnyTensor,
  type Outputs,
  requireDType,
  requireInteger,
  requireShape,
  type Shape,
  show,
} from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface CrossEntropyLogitsOptions {
  /** Tokens with this target do not count. @defaultValue -100 */
  readonly ignoreIndex?: number;
}

export interface CrossEntropyOptions<T> extends CrossEntropyLogitsOptions {
  /** [V], added to the logits. */
  readonly bias?: T;
  /** Words per step, a multiple of 64: memory for this many logits per token. @defaultValue fits 16 MiB */
  readonly chunk?: number;
}

export interface CrossEntropyBackwardOptions<T> extends CrossEntropyOptions<T> {
  /** The gradient of `lse`, shaped like targets. */
  readonly dLse?: T;
}

export interface CrossEntropyLogitsBackwardOptions<T> extends CrossEntropyLogitsOptions {
  /** The gradient of `lse`, shaped like targets. */
  readonly dLse?: T;
}

export interface CrossEntropyOps<T extends AnyTensor> {
  /** Mean cross entropy of softmax(x wᵀ + bias), without ever holding all logits. */
  crossEntropy(
    x: T,
    w: T,
    targets: T,
    options?: CrossEntropyOptions<T>,
  ): Outputs<{ loss: T; count: T; lse: T }>;
  /** Gradient of {@link CrossEntropyOps.crossEntropy}: the logits are computed again, chunk by chunk. */
  crossEntropyBackward(
    dLoss: T,
    x: T,
    w: T,
    targets: T,
    lse: T,
    count: T,
    options?: CrossEntropyBackwardOptions<T>,
  ): Outputs<{ dx: T; dw: T; dBias?: T }>;
  /** The same from logits that are there already. */
  crossEntropyLogits(
    logits: T,
    targets: T,
    options?: CrossEntropyLogitsOptions,
  ): Outputs<{ loss: T; count: T; lse: T }>;
  /** Gradient of {@link CrossEntropyOps.crossEntropyLogits}. */
  crossEntropyLogitsBackward(
    dLoss: T,
    logits: T,
    targets: T,
    lse: T,
    count: T,
    options?: CrossEntropyLogitsBackwardOptions<T>,
  ): T;
}

const float = ['f32', 'f64'] as const;
const xField = {
  name: 'x',
  dtypes: float,
  shape: '[..., D]',
  about: 'one row of features per token',
} as const;
const wField = { name: 'w', dtypes: float, shape: '[V, D]', about: 'one row of features per word' } as const;
const logitsField = {
  name: 'logits',
  dtypes: float,
  shape: '[..., V]',
  about: 'the scores of all words; -Infinity: no such word',
} as const;
const targetsField = {
  name: 'targets',
  dtypes: ['i32'],
  shape: 'x without the last axis',
  about: 'the right word of each token, in [0, V), or ignoreIndex',
} as const;
const biasField = {
  name: 'bias',
  dtypes: float,
  shape: '[V]',
  about: 'added to the logits',
  optional: true,
} as const;
const lossField = {
  name: 'loss',
  dtypes: float,
  shape: '[]',
  about: 'mean over the tokens that count; 0 if none does',
} as const;
const countField = { name: 'count', dtypes: ['i32'], shape: '[]', about: 'how many tokens count' } as const;
const lseField = {
  name: 'lse',
  dtypes: float,
  shape: 'targets',
  about: 'log of the sum of exp of all logits of a token, also of ignored ones',
} as const;
const dLossField = { name: 'dLoss', dtypes: float, shape: '[]', about: 'the gradient of loss' } as const;
const dLseField = {
  name: 'dLse',
  dtypes: float,
  shape: 'targets',
  about: 'the gradient of lse',
  optional: true,
} as const;
const ignoreOption = {
  name: 'ignoreIndex',
  type: 'integer',
  default: -100,
  about: 'tokens with this target do not count (the seed: 3)',
} as const;
const chunkOption = {
  name: 'chunk',
  type: 'integer',
  about:
    'words per step, a multiple of 64: that many logits per token are held at a time; absent: what fits 16 MiB. Changes the rounding only',
} as const;

const formula =
  'lse = log sum_j exp(logits[j]); loss = sum over tokens that count of (lse - logits[target]) / count';
const edge =
  'no token counts: loss 0, count 0 (torch: NaN); a target outside of [0, V) that is not ignoreIndex: an error of the reference, loss NaN on the GPU; a logit that is NaN or +Infinity: lse of its token and the loss are NaN; a word with logit -Infinity has probability 0, and as a target it makes the loss Infinity';
const source =
  'torch.nn.functional.cross_entropy; Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018)';

export const crossEntropyContract: Contract = {
  name: 'crossEntropy',
  summary: 'Mean cross entropy of a linear layer and softmax, without ever holding all logits.',
  formula: `logits = x wᵀ + bias; ${formula}`,
  params: ['x', 'w', 'targets'],
  inputs: [xField, wField, targetsField, biasField],
  options: [ignoreOption, chunkOption],
  outputs: [lossField, countField, lseField],
  accuracy:
    'each logit within gamma_D |x||w|; of lse that, the exponentials, a sum of V terms and a logarithm; of loss the mean of these',
  edge,
  source,
};

export const crossEntropyBackwardContract: Contract = {
  name: 'crossEntropyBackward',
  summary: 'Gradient of crossEntropy; the logits are computed again, chunk by chunk.',
  formula:
    'g[i, j] = exp(logits[i, j] - lse[i]) (a[i] + dLse[i]) - a[i] [j = targets[i]], a = dLoss / count where the token counts, else 0; dx = g w, dw = gᵀ x, dBias = sum_i g',
  params: ['dLoss', 'x', 'w', 'targets', 'lse', 'count'],
  inputs: [dLossField, xField, wField, targetsField, lseField, countField, biasField, dLseField],
  options: [ignoreOption, chunkOption],
  outputs: [
    { name: 'dx', dtypes: float, shape: 'x', about: 'the gradient of x' },
    { name: 'dw', dtypes: float, shape: 'w', about: 'the gradient of w' },
    {
      name: 'dBias',
      dtypes: float,
      shape: '[V]',
      about: 'the gradient of bias, if there is one',
      optional: true,
    },
  ],
  accuracy: 'the error of each probability followed through the products, gamma of their lengths',
  edge: 'ignored tokens get no gradient of the loss; a count of 0 gives zeros; lse and count must come from crossEntropy',
  source,
};

export const crossEntropyLogitsContract: Contract = {
  name: 'crossEntropyLogits',
  summary: 'Mean cross entropy of logits that are there already.',
  formula,
  params: ['logits', 'targets'],
  inputs: [logitsField, { ...targetsField, shape: 'logits without the last axis' }],
  options: [ignoreOption],
  outputs: [lossField, countField, lseField],
  accuracy: 'of lse the exponentials, a sum of V terms and a logarithm; of loss the mean of these',
  edge,
  source,
};

export const crossEntropyLogitsBackwardContract: Contract = {
  name: 'crossEntropyLogitsBackward',
  summary: 'Gradient of crossEntropyLogits.',
  formula:
    'dLogits[i, j] = exp(logits[i, j] - lse[i]) (a[i] + dLse[i]) - a[i] [j = targets[i]], a = dLoss / count where the token counts, else 0',
  params: ['dLoss', 'logits', 'targets', 'lse', 'count'],
  inputs: [
    dLossField,
    logitsField,
    { ...targetsField, shape: 'logits without the last axis' },
    lseField,
    countField,
    dLseField,
  ],
  options: [ignoreOption],
  outputs: [{ name: 'dLogits', dtypes: float, shape: 'logits', about: 'the gradient of logits' }],
  accuracy: 'an exponential, a quotient, two products and a difference',
  edge: 'ignored tokens get no gradient of the loss; a count of 0 gives zeros; lse and count must come from crossEntropyLogits',
  source,
};

/** Sizes of a call: n tokens, V words, D features (0 for given logits). */
export interface CrossEntropyPlan {
  readonly tokens: number;
  readonly words: number;
  readonly width: number;
  readonly ignoreIndex: number;
  /** Words per step. */
  readonly chunk: number;
  /** The shape of targets and lse. */
  readonly shape: Shape;
}

/** Check a crossEntropy call and work out its sizes. @throws ShapeError, DTypeError, ArgumentError */
export function planCrossEntropy<T extends AnyTensor>(
  x: T,
  w: T,
  targets: T,
  options: CrossEntropyOptions<T> = {},
  op = 'crossEntropy',
): CrossEntropyPlan {
  requireDType(op, 'x', x, float);
  requireDType(op, 'w', w, [x.dtype]);
  const width = x.shape.at(-1);
  if (width === undefined) throw new ShapeError(op, 'x is a scalar; it must be [..., D]');
  if (w.shape.length !== 2 || w.shape[1] !== width)
    throw new ShapeError(op, `w has shape ${show(w.shape)}; it must be [V, ${width}]`);
  const words = w.shape[0]!;
  const { bias, chunk } = options;
  if (bias !== undefined) {
    requireDType(op, 'bias', bias, [x.dtype]);
    requireShape(op, 'bias', bias, [words]);
  }
  if (chunk !== undefined && !(Number.isInteger(chunk) && chunk > 0 && chunk % 64 === 0))
    throw new ArgumentError(op, `chunk is ${chunk}; it must be a multiple of 64`);
  const plan = { ...common(op, x.shape, words, targets, options), width };
  const fits = Math.max(Math.floor(2 ** 22 / Math.max(plan.tokens, 1) / 64) * 64, 256);
  return { ...plan, chunk: Math.min(chunk ?? fits, Math.max(Math.ceil(words / 64) * 64, 64)) };
}

/** Check a crossEntropyBackward call and work out its sizes. @throws ShapeError, DTypeError, ArgumentError */
export function planCrossEntropyBackward<T extends AnyTensor>(
  dLoss: T,
  x: T,
  w: T,
  targets: T,
  lse: T,
  count: T,
  options: CrossEntropyBackwardOptions<T> = {},
): CrossEntropyPlan {
  const op = 'crossEntropyBackward';
  const plan = planCrossEntropy(x, w, targets, options, op);
  gradients(op, x, dLoss, lse, count, options.dLse, plan.shape);
  return plan;
}

/** Check a crossEntropyLogits call and work out its sizes. @throws ShapeError, DTypeError, ArgumentError */
export function planCrossEntropyLogits<T extends AnyTensor>(
  logits: T,
  targets: T,
  options: CrossEntropyLogitsOptions = {},
  op = 'crossEntropyLogits',
): CrossEntropyPlan {
  requireDType(op, 'logits', logits, float);
  const words = logits.shape.at(-1);
  if (words === undefined) throw new ShapeError(op, 'logits is a scalar; it must be [..., V]');
  return { ...common(op, logits.shape, words, targets, options), width: 0, chunk: words };
}

/** Check a crossEntropyLogitsBackward call and work out its sizes. @throws ShapeError, DTypeError, ArgumentError */
export function planCrossEntropyLogitsBackward<T extends AnyTensor>(
  dLoss: T,
  logits: T,
  targets: T,
  lse: T,
  count: T,
  options: CrossEntropyLogitsBackwardOptions<T> = {},
): CrossEntropyPlan {
  const op = 'crossEntropyLogitsBackward';
  const plan = planCrossEntropyLogits(logits, targets, options, op);
  gradients(op, logits, dLoss, lse, count, options.dLse, plan.shape);
  return plan;
}

function common<T extends AnyTensor>(
  op: string,
  shape: Shape,
  words: number,
  targets: T,
  { ignoreIndex = -100 }: CrossEntropyLogitsOptions,
): Omit<CrossEntropyPlan, 'width' | 'chunk'> {
  if (words === 0) throw new ShapeError(op, 'there are 0 words; there must be at least one');
  const own = shape.slice(0, -1);
  requireDType(op, 'targets', targets, ['i32']);
  requireShape(op, 'targets', targets, own);
  requireInteger(op, 'ignoreIndex', ignoreIndex, -(2 ** 31), 2 ** 31 - 1);
  return { tokens: targets.size, words, ignoreIndex, shape: own };
}

function gradients<T extends AnyTensor>(
  op: string,
  like: T,
  dLoss: T,
  lse: T,
  count: T,
  dLse: T | undefined,
  shape: Shape,
): void {
  requireDType(op, 'dLoss', dLoss, [like.dtype]);
  requireShape(op, 'dLoss', dLoss, []);
  requireDType(op, 'lse', lse, [like.dtype]);
  requireShape(op, 'lse', lse, shape);
  requireDType(op, 'count', count, ['i32']);
  requireShape(op, 'count', count, []);
  if (dLse === undefined) return;
  requireDType(op, 'dLse', dLse, [like.dtype]);
  requireShape(op, 'dLse', dLse, shape);
}
