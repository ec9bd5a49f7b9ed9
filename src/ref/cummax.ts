import {
  type CummaxBackwardOptions,
  type CummaxOptions,
  planCummax,
  planCummaxBackward,
} from '../core/ops/cummax.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';

/**
 * Running maximum along one axis, and the index where it was reached.
 *
 * values[t] = max(carryIn, x[0..t]); indices[t] = the latest s <= t with x[s] = values[t], or -1 while the carry holds.
 *
 * @param x f32 or f64 [..., T, ...]
 * @param options.axis in [-rank, rank); default -1
 * @param options.carryIn the maximum of what came before, shaped like x without the axis
 * @param options.mask u32, nonzero = takes part; shaped like x, or like x up to and including the axis
 * @returns values and indices (i32) shaped like x; carryOut, the state after the last position
 * @throws ShapeError, DTypeError
 * @accuracy exact: each value is a copy of an element's bits
 * @edge Ties take the latest index. NaN stays once seen, and every later NaN takes the index. -0 equals +0; the stored
 * bits follow the index. Before anything was seen: -Infinity, index -1. T = 0: carryOut is carryIn, or -Infinity.
 * @source torch.cummax
 */
export function cummax(
  x: Tensor,
  options: CummaxOptions<Tensor> = {},
): Outputs<{ values: Tensor; indices: Tensor; carryOut: Tensor }> {
  const { outer, length, inner, carryShape, maskInner } = planCummax(x, options);
  const carryIn = options.carryIn?.data;
  const mask = options.mask?.data;
  const values = allocate(x.dtype, x.size);
  const indices = new Int32Array(x.size);
  const carryOut = allocate(x.dtype, outer * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const row = o * inner + i;
      let best = carryIn === undefined ? Number.NEGATIVE_INFINITY : carryIn[row]!;
      let where = -1;
      for (let t = 0; t < length; t++) {
        const at = (o * length + t) * inner + i;
        const v = x.data[at]!;
        const counts =
          maskInner === 0 || mask![(o * length + t) * maskInner + (maskInner === 1 ? 0 : i)] !== 0;
        // Written as "not smaller" on purpose: true for ties (the later one wins) and for NaN (v < best is then false,
        // as it is when best is NaN; that case is ruled out first, unless v is NaN as well).
        if (counts && (Number.isNaN(v) || !(Number.isNaN(best) || v < best))) {
          best = v;
          where = t;
        }
        values[at] = best;
        indices[at] = where;
      }
      carryOut[row] = best;
    }
  }
  return outputs({
    values: new Tensor(x.dtype, x.shape, values),
    indices: new Tensor('i32', x.shape, indices),
    carryOut: new Tensor(x.dtype, carryShape, carryOut),
  });
}

/**
 * Gradient of {@link cummax}: dx[t] = sum of dValues[u] over all u with indices[u] = t.
 *
 * Along the axis the indices never fall, so the terms of one sum are neighbours: one walk from the last position to the
 * first adds them up and pays them out where the index points at itself. What is left at the front belongs to the carry.
 *
 * @param dValues f32 or f64 [..., T, ...]
 * @param indices i32, as `cummax` returned them
 * @param options.dCarryOut gradient of carryOut; it joins the last position (all of it goes to the carry when T = 0)
 * @returns dx shaped like x; dCarryIn shaped like x without the axis
 * @throws ShapeError, DTypeError
 * @accuracy f64 sums, rounded once
 * @edge The gradient of a tie is not split: it goes to the latest index, whole.
 * @source the transpose of the selection that cummax makes
 */
export function cummaxBackward(
  dValues: Tensor,
  indices: Tensor,
  options: CummaxBackwardOptions<Tensor> = {},
): Outputs<{ dx: Tensor; dCarryIn: Tensor }> {
  const { outer, length, inner, carryShape } = planCummaxBackward(dValues, indices, options);
  const dCarryOut = options.dCarryOut?.data;
  const dx = allocate(dValues.dtype, dValues.size);
  const dCarryIn = allocate(dValues.dtype, outer * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const row = o * inner + i;
      let sum = dCarryOut === undefined ? 0 : dCarryOut[row]!;
      for (let t = length - 1; t >= 0; t--) {
        const at = (o * length + t) * inner + i;
        sum += dValues.data[at]!;
        if (indices.data[at] === t) {
          dx[at] = sum;
          sum = 0;
        }
      }
      dCarryIn[row] = sum;
    }
  }
  return outputs({
    dx: new Tensor(dValues.dtype, dValues.shape, dx),
    dCarryIn: new Tensor(dValues.dtype, carryShape, dCarryIn),
  });
}
