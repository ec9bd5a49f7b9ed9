import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { flushing, isSubnormal, lostProduct, lostSum, subnormalsOf } from '../src/core/bounds/flushing.ts';
import { judge } from '../src/core/bounds/index.ts';
import { minNormal, sumBound } from '../src/core/bounds.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { wideFloat } from './support/tensors.ts';
import { runRef } from './support/twins.ts';

// Plan: a device that flushes as it likes, played by f32 arithmetic here, stays within the bounds of sums, of products and of
// sums that are factors; the losses are not overestimated where nothing is subnormal: there a result must be as good as ever.

/** A device that reads and writes each subnormal as it is or as zero, as the bits say. */
function device(bits: readonly boolean[]) {
  let at = 0;
  const flush = (v: number): number => (isSubnormal(v) && bits[at++ % bits.length] ? 0 : v);
  const write = (v: number): number => flush(Math.fround(v));
  return {
    add: (a: number, b: number): number => write(flush(a) + flush(b)),
    mul: (a: number, b: number): number => write(flush(a) * flush(b)),
  };
}

/** Sums pairs of neighbours or from left to right. */
function sum(values: readonly number[], pairs: boolean, add: (a: number, b: number) => number): number {
  if (!pairs || values.length < 3) return values.reduce((a, b) => add(a, b), 0);
  const half = values.length >> 1;
  return add(sum(values.slice(0, half), pairs, add), sum(values.slice(half), pairs, add));
}

const wide = wideFloat.map(Math.fround);
const bits = fc.array(fc.boolean(), { minLength: 1, maxLength: 40 });
const exactly = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const sizeOf = (values: readonly number[]): number => exactly(values.map(Math.abs));
const runs = { numRuns: 300 };

describe('a device that flushes as it likes stays within the bound', () => {
  test('of a sum', () => {
    fc.assert(
      fc.property(fc.array(wide, { maxLength: 20 }), fc.boolean(), bits, (values, pairs, flushed) => {
        const got = sum(values, pairs, device(flushed).add);
        const { fail } = sumBound([sizeOf(values)], values.length, '');
        expect(Math.abs(got - exactly(values))).toBeLessThanOrEqual(fail[0]!);
      }),
      runs,
    );
  });

  test('of a sum of products', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(wide, wide), { maxLength: 20 }),
        fc.boolean(),
        bits,
        (pairs, tree, flushed) => {
          const { add, mul } = device(flushed);
          const terms = pairs.map(([a, b]) => a * b);
          const got = sum(
            pairs.map(([a, b]) => mul(a, b)),
            tree,
            add,
          );
          const lost = exactly(pairs.map(([a, b]) => lostProduct(a, b)));
          const { fail } = flushing(sumBound([sizeOf(terms)], terms.length, ''), [lost]);
          expect(Math.abs(got - exactly(terms))).toBeLessThanOrEqual(fail[0]!);
        },
      ),
      runs,
    );
  });

  test('of a factor times a sum', () => {
    fc.assert(
      fc.property(wide, fc.array(wide, { maxLength: 5 }), bits, (factor, values, flushed) => {
        const { add, mul } = device(flushed);
        const got = mul(factor, sum(values, false, add));
        const size = Math.abs(factor) * sizeOf(values);
        const lost = (isSubnormal(factor) ? size : 0) + Math.abs(factor) * lostSum(...values);
        const { fail } = flushing(sumBound([size], values.length + 1, ''), [lost]);
        expect(Math.abs(got - factor * exactly(values))).toBeLessThanOrEqual(fail[0]!);
      }),
      runs,
    );
  });
});

describe('nothing is allowed for where nothing can be flushed', () => {
  test('sums of numbers of at least 2^-102 are never subnormal', () => {
    const large = fc.integer({ min: 2 ** 23, max: 2 ** 24 }).map((n) => n * 2 ** -125);
    const signed = fc.tuple(large, fc.boolean()).map(([v, negative]) => (negative ? -v : v));
    fc.assert(
      fc.property(fc.array(signed, { maxLength: 9 }), (values) => {
        expect(lostSum(...values)).toBe(0);
        let total = 0;
        for (const v of values) {
          total = Math.fround(total + v);
          expect(isSubnormal(total)).toBe(false);
        }
      }),
      runs,
    );
    expect(lostSum(0, -0)).toBe(0);
    expect(lostSum(1, 2 ** -103, 0)).toBe(2 * minNormal);
    expect(subnormalsOf(tensor([3], [0, 1, minNormal]))).toBeUndefined();
    expect(subnormalsOf(tensor([3], [1, minNormal / 2, 0]))?.data).toEqual(
      Float32Array.of(0, minNormal / 2, 0),
    );
  });

  const huge = 1e30;
  const tiny = minNormal / 4;
  const calls: [string, Record<string, Tensor>, string, Record<string, unknown>?][] = [
    // Only the second row of a has a subnormal, which meets a huge number.
    ['matmul', { a: tensor([2, 2], [1, 0, 0, tiny]), b: tensor([2, 1], [1, huge]) }, 'y'],
    ['lerp', { a: tensor([1], [1]), b: tensor([1], [huge]), weight: tensor([1], [0]) }, 'y'],
    ['mixHeads', { x: tensor([1, 2], [1, huge]), weight: tensor([2, 2], [1, 0, 0, tiny]) }, 'y'],
    ['maxState', { abc: tensor([1, 1, 3], [1, huge, 0]), alphas: tensor([5], [0, 0, 1, 1, 0]) }, 'y'],
    [
      'poolQuery',
      { x: tensor([2, 1], [1, 3]), positions: tensor([1], [0], 'i32') },
      'queries',
      { pooling: 'mean' },
    ],
    [
      'poolQuery',
      {
        x: tensor([3, 1], [huge, 1, 3]),
        positions: tensor([1], [2], 'i32'),
        mask: tensor([3], [0, 1, 1], 'u32'),
      },
      'queries',
      { pooling: 'mean' },
    ],
    ['skipTuning', { u: tensor([1, 1], [huge]), d: tensor([1, 1], [tiny]) }, 'y', { rho: 3 }],
  ];

  test.each(calls)('%s', (op, inputs, name, options = {}) => {
    const want = runRef(op, inputs, options);
    const off = want[name]!.data.slice();
    const right = judge(op, { inputs, options, want, got: want })[name]!;
    expect(right.verdict, right.message).toBe('PASS');
    off[0] = Math.fround(off[0]! * (1 + 2 ** -17));
    const got = { ...want, [name]: tensor(want[name]!.shape, off) };
    expect(judge(op, { inputs, options, want, got })[name]!.verdict).toBe('FAIL');
  });
});
