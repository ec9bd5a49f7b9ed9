import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tensor, zeros } from '../src/core/tensor.ts';
import { lerp, lerpBackward } from '../src/ref/lerp.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/lerp.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size, tameFloat, tensorOf, wideFloat } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; ends of the blend exact; gradients of all three inputs; kernels within their bounds on sizes
// around their blocks and around the steps of the sum; the same bits twice; wrong kernels are rejected.

describeVectors('lerp');

describe('the reference', () => {
  test('weight 0 gives a, weight 1 gives b', () => {
    fc.assert(
      fc.property(tensorOf(tameFloat, fc.constant([7])), tensorOf(tameFloat, fc.constant([7])), (a, b) => {
        expect(lerp(a, b, tensor([1], [0])).data.every((v, i) => v === a.data[i])).toBe(true);
        expect(lerp(a, b, tensor([], [1])).data.every((v, i) => v === b.data[i])).toBe(true);
      }),
    );
  });

  test('the gradients agree with central differences', () => {
    for (const w of [-0.5, 0, 0.3, 1]) {
      expectGradient(
        [tensor([2, 3], noiseArray(6, 1)), tensor([2, 3], noiseArray(6, 2)), tensor([1], [w])],
        ([a, b, weight]) => [lerp(a!, b!, weight!)],
        ([a, b, weight], [dy]) => Object.values(lerpBackward(dy!, a!, b!, weight!)),
      );
    }
  });

  test('bad calls are refused', () => {
    const a = tensor([2], [1, 2]);
    expect(() => lerp(a, a, a)).toThrow('lerp: weight has shape [2]; it must hold one element');
    expect(() => lerp(a, tensor([1], [1]), tensor([1], [1]))).toThrow(
      'lerp: b has shape [1]; it must be [2]',
    );
  });
});

const wrong: readonly Mutant[] = [
  {
    name: 'the ends are swapped',
    from: 'y[i] = (1.0 - w) * a[i] + w * b[i];',
    to: 'y[i] = w * a[i] + (1.0 - w) * b[i];',
  },
  {
    name: 'the last element is left out',
    from: 'if (i < params.size) { y',
    to: 'if (i + 1u < params.size) { y',
  },
  {
    name: 'the gradient of the weight has the wrong sign',
    from: 'g * (b[i] - a[i])',
    to: 'g * (a[i] - b[i])',
  },
  {
    name: 'a partial sum is left out',
    from: 'min(id * PER + PER, params.partials)',
    to: 'min(id * PER + PER - 1u, params.partials)',
  },
  { name: 'the gradients are swapped', from: 'da[i] = (1.0 - w) * g;', to: 'da[i] = w * g;' },
  {
    name: 'partial sums past the last are read',
    from: 'if (slot < params.partials)',
    to: 'if (slot + 200u < params.partials)',
  },
];

describeDevice('the kernel', (gpu) => {
  const call = fc
    .tuple(size(9000, [16, 64, 256, 1024, 4096]), fc.constantFrom(tameFloat, wideFloat))
    .chain(([n, element]) =>
      fc.record({
        a: tensorOf(element, fc.constant([n])),
        b: tensorOf(element, fc.constant([n])),
        weight: tensorOf(element, fc.constant([1])),
        dy: tensorOf(element, fc.constant([n])),
      }),
    );

  test('agrees with the reference, forward and backward', async () => {
    await fc.assert(
      fc.asyncProperty(call, async ({ a, b, weight, dy }) => {
        await expectTwins(gpu(), 'lerp', { a, b, weight });
        await expectTwins(gpu(), 'lerpBackward', { dy, a, b, weight });
      }),
      { numRuns: 40 },
    );
  });

  test('gives the same bits twice', async () => {
    for (const c of cases) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('wrong kernels are rejected', async () => {
    const n = 40_003;
    const of = (seed: number) => tensor([n], noiseArray(n, seed));
    const ones = tensor([n], new Float32Array(n).fill(1));
    const inputs = { a: of(1), b: of(2), weight: tensor([1], [0.3]) };
    await expectKills(gpu(), 'lerp.wgsl', wrong, {
      'a sum of ones': () =>
        compareTwins(gpu(), 'lerpBackward', { ...inputs, a: zeros([n]), b: ones, dy: ones }),
      forward: () => compareTwins(gpu(), 'lerp', inputs),
      backward: () => compareTwins(gpu(), 'lerpBackward', { ...inputs, dy: of(3) }),
    });
  });
});
