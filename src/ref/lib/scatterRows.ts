import type { TypedArray } from '../../core/tensor.ts';

/** Add row t of `rows` to row ids[t] of `sums`, for all t in order; ids for which `skip` holds add nothing. */
export function addRows(
  sums: Float64Array,
  rows: TypedArray,
  ids: TypedArray,
  width: number,
  skip: (id: number) => boolean,
): void {
  for (let t = 0; t < ids.length; t++) {
    const v = ids[t]!;
    if (skip(v)) continue;
    for (let d = 0; d < width; d++) sums[v * width + d]! += rows[t * width + d]!;
  }
}
