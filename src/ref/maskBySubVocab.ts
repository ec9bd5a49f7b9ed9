import { requireRows } from '../core/ops/gatherRows.ts';
import {
  type MaskBySubVocabPlan,
  planMaskBySubVocab,
  planMaskBySubVocabBackward,
} from '../core/ops/maskBySubVocab.ts';
import { allocate, Tensor } from '../core/tensor.ts';

/**
 * Scores of all words with those outside of the sub-vocabulary set to -Infinity.
 * @param logits f32 or f64 [..., T, N]
 * @param words i32 [..., k]; -1 stands for no word
 * @returns the shape of logits
 * @throws ArgumentError for a word outside of [-1, N); DTypeError, ShapeError
 * @accuracy exact
 */
export function maskBySubVocab(logits: Tensor, words: Tensor): Tensor {
  return keep('maskBySubVocab', planMaskBySubVocab(logits, words), logits, words, -Infinity);
}

/**
 * Gradient of {@link maskBySubVocab}: dy where the word is in the sub-vocabulary, else 0.
 * @throws ArgumentError for a word outside of [-1, N); DTypeError, ShapeError
 * @accuracy exact
 */
export function maskBySubVocabBackward(dy: Tensor, words: Tensor): Tensor {
  return keep('maskBySubVocabBackward', planMaskBySubVocabBackward(dy, words), dy, words, 0);
}

function keep(
  op: string,
  { rows, tokens, length, k }: MaskBySubVocabPlan,
  from: Tensor,
  words: Tensor,
  outside: number,
): Tensor {
  requireRows(op, 'words', words.data, length);
  const out = allocate(from.dtype, from.size).fill(outside);
  for (let r = 0; r < rows; r++) {
    for (const word of words.data.subarray(r * k, (r + 1) * k)) {
      if (word < 0) continue;
      for (let t = r * tokens; t < (r + 1) * tokens; t++) {
        out[t * length + word] = from.data[t * length + word]!;
      }
    }
  }
  return new Tensor(from.dtype, from.shape, out);
}
