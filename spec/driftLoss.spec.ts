import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tensor } from '../src/core/tensor.ts';
import { driftLoss, driftLossBackward } from '../src/ref/driftLoss.ts';
import { cases, driftGradientInputs, driftInputs } from '../src/verify/driftLoss.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; which tokens count; the gradient by differences; kernels within the bound; wrong ones are rejected.

describeVectors('driftLoss');

describe('the reference', () => {
  test('counts tokens of one piece that the source has a row for', () => {
    const forms = tensor([5, 2], [0, -1, 1, 0, 2, -1, -1, -1, 1, -1], 'i32');
    const x = tensor([5, 1], [1, 9, 9, 9, 6]);
    const { loss, count, norm } = driftLoss(x, tensor([2, 1], [3, -5]), forms);
    expect([loss.data[0], count.data[0], norm.data[0]]).toEqual([Math.fround((4 + 121) / 2 / 4), 2, 4]);
  });

  test('the gradient agrees with central differences', () => {
    const { x, table, forms } = driftInputs(9, 4, 5, 3);
    const wide = tensor(table.shape, Float64Array.from(table.data));
    const options = { weight: 0.5 };
    expectGradient(
      [x],
      ([a]) => [driftLoss(a!, wide, forms, options).loss],
      ([a], [dy]) => {
        const { count, norm } = driftLoss(a!, wide, forms, options);
        return [driftLossBackward(dy!, a!, wide, forms, count, norm, options)];
      },
    );
  });

  test('bad calls are refused', () => {
    const { x, table, forms } = driftInputs(3, 4, 5, 2);
    expect(() => driftLoss(x, x, forms)).not.toThrow();
    expect(() => driftLoss(x, forms, forms)).toThrow('driftLoss: table has dtype i32; it takes f32');
    expect(() => driftLoss(x, table, tensor([2, 2], [0, 0, 0, 0], 'i32'))).toThrow(
      'forms has shape [2, 2]; it must be [3, L >= 1]',
    );
    expect(() => driftLoss(x, table, forms, { padding: 0.5 })).toThrow('padding is 0.5; it must be an i32');
  });
});

const wrong: readonly Mutant[] = [
  { name: 'extra tokens count', from: 'first < i32(params.source) && ', to: '' },
  {
    name: 'tokens of two pieces count',
    from: 'var j = 1u; j < params.length',
    to: 'var j = 2u; j < params.length',
  },
  { name: 'the square of the length', from: 'sqrt(square)', to: 'square' },
  { name: 'not divided by the number', from: '(max(n, 1.0) * mean)', to: 'mean' },
];
const wrongBackward: readonly Mutant[] = [
  {
    name: 'all tokens have a gradient',
    from: 'select(0.0, factor * (x[at] - table[origin + d]), alone)',
    to: 'factor * (x[at] - table[origin + d])',
  },
  { name: 'the row of the token', from: 'select(0, forms[row * params.length], alone)', to: 'i32(row)' },
  { name: 'not divided by the length', from: 'f32(counted[0]) * meanLength[0]', to: 'f32(counted[0])' },
];

describeDevice('the kernel', (gpu) => {
  test('agrees with the reference', async () => {
    await fc.assert(
      fc.asyncProperty(
        size(200, [16, 64]),
        fc.constantFrom(1, 5, 32),
        fc.constantFrom(1, 7),
        async (rows, width, length) => {
          const inputs = driftInputs(rows, width, 40, length);
          await expectTwins(gpu(), 'driftLoss', inputs, { weight: 0.5 });
          await expectTwins(gpu(), 'driftLossBackward', driftGradientInputs(inputs), { weight: 0.5 });
        },
      ),
      { numRuns: 12 },
    );
  });

  test('gives the same bits twice', async () => {
    for (const c of cases) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('wrong kernels are rejected', async () => {
    const inputs = driftInputs(70, 5, 30, 3);
    await expectKills(gpu(), 'driftLoss.wgsl', wrong, {
      rows: () => compareTwins(gpu(), 'driftLoss', inputs),
    });
    await expectKills(gpu(), 'driftLoss.wgsl', wrongBackward, {
      rows: () => compareTwins(gpu(), 'driftLossBackward', driftGradientInputs(inputs)),
    });
  });
});
