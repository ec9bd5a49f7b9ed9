import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { matmul } from '../src/ref/matmul.ts';
import { multiHeadAttention, multiHeadAttentionBackward } from '../src/ref/multiHeadAttention.ts';
import { softmax } from '../src/ref/softmax.ts';
import { noiseArray } from '../src/verify/case.ts';
import {
  attentionGradientInputs,
  attentionInputs,
  cases,
  prefixMask,
} from '../src/verify/multiHeadAttention.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; the reference equals matmul, softmax, matmul; laws (order of keys, heads apart, shift of a score,
// masked = absent, causal rows see only the past); gradients by differences; both families within the bound on sizes
// around their blocks, the same bits twice; wrong kernels of each entry point are rejected; bad calls are refused.

describeVectors('multiHeadAttention');

const random = (shape: readonly number[], seed: number): Tensor =>
  tensor(
    shape,
    noiseArray(
      shape.reduce((n, s) => n * s, 1),
      seed,
    ),
  );
const wide = (t: Tensor): Tensor => tensor(t.shape, Float64Array.from(t.data));
const closeTo = (got: Tensor, want: Tensor, digits = 12): void => {
  expect(got.shape).toEqual(want.shape);
  for (let i = 0; i < want.size; i++) expect(got.data[i]).toBeCloseTo(want.data[i]!, digits);
};

describe('the reference', () => {
  test('is matmul, softmax, matmul', () => {
    const [q, k, v] = [wide(random([2, 4, 6], 1)), wide(random([2, 5, 6], 2)), wide(random([2, 5, 6], 3))];
    const s = matmul(q, k, { transposeB: true });
    const scaled = tensor(
      s.shape,
      Float64Array.from(s.data, (x) => x / Math.sqrt(6)),
    );
    closeTo(multiHeadAttention(q, k, v).y, matmul(softmax(scaled), v));
  });

  test('does not see what is masked, the order of keys, or other heads', () => {
    const [q, k, v] = [wide(random([1, 3, 4], 4)), wide(random([1, 4, 4], 5)), wide(random([1, 4, 4], 6))];
    const rows = (t: Tensor, order: readonly number[]): Tensor =>
      tensor(
        [1, order.length, 4],
        Float64Array.from(order.flatMap((r) => [...t.data.slice(4 * r, 4 * r + 4)])),
      );
    const mask = tensor([1, 4], Uint32Array.of(1, 0, 1, 1));
    const want = multiHeadAttention(q, rows(k, [3, 0, 2]), rows(v, [3, 0, 2]), { heads: 2 });
    closeTo(multiHeadAttention(q, k, v, { heads: 2, mask }).y, want.y);
    const half = (t: Tensor): Tensor =>
      tensor(
        [1, t.shape[1]!, 2],
        Float64Array.from({ length: t.size / 2 }, (_, i) => t.data[2 * i - (i % 2)]!),
      );
    const alone = multiHeadAttention(half(q), half(k), half(v)).y;
    closeTo(half(multiHeadAttention(q, k, v, { heads: 2 }).y), alone);
  });

  test('a query that sees nothing gives zeros and has no gradient', () => {
    const { q, k, v } = attentionInputs(2, 3, 4, 4);
    const mask = tensor([2, 4], Uint32Array.of(0, 0, 0, 0, 1, 1, 0, 1));
    const { y, lse } = multiHeadAttention(q, k, v, { mask });
    expect([...y.data.slice(0, 12)]).toEqual(new Array(12).fill(0));
    expect([...lse.data.slice(0, 3)]).toEqual([-Infinity, -Infinity, -Infinity]);
    const { dq, dv } = multiHeadAttentionBackward(random(q.shape, 7), q, k, v, y, lse, { mask });
    for (const d of [dq, dv]) expect([...d.data.slice(0, 12)]).toEqual(new Array(12).fill(0));
    expect(dq.data.slice(12).some((x) => x !== 0)).toBe(true);
  });

  test('causal: what comes later changes nothing before', () => {
    const { q, k, v } = attentionInputs(1, 4, 6, 4);
    const before = multiHeadAttention(q, k, v, { causal: true }).y.data;
    const later = tensor(
      v.shape,
      Float32Array.from(v.data, (x, i) => (i >= 4 * 4 ? 99 : x)),
    );
    const after = multiHeadAttention(q, k, later, { causal: true }).y.data;
    expect([...after.slice(0, 8)]).toEqual([...before.slice(0, 8)]);
    expect([...after.slice(8)]).not.toEqual([...before.slice(8)]);
  });

  test('the gradients agree with central differences', () => {
    for (const [queries, keys, options] of [
      [3, 3, {}],
      [2, 5, { heads: 2, causal: true }],
      [3, 4, { heads: 2, scale: 0.7, mask: tensor([2, 4], Uint32Array.of(1, 0, 1, 1, 0, 0, 0, 1)) }],
    ] as const) {
      const { q, k, v } = attentionInputs(2, queries, keys, 4);
      expectGradient(
        [q, k, v],
        ([a, b, c]) => [multiHeadAttention(a!, b!, c!, options).y],
        ([a, b, c], [dy]) => {
          const { y, lse } = multiHeadAttention(a!, b!, c!, options);
          return Object.values(multiHeadAttentionBackward(dy!, a!, b!, c!, y, lse, options));
        },
      );
    }
  });
});

