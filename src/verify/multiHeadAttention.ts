import { type Tensor, tensor } from '../core/tensor.ts';
import { multiHeadAttention } from '../ref/multiHeadAttention.ts';
import { type Case, noiseArray } from './case.ts';

function random(shape: readonly number[], seed: number, scale = 1.5): Tensor {
  const size = shape.reduce((n, s) => n * s, 1);
  return tensor(
    shape,
    noiseArray(size, seed).map((v) => scale * v),
  );
}

/** q, k, v of [items, queries, width] and as many keys. */
export function attentionInputs(
  items: number,
  queries: number,
  keys: number,
  width: number,
): Record<'q' | 'k' | 'v', Tensor> {
  return {
    q: random([items, queries, width], 1),
    k: random([items, keys, width], 2),
    v: random([items, keys, width], 3),
  };
}

/** Keys of which each item sees a beginning of another length, the first item none. */
export function prefixMask(items: number, keys: number): Tensor {
  return tensor(
    [items, keys],
    Uint32Array.from({ length: items * keys }, (_, i) =>
      Number(i % keys < Math.floor(i / keys) % (keys + 1)),
    ),
  );
}

/** The same with what the backward needs besides. */
export function attentionGradientInputs(
  inputs: Readonly<Record<string, Tensor>>,
  options: Readonly<Record<string, unknown>>,
): Record<string, Tensor> {
  const { q, k, v, mask } = inputs;
  const made = multiHeadAttention(q!, k!, v!, { ...options, ...(mask === undefined ? {} : { mask }) });
  return { ...inputs, dy: random(q!.shape, 4, 1), y: made.y, lse: made.lse };
}

const pieces = () => ({ ...attentionInputs(64, 7, 7, 64), mask: prefixMask(64, 7) });
const long = () => attentionInputs(1, 130, 130, 96);
const wide = () => attentionInputs(2, 20, 33, 80);

export const cases: readonly Case[] = [
  {
    op: 'multiHeadAttention',
    label: 'the pieces of tokens, masked',
    shape: '[64, 7, 64], 4 heads',
    inputs: pieces,
    options: { heads: 4 },
    bytes: 4 * 64 * 7 * 64 * 4,
    flops: 4 * 64 * 7 * 7 * 64,
  },
  {
    op: 'multiHeadAttention',
    label: 'causal',
    shape: '[1, 130, 96], 2 heads',
    inputs: long,
    options: { heads: 2, causal: true },
    bytes: 4 * 130 * 96 * 4,
    flops: 2 * 130 * 131 * 96,
  },
  {
    op: 'multiHeadAttention',
    label: 'more keys than queries, 80 features',
    shape: '[2, 20, 80], 33 keys',
    inputs: wide,
    options: { causal: true, scale: 0.3 },
  },
  {
    op: 'multiHeadAttentionBackward',
    label: 'the pieces of tokens, masked',
    shape: '[64, 7, 64], 4 heads',
    inputs: () => attentionGradientInputs(pieces(), { heads: 4 }),
    options: { heads: 4 },
    bytes: 8 * 64 * 7 * 64 * 4,
    flops: 10 * 64 * 7 * 7 * 64,
  },
  {
    op: 'multiHeadAttentionBackward',
    label: 'causal',
    shape: '[1, 130, 96], 2 heads',
    inputs: () => attentionGradientInputs(long(), { heads: 2, causal: true }),
    options: { heads: 2, causal: true },
    bytes: 8 * 130 * 96 * 4,
    flops: 5 * 130 * 131 * 96,
  },
  {
    op: 'multiHeadAttentionBackward',
    label: 'more keys than queries, 80 features',
    shape: '[2, 20, 80], 33 keys',
    inputs: () => attentionGradientInputs(wide(), { causal: true, scale: 0.3 }),
    options: { causal: true, scale: 0.3 },
  },
];
