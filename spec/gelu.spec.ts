import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { geluForms } from '../src/core/ops/gelu.ts';
import { tensor } from '../src/core/tensor.ts';
import { gelu, geluBackward } from '../src/ref/gelu.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases, hardArguments } from '../src/verify/gelu.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { anyFloat, size, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; the law gelu(x) - gelu(-x) = x; limits; gradients by differences; kernels within the bound on any
// floats, both forms, both families; wrong kernels (also in the shared curves) are rejected; bad calls are refused.

describeVectors('gelu');

describe('the reference', () => {
  test('gelu(x) - gelu(-x) = x, and the two forms are within 0.0005 of each other', () => {
    fc.assert(
      fc.property(fc.double({ min: -50, max: 50, noNaN: true }), (v) => {
        const x = tensor([2], new Float64Array([v, -v]));
        for (const form of geluForms) {
          const y = gelu(x, { form }).data;
          expect(y[0]! - y[1]!).toBeCloseTo(v, 12);
        }
        expect(Math.abs(gelu(x).data[0]! - gelu(x, { form: 'tanh' }).data[0]!)).toBeLessThan(5e-4);
      }),
    );
  });

  test('goes to the limits', () => {
    for (const form of geluForms) {
      const x = tensor([4], [Infinity, -Infinity, 0, Number.NaN]);
      expect([...gelu(x, { form }).data]).toEqual([Infinity, -0, 0, Number.NaN]);
      const slopes = geluBackward(tensor([4], [1, 1, 1, 1]), x, { form });
      expect([...slopes.data]).toEqual([1, 0, 0.5, Number.NaN]);
    }
  });

  test('the gradients agree with central differences', () => {
    const x = tensor(
      [40],
      noiseArray(40, 1).map((v) => 5 * v),
    );
    for (const form of geluForms) {
      expectGradient(
        [x],
        ([a]) => [gelu(a!, { form })],
        ([a], [dy]) => [geluBackward(dy!, a!, { form })],
      );
    }
  });

  test('bad calls are refused', () => {
    const x = tensor([2], [1, 2]);
    expect(() => gelu(x, { form: 'erf' as never })).toThrow(
      'gelu: form is "erf"; it must be one of exact, tanh',
    );
    expect(() => gelu(tensor([2], [1, 2], 'i32'))).toThrow('gelu: x has dtype i32');
    expect(() => geluBackward(tensor([1], [1]), x)).toThrow('geluBackward: x has shape [2]; it must be [1]');
  });
});

const wrong: readonly Mutant[] = [
  {
    name: 'the last element is left out',
    from: 'if (i < params.size) {\n      let bits = x[i];\n      let ordinary',
    to: 'if (i + 1u < params.size) {\n      let bits = x[i];\n      let ordinary',
  },
  { name: '-infinity gives itself', from: 'select(bits, NEG_ZERO, bits > INF_BITS)', to: 'bits' },
  { name: 'NaN gives a number', from: 'return bits | QUIET;', to: 'return 0u;' },
  {
    name: 'invocations overlap',
    from: 'let i = first + j * WORKGROUP_SIZE;',
    to: 'let i = first + j;',
    all: true,
  },
];
const wrongBackward: readonly Mutant[] = [
  { name: 'the value instead of the slope', from: 'dy[i] * slope(at)', to: 'dy[i] * activation(at)' },
  { name: 'the slope at -infinity is 1', from: 'select(-40.0, 40.0, bits < NEG_ZERO)', to: '40.0' },
  { name: 'dy is left out', from: 'dy[i] * slope(at)', to: 'slope(at)' },
  { name: 'NaN gives a number', from: 'bits | QUIET, nan)', to: '0u, nan)' },
];

describeDevice('the kernel', (gpu) => {
  test('agrees with the reference on any floats', async () => {
    const call = size(3000, [16, 64, 256, 1024]).chain((n) =>
      fc.record({
        x: fc.oneof(tensorOf(tameFloat, fc.constant([n])), tensorOf(anyFloat, fc.constant([n]))),
        form: fc.constantFrom(...geluForms),
      }),
    );
    await fc.assert(
      fc.asyncProperty(call, async ({ x, form }) => {
        await expectTwins(gpu(), 'gelu', { x }, { form });
        await expectTwins(gpu(), 'geluBackward', { dy: tensor(x.shape, noiseArray(x.size, 4)), x }, { form });
      }),
      { numRuns: 14 },
    );
  });

  test('on a fine walk through both tails', async () => {
    const x = tensor(
      [6001],
      Float32Array.from({ length: 6001 }, (_, i) => (i - 3000) / 200),
    );
    const dy = tensor([6001], noiseArray(6001, 5));
    for (const form of geluForms) {
      await expectTwins(gpu(), 'gelu', { x }, { form });
      await expectTwins(gpu(), 'geluBackward', { dy, x }, { form });
    }
  });

  test('gives the same bits twice', async () => {
    for (const c of cases.filter((c) => c.bytes === undefined))
      await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('wrong kernels are rejected', async () => {
    const x = tensor(
      [5003],
      noiseArray(5003, 6).map((v) => 6 * v),
    );
    const dy = tensor([5003], noiseArray(5003, 7));
    const hard = hardArguments();
    const hardDy = tensor(hard.shape, noiseArray(hard.size, 8));
    await expectKills(gpu(), 'gelu.wgsl', wrong, {
      hard: () => compareTwins(gpu(), 'gelu', { x: hard }),
      plain: () => compareTwins(gpu(), 'gelu', { x }),
    });
    await expectKills(gpu(), 'gelu.wgsl', wrongBackward, {
      hard: () => compareTwins(gpu(), 'geluBackward', { dy: hardDy, x: hard }),
      plain: () => compareTwins(gpu(), 'geluBackward', { dy, x }),
    });
  });
});
