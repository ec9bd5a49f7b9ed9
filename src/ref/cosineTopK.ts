import { planCosineTopK } from '../core/ops/cosineTopK.ts';
import { allocate, type Outputs, outputs, Tensor, tensor } from '../core/tensor.ts';
import type { Floats } from './lib/scores.ts';
import { innerProducts, inverseNorms } from './lib/scores.ts';

/**
 * The k rows of a table with the largest cosine to each query, by (cosine descending, row ascending).
 *
 * @param q f32 or f64 [M, D]; table [N, D]
 * @param k from 0 to N
 * @returns values [M, k] and indices i32 [M, k]
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 inside, values rounded once; the order is that of the f64 values
 * @edge A row of zeros has cosine 0 with everything.
 */
export function cosineTopK(
  q: Tensor,
  table: Tensor,
  k: number,
): Outputs<{ values: Tensor; indices: Tensor }> {
  const { queries, rows, width } = planCosineTopK(q, table, k);
  const values = allocate(q.dtype, queries * k);
  const indices = new Int32Array(queries * k);
  const lengths = inverseNorms(table.data as Floats, rows, width);
  const own = inverseNorms(q.data as Floats, queries, width);
  const cosines = new Float64Array(rows);
  for (let m = 0; m < queries; m++) {
    const query = Float64Array.from(q.data.subarray(m * width, (m + 1) * width));
    innerProducts(table.data as Floats, width, 0, rows, query, cosines);
    for (let n = 0; n < rows; n++) cosines[n]! *= own[m]! * lengths[n]!;
    const order = Array.from(cosines.keys()).sort((a, b) => cosines[b]! - cosines[a]! || a - b);
    for (let j = 0; j < k; j++) {
      values[m * k + j] = cosines[order[j]!]!;
      indices[m * k + j] = order[j]!;
    }
  }
  return outputs({
    values: new Tensor(q.dtype, [queries, k], values),
    indices: tensor([queries, k], indices),
  });
}
