import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tensor, zeros } from '../src/core/tensor.ts';
import { poolQuery, poolQueryBackward } from '../src/ref/poolQuery.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/poolQuery.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size, tameFloat, tensorOf, wideFloat } from './support/tensors.ts';
import { compareTwins, expectTwins, runGpu } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; nothing after a position matters; gradients; the kernels within their bounds for all poolings, with
// padding; a position that is not there is NaN; wrong kernels are rejected.

describeVectors('poolQuery');

const ids = (shape: number[], ...values: number[]) => tensor(shape, values, 'i32');
const poolings = ['mean', 'last', 'cls', 'own'] as const;

describe('the reference', () => {
  test.each(poolings)('%s: what comes after a position changes nothing', (pooling) => {
    const x = tensor([6, 2], noiseArray(12, 1));
    const changed = tensor([6, 2], x.data.map((v, i) => (i < 8 ? v : v + 9)) as Float32Array);
    const positions = ids([2], 3, 1);
    expect(poolQuery(changed, positions, { pooling }).data).toEqual(
      poolQuery(x, positions, { pooling }).data,
    );
  });

  test.each(poolings)('%s: the gradient agrees with central differences', (pooling) => {
    const positions = ids([2, 3], 0, 4, -1, 2, 2, 3);
    const mask = tensor([2, 5], [1, 0, 1, 1, 1, 0, 1, 1, 1, 1], 'u32');
    expectGradient(
      [tensor([2, 5, 3], noiseArray(30, 2))],
      ([x]) => [poolQuery(x!, positions, { pooling, mask })],
      ([x], [dy]) => [poolQueryBackward(dy!, x!, positions, { pooling, mask })],
    );
  });

  test.each([
    [() => poolQuery(zeros([3]), ids([1], 0)), 'poolQuery: x has shape [3]; it must be [..., T, D]'],
    [() => poolQuery(zeros([2, 3]), ids([1], 2)), 'positions has 2 at element 0; there are 2 positions'],
    [() => poolQuery(zeros([2, 2, 3]), ids([1], 0)), 'positions has shape [1]; it must be [2, 1]'],
    [
      () => poolQuery(zeros([2, 3]), ids([1], 0), { pooling: 'max' as 'own' }),
      'pooling is "max"; it must be one of',
    ],
    [
      () => poolQuery(zeros([2, 3]), ids([1], 0), { mask: zeros([3], 'u32') }),
      'mask has shape [3]; it must be [2]',
    ],
    [
      () => poolQueryBackward(zeros([3]), zeros([2, 3]), ids([1], 0)),
      'dQueries has shape [3]; it must be [1, 3]',
    ],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const call = fc
  .tuple(
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 30 }),
    size(20, [4, 16]),
    size(9, [4]),
    fc.constantFrom(tameFloat, wideFloat),
  )
  .chain(([rows, length, width, queries, element]) =>
    fc.record({
      x: tensorOf(element, fc.constant([rows, length, width])),
      positions: tensorOf(fc.integer({ min: -1, max: length - 1 }), fc.constant([rows, queries]), 'i32'),
      mask: tensorOf(fc.constantFrom(0, 1, 1, 7), fc.constant([rows, length]), 'u32'),
      dQueries: tensorOf(element, fc.constant([rows, queries, width])),
    }),
  );

const wrong: readonly Mutant[] = [
  { name: 'the asked position is left out', from: 't <= p; t++', to: 't < p; t++' },
  { name: 'padding counts', from: 'return params.hasMask != 0u && mask[at] == 0u;', to: 'return false;' },
  { name: 'last is the position itself', from: '(t < p || count == 0u)', to: 't <= p' },
  {
    name: 'the first of the row is the last',
    from: '(params.pooling == CLS && count == 0u)',
    to: 'params.pooling == CLS',
  },
  { name: 'a mean of all positions', from: 'sum / f32(own.count)', to: 'sum / f32(own.end)' },
  { name: 'the gradient is not divided', from: '/ f32(own.count); }', to: '; }' },
  {
    name: 'all rows have the queries of the first',
    from: 'for (var q = row * params.queries; q < (row + 1u) * params.queries; q++) {',
    to: 'for (var q = 0u; q < params.queries; q++) {',
  },
];

describeDevice('the kernel', (gpu) => {
  test('stays within its bounds for all poolings, with and without padding', async () => {
    await fc.assert(
      fc.asyncProperty(
        call,
        fc.constantFrom(...poolings),
        fc.boolean(),
        async ({ x, positions, mask, dQueries }, pooling, padded) => {
          const given = { x, positions, ...(padded ? { mask } : {}) };
          await expectTwins(gpu(), 'poolQuery', given, { pooling });
          await expectTwins(gpu(), 'poolQueryBackward', { ...given, dQueries }, { pooling });
        },
      ),
      { numRuns: 15 },
    );
    for (const c of cases.slice(2)) await expectTwins(gpu(), c.op, c.inputs(), c.options);
  });

  test('a position that is not there cannot pass unnoticed', async () => {
    const x = tensor([2, 1], [3, 4]);
    const { queries } = await runGpu(gpu(), 'poolQuery', { x, positions: ids([4], 2, -2, 1, -1) });
    expect([...queries!.data]).toEqual([Number.NaN, Number.NaN, 4, 0]);
  });

  test('wrong kernels are rejected', async () => {
    const checks = cases
      .slice(2)
      .map((c) => [`${c.op}, ${c.label}`, () => compareTwins(gpu(), c.op, c.inputs(), c.options)]);
    await expectKills(gpu(), 'poolQuery.wgsl', wrong, Object.fromEntries(checks));
  });
});
