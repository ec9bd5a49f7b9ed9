import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tensor, zeros } from '../src/core/tensor.ts';
import { matmul } from '../src/ref/matmul.ts';
import { subVocabHead, subVocabHeadBackward } from '../src/ref/subVocabHead.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases, oddInputs, subVocabInputs } from '../src/verify/subVocabHead.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size, tameFloat, tensorOf, wideFloat } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; all words in order give the product with the whole table; gradients; the kernels within their
// bounds over sizes and chunks; a word that is not there is NaN; wrong kernels are rejected.

describeVectors('subVocabHead');

const ids = (shape: number[], ...values: number[]) => tensor(shape, values, 'i32');

describe('the reference', () => {
  test('all words in order give the product with the whole table', () => {
    const { x, table } = subVocabInputs(1, 3, 4, 1, 9, 1);
    const words = tensor(
      [1, 9],
      Int32Array.from({ length: 9 }, (_, i) => i),
    );
    expect(subVocabHead(x, table, words).data).toEqual(matmul(x, table, { transposeB: true }).data);
  });

  test('the gradients agree with central differences', () => {
    const words = ids([2, 3], 4, 0, 1, 1, 3, 4);
    expectGradient(
      [tensor([2, 2, 3], noiseArray(12, 1)), tensor([5, 3], noiseArray(15, 2))],
      ([x, table]) => [subVocabHead(x!, table!, words)],
      ([x, table], [dy]) => Object.values(subVocabHeadBackward(dy!, x!, table!, words)),
    );
  });

  test.each([
    [
      () => subVocabHead(zeros([3]), zeros([4, 3]), ids([2], 0, 1)),
      'subVocabHead: x has shape [3]; it must be [..., T, D]',
    ],
    [
      () => subVocabHead(zeros([2, 3]), zeros([4, 2]), ids([2], 0, 1)),
      'table has shape [4, 2]; it must be [N, 3]',
    ],
    [
      () => subVocabHead(zeros([2, 3]), zeros([4, 3]), ids([1, 2], 0, 1)),
      'words has shape [1, 2]; it must be [k]',
    ],
    [
      () => subVocabHead(zeros([2, 3]), zeros([4, 3]), ids([2], 0, 4)),
      'words has 4 at element 1; there are 4 rows',
    ],
    [
      () => subVocabHead(zeros([2, 3]), zeros([4, 3]), ids([1], 0), { chunk: 32 }),
      'chunk is 32; it must be a multiple of 64',
    ],
    [
      () => subVocabHeadBackward(zeros([2, 2]), zeros([2, 3]), zeros([4, 3]), ids([1], 0)),
      'dLogits has shape [2, 2]; it must be [2, 1]',
    ],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const call = fc
  .tuple(
    fc.integer({ min: 1, max: 3 }),
    size(20, [4, 16]),
    size(40, [4, 16]),
    size(200, [64, 128]),
    fc.integer({ min: 1, max: 300 }),
    fc.constantFrom(tameFloat, wideFloat),
  )
  .chain(([rows, tokens, width, k, n, element]) =>
    fc.record({
      x: tensorOf(element, fc.constant([rows, tokens, width])),
      table: tensorOf(element, fc.constant([n, width])),
      words: tensorOf(fc.integer({ min: -1, max: n - 1 }), fc.constant([rows, k]), 'i32'),
      dLogits: tensorOf(element, fc.constant([rows, tokens, k])),
    }),
  );

const wrong: readonly Mutant[] = [
  { name: 'no word has a logit', from: 'select(chunk[i], NEGATIVE_INFINITY, word == NONE)', to: 'chunk[i]' },
  {
    name: 'the first chunk is overwritten',
    from: 'logits[token * params.k + params.first + column]',
    to: 'logits[token * params.k + column]',
  },
  {
    name: 'all rows have the words of the first',
    from: 'words[token / params.tokens * params.columns + column]',
    to: 'words[column]',
    all: true,
  },
  { name: 'no word has a gradient', from: 'column], 0u, word == NONE)', to: 'column], 0u, false)' },
  {
    name: 'each chunk has the gradient of the first',
    from: 'dLogits[token * params.k + params.first + column]',
    to: 'dLogits[token * params.k + column]',
  },
];
const wrongColumns: readonly Mutant[] = [
  { name: 'each chunk has the words of the first', from: 'columnParams.first + i', to: 'i' },
  { name: 'all rows have the words of the first', from: 'row * columnParams.k +', to: '' },
  { name: 'the last word is left out', from: 'if (i >= columnParams', to: 'if (i + 1u >= columnParams' },
];

describeDevice('the kernel', (gpu) => {
  test('stays within its bounds over sizes and chunks, forward and backward', async () => {
    await fc.assert(
      fc.asyncProperty(
        call,
        fc.constantFrom({}, { chunk: 64 }),
        async ({ x, table, words, dLogits }, options) => {
          await expectTwins(gpu(), 'subVocabHead', { x, table, words }, options);
          await expectTwins(gpu(), 'subVocabHeadBackward', { dLogits, x, table, words }, options);
        },
      ),
      { numRuns: 12 },
    );
  });

  test('passes the odd cases of verify, and gives the same bits twice', async () => {
    for (const c of cases.slice(2)) await expectTwins(gpu(), c.op, c.inputs(), c.options);
    const [, , , backward] = cases;
    await expectSameBits(gpu(), backward!.op, backward!.inputs(), backward!.options);
  });

  test('a word that is not there cannot pass unnoticed', async () => {
    const { x, table } = subVocabInputs(1, 2, 3, 1, 5, 1);
    const { logits } = await runGpu(gpu(), 'subVocabHead', { x, table, words: ids([1, 3], 4, 5, -2) });
    expect([...logits!.data].map(Number.isNaN)).toEqual([false, true, true, false, true, true]);
  });

  test('wrong kernels are rejected', async () => {
    const checks = {
      forward: () => compareTwins(gpu(), 'subVocabHead', oddInputs(), { chunk: 64 }),
      backward: () => compareTwins(gpu(), cases[3]!.op, cases[3]!.inputs(), cases[3]!.options),
    };
    await expectKills(gpu(), 'lib/subVocab.wgsl', wrongColumns, checks);
    const infinite = {
      x: tensor([1, 1], [2]),
      table: tensor([1, 1], [1]),
      words: ids([2], 0, -1),
      dLogits: tensor([1, 2], [1, Infinity]),
    };
    await expectKills(gpu(), 'subVocabHead.wgsl', wrong, {
      ...checks,
      'an infinite gradient of no word': () => compareTwins(gpu(), 'subVocabHeadBackward', infinite),
    });
  });
});
