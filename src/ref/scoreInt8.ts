import { planScoreInt8 } from '../core/ops/scoreInt8.ts';
import { Tensor } from '../core/tensor.ts';

/**
 * Inner products of rows of bytes: scores[q, i] = (sum over j of queries[q, j] * codes[i, j]) * scales[i] * queryScales[q].
 * @param queries u32 [q, w], four signed bytes per word, the lowest first
 * @param queryScales f32 [q]
 * @param codes u32 [n, w], at most 256 words per row
 * @param scales f32 [n]
 * @returns f32 [q, n]
 * @throws DTypeError, ShapeError
 * @accuracy the sum is exact, the score rounded once
 */
export function scoreInt8(queries: Tensor, queryScales: Tensor, codes: Tensor, scales: Tensor): Tensor {
  const { queries: count, n, words } = planScoreInt8(queries, queryScales, codes, scales);
  const asked = bytesOf(queries);
  const rows = bytesOf(codes);
  const scores = new Float32Array(count * n);
  const d = 4 * words;
  for (let q = 0; q < count; q++) {
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let j = 0; j < d; j++) sum += asked[q * d + j]! * rows[i * d + j]!;
      scores[q * n + i] = sum * scales.data[i]! * queryScales.data[q]!;
    }
  }
  return new Tensor('f32', [count, n], scores);
}

/** The bytes of packed words, by shifts: the same on machines of either byte order. */
function bytesOf({ data }: Tensor): Int8Array {
  const bytes = new Int8Array(data.length * 4);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (data[i >> 2]! >>> (8 * (i & 3))) & 255;
  return bytes;
}