describe('bad calls are refused before any work', () => {
  const q = random([1, 3, 4], 1);
  const k = random([1, 2, 4], 2);
  test.each([
    [() => multiHeadAttention(q, k, k, { heads: 3 }), 'q has 4 features, which 3 heads cannot share equally'],
    [() => multiHeadAttention(q, k, k, { heads: 0 }), 'heads is 0; it must be an integer from 1'],
    [() => multiHeadAttention(q, k, k, { causal: true }), '3 queries look back on 2 keys'],
    [() => multiHeadAttention(q, k, q), 'v has shape [1, 3, 4]; it must be [1, 2, 4]'],
    [() => multiHeadAttention(q, random([2, 2, 4], 1), k), 'k has shape [2, 2, 4]; it must be [1, S, 4]'],
    [() => multiHeadAttention(random([3, 4], 1), k, k), 'q has shape [3, 4]; it must be [B, T, E]'],
    [() => multiHeadAttention(q, k, k, { scale: Number.NaN }), 'scale is NaN; it must be a finite number'],
    [() => multiHeadAttention(q, k, k, { mask: q }), 'mask has dtype f32; it takes u32'],
    [() => multiHeadAttentionBackward(k, q, k, k, q, q), 'dy has shape [1, 2, 4]; it must be [1, 3, 4]'],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const common: readonly Mutant[] = [
  {
    name: 'what is masked is seen',
    from: 'mask[item * params.keys + min(j, params.keys - 1u)] != 0u',
    to: 'true',
  },
  {
    name: 'a query sees the next key',
    from: 'j <= t + params.keys - params.queries;',
    to: 'j <= t + 1u + params.keys - params.queries;',
  },
  { name: 'the scale is left out', from: 's *= params.scale;', to: '' },
  { name: 'the sum is not scaled down', from: 'sum = sum * shrink + (dot(p', to: 'sum = sum + (dot(p' },
  {
    name: 'the values are not scaled down',
    from: 'before = y[origin + d] * shrink;',
    to: 'before = y[origin + d];',
  },
  {
    name: 'keys beyond the end count',
    from: 'var seen = j < params.keys && t < params.queries;',
    to: 'var seen = true;',
  },
  {
    name: 'the second four are left out',
    from: 'dot(p, v4(a, d)) + dot(r, v4(b, d))',
    to: 'dot(p, v4(a, d))',
  },
];
const commonBackward: readonly Mutant[] = [
  { name: 'dy . y is not taken off', from: 'p * (t - mean) * params.scale', to: 'p * t * params.scale' },
  {
    name: 'dy . y is not taken off for the keys',
    from: 'p * (t - means) * params.scale',
    to: 'p * t * params.scale',
  },
  { name: 'lse is left out', from: 'select(bits, 0u, bits == NEG_INF_BITS)', to: '0u' },
  { name: 'queries of before are left out', from: 'return first - shift;', to: 'return first + 9u;' },
  { name: 'the values take ds', from: 'dv[origin + d] += dot(p,', to: 'dv[origin + d] += dot(ds,' },
  { name: 'the last keys are left out', from: 'j < last; j += 4u', to: 'j + 4u < last; j += 4u' },
];
const tiles: readonly Mutant[] = [
  {
    name: 'a row has the maximum of one invocation',
    from: 'let at = r * 8u + n;',
    to: 'let at = r * 8u + c;',
  },
  { name: 'the tile is not scaled down', from: 'total[m] *= shrink;', to: '' },
  {
    name: 'a slice reads the features of the first',
    from: 'min(slice + c + 8u * m, params.dim - 1u)',
    to: 'min(c + 8u * m, params.dim - 1u)',
  },
];
const tilesBackward: readonly Mutant[] = [
  {
    name: 'dy . y is not taken off',
    from: 'p * (g - stats[place + 1u]) * params.scale',
    to: 'p * g * params.scale',
  },
  {
    name: 'the tile is not turned round',
    from: 'other[(c + 8u * n) * 33u + r + 8u * i] = pair.ds[n];',
    to: 'other[(r + 8u * i) * 33u + c + 8u * n] = pair.ds[n];',
  },
  { name: 'the values take ds', from: 'totalV[m] += p * dy[d];', to: 'totalV[m] += ds * dy[d];' },
];

describeDevice('the kernel', (gpu, family) => {
  const both = async (inputs: Record<string, Tensor>, options: Record<string, unknown>): Promise<void> => {
    await expectTwins(gpu(), 'multiHeadAttention', inputs, options);
    await expectTwins(gpu(), 'multiHeadAttentionBackward', attentionGradientInputs(inputs, options), options);
  };

  test('agrees with the reference around the edges of its blocks', async () => {
    const edge = fc.constantFrom(0, 1, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40);
    const call = fc.record({
      items: fc.constantFrom(1, 2),
      keys: edge,
      queries: edge,
      dim: fc.constantFrom(1, 3, 8, 13),
      heads: fc.constantFrom(1, 2, 3),
      causal: fc.boolean(),
      masked: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(call, async ({ items, keys, queries, dim, heads, causal, masked }) => {
        const inputs = attentionInputs(items, causal ? Math.min(queries, keys) : queries, keys, dim * heads);
        const mask = masked ? { mask: prefixMask(items, keys) } : {};
        await both({ ...inputs, ...mask }, { heads, causal });
      }),
      { numRuns: family === 'gpu' ? 6 : 16 },
    );
  });

  test('wide heads, long rows and far scores', async () => {
    await both(attentionInputs(1, 33, 70, 72), { causal: true });
    if (family === 'gpu') return;
    // Scores up to +-40: most weights vanish, and the largest one rises several times.
    const { q, k, v } = attentionInputs(1, 20, 90, 16);
    await both({ q, k, v }, { scale: 5 });
  });

  test('gives the same bits twice', async () => {
    for (const c of cases.filter((c) => c.bytes === undefined))
      await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('wrong kernels are rejected', async () => {
    const large = family === 'gpu';
    const [queries, keys] = large ? [20, 70] : [14, 22];
    const causal = { heads: 2, causal: true, scale: 1.5 };
    const inputs = attentionInputs(3, queries, keys, 2 * 9);
    const masked = { ...inputs, mask: prefixMask(3, keys) };
    const sliced = attentionInputs(1, 18, 33, 34);
    const kills = (mutants: readonly Mutant[], backward: boolean) => {
      const compare = (given: Record<string, Tensor>, options: Record<string, unknown>) => () =>
        backward
          ? compareTwins(
              gpu(),
              'multiHeadAttentionBackward',
              attentionGradientInputs(given, options),
              options,
            )
          : compareTwins(gpu(), 'multiHeadAttention', given, options);
      return expectKills(gpu(), 'multiHeadAttention.wgsl', mutants, {
        causal: compare(inputs, causal),
        plain: compare(inputs, { heads: 2 }),
        masked: compare(masked, { heads: 2 }),
        ...(large ? { sliced: compare(sliced, {}) } : {}),
      });
    };
    await kills(large ? tiles : common, false);
    await kills(large ? tilesBackward : commonBackward, true);
  });
});
