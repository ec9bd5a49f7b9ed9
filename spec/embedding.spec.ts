import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Tensor, tensor, zeros } from '../src/core/tensor.ts';
import { embedding, embeddingBackward } from '../src/ref/embedding.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/embedding.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { anyFloat, exactFloat, size, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; one-hot times table gives the same; gradients; the kernels copy every bit, add in one order,
// leave the padding row alone and mark ids that are outside; wrong kernels are rejected; bad ids are named.

describeVectors('embedding');

describe('the reference', () => {
  test('the gradient agrees with central differences', () => {
    const ids = tensor([2, 3], [0, 4, 4, 1, 0, 4], 'i32');
    expectGradient(
      [tensor([5, 3], noiseArray(15, 1))],
      ([table]) => [embedding(table!, ids)],
      ([table], [dy]) => [embeddingBackward(dy!, table!, ids)],
    );
  });

  test('the padding row learns nothing', () => {
    const ids = tensor([4], [1, 1, 2, 1], 'i32');
    const dy = tensor([4, 2], new Float32Array(8).fill(1));
    const d = embeddingBackward(dy, zeros([3, 2]), ids, { paddingIndex: 1 });
    expect([...d.data]).toEqual([0, 0, 0, 0, 1, 1]);
  });

  test.each([
    [
      () => embedding(zeros([3, 2]), tensor([2], [1, 3], 'i32')),
      'embedding: id 3 at element 1 is outside of [0, 3)',
    ],
    [() => embedding(zeros([3, 2]), tensor([1], [-1], 'i32')), 'id -1 at element 0'],
    [() => embedding(zeros([6]), tensor([1], [0], 'i32')), 'table has shape [6]; it must be [V, D]'],
    [() => embedding(zeros([3, 2]), tensor([1], [0])), 'ids has dtype f32; it takes i32 or u32'],
    [() => embedding(zeros([3, 2]), tensor([1], [0], 'i32'), { paddingIndex: 3 }), 'paddingIndex is 3'],
    [
      () => embeddingBackward(zeros([1, 3]), zeros([3, 2]), tensor([1], [0], 'i32')),
      'dy has shape [1, 3]; it must be [1, 2]',
    ],
  ])('%s', (run: () => Tensor, message) => {
    expect(run).toThrow(message);
  });
});

const call = (element: fc.Arbitrary<number>) =>
  fc
    .tuple(fc.integer({ min: 1, max: 40 }), size(70, [4, 16, 64]), size(90, [16, 64]), fc.boolean())
    .chain(([rows, width, count, padded]) =>
      fc.record({
        table: tensorOf(element, fc.constant([rows, width])),
        ids: tensorOf(fc.nat(rows - 1), fc.constant([count]), 'i32'),
        dy: tensorOf(tameFloat, fc.constant([count, width])),
        options: fc.constant(padded ? { paddingIndex: rows - 1 } : {}),
      }),
    );

const wrong: readonly Mutant[] = [
  {
    name: 'ids outside read the last row',
    from: 'y[i] = NAN_BITS;',
    to: 'y[i] = tableBits[(params.rows - 1u) * params.width];',
  },
  { name: 'columns are mixed up', from: 'i % params.width];', to: '(i + 1u) % params.width];' },
  { name: 'the last row is outside', from: 'id < params.rows', to: 'id + 1u < params.rows' },
];
const wrongSums: readonly Mutant[] = [
  {
    name: 'the last token is left out',
    from: 'j < scatterParams.count',
    to: 'j + 1u < scatterParams.count',
    all: true,
  },
  { name: 'the first token of a row alone counts', from: 'sum += added', to: 'sum = added', all: true },
  { name: 'the padding row learns', from: '|| id == scatterParams.skip', to: '' },
];

describeDevice('the kernel', (gpu) => {
  test('copies every bit', async () => {
    await fc.assert(
      fc.asyncProperty(call(anyFloat), ({ table, ids, options }) =>
        expectTwins(gpu(), 'embedding', { table, ids }, options),
      ),
      { numRuns: 40 },
    );
  });

  test('has the gradient of the reference, exactly on integers', async () => {
    await fc.assert(
      fc.asyncProperty(call(exactFloat), ({ table, ids, dy, options }) =>
        expectTwins(gpu(), 'embeddingBackward', { dy, table, ids }, options),
      ),
      { numRuns: 40 },
    );
  });

  test('an id outside of the table cannot pass unnoticed', async () => {
    const table = tensor([3, 2], [1, 2, 3, 4, 5, 6]);
    const { y } = await runGpu(gpu(), 'embedding', { table, ids: tensor([3], [2, 3, -1], 'i32') });
    expect([...y!.data]).toEqual([5, 6, Number.NaN, Number.NaN, Number.NaN, Number.NaN]);
    const dy = tensor([3, 2], [1, 1, 1, 1, 1, 1]);
    const { dTable } = await runGpu(gpu(), 'embeddingBackward', {
      dy,
      table,
      ids: tensor([3], [2, 3, -1], 'i32'),
    });
    expect([...dTable!.data]).toEqual([0, 0, 0, 0, 1, 1]);
  });

  test('gives the same bits twice', async () => {
    for (const c of cases.slice(0, 2)) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('wrong kernels are rejected', async () => {
    const [, many] = cases;
    const table = tensor([9, 5], noiseArray(45, 1));
    await expectKills(gpu(), 'lib/scatterRows.wgsl', wrongSums, {
      'a batch with repeats': () => compareTwins(gpu(), many!.op, many!.inputs(), many!.options),
      'the last token counts': () =>
        compareTwins(gpu(), 'embeddingBackward', {
          dy: tensor([2, 5], noiseArray(10, 2)),
          table,
          ids: tensor([2], [3, 8], 'i32'),
        }),
      'the padding row': () =>
        compareTwins(
          gpu(),
          'embeddingBackward',
          { dy: tensor([2, 5], noiseArray(10, 2)), table, ids: tensor([2], [3, 8], 'i32') },
          { paddingIndex: 8 },
        ),
    });
    await expectKills(gpu(), 'embedding.wgsl', wrong, {
      rows: () => compareTwins(gpu(), 'embedding', { table, ids: tensor([3], [0, 8, 4], 'i32') }),
      'an id outside': async () => {
        const { y } = await runGpu(gpu(), 'embedding', { table, ids: tensor([1], [9], 'i32') });
        const { pass, failure } = await import('../src/core/bounds.ts');
        return y!.data.every(Number.isNaN) ? pass() : failure('a row that is not there was read');
      },
    });
  });
});
