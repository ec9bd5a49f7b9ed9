/** Rows of bytes with one scale each: row i stands for codes[i] * scales[i]. */
export interface Int8Rows {
  /** [count, stride], columns from d on are 0. */
  readonly codes: Int8Array;
  readonly scales: Float32Array;
}

/**
 * Round rows to bytes: scale = max |x| / 127 as f32, code = round(x / scale). A row of zeros has scale 0.
 * The error of an element is at most scale / 2.
 */
export function quantiseRows(x: Float32Array, count: number, d: number, stride: number, out: Int8Rows): void {
  const { codes, scales } = out;
  for (let i = 0; i < count; i++) {
    let most = 0;
    for (let j = i * d; j < (i + 1) * d; j++) most = Math.max(most, Math.abs(x[j]!));
    const scale = Math.fround(most / 127);
    scales[i] = scale;
    const inverse = scale === 0 ? 0 : 1 / scale;
    for (let j = 0; j < d; j++) {
      // A subnormal scale may be rounded down by much: the code must stay a byte.
      const code = Math.round(x[i * d + j]! * inverse);
      codes[i * stride + j] = Math.max(-127, Math.min(127, code));
    }
    for (let j = d; j < stride; j++) codes[i * stride + j] = 0;
  }
}

/** Round a query to 16 bits into `out`; returns its scale. */
export function quantiseQuery(query: Float32Array, out: Int16Array): number {
  let most = 0;
  for (const v of query) most = Math.max(most, Math.abs(v));
  const scale = most / 32767;
  out.fill(0);
  for (let j = 0; j < query.length; j++) out[j] = scale === 0 ? 0 : Math.round(query[j]! / scale);
  return scale;
}
