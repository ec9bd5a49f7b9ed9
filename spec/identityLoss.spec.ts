import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { identityLoss, identityLossBackward } from '../src/ref/identityLoss.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/identityLoss.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; no rows; the gradient by differences; kernels within the bound; wrong ones are rejected.

describeVectors('identityLoss');

const random = (rows: number, width: number, seed: number): Tensor =>
  tensor([rows, width], noiseArray(rows * width, seed));

describe('the reference', () => {
  test('is a sum over features and a mean over rows', () => {
    expect(identityLoss(tensor([2, 2], [1, 2, 3, 4]), tensor([2, 2], [1, 0, 0, 4])).data[0]).toBe(6.5);
    expect(identityLoss(random(0, 3, 1), random(0, 3, 2)).data[0]).toBe(0);
  });

  test('the gradient agrees with central differences', () => {
    const goal = tensor([3, 4], Float64Array.from(noiseArray(12, 1)));
    const options = { weight: 0.3 };
    expectGradient(
      [random(3, 4, 2)],
      ([x]) => [identityLoss(x!, goal, options)],
      ([x], [dy]) => [identityLossBackward(dy!, x!, goal, options)],
    );
  });

  test('bad calls are refused', () => {
    const x = random(2, 3, 1);
    expect(() => identityLoss(x, random(3, 2, 1))).toThrow(
      'identityLoss: goal has shape [3, 2]; it must be [2, 3]',
    );
    expect(() => identityLoss(x, x, { weight: Number.NaN })).toThrow(
      'weight is NaN; it must be a finite number',
    );
    expect(() => identityLossBackward(x, x, x)).toThrow('dLoss has shape [2, 3]; it must hold one element');
  });
});

const wrong: readonly Mutant[] = [
  { name: 'not squared', from: 'sum += d * d;', to: 'sum += abs(d);' },
  {
    name: 'the last feature is left out',
    from: 'i < (row + 1u) * params.width; i++',
    to: 'i + 1u < (row + 1u) * params.width; i++',
  },
  { name: 'the factor is left out', from: 'sum * params.factor', to: 'sum' },
];
const wrongBackward: readonly Mutant[] = [
  { name: 'the sign', from: '(x[i] - goal[i]); }', to: '(goal[i] - x[i]); }' },
  { name: 'the 2 is left out', from: '2.0 * dLoss[0]', to: 'dLoss[0]' },
  { name: 'dLoss is left out', from: '2.0 * dLoss[0] *', to: '2.0 *' },
];

describeDevice('the kernel', (gpu) => {
  test('agrees with the reference', async () => {
    await fc.assert(
      fc.asyncProperty(size(300, [16, 64, 256]), fc.constantFrom(0, 1, 5, 32), async (rows, width) => {
        const inputs = { x: random(rows, width, 3), goal: random(rows, width, 4) };
        await expectTwins(gpu(), 'identityLoss', inputs, { weight: 0.5 });
        await expectTwins(gpu(), 'identityLossBackward', { dLoss: tensor([], [-0.3]), ...inputs });
      }),
      { numRuns: 12 },
    );
  });

  test('gives the same bits twice', async () => {
    for (const c of cases) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('wrong kernels are rejected', async () => {
    const inputs = { x: random(70, 5, 5), goal: random(70, 5, 6) };
    await expectKills(gpu(), 'identityLoss.wgsl', wrong, {
      rows: () => compareTwins(gpu(), 'identityLoss', inputs),
    });
    await expectKills(gpu(), 'identityLoss.wgsl', wrongBackward, {
      rows: () => compareTwins(gpu(), 'identityLossBackward', { dLoss: tensor([], [0.7]), ...inputs }),
    });
  });
});
