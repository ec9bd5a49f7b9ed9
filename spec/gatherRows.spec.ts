import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { failure, pass } from '../src/core/bounds.ts';
import { type Tensor, tensor, zeros } from '../src/core/tensor.ts';
import { gatherRows, gatherRowsBackward } from '../src/ref/gatherRows.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/gatherRows.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { anyFloat, exactFloat, size, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; gradients; the kernels copy every bit, give zeros for -1, add in one order, mark ids that are
// outside and leave them out of sums; wrong kernels are rejected, those of the shared scatter too; bad ids are named.

describeVectors('gatherRows');

describe('the reference', () => {
  test('the gradient agrees with central differences', () => {
    const ids = tensor([2, 3], [0, 4, 4, -1, 0, 4], 'i32');
    expectGradient(
      [tensor([5, 3], noiseArray(15, 1))],
      ([table]) => [gatherRows(table!, ids)],
      ([table], [dy]) => [gatherRowsBackward(dy!, table!, ids)],
    );
  });

  test.each([
    [
      () => gatherRows(zeros([3, 2]), tensor([2], [1, 3], 'i32')),
      'gatherRows: ids has 3 at element 1; there are 3 rows, and -1 stands for none',
    ],
    [() => gatherRows(zeros([3, 2]), tensor([1], [-2], 'i32')), 'ids has -2 at element 0'],
    [() => gatherRows(zeros([]), tensor([1], [0], 'i32')), 'table is a scalar; it must be [..., D]'],
    [() => gatherRows(zeros([3, 2]), tensor([1], [0])), 'ids has dtype f32; it takes i32'],
    [
      () => gatherRowsBackward(zeros([1, 3]), zeros([3, 2]), tensor([1], [0], 'i32')),
      'gatherRowsBackward: dy has shape [1, 3]; it must be [1, 2]',
    ],
  ])('%s', (run: () => Tensor, message) => {
    expect(run).toThrow(message);
  });
});

const call = (element: fc.Arbitrary<number>) =>
  fc.tuple(size(40, [16]), size(70, [4, 16, 64]), size(300, [32, 64, 256])).chain(([rows, width, count]) =>
    fc.record({
      table: tensorOf(element, fc.constant([rows, width])),
      ids: tensorOf(fc.integer({ min: -1, max: rows - 1 }), fc.constant([count]), 'i32'),
      dy: tensorOf(exactFloat, fc.constant([count, width])),
    }),
  );

const wrongForward: readonly Mutant[] = [
  { name: 'none is NaN', from: 'select(NAN_BITS, 0u, id == NONE)', to: 'NAN_BITS', all: true },
  { name: 'ids outside give zeros', from: 'select(NAN_BITS, 0u, id == NONE)', to: '0u', all: true },
  { name: 'the last row is outside', from: 'id < params.rows', to: 'id + 1u < params.rows', all: true },
  { name: 'columns are mixed up', from: '+ i % params.width]', to: '+ (i + 1u) % params.width]', all: true },
];
const wrongScatter: readonly Mutant[] = [
  { name: 'the first of a run alone counts', from: 'sum += added', to: 'sum = added', all: true },
  {
    name: 'all of a run write',
    from: 'if (place > 0u && sortedKeys[place - 1u] == key) { return; }',
    to: '',
  },
  { name: 'the order is forgotten', from: 'added[cameFrom[j] *', to: 'added[j *' },
  { name: 'the last place is left out', from: 'j < scatterParams.count', to: 'j + 1u < scatterParams.count' },
  {
    name: 'ids outside add to the last row',
    from: 'select(id, scatterParams.rows,',
    to: 'select(id, scatterParams.rows - 1u,',
  },
];

describeDevice('the kernel', (gpu) => {
  test('copies every bit, and zeros for none', async () => {
    await fc.assert(
      fc.asyncProperty(call(anyFloat), ({ table, ids }) => expectTwins(gpu(), 'gatherRows', { table, ids })),
      { numRuns: 12 },
    );
  });

  test('has the gradient of the reference, exactly on integers', async () => {
    await fc.assert(
      fc.asyncProperty(call(tameFloat), ({ table, ids, dy }) =>
        expectTwins(gpu(), 'gatherRowsBackward', { dy, table, ids }),
      ),
      { numRuns: 8 },
    );
  });

  test('an id outside of the table cannot pass unnoticed', async () => {
    const table = tensor([3, 2], [1, 2, 3, 4, 5, 6]);
    const ids = tensor([4], [2, 3, -1, -2], 'i32');
    const { y } = await runGpu(gpu(), 'gatherRows', { table, ids });
    const no = Number.NaN;
    expect([...y!.data]).toEqual([5, 6, no, no, 0, 0, no, no]);
    const dy = tensor([4, 2], new Float32Array(8).fill(1));
    const { dTable } = await runGpu(gpu(), 'gatherRowsBackward', { dy, table, ids });
    expect([...dTable!.data]).toEqual([0, 0, 0, 0, 1, 1]);
  });

  test('passes the cases of verify, and gives the same bits twice', async () => {
    for (const c of cases) await expectTwins(gpu(), c.op, c.inputs(), c.options);
    await expectSameBits(gpu(), cases[2]!.op, cases[2]!.inputs());
  });

  test('wrong kernels are rejected', async () => {
    const table = tensor([9, 5], noiseArray(45, 1));
    const ids = tensor([4], [0, 8, -1, 4], 'i32');
    await expectKills(gpu(), 'gatherRows.wgsl', wrongForward, {
      rows: () => compareTwins(gpu(), 'gatherRows', { table, ids }),
      'an id outside': async () => {
        const { y } = await runGpu(gpu(), 'gatherRows', { table, ids: tensor([1], [9], 'i32') });
        return y!.data.every(Number.isNaN) ? pass() : failure('a row that is not there was read');
      },
    });
    await expectKills(gpu(), 'lib/scatterRows.wgsl', wrongScatter, {
      'few rows': () =>
        compareTwins(gpu(), 'gatherRowsBackward', { dy: tensor([4, 5], noiseArray(20, 2)), table, ids }),
      'the last place counts': () =>
        compareTwins(gpu(), 'gatherRowsBackward', {
          dy: tensor([2, 5], noiseArray(10, 2)),
          table,
          ids: tensor([2], [3, 8], 'i32'),
        }),
      'many rows': () => compareTwins(gpu(), cases[2]!.op, cases[2]!.inputs()),
    });
  });
});
