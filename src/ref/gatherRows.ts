import { planGatherRows, planGatherRowsBackward, requireRows } from '../core/ops/gatherRows.ts';
import { allocate, Tensor } from '../core/tensor.ts';
import { addRows } from './lib/scatterRows.ts';

/**
 * Rows of a matrix by their numbers: y[..., d] = table[ids[...], d], 0 where ids[...] = -1.
 * @param table f32 or f64 [..., D]; all axes but the last count its N rows
 * @param ids i32, any shape, in [-1, N)
 * @returns [...ids, D]
 * @throws ArgumentError for an id outside of [-1, N), with its place; DTypeError, ShapeError
 * @accuracy exact
 * @source torch.index_select
 */
export function gatherRows(table: Tensor, ids: Tensor): Tensor {
  const { count, rows, width, shape } = planGatherRows(table, ids);
  requireRows('gatherRows', 'ids', ids.data, rows);
  const y = allocate(table.dtype, count * width);
  for (let t = 0; t < count; t++) {
    const v = ids.data[t]!;
    if (v < 0) continue;
    for (let d = 0; d < width; d++) y[t * width + d] = table.data[v * width + d]!;
  }
  return new Tensor(table.dtype, shape, y);
}

/**
 * Gradient of {@link gatherRows}: dTable[v, d] = sum of dy[t, d] over t with ids[t] = v.
 * @returns the shape of the table
 * @throws ArgumentError for an id outside of [-1, N); DTypeError, ShapeError
 * @accuracy f64 sums, rounded once
 */
export function gatherRowsBackward(dy: Tensor, table: Tensor, ids: Tensor): Tensor {
  const { rows, width } = planGatherRowsBackward(dy, table, ids);
  requireRows('gatherRowsBackward', 'ids', ids.data, rows);
  const sums = new Float64Array(rows * width);
  addRows(sums, dy.data, ids.data, width, (v) => v < 0);
  const dTable = allocate(table.dtype, rows * width);
  dTable.set(sums);
  return new Tensor(table.dtype, table.shape, dTable);
}
