import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Tensor, tensor, zeros } from '../src/core/tensor.ts';
import { scoreInt8 } from '../src/ref/scoreInt8.ts';
import { cases, packedBytes } from '../src/verify/scoreInt8.ts';
import { describeDevice } from './support/device.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size, wideFloat } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; with scales of 1 the scores are integers, and equal exactly; linear in the scales; the kernels
// agree; wrong kernels are rejected; bad calls are refused.

describeVectors('scoreInt8');

const call = fc
  .record({
    queries: fc.integer({ min: 0, max: 9 }),
    n: size(70, [16, 64]),
    words: fc.constantFrom(0, 1, 3, 16, 17, 256),
    seed: fc.nat(1000),
    least: fc.boolean(),
    scale: fc.constantFrom(1, 0.5, -2),
  })
  .map(({ queries, n, words, seed, least, scale }) => {
    const bytes = (count: number, s: number): Uint32Array =>
      least ? new Uint32Array(count).fill(0x80808080) : packedBytes(count, s);
    return {
      queries: tensor([queries, words], bytes(queries * words, seed)),
      queryScales: tensor([queries], new Float32Array(queries).fill(scale)),
      codes: tensor([n, words], bytes(n * words, seed + 1)),
      scales: tensor([n], new Float32Array(n).fill(1)),
    };
  });

describe('the reference', () => {
  test('sums in integers', () => {
    fc.assert(
      fc.property(call, ({ queries, queryScales, codes, scales }) => {
        const scores = scoreInt8(queries, queryScales, codes, scales);
        const view = (t: typeof queries) => new DataView(Uint32Array.from(t.data).buffer);
        const [asked, rows] = [view(queries), view(codes)];
        const [count = 0, words = 0] = queries.shape;
        const [n = 0] = codes.shape;
        for (let q = 0; q < count; q++) {
          for (let i = 0; i < Math.min(n, 5); i++) {
            let sum = 0;
            for (let j = 0; j < 4 * words; j++)
              sum += asked.getInt8(q * 4 * words + j) * rows.getInt8(i * 4 * words + j);
            expect(scores.data[q * n + i]! + 0).toBe(sum * queryScales.data[q]! + 0);
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  test.each([
    [
      () => scoreInt8(zeros([2], 'u32'), zeros([2]), zeros([3, 1], 'u32'), zeros([3])),
      'queries has shape [2]',
    ],
    [
      () => scoreInt8(zeros([2, 1], 'u32'), zeros([2]), zeros([3, 2], 'u32'), zeros([3])),
      'codes has shape [3, 2]',
    ],
    [() => scoreInt8(zeros([2, 1], 'i32'), zeros([2]), zeros([3, 1], 'u32'), zeros([3])), 'it takes u32'],
    [
      () => scoreInt8(zeros([2, 257], 'u32'), zeros([2]), zeros([3, 257], 'u32'), zeros([3])),
      'a row has 257 words; at most 256',
    ],
    [() => scoreInt8(zeros([2, 1], 'u32'), zeros([1]), zeros([3, 1], 'u32'), zeros([3])), 'queryScales'],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const signs: Mutant = {
  name: 'bytes have no sign',
  from: 'bits >> vec4u(24u)',
  to: '(bits >> vec4u(24u)) & vec4i(255)',
};
const wrong: Record<'cpu-vulkan' | 'gpu', readonly Mutant[]> = {
  'cpu-vulkan': [
    signs,
    { name: 'the highest byte comes twice', from: 'word << 24u, word << 16u', to: 'word, word << 16u' },
    {
      name: 'all queries are the last',
      from: 'vec4u(first, min(first + 1u, last)',
      to: 'vec4u(last, min(first + 1u, last)',
    },
    { name: 'the last word is left out', from: 'w < params.words; w++', to: 'w + 1u < params.words; w++' },
    { name: 'the scale of a query is that of the first', from: 'queryScales[query]', to: 'queryScales[0]' },
  ],
  gpu: [
    signs,
    { name: 'the third byte is missing', from: 'products.z +', to: '' },
    {
      name: 'queries are those of the first group',
      from: 'let query = first + at / params.words;',
      to: 'let query = at / params.words;',
    },
    {
      name: 'the third query is the second',
      from: 'shared_words[2u * params.words',
      to: 'shared_words[params.words',
    },
    { name: 'the scale of a row is that of the first', from: 'scales[row]', to: 'scales[0]' },
  ],
};

describeDevice('the kernel', (gpu, family) => {
  test('agrees with the reference', async () => {
    const small = wideFloat.map((v) => (v === 0 ? 1 : v));
    await fc.assert(
      fc.asyncProperty(call, fc.tuple(small, small), fc.boolean(), (inputs, [ofRow, ofQuery], scaled) => {
        const filled = (t: Tensor, v: number): Tensor => tensor(t.shape, new Float32Array(t.size).fill(v));
        const { scales, queryScales } = inputs;
        const other = { scales: filled(scales, ofRow), queryScales: filled(queryScales, ofQuery) };
        return expectTwins(gpu(), 'scoreInt8', scaled ? { ...inputs, ...other } : inputs);
      }),
      { numRuns: 20 },
    );
    await expectTwins(gpu(), 'scoreInt8', cases[1]!.inputs());
    await expectSameBits(gpu(), 'scoreInt8', cases[1]!.inputs());
  });

  test('wrong kernels are rejected', async () => {
    await expectKills(gpu(), 'scoreInt8.wgsl', wrong[family], {
      'rests of tiles': () => compareTwins(gpu(), 'scoreInt8', cases[1]!.inputs()),
    });
  });
});
