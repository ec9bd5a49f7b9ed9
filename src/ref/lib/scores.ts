/** Rows of floats as they lie in a tensor. */
export type Floats = Float32Array | Float64Array;

/**
 * Inner products of one vector with the rows first..last-1: out[at + i] = sum_j rows[first + i][j] q[j].
 *
 * Four rows at a time share each q[j]; each sum runs over j in order, in f64. `| 0` tells the engine that an index is an
 * integer, which spares it a check per element.
 */
export function innerProducts(
  rows: Floats,
  d: number,
  first: number,
  last: number,
  q: Float64Array,
  out: Float64Array,
  at = 0,
): void {
  let i = first;
  for (; i + 3 < last; i += 4, at += 4) {
    const a = (i * d) | 0;
    const b = (a + d) | 0;
    const c = (b + d) | 0;
    const e = (c + d) | 0;
    let sa = 0;
    let sb = 0;
    let sc = 0;
    let se = 0;
    for (let j = 0; j < d; j++) {
      const v = q[j]!;
      sa += rows[(a + j) | 0]! * v;
      sb += rows[(b + j) | 0]! * v;
      sc += rows[(c + j) | 0]! * v;
      se += rows[(e + j) | 0]! * v;
    }
    out[at] = sa;
    out[at + 1] = sb;
    out[at + 2] = sc;
    out[at + 3] = se;
  }
  for (; i < last; i++, at++) {
    let sum = 0;
    for (let j = 0; j < d; j++) sum += rows[(i * d + j) | 0]! * q[j]!;
    out[at] = sum;
  }
}

/** Minus the squared distances, in the same way: out[at + i] = -sum_j (rows[first + i][j] - q[j])^2. */
export function minusDistances(
  rows: Floats,
  d: number,
  first: number,
  last: number,
  q: Float64Array,
  out: Float64Array,
  at = 0,
): void {
  let i = first;
  for (; i + 1 < last; i += 2, at += 2) {
    const a = (i * d) | 0;
    const b = (a + d) | 0;
    let sa = 0;
    let sb = 0;
    for (let j = 0; j < d; j++) {
      const v = q[j]!;
      const da = rows[(a + j) | 0]! - v;
      const db = rows[(b + j) | 0]! - v;
      sa -= da * da;
      sb -= db * db;
    }
    out[at] = sa;
    out[at + 1] = sb;
  }
  for (; i < last; i++, at++) {
    let sum = 0;
    for (let j = 0; j < d; j++) sum -= (rows[(i * d + j) | 0]! - q[j]!) ** 2;
    out[at] = sum;
  }
}

/** Rows whose squared length is below this count as zero: in f32, squares of less are lost. */
const leastSquares = 2 ** -100;

/** 1 / |row| for each row; 0 for a row of zeros, or shorter than 2^-50. */
export function inverseNorms(rows: Floats, n: number, d: number): Float64Array {
  const out = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let squares = 0;
    for (let j = i * d; j < (i + 1) * d; j++) squares += rows[j]! * rows[j]!;
    out[i] = squares >= leastSquares ? 1 / Math.sqrt(squares) : 0;
  }
  return out;
}
