import {
  type EmbeddingOptions,
  planEmbedding,
  planEmbeddingBackward,
  requireIds,
} from '../core/ops/embedding.ts';
import { allocate, Tensor } from '../core/tensor.ts';
import { addRows } from './lib/scatterRows.ts';

/**
 * Rows of a table by their ids: y[..., d] = table[ids[...], d].
 * @param table f32 or f64 [V, D]
 * @param ids i32 or u32, any shape
 * @param options.paddingIndex the row that gets no gradient; here it changes nothing
 * @returns [..., D]
 * @throws ArgumentError for an id outside of [0, V), with its place; DTypeError, ShapeError
 * @accuracy exact
 * @source torch.nn.functional.embedding
 */
export function embedding(table: Tensor, ids: Tensor, options: EmbeddingOptions = {}): Tensor {
  const { tokens, rows, width, shape } = planEmbedding(table, ids, options);
  requireIds('embedding', ids.data, rows);
  const y = allocate(table.dtype, tokens * width);
  for (let t = 0; t < tokens; t++) {
    for (let d = 0; d < width; d++) y[t * width + d] = table.data[ids.data[t]! * width + d]!;
  }
  return new Tensor(table.dtype, shape, y);
}

/**
 * Gradient of {@link embedding}: dTable[v, d] = sum of dy[t, d] over t with ids[t] = v, and 0 for the padding row.
 * @returns [V, D]
 * @throws ArgumentError for an id outside of [0, V); DTypeError, ShapeError
 * @accuracy f64 sums, rounded once
 */
export function embeddingBackward(
  dy: Tensor,
  table: Tensor,
  ids: Tensor,
  options: EmbeddingOptions = {},
): Tensor {
  const { rows, width } = planEmbeddingBackward(dy, table, ids, options);
  requireIds('embeddingBackward', ids.data, rows);
  const sums = new Float64Array(rows * width);
  addRows(sums, dy.data, ids.data, width, (v) => v === options.paddingIndex);
  const dTable = allocate(table.dtype, rows * width);
  dTable.set(sums);
  return new Tensor(table.dtype, table.shape, dTable);
}
