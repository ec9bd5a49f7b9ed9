import { planLocalIds } from '../core/ops/localIds.ts';
import { Tensor } from '../core/tensor.ts';

/**
 * Where each id stands in the sub-vocabulary of its row: local[..., t] = the least j with words[..., j] = ids[..., t], else -1.
 * @param ids i32 [..., T]; negative ones are no words
 * @param words i32 [..., k], leading axes as of ids; -1 stands for no word
 * @returns i32, the shape of ids
 * @throws DTypeError, ShapeError
 * @accuracy exact
 */
export function localIds(ids: Tensor, words: Tensor): Tensor {
  const { rows, tokens, k } = planLocalIds(ids, words);
  const local = new Int32Array(rows * tokens);
  for (let r = 0; r < rows; r++) {
    const places = new Map<number, number>();
    for (let j = k - 1; j >= 0; j--) places.set(words.data[r * k + j]!, j);
    for (let t = r * tokens; t < (r + 1) * tokens; t++) {
      const id = ids.data[t]!;
      local[t] = id < 0 ? -1 : (places.get(id) ?? -1);
    }
  }
  return new Tensor('i32', ids.shape, local);
}
