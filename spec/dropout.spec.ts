import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { key } from '../src/core/key.ts';
import { tensor } from '../src/core/tensor.ts';
import { dropout, dropoutBackward } from '../src/ref/dropout.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/dropout.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size, tameFloat, tensorOf, wideFloat } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors by JAX; the share that stays and the mean are right; p = 0 changes no bit; the gradient is the map itself; kernels
// drop the same elements; wrong kernels are rejected; bad calls are refused.

describeVectors('dropout');

describe('the reference', () => {
  test('drops the share p, and the mean stays', () => {
    const n = 100_000;
    const ones = tensor([n], new Float32Array(n).fill(1));
    for (const p of [0.1, 0.5, 0.9]) {
      const y = dropout(ones, p, key(4)).data;
      const kept = [...y].filter((v) => v !== 0).length;
      // n fair draws: 6 standard deviations have a probability of 2e-9.
      expect(Math.abs(kept - n * (1 - p))).toBeLessThan(6 * Math.sqrt(n * p * (1 - p)));
      expect(new Set(y)).toEqual(new Set([0, Math.fround(1 / (1 - p))]));
    }
  });

  test('p = 0 gives x, another key other elements, the same key the same', () => {
    const x = tensor([200], noiseArray(200, 1));
    expect(dropout(x, 0, key(1)).data).toEqual(x.data);
    expect(dropout(x, 0.5, key(1)).data).toEqual(dropout(x, 0.5, key(1)).data);
    expect(dropout(x, 0.5, key(1)).data).not.toEqual(dropout(x, 0.5, key(2)).data);
  });

  test('the gradient agrees with central differences', () => {
    expectGradient(
      [tensor([3, 9], noiseArray(27, 1))],
      ([x]) => [dropout(x!, 0.4, key(3))],
      (_, [dy]) => [dropoutBackward(dy!, 0.4, key(3))],
    );
  });

  test('bad calls are refused', () => {
    const x = tensor([2], [1, 2]);
    expect(() => dropout(x, 1, key(1))).toThrow('dropout: p is 1; it must be at least 0 and below 1');
    expect(() => dropout(x, Number.NaN, key(1))).toThrow('dropout: p is NaN');
    expect(() => dropoutBackward(x, -0.1, key(1))).toThrow('dropoutBackward: p is -0.1');
    expect(() => dropout(x, 0.5, [1] as never)).toThrow('dropout: key is [1]');
    expect(() => dropout(tensor([2], [1, 2], 'i32'), 0.5, key(1))).toThrow('dropout: x has dtype i32');
  });
});

const wrong: readonly Mutant[] = [
  { name: 'the others stay', from: '>= params.threshold', to: '< params.threshold' },
  { name: 'what stays is not scaled', from: 'x[i] * params.scale', to: 'x[i]' },
  { name: 'one word instead of both', from: '(words.x ^ words.y)', to: 'words.x' },
  { name: 'the last element is left out', from: 'i < params.size', to: 'i + 1u < params.size' },
  {
    name: 'the key words are swapped',
    from: 'vec2u(params.key0, params.key1)',
    to: 'vec2u(params.key1, params.key0)',
  },
];

describeDevice('the kernel', (gpu) => {
  test('drops what the reference drops', async () => {
    const call = fc.tuple(
      fc
        .tuple(size(5000, [16, 64, 256, 1024, 4096]), fc.constantFrom(tameFloat, wideFloat))
        .chain(([n, element]) => tensorOf(element, fc.constant([n]))),
      fc.constantFrom(0, 0.1, 0.5, 0.99),
      fc.nat(2 ** 32),
    );
    await fc.assert(
      fc.asyncProperty(call, async ([x, p, seed]) => {
        const options = { p, key: key(seed) };
        await expectTwins(gpu(), 'dropout', { x }, options);
        await expectTwins(gpu(), 'dropoutBackward', { dy: x }, options);
      }),
      { numRuns: 15 },
    );
  });

  test('gives the same bits twice', async () => {
    for (const c of cases.slice(2)) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('wrong kernels are rejected', async () => {
    const x = tensor([5003], noiseArray(5003, 6));
    await expectKills(gpu(), 'dropout.wgsl', wrong, {
      plain: () => compareTwins(gpu(), 'dropout', { x }, { p: 0.3, key: key(9) }),
    });
  });
});
