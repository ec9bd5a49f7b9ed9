import { requireRows } from '../core/ops/gatherRows.ts';
import {
  planSubVocabHead,
  planSubVocabHeadBackward,
  type SubVocabHeadOptions,
} from '../core/ops/subVocabHead.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';

/**
 * Logits over the words of each row's sub-vocabulary: logits[..., t, j] = sum over d of x[..., t, d] table[words[..., j], d],
 * -Infinity where words[..., j] = -1.
 * @param x f32 or f64 [..., T, D]
 * @param table like x [N, D]
 * @param words i32 [..., k], in [-1, N)
 * @param options.chunk memory of the kernel; here it is only checked
 * @returns [..., T, k]; the global id of column j is words[..., j]
 * @throws ArgumentError for a word outside of [-1, N); ShapeError, DTypeError
 * @accuracy f64 sums, rounded once
 */
export function subVocabHead(
  x: Tensor,
  table: Tensor,
  words: Tensor,
  options: SubVocabHeadOptions = {},
): Tensor {
  const { rows, tokens, width, k, words: n, tokenShape } = planSubVocabHead(x, table, words, options);
  requireRows('subVocabHead', 'words', words.data, n);
  const logits = allocate(x.dtype, rows * tokens * k).fill(-Infinity);
  for (let i = 0; i < rows * tokens; i++) {
    const row = Math.floor(i / tokens);
    for (let j = 0; j < k; j++) {
      const word = words.data[row * k + j]!;
      if (word < 0) continue;
      let sum = 0;
      for (let d = 0; d < width; d++) sum += x.data[i * width + d]! * table.data[word * width + d]!;
      logits[i * k + j] = sum;
    }
  }
  return new Tensor(x.dtype, [...tokenShape, k], logits);
}

/**
 * Gradient of {@link subVocabHead}: dx = dLogits times the words' rows, dTable = dLogits transposed times x, added up by word.
 * @throws ArgumentError for a word outside of [-1, N); ShapeError, DTypeError
 * @accuracy f64 sums, rounded once
 */
export function subVocabHeadBackward(
  dLogits: Tensor,
  x: Tensor,
  table: Tensor,
  words: Tensor,
  options: SubVocabHeadOptions = {},
): Outputs<{ dx: Tensor; dTable: Tensor }> {
  const plan = planSubVocabHeadBackward(dLogits, x, table, words, options);
  const { rows, tokens, width, k } = plan;
  requireRows('subVocabHeadBackward', 'words', words.data, plan.words);
  const dx = new Float64Array(x.size);
  const dTable = new Float64Array(table.size);
  for (let i = 0; i < rows * tokens; i++) {
    const row = Math.floor(i / tokens);
    for (let j = 0; j < k; j++) {
      const word = words.data[row * k + j]!;
      if (word < 0) continue;
      const g = dLogits.data[i * k + j]!;
      for (let d = 0; d < width; d++) {
        dx[i * width + d]! += g * table.data[word * width + d]!;
        dTable[word * width + d]! += g * x.data[i * width + d]!;
      }
    }
  }
  const rounded = (like: Tensor, values: Float64Array): Tensor => {
    const data = allocate(like.dtype, values.length);
    data.set(values);
    return new Tensor(like.dtype, like.shape, data);
  };
  return outputs({ dx: rounded(x, dx), dTable: rounded(table, dTable) });
}
