import { ArgumentError, ShapeError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType, requireInteger, requireShape, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface AttentionOptions<T> {
  /** Parts of equal size that the features are cut into; each attends for itself. @defaultValue 1 */
  readonly heads?: number;
  /** A query sees no key that comes after it. With more keys than queries the last ones belong together. @defaultValue false */
  readonly causal?: boolean;
  /** Factor of the products. @defaultValue 1 / sqrt(E / heads) */
  readonly scale?: number;
  /** u32 [B, S], 0 = nobody sees this key. */
  readonly mask?: T;
}

export interface MultiHeadAttentionOps<T extends AnyTensor> {
  /** Attention by softmax over the keys, for each head by itself; the matrix of scores is never held. */
  multiHeadAttention(q: T, k: T, v: T, options?: AttentionOptions<T>): Outputs<{ y: T; lse: T }>;
  /** Gradient of {@link MultiHeadAttentionOps.multiHeadAttention}: the scores are computed again. */
  multiHeadAttentionBackward(
    dy: T,
    q: T,
    k: T,
    v: T,
    y: T,
    lse: T,
    options?: AttentionOptions<T>,
  ): Outputs<{ dq: T; dk: T; dv: T }>;
}

const floats = ['f32', 'f64'] as const;
const qkv = [
  { name: 'q', dtypes: floats, shape: '[B, T, E]', about: 'the queries, heads side by side' },
  { name: 'k', dtypes: floats, shape: '[B, S, E]', about: 'the keys' },
  { name: 'v', dtypes: floats, shape: '[B, S, E]', about: 'the values' },
] as const;
const mask = {
  name: 'mask',
  dtypes: ['u32'],
  shape: '[B, S]',
  about: '0 = nobody sees this key',
  optional: true,
} as const;
const options: Contract['options'] = [
  { name: 'heads', type: 'integer', default: 1, about: 'parts of equal size that the features are cut into' },
  {
    name: 'causal',
    type: 'boolean',
    default: false,
    about: 'query t sees keys up to t + S - T; needs S >= T',
  },
  { name: 'scale', type: 'number', about: 'factor of the products; absent: 1 / sqrt(E / heads)' },
];
const edge =
  'a query that sees no key gives zeros, with lse -Infinity and no gradient; q, k and v are finite, and the scores below 1e37';
const source =
  'Vaswani et al. (2017); Dao et al., FlashAttention (2022); Milakov and Gimelshein, Online normalizer calculation for softmax (2018)';

export const multiHeadAttentionContract: Contract = {
  name: 'multiHeadAttention',
  summary: 'Attention by softmax over the keys, head by head, without the matrix of scores.',
  formula:
    's[j] = scale q . k[j]; y = sum over seen j of exp(s[j] - lse) v[j], lse = log sum over seen j of exp(s[j])',
  params: ['q', 'k', 'v'],
  inputs: [...qkv, mask],
  options,
  outputs: [
    { name: 'y', dtypes: floats, shape: 'q', about: 'the mean of the values by weight' },
    { name: 'lse', dtypes: floats, shape: '[B, T, heads]', about: 'log of the sum of exp of the scores' },
  ],
  accuracy:
    'sum p |v| times the error of a weight: that of its score, of exp at its distance to the maximum, and gamma_S (src/core/bounds/multiHeadAttention.ts)',
  edge,
  source,
};

export const multiHeadAttentionBackwardContract: Contract = {
  name: 'multiHeadAttentionBackward',
  summary: 'Gradient of multiHeadAttention.',
  formula: 'p = exp(s - lse), ds = p (dy . v - dy . y) scale; dq = sum ds k, dk = sum ds q, dv = sum p dy',
  params: ['dy', 'q', 'k', 'v', 'y', 'lse'],
  inputs: [
    { name: 'dy', dtypes: floats, shape: '[B, T, E]', about: 'the gradient of y' },
    ...qkv,
    { name: 'y', dtypes: floats, shape: 'q', about: 'the result of the forward call' },
    { name: 'lse', dtypes: floats, shape: '[B, T, heads]', about: 'of the forward call' },
    mask,
  ],
  options,
  outputs: [
    { name: 'dq', dtypes: floats, shape: 'q', about: 'the gradient of the queries' },
    { name: 'dk', dtypes: floats, shape: 'k', about: 'the gradient of the keys' },
    { name: 'dv', dtypes: floats, shape: 'v', about: 'the gradient of the values' },
  ],
  accuracy: 'the errors of p and ds carried through the sums (src/core/bounds/multiHeadAttention.ts)',
  edge,
  source,
};

/** Sizes of a call. */
export interface AttentionPlan {
  readonly items: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  /** Features of all heads, and of one. */
  readonly width: number;
  readonly dim: number;
  readonly scale: number;
  readonly causal: boolean;
}

/** Check a multiHeadAttention call. @throws ShapeError, DTypeError, ArgumentError */
export function planMultiHeadAttention<T extends AnyTensor>(
  q: T,
  k: T,
  v: T,
  options: AttentionOptions<T> = {},
): AttentionPlan {
  return plan('multiHeadAttention', q, k, v, options);
}

/** Check a multiHeadAttentionBackward call. @throws ShapeError, DTypeError, ArgumentError */
export function planMultiHeadAttentionBackward<T extends AnyTensor>(
  dy: T,
  q: T,
  k: T,
  v: T,
  y: T,
  lse: T,
  options: AttentionOptions<T> = {},
): AttentionPlan {
  const op = 'multiHeadAttentionBackward';
  const sizes = plan(op, q, k, v, options);
  for (const [name, t, shape] of [
    ['dy', dy, q.shape],
    ['y', y, q.shape],
    ['lse', lse, [sizes.items, sizes.queries, sizes.heads]],
  ] as const) {
    requireDType(op, name, t, [q.dtype]);
    requireShape(op, name, t, shape);
  }
  return sizes;
}

function plan<T extends AnyTensor>(
  op: string,
  q: T,
  k: T,
  v: T,
  { heads = 1, causal = false, scale, mask }: AttentionOptions<T>,
): AttentionPlan {
  requireDType(op, 'q', q, floats);
  if (q.shape.length !== 3) throw new ShapeError(op, `q has shape ${show(q.shape)}; it must be [B, T, E]`);
  const [items, queries, width] = q.shape as readonly [number, number, number];
  requireInteger(op, 'heads', heads, 1, 65536);
  if (width % heads !== 0 || width === 0) {
    throw new ShapeError(op, `q has ${width} features, which ${heads} heads cannot share equally`);
  }
  requireDType(op, 'k', k, [q.dtype]);
  const keys = k.shape[1] ?? -1;
  if (k.shape.length !== 3 || k.shape[0] !== items || k.shape[2] !== width) {
    throw new ShapeError(op, `k has shape ${show(k.shape)}; it must be [${items}, S, ${width}]`);
  }
  requireDType(op, 'v', v, [q.dtype]);
  requireShape(op, 'v', v, k.shape);
  if (mask !== undefined) {
    requireDType(op, 'mask', mask, ['u32']);
    requireShape(op, 'mask', mask, [items, keys]);
  }
  if (causal && keys < queries) {
    throw new ShapeError(
      op,
      `${queries} queries look back on ${keys} keys; causal attention needs as many keys at least`,
    );
  }
  const dim = width / heads;
  const factor = scale ?? 1 / Math.sqrt(dim);
  if (!Number.isFinite(factor)) throw new ArgumentError(op, `scale is ${scale}; it must be a finite number`);
  return { items, heads, queries, keys, width, dim, scale: factor, causal };
}
