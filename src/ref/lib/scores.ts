/** Rows of floats as they lie in a tensor. */
export type Floats = Float32Array | Float64Array;

/**
 * Inner products of one vector with the rows first..last-1: out[at + i] = sum_j rows[first + i][j] q[j].
 *
 * Four rows at a time share each pair of q[j]; each sum runs over j in order, in f64. One index walks from row to row, and
 * `| 0` tells the engine that it is an integer, which spares it a check per element. (Eight rows by single elements take a
 * tenth more time.)
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
  const pairs = d & ~1;
  let i = first;
  for (; i + 3 < last; i += 4, at += 4) {
    const start = (i * d) | 0;
    let sa = 0;
    let sb = 0;
    let sc = 0;
    let se = 0;
    for (let j = 0; j < pairs; j += 2) {
      const v = q[j]!;
      const w = q[j + 1]!;
      let x = (start + j) | 0;
      sa += rows[x]! * v;
      sa += rows[(x + 1) | 0]! * w;
      x = (x + d) | 0;
      sb += rows[x]! * v;
      sb += rows[(x + 1) | 0]! * w;
      x = (x + d) | 0;
      sc += rows[x]! * v;
      sc += rows[(x + 1) | 0]! * w;
      x = (x + d) | 0;
      se += rows[x]! * v;
      se += rows[(x + 1) | 0]! * w;
    }
    if (pairs < d) {
      const v = q[pairs]!;
      sa += rows[start + pairs]! * v;
      sb += rows[start + d + pairs]! * v;
      sc += rows[start + 2 * d + pairs]! * v;
      se += rows[start + 3 * d + pairs]! * v;
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

/**
 * Inner products of two vectors with the rows first..last-1: what `innerProducts` gives for each of them, in two thirds of
 * the time, since each element of a row is read and converted once.
 */
export function innerProductsOfTwo(
  rows: Floats,
  d: number,
  first: number,
  last: number,
  [q, p]: readonly [Float64Array, Float64Array],
  [outQ, outP]: readonly [Float64Array, Float64Array],
): void {
  let at = 0;
  let i = first;
  for (; i + 3 < last; i += 4, at += 4) {
    const a = (i * d) | 0;
    const b = (a + d) | 0;
    const c = (b + d) | 0;
    const e = (c + d) | 0;
    let qa = 0;
    let qb = 0;
    let qc = 0;
    let qe = 0;
    let pa = 0;
    let pb = 0;
    let pc = 0;
    let pe = 0;
    for (let j = 0; j < d; j++) {
      const v = q[j]!;
      const w = p[j]!;
      const xa = rows[(a + j) | 0]!;
      const xb = rows[(b + j) | 0]!;
      const xc = rows[(c + j) | 0]!;
      const xe = rows[(e + j) | 0]!;
      qa += xa * v;
      qb += xb * v;
      qc += xc * v;
      qe += xe * v;
      pa += xa * w;
      pb += xb * w;
      pc += xc * w;
      pe += xe * w;
    }
    outQ[at] = qa;
    outQ[at + 1] = qb;
    outQ[at + 2] = qc;
    outQ[at + 3] = qe;
    outP[at] = pa;
    outP[at + 1] = pb;
    outP[at + 2] = pc;
    outP[at + 3] = pe;
  }
  innerProducts(rows, d, i, last, q, outQ, at);
  innerProducts(rows, d, i, last, p, outP, at);
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
