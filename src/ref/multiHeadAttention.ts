import {
  type AttentionOptions,
  type AttentionPlan,
  planMultiHeadAttention,
  planMultiHeadAttentionBackward,
} from '../core/ops/multiHeadAttention.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';

/**
 * Attention by softmax, head by head. With s[j] = scale q . k[j] over the keys that the query sees:
 * lse = log sum of exp(s[j]); y = sum of exp(s[j] - lse) v[j].
 *
 * @param q f32 or f64 [B, T, E]; k, v [B, S, E]: the heads' features lie side by side in E
 * @param options.heads default 1; options.causal query t sees keys up to t + S - T; options.scale default 1 / sqrt(E / heads)
 * @param options.mask u32 [B, S], 0 = nobody sees this key
 * @returns y [B, T, E] and lse [B, T, heads]
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 inside, rounded once
 * @edge A query that sees no key gives zeros, and lse -Infinity.
 * @source Vaswani et al. (2017)
 */
export function multiHeadAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions<Tensor> = {},
): Outputs<{ y: Tensor; lse: Tensor }> {
  const plan = planMultiHeadAttention(q, k, v, options);
  const { items, heads, queries, keys, dim } = plan;
  const y = new Float64Array(q.size);
  const lse = allocate(q.dtype, items * queries * heads);
  const s = new Float64Array(keys);
  forQueries(plan, (item, t, head, at, row) => {
    let max = -Infinity;
    for (let j = 0; j < keys; j++) {
      s[j] = sees(plan, options.mask, item, t, j)
        ? score(plan, q, k, at, keyAt(plan, item, head, j))
        : -Infinity;
      max = Math.max(max, s[j]!);
    }
    if (max === -Infinity) {
      lse[row] = max;
      return;
    }
    let sum = 0;
    for (let j = 0; j < keys; j++) sum += Math.exp(s[j]! - max);
    for (let j = 0; j < keys; j++) {
      if (s[j] === -Infinity) continue;
      const p = Math.exp(s[j]! - max) / sum;
      const from = keyAt(plan, item, head, j);
      for (let d = 0; d < dim; d++) y[at + d]! += p * v.data[from + d]!;
    }
    lse[row] = max + Math.log(sum);
  });
  return outputs({
    y: rounded(q, y),
    lse: new Tensor(q.dtype, [items, queries, heads], lse),
  });
}

/**
 * Gradient of {@link multiHeadAttention}. With p = exp(s - lse) and ds = p (dy . v - dy . y) scale:
 * dq = sum over keys of ds k; dk = sum over queries of ds q; dv = sum over queries of p dy.
 *
 * @param dy, q, y [B, T, E]; k, v [B, S, E]; lse [B, T, heads]; options as in the forward call
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 inside, rounded once
 * @source the chain rule: the sum over keys of p (dy . v) is dy . y
 */
export function multiHeadAttentionBackward(
  dy: Tensor,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  y: Tensor,
  lse: Tensor,
  options: AttentionOptions<Tensor> = {},
): Outputs<{ dq: Tensor; dk: Tensor; dv: Tensor }> {
  const plan = planMultiHeadAttentionBackward(dy, q, k, v, y, lse, options);
  const { keys, dim, scale } = plan;
  const dq = new Float64Array(q.size);
  const dk = new Float64Array(k.size);
  const dv = new Float64Array(v.size);
  forQueries(plan, (item, t, head, at, row) => {
    let mean = 0;
    for (let d = 0; d < dim; d++) mean += dy.data[at + d]! * y.data[at + d]!;
    for (let j = 0; j < keys; j++) {
      if (!sees(plan, options.mask, item, t, j)) continue;
      const from = keyAt(plan, item, head, j);
      const p = Math.exp(score(plan, q, k, at, from) - lse.data[row]!);
      let dp = 0;
      for (let d = 0; d < dim; d++) dp += dy.data[at + d]! * v.data[from + d]!;
      const ds = p * (dp - mean) * scale;
      for (let d = 0; d < dim; d++) {
        dq[at + d]! += ds * k.data[from + d]!;
        dk[from + d]! += ds * q.data[at + d]!;
        dv[from + d]! += p * dy.data[at + d]!;
      }
    }
  });
  return outputs({ dq: rounded(q, dq), dk: rounded(k, dk), dv: rounded(v, dv) });
}

/** Call the body for every query of every head, with the place of its first feature and of its row in lse. */
function forQueries(
  { items, queries, heads, width, dim }: AttentionPlan,
  body: (item: number, t: number, head: number, at: number, row: number) => void,
): void {
  for (let item = 0; item < items; item++) {
    for (let t = 0; t < queries; t++) {
      const row = item * queries + t;
      for (let head = 0; head < heads; head++)
        body(item, t, head, row * width + head * dim, row * heads + head);
    }
  }
}

/** The place of the first feature of key j. */
function keyAt({ keys, width, dim }: AttentionPlan, item: number, head: number, j: number): number {
  return (item * keys + j) * width + head * dim;
}

function sees(
  { causal, keys, queries }: AttentionPlan,
  mask: Tensor | undefined,
  item: number,
  t: number,
  j: number,
): boolean {
  if (causal && j > t + keys - queries) return false;
  return mask === undefined || mask.data[item * keys + j] !== 0;
}

function score({ dim, scale }: AttentionPlan, q: Tensor, k: Tensor, at: number, from: number): number {
  let sum = 0;
  for (let d = 0; d < dim; d++) sum += q.data[at + d]! * k.data[from + d]!;
  return scale * sum;
}

function rounded(like: Tensor, values: Float64Array): Tensor {
  return new Tensor(like.dtype, like.shape, like.dtype === 'f64' ? values : Float32Array.from(values));
}
