import { ShapeError } from '../errors.ts';
import { type AnyTensor, requireDType, type Shape, sameShape, show, sizeOf } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface LocalIdsOps<T extends AnyTensor> {
  /** Where each id stands in the sub-vocabulary of its row; -1 where it is not in it. */
  localIds(ids: T, words: T): T;
}

/** The words of each row's sub-vocabulary: an input of all operators on sub-vocabularies. */
export const wordsField = {
  name: 'words',
  dtypes: ['i32'],
  shape: '[..., k]',
  about: 'the words of each sub-vocabulary; -1: no word',
} as const;

export const localIdsContract: Contract = {
  name: 'localIds',
  summary: 'Where each id stands in the sub-vocabulary of its row; -1 where it is not in it.',
  formula: 'local[..., t] = the least j with words[..., j] = ids[..., t], else -1',
  params: ['ids', 'words'],
  inputs: [
    { name: 'ids', dtypes: ['i32'], shape: '[..., T]', about: 'words of the whole vocabulary' },
    wordsField,
  ],
  options: [],
  outputs: [{ name: 'local', dtypes: ['i32'], shape: 'ids', about: 'positions in [0, k), or -1' }],
  accuracy: 'exact',
  edge: 'negative ids are no words and give -1; a word that occurs twice counts where it occurs first; k = 0: all -1',
  source: 'the map that the output layer of a sampled vocabulary needs; seed 000 leaves it out',
};

/** Sizes of a call: rows sub-vocabularies of k words, and tokens ids for each. */
export interface LocalIdsPlan {
  readonly rows: number;
  readonly tokens: number;
  readonly k: number;
}

/** Check a localIds call and work out its sizes. @throws DTypeError, ShapeError */
export function planLocalIds(ids: AnyTensor, words: AnyTensor): LocalIdsPlan {
  const op = 'localIds';
  requireDType(op, 'ids', ids, ['i32']);
  const tokens = ids.shape.at(-1);
  if (tokens === undefined) throw new ShapeError(op, 'ids is a scalar; it must be [..., T]');
  return { ...planWords(op, words, ids.shape.slice(0, -1)), tokens };
}

/** Check the words of sub-vocabularies: one row of them per index of the leading axes. @throws DTypeError, ShapeError */
export function planWords(op: string, words: AnyTensor, leading: Shape): { rows: number; k: number } {
  requireDType(op, 'words', words, ['i32']);
  const k = words.shape.at(-1);
  if (k === undefined || !sameShape(words.shape.slice(0, -1), leading)) {
    const want = show([...leading, 'k'] as unknown as Shape);
    throw new ShapeError(op, `words has shape ${show(words.shape)}; it must be ${want}`);
  }
  return { rows: sizeOf(leading), k };
}
