import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { mixHeads, mixHeadsBackward } from '../src/ref/mixHeads.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/mixHeads.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size, tameFloat, tensorOf, wideFloat } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; the identity changes no bit, a permutation moves heads; gradients by differences; kernels within
// their bounds; the same bits twice; wrong kernels are rejected; bad calls are refused.

describeVectors('mixHeads');

const of = (shape: readonly number[], seed: number): Tensor =>
  tensor(
    shape,
    noiseArray(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
  );

describe('the reference', () => {
  test('the identity gives x, a permutation moves heads', () => {
    const x = of([2, 6], 1);
    expect(mixHeads(x, tensor([3, 3], [1, 0, 0, 0, 1, 0, 0, 0, 1])).data).toEqual(x.data);
    const moved = mixHeads(x, tensor([3, 3], [0, 0, 1, 1, 0, 0, 0, 1, 0])).data;
    expect([...moved]).toEqual([4, 5, 0, 1, 2, 3, 10, 11, 6, 7, 8, 9].map((i) => x.data[i]));
  });

  test('the gradients agree with central differences', () => {
    expectGradient(
      [of([3, 2, 6], 1), of([3, 3], 2)],
      ([x, weight]) => [mixHeads(x!, weight!)],
      ([x, weight], [dy]) => Object.values(mixHeadsBackward(dy!, x!, weight!)),
    );
  });

  test('bad calls are refused', () => {
    expect(() => mixHeads(of([2, 5], 1), of([2, 2], 1))).toThrow(
      'mixHeads: x has shape [2, 5]; its last axis must be a multiple of the 2 heads of weight',
    );
    expect(() => mixHeads(of([2, 6], 1), of([2, 3], 1))).toThrow(
      'weight has shape [2, 3]; it must be square',
    );
    expect(() => mixHeadsBackward(of([2, 4], 1), of([2, 6], 1), of([2, 2], 1))).toThrow(
      'mixHeadsBackward: dy has shape [2, 4]; it must be [2, 6]',
    );
  });
});

const wrong: readonly Mutant[] = [
  { name: 'the last head is left out', from: 'g < params.heads; g++', to: 'g + 1u < params.heads; g++' },
  {
    name: 'the last element is left out',
    from: 'if (i < params.rows * width)',
    to: 'if (i + 1u < params.rows * width)',
  },
  {
    name: 'heads and channels change places',
    from: 'i % width / params.channels',
    to: 'i % width % params.heads',
  },
  { name: 'always transposed', from: 'TRANSPOSED == 1u', to: 'TRANSPOSED < 2u' },
];
const wrongBackward: readonly Mutant[] = [
  { name: 'never transposed', from: 'TRANSPOSED == 1u', to: 'TRANSPOSED > 1u' },
  {
    name: 'dy and x change places',
    from: 'dy[origin + rowHead + c] * given[origin + columnHead + c]',
    to: 'dy[origin + columnHead + c] * given[origin + rowHead + c]',
  },
  {
    name: 'the last channel is left out',
    from: 'c < params.channels; c++',
    to: 'c + 1u < params.channels; c++',
  },
  { name: 'the last span is left out', from: 's < SPANS; s++', to: 's < SPANS - 1u; s++' },
  { name: 'rows past the first spans are left out', from: 'row += SPANS', to: 'row += 1000u' },
];

describeDevice('the kernel', (gpu) => {
  test('agrees with the reference, forward and backward', async () => {
    const call = fc
      .tuple(
        size(120, [16, 64]),
        fc.constantFrom(1, 2, 3, 8),
        fc.constantFrom(1, 3, 4, 16),
        fc.constantFrom(tameFloat, wideFloat),
      )
      .chain(([rows, heads, channels, element]) =>
        fc.record({
          x: tensorOf(element, fc.constant([rows, heads * channels])),
          dy: tensorOf(element, fc.constant([rows, heads * channels])),
          weight: tensorOf(element, fc.constant([heads, heads])),
        }),
      );
    await fc.assert(
      fc.asyncProperty(call, async ({ x, dy, weight }) => {
        await expectTwins(gpu(), 'mixHeads', { x, weight });
        await expectTwins(gpu(), 'mixHeadsBackward', { dy, x, weight });
      }),
      { numRuns: 15 },
    );
  });

  test('gives the same bits twice', async () => {
    for (const c of cases.slice(2)) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('wrong kernels are rejected', async () => {
    const inputs = { x: of([131, 15], 1), weight: of([3, 3], 2) };
    const dy = of([131, 15], 3);
    await expectKills(gpu(), 'mixHeads.wgsl', wrong, {
      forward: () => compareTwins(gpu(), 'mixHeads', inputs),
    });
    await expectKills(gpu(), 'mixHeads.wgsl', wrongBackward, {
      backward: () => compareTwins(gpu(), 'mixHeadsBackward', { dy, ...inputs }),
    });
  });
});
