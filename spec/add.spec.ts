import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tensor } from '../src/core/tensor.ts';
import { add, addBackward } from '../src/ref/add.ts';
import { cases } from '../src/verify/add.ts';
import { noiseArray } from '../src/verify/case.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { exactFloat, size, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; the gradient; the kernel within one rounding, exactly on integers, on sizes around its
// blocks; wrong kernels are rejected; shapes that differ are refused.

describeVectors('add');

test('the gradient agrees with central differences', () => {
  expectGradient(
    [tensor([2, 3], noiseArray(6, 1)), tensor([2, 3], noiseArray(6, 2))],
    ([a, b]) => [add(a!, b!)],
    (_, [dy]) => Object.values(addBackward(dy!)),
  );
});

describe('bad calls are refused', () => {
  test('different shapes and dtypes', () => {
    expect(() => add(tensor([2], [1, 2]), tensor([1], [1]))).toThrow('add: b has shape [1]; it must be [2]');
    expect(() => add(tensor([1], [1], 'i32'), tensor([1], [1]))).toThrow('add: a has dtype i32');
    expect(() => add(tensor([1], [1]), tensor([1], [1], 'f64'))).toThrow(
      'add: b has dtype f64; it takes f32',
    );
  });
});

const wrong: readonly Mutant[] = [
  { name: 'the second summand is ignored', from: '= a[i] + b[i];', to: '= a[i];' },
  { name: 'the last element is left out', from: 'if (i < params.size)', to: 'if (i + 1u < params.size)' },
  { name: 'blocks of invocations overlap', from: 'first + j * WORKGROUP_SIZE', to: 'first + j' },
  {
    name: 'half precision',
    from: '= a[i] + b[i];',
    to: '= bitcast<f32>(bitcast<u32>(a[i] + b[i]) & 0xfffff000u);',
  },
];

describeDevice('the kernel', (gpu) => {
  const pair = (element: fc.Arbitrary<number>) =>
    size(5000, [16, 64, 256, 1024, 4096]).chain((n) =>
      fc.record({ a: tensorOf(element, fc.constant([n])), b: tensorOf(element, fc.constant([n])) }),
    );

  test('agrees with the reference', async () => {
    await fc.assert(
      fc.asyncProperty(pair(tameFloat), (inputs) => expectTwins(gpu(), 'add', inputs)),
      { numRuns: 40 },
    );
    await fc.assert(
      fc.asyncProperty(pair(exactFloat), (inputs) => expectTwins(gpu(), 'add', inputs)),
      { numRuns: 20 },
    );
  });

  test('hands the gradient on as it is', async () => {
    await expectTwins(gpu(), 'addBackward', { dy: tensor([2, 5], noiseArray(10, 1)) });
  });

  test('gives the same bits twice', async () => {
    for (const c of cases) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('wrong kernels are rejected', async () => {
    const inputs = { a: tensor([4099], noiseArray(4099, 1)), b: tensor([4099], noiseArray(4099, 2)) };
    await expectKills(gpu(), 'add.wgsl', wrong, { 'an odd size': () => compareTwins(gpu(), 'add', inputs) });
  });
});
