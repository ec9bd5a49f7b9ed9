import { type Bound, compareBound, gamma, minNormal, unitWgsl } from '../bounds.ts';
import {
  type AttentionOptions,
  type AttentionPlan,
  planMultiHeadAttention,
} from '../ops/multiHeadAttention.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';

const u = unitWgsl;

/** A score as it is, how far it may be off, and whether the key is seen. */
interface Score {
  readonly value: number;
  readonly error: number;
  readonly seen: boolean;
}

/** |a . b| by absolute values, and with signs. */
function product(
  a: Tensor,
  at: number,
  b: Tensor,
  from: number,
  n: number,
): { value: number; absolute: number } {
  let value = 0;
  let absolute = 0;
  for (let d = 0; d < n; d++) {
    const term = a.data[at + d]! * b.data[from + d]!;
    value += term;
    absolute += Math.abs(term);
  }
  return { value, absolute };
}

/** Walk over all queries with their scores. */
function forQueries(
  plan: AttentionPlan,
  q: Tensor,
  k: Tensor,
  mask: Tensor | undefined,
  body: (at: number, row: number, scores: readonly Score[], from: (j: number) => number) => void,
): void {
  const { items, heads, queries, keys, width, dim, scale, causal } = plan;
  for (let item = 0; item < items; item++) {
    for (let t = 0; t < queries; t++) {
      for (let head = 0; head < heads; head++) {
        const at = (item * queries + t) * width + head * dim;
        const from = (j: number): number => (item * keys + j) * width + head * dim;
        const scores = Array.from({ length: keys }, (_, j): Score => {
          const seen =
            !(causal && j > t + keys - queries) && (mask === undefined || mask.data[item * keys + j] !== 0);
          const { value, absolute } = product(q, at, k, from(j), dim);
          const size = Math.abs(scale) * absolute;
          return { value: scale * value, error: gamma(dim + 2) * size + (dim + 2) * minNormal, seen };
        });
        body(at, (item * queries + t) * heads + head, scores, from);
      }
    }
  }
}

/**
 * Error bounds of multiHeadAttention. A weight is off by what its score is off (as an exponent), by exp at its distance d
 * from the largest score (3 + 3 d ulp, in one step or in several that add up to d), and by 4 ulp for each of at most S / 8
 * times that the largest score rose. A sum of S weights, or of S weighted values, adds gamma_S; the division 4 ulp.
 */
export function attentionBounds(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions<Tensor> = {},
): { y: Bound; lse: Bound } {
  const plan = planMultiHeadAttention(q, k, v, options);
  const { items, heads, queries, keys, dim } = plan;
  const y = new Float64Array(q.size);
  const lse = new Float64Array(items * queries * heads);
  const blocks = Math.ceil(keys / 8);
  const g = gamma(keys + blocks + 4);
  forQueries(plan, q, k, options.mask, (at, row, scores, from) => {
    const seen = scores.map((s, j) => ({ ...s, j })).filter((s) => s.seen);
    if (seen.length === 0) return;
    const top = Math.max(...seen.map((s) => s.value));
    let sum = 0;
    for (const s of seen) sum += Math.exp(s.value - top);
    let mean = 0;
    const weights = seen.map((s) => {
      const p = Math.exp(s.value - top) / sum;
      const d = Math.min(top - s.value, 110);
      const error = Math.expm1(s.error) + (4 * (blocks + 1) + 6 * d) * u;
      mean += p * error;
      return { p, error, j: s.j };
    });
    for (let d = 0; d < dim; d++) {
      let spread = 0;
      let size = 0;
      let value = 0;
      for (const { p, error, j } of weights) {
        const x = v.data[from(j) + d]!;
        value += p * x;
        spread += p * Math.abs(x) * (error + g);
        size += Math.abs(x);
      }
      y[at + d] = (spread + Math.abs(value) * (mean + g + 5 * u)) * 1.001 + minNormal * (2 + size + keys);
    }
    const log = Math.log(sum);
    lse[row] = (mean + g + 2 ** -21 + 3 * u * log + 2 * u * Math.abs(top + log)) * 1.001 + minNormal;
  });
  return {
    y: {
      fail: y,
      why: 'sum p |v| (score error + (4 S/8 + 6 d) ulp + gamma_S) and the same of the sum of weights',
    },
    lse: { fail: lse, why: 'the mean error of the weights, gamma_S, and a logarithm' },
  };
}

