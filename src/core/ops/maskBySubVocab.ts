import { ShapeError } from '../errors.ts';
import { type AnyTensor, requireDType } from '../tensor.ts';
import type { Contract } from './contract.ts';
import { planWords, wordsField } from './localIds.ts';

export interface MaskBySubVocabOps<T extends AnyTensor> {
  /** Scores of all words with those outside of the row's sub-vocabulary set to -Infinity. */
  maskBySubVocab(logits: T, words: T): T;
  /** Gradient of {@link MaskBySubVocabOps.maskBySubVocab}. */
  maskBySubVocabBackward(dy: T, words: T): T;
}

const float = ['f32', 'f64'] as const;

export const maskBySubVocabContract: Contract = {
  name: 'maskBySubVocab',
  summary: 'Scores of all words with those outside of the sub-vocabulary set to -Infinity.',
  formula: 'y[..., t, n] = logits[..., t, n] if n is among words[..., :], else -Infinity',
  params: ['logits', 'words'],
  inputs: [
    { name: 'logits', dtypes: float, shape: '[..., T, N]', about: 'scores of all N words' },
    wordsField,
  ],
  options: [],
  outputs: [{ name: 'y', dtypes: float, shape: 'logits', about: 'the masked scores' }],
  accuracy: 'exact: copies, bit for bit',
  edge: 'a sub-vocabulary without words masks everything; words may repeat; a word of N or more: the reference throws, the kernel leaves it out',
  source: 'seed 000, "sparse mask"; softmax and crossEntropyLogits give such words probability 0',
};

export const maskBySubVocabBackwardContract: Contract = {
  name: 'maskBySubVocabBackward',
  summary: 'Gradient of maskBySubVocab.',
  formula: 'dLogits[..., t, n] = dy[..., t, n] if n is among words[..., :], else 0',
  params: ['dy', 'words'],
  inputs: [{ name: 'dy', dtypes: float, shape: '[..., T, N]', about: 'the gradient of y' }, wordsField],
  options: [],
  outputs: [{ name: 'dLogits', dtypes: float, shape: 'dy', about: 'the gradient of logits' }],
  accuracy: 'exact: copies, bit for bit',
  edge: 'as in the forward call',
  source: 'the transpose of the selection',
};

/** Sizes of a call: rows sub-vocabularies of k words, for `tokens` rows of `length` scores each. */
export interface MaskBySubVocabPlan {
  readonly rows: number;
  readonly tokens: number;
  readonly length: number;
  readonly k: number;
}

/** Check a maskBySubVocab call and work out its sizes. @throws DTypeError, ShapeError */
export function planMaskBySubVocab(logits: AnyTensor, words: AnyTensor): MaskBySubVocabPlan {
  return check('maskBySubVocab', 'logits', logits, words);
}

/** Check a maskBySubVocabBackward call and work out its sizes. @throws DTypeError, ShapeError */
export function planMaskBySubVocabBackward(dy: AnyTensor, words: AnyTensor): MaskBySubVocabPlan {
  return check('maskBySubVocabBackward', 'dy', dy, words);
}

function check(op: string, name: string, given: AnyTensor, words: AnyTensor): MaskBySubVocabPlan {
  requireDType(op, name, given, float);
  const [tokens, length] = given.shape.slice(-2);
  if (tokens === undefined || length === undefined) {
    throw new ShapeError(op, `${name} has shape [${given.shape}]; it must be [..., T, N]`);
  }
  return { ...planWords(op, words, given.shape.slice(0, -2)), tokens, length };
}
