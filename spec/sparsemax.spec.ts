import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { sparsemax, sparsemaxBackward } from '../src/ref/sparsemax.ts';
import { cases, hardScores, scores } from '../src/verify/sparsemax.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { anyFloat, size, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors by bisection, another algorithm; the result adds up to 1 and is the nearest point of the simplex; gradients by
// differences; kernels (another algorithm than the reference) within the bound; wrong kernels are rejected.

describeVectors('sparsemax');

const wide = (t: Tensor): Tensor => tensor(t.shape, Float64Array.from(t.data));

describe('the reference', () => {
  test('adds up to 1, and no other point of the simplex is nearer', () => {
    const row = fc.array(tameFloat, { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(row, row, (a, b) => {
        const x = Float64Array.from(a);
        const y = sparsemax(tensor([a.length], x)).data;
        expect([...y].reduce((s, v) => s + v, 0)).toBeCloseTo(1, 12);
        // Any other point: the positive parts of other numbers, made to add up to 1.
        const other = a.map((_, i) => Math.abs(b[i % b.length]!) + 1e-9);
        const total = other.reduce((s, v) => s + v, 0);
        const distance = (p: (i: number) => number): number => a.reduce((s, v, i) => s + (v - p(i)) ** 2, 0);
        expect(distance((i) => y[i]!)).toBeLessThanOrEqual(distance((i) => other[i]! / total) + 1e-9);
      }),
    );
  });

  test('the gradient agrees with central differences', () => {
    expectGradient(
      [scores([4, 9], 3)],
      ([x]) => [sparsemax(x!)],
      ([x], [dy]) => [sparsemaxBackward(dy!, sparsemax(x!))],
    );
  });

  test('masked, NaN and infinite rows', () => {
    const y = sparsemax(hardScores()).data;
    expect([...y.slice(0, 10)]).toEqual([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    expect([...y.slice(10, 20)].every(Number.isNaN)).toBe(true);
    const ties = sparsemax(wide(hardScores())).data.slice(25, 30);
    for (const v of ties) expect(v).toBeCloseTo(0.2, 15);
  });

  test('bad calls are refused', () => {
    expect(() => sparsemax(tensor([], [1]))).toThrow('sparsemax: x is a scalar; it must have a last axis');
    expect(() => sparsemaxBackward(scores([2, 3], 1), scores([3, 2], 1))).toThrow(
      'y has shape [3, 2]; it must be [2, 3]',
    );
  });
});

const wrong: readonly Mutant[] = [
  {
    name: 'one round only',
    from: 'if (found.y >= before) { break; }',
    to: 'if (before < 1e38) { break; }',
    all: true,
  },
  {
    name: 'the 1 is left out',
    from: 'tau = (found.x - 1.0) / found.y;',
    to: 'tau = found.x / found.y - 0.5;',
    all: true,
  },
  {
    name: 'negative entries stay',
    from: 'max(below(x[origin + j], top) - tau, 0.0)',
    to: '(below(x[origin + j], top) - tau)',
    all: true,
  },
  {
    name: 'NaN is passed over',
    from: 'select(key(bits), 0xffffffffu, (bits & 0x7fffffffu) > INF_BITS)',
    to: 'key(bits)',
  },
  {
    name: 'the last element is left out',
    from: 'j < params.length; j += step) {\n    let d',
    to: 'j + 1u < params.length; j += step) {\n    let d',
  },
];
const wrongBackward: readonly Mutant[] = [
  {
    name: 'the mean is over the whole row',
    from: 'support.x / max(support.y, 1.0)',
    to: 'support.x / f32(params.length)',
  },
  {
    name: 'what is 0 has a gradient',
    from: 'select(0.0, dy[origin + j] - mean, weights[origin + j] > 0.0)',
    to: 'dy[origin + j] - mean',
  },
  { name: 'the mean is not taken off', from: 'dy[origin + j] - mean, w', to: 'dy[origin + j], w' },
];
const wrongTiles: readonly Mutant[] = [
  {
    name: 'a step of the tree of sums is skipped',
    from: 'half > 0u; half /= 2u) {\n    if (local < half) { sums',
    to: 'half > 1u; half /= 2u) {\n    if (local < half) { sums',
  },
];

describeDevice('the kernel', (gpu, family) => {
  test('agrees with the reference on any floats', async () => {
    const call = fc
      .tuple(size(300, [16, 32, 64, 128, 256]), fc.constantFrom(1, 3, 17), fc.boolean())
      .chain(([n, rows, any]) => tensorOf(any ? anyFloat : tameFloat, fc.constant([rows, n])));
    await fc.assert(
      fc.asyncProperty(call, async (x) => {
        await expectTwins(gpu(), 'sparsemax', { x });
        await expectTwins(gpu(), 'sparsemaxBackward', { dy: scores(x.shape, 4), y: sparsemax(x) });
      }),
      { numRuns: 15 },
    );
    for (const scale of [1e-3, 0.1, 10])
      await expectTwins(gpu(), 'sparsemax', { x: scores([5, 700], 5, scale) });
  });

  test('gives the same bits twice', async () => {
    for (const c of cases.filter((c) => c.bytes === undefined))
      await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('wrong kernels are rejected', async () => {
    const hard = hardScores();
    const repeated = tensor(
      [10, 40],
      Float32Array.from({ length: 400 }, (_, i) => hard.data[Math.floor(i / 40) * 5 + (i % 5)]!),
    );
    const last = scores([6, 47], 6);
    for (let r = 0; r < 6; r++) last.data[r * 47 + 46] = 1.5;
    const y = sparsemax(scores([6, 47], 7));
    await expectKills(gpu(), 'sparsemax.wgsl', family === 'gpu' ? [...wrong, ...wrongTiles] : wrong, {
      rows: () => compareTwins(gpu(), 'sparsemax', { x: scores([6, 47], 8) }),
      hard: () => compareTwins(gpu(), 'sparsemax', { x: repeated }),
      last: () => compareTwins(gpu(), 'sparsemax', { x: last }),
    });
    await expectKills(gpu(), 'sparsemax.wgsl', wrongBackward, {
      rows: () => compareTwins(gpu(), 'sparsemaxBackward', { dy: scores([6, 47], 9), y }),
    });
  });
});