/** Error bounds of the gradients: p and ds with their errors, carried through sums of S or T terms. */
export function attentionBackwardBounds(
  dy: Tensor,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  y: Tensor,
  lse: Tensor,
  options: AttentionOptions<Tensor> = {},
): { dq: Bound; dk: Bound; dv: Bound } {
  const plan = planMultiHeadAttention(q, k, v, options);
  const { keys, queries, dim, scale } = plan;
  const dq = new Float64Array(q.size);
  const dk = new Float64Array(k.size);
  const dv = new Float64Array(v.size);
  const overKeys = gamma(keys + 3);
  const overQueries = gamma(queries + 3);
  const overDim = gamma(dim + 1);
  forQueries(plan, q, k, options.mask, (at, row, scores, from) => {
    const mean = product(dy, at, y, at, dim);
    for (const [j, s] of scores.entries()) {
      if (!s.seen) continue;
      const p = Math.exp(s.value - lse.data[row]!);
      const far = Math.abs(s.value - lse.data[row]!);
      // The difference is rounded, which counts like so many units of exp.
      const error = Math.expm1(s.error + u * far) + (4 + 3 * Math.min(far, 110)) * u;
      const grown = product(dy, at, v, from(j), dim);
      const difference = Math.abs(grown.value - mean.value);
      const off = overDim * (grown.absolute + mean.absolute) + 2 * dim * minNormal;
      const ds = Math.abs(scale) * p * difference;
      const dsOff =
        Math.abs(scale) * (p * (1 + error) * off + p * difference * error + minNormal * (difference + off)) +
        4 * u * (ds + Math.abs(scale) * p * off) +
        minNormal;
      for (let d = 0; d < dim; d++) {
        const [a, b, g] = [
          Math.abs(q.data[at + d]!),
          Math.abs(k.data[from(j) + d]!),
          Math.abs(dy.data[at + d]!),
        ];
        dq[at + d]! += (dsOff + overKeys * (ds + dsOff)) * b + minNormal;
        dk[from(j) + d]! += (dsOff + overQueries * (ds + dsOff)) * a + minNormal;
        dv[from(j) + d]! += p * (1 + error) * g * (error + overQueries) + minNormal * (1 + g);
      }
    }
  });
  const why = 'the errors of p and ds carried through the sum, and gamma_n of the sum itself';
  const grown = (t: Float64Array, want: number): Bound => ({ fail: t.map((e) => 1.001 * e + want), why });
  // The reference is rounded once; its own size is below what the sums bound.
  return { dq: grown(dq, minNormal), dk: grown(dk, minNormal), dv: grown(dv, minNormal) };
}

// No test for bias: all features of a row share the errors of its weights.
export const judgeMultiHeadAttention: Judge = ({ inputs, options, want, got }) => {
  const { q, k, v, mask } = inputs;
  const bounds = attentionBounds(q!, k!, v!, { ...options, ...(mask === undefined ? {} : { mask }) });
  // A naive kernel of the bench has no lse.
  const lse = want.lse === undefined ? {} : { lse: compareBound(want.lse, got.lse!, bounds.lse) };
  return { y: compareBound(want.y!, got.y!, bounds.y), ...lse };
};

export const judgeMultiHeadAttentionBackward: Judge = ({ inputs, options, want, got }) => {
  const { dy, q, k, v, y, lse, mask } = inputs;
  const given = { ...options, ...(mask === undefined ? {} : { mask }) };
  const bounds = attentionBackwardBounds(dy!, q!, k!, v!, y!, lse!, given);
  return {
    dq: compareBound(want.dq!, got.dq!, bounds.dq),
    dk: compareBound(want.dk!, got.dk!, bounds.dk),
    dv: compareBound(want.dv!, got.dv!, bounds.dv),
  };
};
