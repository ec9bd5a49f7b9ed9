import type { Backend } from '../../core/backend.ts';
import type { Key } from '../../core/key.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';

/**
 * Windows of a sequence at places drawn with a key: a batch to train on, i32 [rows, length + 1].
 * The same on both twins, since random bits are.
 */
export async function randomRows<T extends AnyTensor>(
  backend: Backend<T>,
  key: Key,
  ids: Int32Array,
  rows: number,
  length: number,
): Promise<Tensor> {
  using drawn = backend.ops.randomBits(key, [rows]);
  const places = (await backend.read(drawn)).data;
  const out = new Int32Array(rows * (length + 1));
  for (let r = 0; r < rows; r++) {
    const at = Math.floor((places[r]! / 2 ** 32) * (ids.length - length));
    out.set(ids.subarray(at, at + length + 1), r * (length + 1));
  }
  return tensor([rows, length + 1], out);
}
