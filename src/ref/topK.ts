import { planTopK, planTopKBackward, type TopKBackwardOptions, type TopKOptions } from '../core/ops/topK.ts';
import { allocate, type Outputs, outputs, Tensor, type TypedArray } from '../core/tensor.ts';

/**
 * The k largest (or smallest) entries along one axis, with their indices.
 *
 * indices[0..k) = the first k positions when all are ordered by (value descending, index ascending);
 * values[j] = x[indices[j]]. All positions of a row are put in order by a stable sort, and the first k are the answer.
 *
 * @param x f32 or f64 [..., N, ...]
 * @param k how many; at most N unless `onShort` is 'pad'
 * @param options.axis in [-rank, rank); default -1
 * @param options.sorted best first (default); false: the same set, by ascending index
 * @param options.largest default true; false: the smallest, in ascending order
 * @param options.mask u32, nonzero = takes part; shaped like x, or like x up to and including the axis
 * @param options.onShort 'error' (default) refuses k > N, 'pad' fills up
 * @returns values and indices (i32) with k in place of N; counts (i32), x's shape without the axis
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy exact: each value is a copy of an element's bits
 * @edge Ties go to the smaller index. -0 equals +0. NaN ranks after every number, for largest and for smallest. Where a
 * row has fewer than k candidates, the rest holds index -1 and value -Infinity.
 * @source the order of a stable sort, as in jax.lax.top_k
 */
export function topK(
  x: Tensor,
  k: number,
  options: TopKOptions<Tensor> = {},
): Outputs<{ values: Tensor; indices: Tensor; counts: Tensor }> {
  const plan = planTopK(x, k, options);
  const { outer, length, inner, slots, maskInner } = plan;
  const mask = options.mask?.data;
  const values = allocate(x.dtype, outer * slots * inner).fill(Number.NEGATIVE_INFINITY);
  const indices = new Int32Array(outer * slots * inner).fill(-1);
  const counts = new Int32Array(outer * inner);
  const row = allocate(x.dtype, length);
  const candidates = new Int32Array(length);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      let n = 0;
      for (let t = 0; t < length; t++) {
        row[t] = x.data[(o * length + t) * inner + i]!;
        const m = (o * length + t) * maskInner + (maskInner === 1 ? 0 : i);
        if (maskInner === 0 || mask![m] !== 0) candidates[n++] = t;
      }
      const best = firstInOrder(row, candidates.subarray(0, n), plan.k, plan.largest);
      if (!plan.sorted) best.sort();
      counts[o * inner + i] = best.length;
      for (let j = 0; j < best.length; j++) {
        values[(o * slots + j) * inner + i] = row[best[j]!]!;
        indices[(o * slots + j) * inner + i] = best[j]!;
      }
    }
  }
  return outputs({
    values: new Tensor(x.dtype, plan.shape, values),
    indices: new Tensor('i32', plan.shape, indices),
    counts: new Tensor('i32', plan.countShape, counts),
  });
}

/**
 * Gradient of {@link topK}: dx[indices[j]] = dValues[j], zero elsewhere.
 *
 * @param dValues f32 or f64 [..., k, ...]
 * @param indices i32, as `topK` returned them
 * @param length N, the length of the axis that `topK` selected from
 * @param options.axis the axis of the forward call; default -1
 * @returns dx with N in place of k
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy exact: each gradient is copied
 * @edge Slots with index -1 are passed over.
 * @source the transpose of the selection that topK makes
 */
export function topKBackward(
  dValues: Tensor,
  indices: Tensor,
  length: number,
  options: TopKBackwardOptions = {},
): Tensor {
  const plan = planTopKBackward(dValues, indices, length, options);
  const { outer, slots, inner } = plan;
  const dx = allocate(dValues.dtype, outer * length * inner);
  for (let o = 0; o < outer; o++) {
    for (let j = 0; j < slots; j++) {
      for (let i = 0; i < inner; i++) {
        const at = (o * slots + j) * inner + i;
        const t = indices.data[at]!;
        if (t >= 0 && t < length) dx[(o * length + t) * inner + i] = dValues.data[at]!;
      }
    }
  }
  return new Tensor(dValues.dtype, plan.shape, dx);
}

/**
 * The first k candidates by descending value (ascending, if not `largest`), NaN last, equal values in the order given.
 *
 * A radix sort: the values become unsigned integers in reverse order, which are sorted by 11 bits at a time from the
 * lowest, each time by counting; a stable step keeps what the steps before it put in order. Candidates whose leading
 * bits are beyond those of the k-th are left out before.
 */
function firstInOrder(row: TypedArray, candidates: Int32Array, k: number, largest: boolean): Int32Array {
  const words = reversedKeys(row, largest);
  const leading = words.at(-1)!;
  const ends = countDigits(leading, candidates, 21);
  const limit = ends.findIndex((end) => end >= k);
  const left = limit < 0 ? 2048 : limit;
  let order = new Int32Array(ends[left]!);
  for (let j = 0, n = 0; j < candidates.length; j++) {
    const t = candidates[j]!;
    if (leading[t]! >>> 21 < left) order[n++] = t;
  }
  let next = new Int32Array(order.length);
  for (const word of words) {
    for (let shift = 0; shift < 32; shift += 11) {
      const starts = countDigits(word, order, shift);
      for (let j = 0; j < order.length; j++) {
        const t = order[j]!;
        next[starts[(word[t]! >>> shift) & 2047]!++] = t;
      }
      [order, next] = [next, order];
    }
  }
  return order.subarray(0, k);
}

/** How many keys have a smaller digit: the place where each digit starts in sorted order, and the total at the end. */
function countDigits(word: Uint32Array, order: Int32Array, shift: number): Uint32Array {
  const starts = new Uint32Array(2049);
  for (let j = 0; j < order.length; j++) starts[((word[order[j]!]! >>> shift) & 2047) + 1]!++;
  for (let digit = 0; digit < 2048; digit++) starts[digit + 1]! += starts[digit]!;
  return starts;
}

/**
 * Unsigned integers that grow as the values fall (rise, if not `largest`), as 32-bit words from the lowest: one per f32,
 * two per f64. The bits of positive floats grow with the value, those of negative ones fall; NaN gets the largest key.
 */
function reversedKeys(row: TypedArray, largest: boolean): Uint32Array[] {
  const n = row.length;
  const bits = new Uint32Array(row.buffer, row.byteOffset, row.byteLength / 4);
  const words = row.BYTES_PER_ELEMENT / 4;
  const keys: Uint32Array[] = [];
  for (let w = 0; w < words; w++) {
    const key = new Uint32Array(n);
    const sign = w === words - 1 ? 0x80000000 : 0;
    for (let t = 0; t < n; t++) {
      const value = row[t]!;
      // -0 counts as +0, whose bits are zero.
      const word = value === 0 ? 0 : bits[t * words + w]!;
      const rising = value < 0 ? ~word : word | sign;
      key[t] = Number.isNaN(value) ? 0xffffffff : largest ? ~rising : rising;
    }
    keys.push(key);
  }
  return keys;
}
