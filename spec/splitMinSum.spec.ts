import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { splitMinSumOf } from '../src/core/splitMinSum.ts';
import { tensor } from '../src/core/tensor.ts';
import { splitMinSum } from '../src/ref/splitMinSum.ts';
import { cases } from '../src/verify/splitMinSum.ts';
import { describeDevice } from './support/device.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors by brute force; n = ab + c, and no other split of it is cheaper; numbers of any size, and bigint agrees with
// number; the published interval really misses; the kernel equals the reference; wrong kernels and bad calls are rejected.

describeVectors('splitMinSum');

/** The least sum over every a, with the largest b that fits. */
function least(n: number): number {
  let best = n;
  for (let a = 1; a * a <= n; a++) best = Math.min(best, a + Math.floor(n / a) + (n % a));
  return best;
}

describe('the reference', () => {
  test('splits every number, and nothing is cheaper', () => {
    for (let n = 0; n < 5000; n++) {
      const { a, b, c, sum } = splitMinSumOf(n);
      expect([a * b + c, a + b + c], `${n}`).toEqual([n, sum]);
      expect(a >= 0 && a <= b && c >= 0).toBe(true);
      expect(sum, `${n}`).toBe(least(n));
    }
    fc.assert(
      fc.property(fc.integer({ min: 5000, max: 2 ** 40 }), (n) => {
        const { a, b, c, sum } = splitMinSumOf(n);
        expect([a * b + c, a + b + c]).toEqual([n, sum]);
        expect(sum).toBe(least(n));
      }),
      { numRuns: 30 },
    );
  });

  test('bigint and number agree, on both sides of 2^51', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.nat(1e6), fc.integer({ min: 2 ** 51 - 50, max: 2 ** 51 + 50 }), fc.maxSafeNat()),
        (n) => {
          const big = splitMinSumOf(BigInt(n));
          expect({ a: Number(big.a), b: Number(big.b), c: Number(big.c), sum: Number(big.sum) }).toEqual(
            splitMinSumOf(n),
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  test('large numbers', () => {
    expect(splitMinSumOf(10 ** 12 + 39)).toEqual({ a: 1_000_000, b: 1_000_000, c: 39, sum: 2_000_039 });
    expect(splitMinSumOf(2 ** 53 - 111)).toEqual({ a: 94794510, b: 95018153, c: 851, sum: 189813514 });
    const square = 10n ** 24n;
    expect(splitMinSumOf(square)).toEqual({ a: 10n ** 12n, b: 10n ** 12n, c: 0n, sum: 2n * 10n ** 12n });
    const { a, b, c, sum } = splitMinSumOf(2n ** 64n + 13n);
    expect([a * b + c, a + b + c]).toEqual([2n ** 64n + 13n, sum]);
    expect(sum).toBe(8589934605n);
  });

  test('the published interval for a, sqrt(n/2) < a <= sqrt(n), misses some', () => {
    const published = (n: number): number => {
      let best = Infinity;
      for (let a = Math.floor(Math.sqrt(n / 2)) + 1; a * a <= n; a++) {
        best = Math.min(best, a + Math.floor(n / a) + (n % a));
      }
      return best;
    };
    const missed: number[] = [];
    for (let n = 101; n <= 2100; n++) if (published(n) !== splitMinSumOf(n).sum) missed.push(n);
    expect(missed).toEqual([
      128, 129, 162, 163, 164, 200, 201, 202, 203, 512, 882, 883, 968, 969, 970, 971, 2048, 2049,
    ]);
  });
});

test('bad calls are refused', () => {
  expect(() => splitMinSum(tensor([1], [1], 'i32'))).toThrow('splitMinSum: n has dtype i32; it takes u32');
  expect(() => splitMinSumOf(1.5)).toThrow('splitMinSum: n is 1.5; it must be an integer');
  expect(() => splitMinSumOf(2 ** 53)).toThrow('above 2^53 - 1 a bigint');
  expect(() => splitMinSumOf(-1n)).toThrow('splitMinSum: n is -1; it must be at least 0');
});

const wrong: readonly Mutant[] = [
  { name: 'the root itself is not tried', from: 'a * a <= whole', to: 'a * a < whole' },
  { name: 'what is left costs nothing', from: 'let sum = a + b + c;', to: 'let sum = a + b;' },
  { name: 'of equals the first a', from: 'a + b < best.x + best.y', to: 'a + b > best.x + best.y' },
  { name: 'no product where it is as good', from: '(best.x == 0u || a + b', to: '(a + b' },
  {
    name: "only the article's interval",
    from: 'for (var a = 2u;',
    to: 'for (var a = u32(sqrt(f32(whole) * 0.5)) + 1u;',
  },
];

describeDevice('the kernel', (gpu) => {
  test('equals the reference', async () => {
    for (const c of cases) await expectTwins(gpu(), c.op, c.inputs(), c.options);
    const number = fc.oneof(
      fc.nat(300),
      fc.nat(65535).map((r) => r * r),
      fc.integer({ min: 0, max: 2 ** 24 }),
    );
    await fc.assert(
      fc.asyncProperty(
        size(600, [8, 64, 256]).chain((m) => fc.array(number, { minLength: m, maxLength: m })),
        (n) => expectTwins(gpu(), 'splitMinSum', { n: tensor([n.length], n, 'u32') }),
      ),
      { numRuns: 8 },
    );
  });

  test('gives the same bits twice', async () => {
    await expectSameBits(gpu(), 'splitMinSum', cases[1]!.inputs());
  });

  test('wrong kernels are rejected', async () => {
    const n = tensor(
      [600],
      Uint32Array.from({ length: 600 }, (_, i) => i),
    );
    const large = tensor([2], Uint32Array.of(2 ** 32 - 1, 65535 ** 2));
    await expectKills(gpu(), 'splitMinSum.wgsl', wrong, {
      'the first numbers': () => compareTwins(gpu(), 'splitMinSum', { n }),
      'the largest': () => compareTwins(gpu(), 'splitMinSum', { n: large }),
    });
  });
});
