import { ArgumentError, ShapeError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType, requireShape, type Shape, show } from '../tensor.ts';
import type { Contract } from './contract.ts';
import { planWords, wordsField } from './localIds.ts';

export interface SubVocabHeadOptions {
  /** Words per step, a multiple of 64: memory for this many rows of the table per sub-vocabulary. @defaultValue fits 16 MiB */
  readonly chunk?: number;
}

export interface SubVocabHeadOps<T extends AnyTensor> {
  /** Logits over the words of each row's sub-vocabulary. */
  subVocabHead(x: T, table: T, words: T, options?: SubVocabHeadOptions): T;
  /** Gradient of {@link SubVocabHeadOps.subVocabHead}. */
  subVocabHeadBackward(
    dLogits: T,
    x: T,
    table: T,
    words: T,
    options?: SubVocabHeadOptions,
  ): Outputs<{ dx: T; dTable: T }>;
}

const float = ['f32', 'f64'] as const;

export const featuresField = {
  name: 'x',
  dtypes: ['f32', 'f64'],
  shape: '[..., T, D]',
  about: 'features of the T tokens that share a sub-vocabulary',
} as const;
export const tableField = {
  name: 'table',
  dtypes: ['f32', 'f64'],
  shape: '[N, D]',
  about: 'a row of features per word of the whole vocabulary',
} as const;
export const chunkOption = {
  name: 'chunk',
  type: 'integer',
  about:
    'words per step, a multiple of 64: that many rows of the table and logits per token are held at a time; absent: what fits 16 MiB. Changes the rounding only',
} as const;

export const subVocabHeadContract: Contract = {
  name: 'subVocabHead',
  summary: "Logits over the words of each row's sub-vocabulary.",
  formula:
    'logits[..., t, j] = sum over d of x[..., t, d] table[words[..., j], d]; -Infinity where words[..., j] = -1',
  params: ['x', 'table', 'words'],
  inputs: [featuresField, tableField, wordsField],
  options: [chunkOption],
  outputs: [{ name: 'logits', dtypes: float, shape: '[..., T, k]', about: 'a score per token and word' }],
  accuracy: 'gamma_D * sum |x||table|',
  edge: 'a word outside of [-1, N): the reference throws, the kernel gives NaN; the global id of column j is words[..., j]',
  source: 'seed 000: the output head of the sub-vocabulary',
};

export const subVocabHeadBackwardContract: Contract = {
  name: 'subVocabHeadBackward',
  summary: 'Gradient of subVocabHead.',
  formula:
    'dx[..., t, d] = sum over j of dLogits[..., t, j] table[words[..., j], d]; dTable[v, d] = sum of dLogits[..., t, j] x[..., t, d] over t and j with words[..., j] = v',
  params: ['dLogits', 'x', 'table', 'words'],
  inputs: [
    { name: 'dLogits', dtypes: float, shape: '[..., T, k]', about: 'the gradient of logits' },
    featuresField,
    tableField,
    wordsField,
  ],
  options: [chunkOption],
  outputs: [
    { name: 'dx', dtypes: float, shape: 'x', about: 'the gradient of x' },
    { name: 'dTable', dtypes: float, shape: 'table', about: 'the gradient of the table' },
  ],
  accuracy: 'gamma_n * the sum of the absolute values of the n terms of each element',
  edge: 'places without a word add nothing; rows of the table that are no word here get 0; one fixed order, so the same bits every time',
  source: 'the transposed products',
};

/** Sizes of a call: rows sub-vocabularies of k words, each for `tokens` tokens of `width` features. */
export interface SubVocabHeadPlan {
  readonly rows: number;
  readonly tokens: number;
  readonly width: number;
  readonly k: number;
  /** Words of the whole vocabulary. */
  readonly words: number;
  /** Words per step. */
  readonly chunk: number;
  /** The leading axes and T: the shape of one number per token. */
  readonly tokenShape: Shape;
}

/** Check a subVocabHead call and work out its sizes. @throws ShapeError, DTypeError, ArgumentError */
export function planSubVocabHead(
  x: AnyTensor,
  table: AnyTensor,
  words: AnyTensor,
  options: SubVocabHeadOptions = {},
  op = 'subVocabHead',
): SubVocabHeadPlan {
  requireDType(op, 'x', x, float);
  requireDType(op, 'table', table, [x.dtype]);
  const [tokens, width] = x.shape.slice(-2);
  if (tokens === undefined || width === undefined)
    throw new ShapeError(op, `x has shape ${show(x.shape)}; it must be [..., T, D]`);
  if (table.shape.length !== 2 || table.shape[1] !== width)
    throw new ShapeError(op, `table has shape ${show(table.shape)}; it must be [N, ${width}]`);
  const { rows, k } = planWords(op, words, x.shape.slice(0, -2));
  const { chunk } = options;
  if (chunk !== undefined && !(Number.isInteger(chunk) && chunk > 0 && chunk % 64 === 0))
    throw new ArgumentError(op, `chunk is ${chunk}; it must be a multiple of 64`);
  const perWord = Math.max(rows * (width + tokens), 1);
  const fits = Math.max(Math.floor(2 ** 22 / perWord / 64) * 64, 64);
  return {
    rows,
    tokens,
    width,
    k,
    words: table.shape[0]!,
    chunk: Math.max(Math.min(chunk ?? fits, Math.ceil(k / 64) * 64), 64),
    tokenShape: x.shape.slice(0, -1),
  };
}

/** Check a subVocabHeadBackward call and work out its sizes. @throws ShapeError, DTypeError, ArgumentError */
export function planSubVocabHeadBackward(
  dLogits: AnyTensor,
  x: AnyTensor,
  table: AnyTensor,
  words: AnyTensor,
  options: SubVocabHeadOptions = {},
): SubVocabHeadPlan {
  const op = 'subVocabHeadBackward';
  const plan = planSubVocabHead(x, table, words, options, op);
  requireDType(op, 'dLogits', dLogits, [x.dtype]);
  requireShape(op, 'dLogits', dLogits, [...plan.tokenShape, plan.k]);
  return plan;
}
