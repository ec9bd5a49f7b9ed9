import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { softmax, softmaxBackward } from '../src/ref/softmax.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/softmax.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { type Check, expectKills, type Mutant } from './support/mutants.ts';
import { anyFloat, shapeAndAxis, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; laws of the reference (sums to 1, shift, order, masked = absent, gradient by finite
// differences and rows that add up to nothing); the kernels stay within the bound on any floats, NaN and infinities
// included, for both families; wrong kernels are rejected; bad calls are refused.

describeVectors('softmax');

const random = (shape: readonly number[], seed: number, scale = 4): Tensor =>
  tensor(
    shape,
    noiseArray(
      shape.reduce((n, s) => n * s, 1),
      seed,
    ).map((v) => scale * v),
  );
const call = (element: fc.Arbitrary<number>) =>
  shapeAndAxis(3000).chain(({ shape, axis }) =>
    fc.record({ x: tensorOf(element, fc.constant(shape)), axis: fc.constant(axis) }),
  );

describe('the reference', () => {
  test('every row adds up to 1, unless it is masked throughout', () => {
    const logit = fc.oneof({ weight: 4, arbitrary: tameFloat }, fc.constant(-Infinity));
    fc.assert(
      fc.property(fc.array(logit, { minLength: 1, maxLength: 40 }), (row) => {
        const y = softmax(tensor([row.length], Float64Array.from(row))).data;
        const sum = [...y].reduce((a, b) => a + b, 0);
        expect(sum).toBeCloseTo(row.every((v) => v === -Infinity) ? 0 : 1, 12);
        for (let i = 0; i < row.length; i++) if (row[i] === -Infinity) expect(y[i]).toBe(0);
      }),
    );
  });

  test('a shift changes nothing, and the order stays', () => {
    const x = tensor([1, 30], Float64Array.from(random([30], 1).data));
    const y = softmax(x).data;
    const shifted = softmax(tensor([1, 30], x.data.map((v) => v + 1000) as Float64Array)).data;
    for (let i = 0; i < 30; i++) {
      expect(shifted[i]).toBeCloseTo(y[i]!, 12);
      for (let j = 0; j < 30; j++) expect(y[i]! < y[j]!).toBe(x.data[i]! < x.data[j]!);
    }
  });

  test('a masked element is as good as absent', () => {
    const row = [...random([9], 2).data];
    const masked = [...row.slice(0, 4), -Infinity, ...row.slice(4), -Infinity];
    const y = [...softmax(tensor([11], masked)).data];
    expect([...y.slice(0, 4), ...y.slice(5, 10)]).toEqual([...softmax(tensor([9], row)).data]);
  });

  test('the gradient agrees with central differences, for every axis', () => {
    for (const [shape, axis] of [
      [[6], 0],
      [[3, 5], 0],
      [[3, 5], -1],
      [[2, 4, 3], 1],
      [[1, 1], 0],
    ] as const) {
      expectGradient(
        [random(shape, 3, 2)],
        ([x]) => [softmax(x!, { axis })],
        ([x], [dy]) => [softmaxBackward(dy!, softmax(x!, { axis }), { axis })],
      );
    }
  });

  test('the gradient of every row adds up to nothing', () => {
    const y = softmax(tensor([3, 20], Float64Array.from(random([60], 4).data)));
    const dx = softmaxBackward(tensor([3, 20], Float64Array.from(random([60], 5).data)), y).data;
    for (let row = 0; row < 3; row++) {
      expect([...dx.slice(row * 20, row * 20 + 20)].reduce((a, b) => a + b, 0)).toBeCloseTo(0, 12);
    }
  });
});

describe('bad calls are refused before any work', () => {
  const x = random([2, 3], 1);
  test.each([
    [() => softmax(x, { axis: 2 }), 'softmax: axis 2 is outside [-2, 2) for shape [2, 3]'],
    [() => softmax(tensor([], [1])), 'softmax: axis -1 is outside [0, 0) for shape []'],
    [() => softmax(tensor([2], [1, 2], 'i32')), 'softmax: x has dtype i32; it takes f32 or f64'],
    [() => softmaxBackward(x, random([3, 2], 1)), 'softmaxBackward: y has shape [3, 2]; it must be [2, 3]'],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

/** Wrong kernels by the entry points that they change. Those of rows are checked in whole workgroups. */
const wrong = {
  rows: [
    {
      name: 'not shifted by the maximum',
      from: 'let max = bitcast<f32>(bitsOfOrderKey(greatest));',
      to: 'let max = 0.0;',
    },
    {
      name: 'floats are compared as raw bits',
      from: 'greatest = max(greatest, key(bits));',
      to: 'greatest = max(greatest, bits);',
    },
    {
      name: 'the last element is left out of the maximum',
      from: 'j < params.length; j += step) {\n    let bits',
      to: 'j + 1u < params.length; j += step) {\n    let bits',
    },
    {
      name: 'the last element is left out of the sum',
      from: 'j < params.length; j += step) { sum',
      to: 'j + 1u < params.length; j += step) { sum',
    },
    { name: 'small elements vanish', from: 'max - 104.0', to: 'max - 5.0' },
    { name: 'masked rows are NaN', from: 'greatest <= NEG_INF_KEY', to: 'greatest < NEG_INF_KEY' },
    { name: 'NaN is passed over', from: 'select(NAN_BITS, 0u', to: 'select(0u, 0u' },
    { name: 'NaN with a sign is passed over', from: 'magnitude > INF_BITS', to: 'false' },
    { name: 'not divided', from: 'let scale = 1.0 / sum;', to: 'let scale = 1.0;' },
  ],
  tiles: [
    {
      name: 'a step of the tree of sums is skipped',
      from: 'half > 0u; half /= 2u) {\n    if (local < half) { sums',
      to: 'half > 1u; half /= 2u) {\n    if (local < half) { sums',
    },
    {
      name: 'a step of the tree of keys is skipped',
      from: 'half > 0u; half /= 2u) {\n    if (local < half) { keys',
      to: 'half > 1u; half /= 2u) {\n    if (local < half) { keys',
    },
  ],
  quads: [
    { name: 'one of four is left out of the maximum', from: 'max(top.z, top.w)', to: 'top.z' },
    {
      name: 'one of four is left out of the sum',
      from: '1.0 / dot(sum, vec4f(1.0))',
      to: '1.0 / dot(sum.xyz, vec3f(1.0))',
      all: true,
    },
    { name: 'small elements do not vanish', from: 'select(vec4f(0.0), exp(d), counts)', to: 'exp(d)' },
  ],
  fours: [
    {
      name: 'the rest of a row is left out of the maximum',
      from: 'greatest4.x = max(greatest4.x, key(x[at]));',
      to: '',
    },
    {
      name: 'NaN in the rest of a row is passed over',
      from: 'magnitude4.x = max(magnitude4.x, x[at] & 0x7fffffffu);',
      to: '',
    },
    { name: 'the rest of a row is left out of the sum', from: 'sum.x += weight(x[at], shift);', to: '' },
    {
      name: 'the rest of a row is not written',
      from: 'for (var at = whole; at < end; at++) { y[at] = weight',
      to: 'for (var at = end; at < end; at++) { y[at] = weight',
    },
  ],
  across: [
    {
      name: 'rows that lie across others are taken for contiguous',
      from: 'row / params.inner * params.length * params.inner + row % params.inner',
      to: 'row * params.length',
    },
  ],
  backward: [
    {
      name: 'the sum is not taken off',
      from: 'probabilities[at] * (dy[at] - sum)',
      to: 'probabilities[at] * dy[at]',
    },
    { name: 'the sum is not weighted', from: 'sum += dy[at] * probabilities[at];', to: 'sum += dy[at];' },
    {
      name: 'the rows are taken for contiguous',
      from: 'let at = origin + j * params.inner;\n    dx',
      to: 'let at = origin + j;\n    dx',
    },
  ],
  backwardTiles: [
    {
      name: 'a step of the tree of sums is skipped',
      from: 'half > 0u; half /= 2u) {\n    if (local < half) { sums',
      to: 'half > 1u; half /= 2u) {\n    if (local < half) { sums',
    },
  ],
  backwardQuads: [
    {
      name: 'one of four is left out of the sum',
      from: 'dot(sum4, vec4f(1.0))',
      to: 'dot(sum4.yzw, vec3f(1.0))',
    },
    { name: 'the sum is not taken off', from: '(dy4[origin + j] - sum)', to: '(dy4[origin + j])' },
  ],
} satisfies Record<string, readonly Mutant[]>;

describeDevice('the kernel', (gpu, family) => {
  test('stays within the bound of the reference on any floats', async () => {
    const logit = fc.oneof({ weight: 6, arbitrary: tameFloat }, fc.constant(-Infinity));
    await fc.assert(
      fc.asyncProperty(fc.oneof(call(logit), call(anyFloat)), ({ x, axis }) =>
        expectTwins(gpu(), 'softmax', { x }, { axis }),
      ),
      { numRuns: 100 },
    );
  });

  test('and so does its gradient', async () => {
    await fc.assert(
      fc.asyncProperty(call(tameFloat), ({ x, axis }) => {
        const y = softmax(x, { axis });
        return expectTwins(gpu(), 'softmaxBackward', { dy: random(x.shape, 6), y }, { axis });
      }),
      { numRuns: 60 },
    );
  });

  test('a row is the same alone and among others', async () => {
    const x = random([17, 49], 7);
    const all = (await runGpu(gpu(), 'softmax', { x })).y!.data;
    const alone = (await runGpu(gpu(), 'softmax', { x: tensor([1, 49], x.data.slice(49 * 5, 49 * 6)) })).y!
      .data;
    expect([...alone]).toEqual([...all.slice(49 * 5, 49 * 6)]);
  });

  test('gives the same bits twice', async () => {
    // A software driver needs seconds for the large cases in the other family.
    const some = family === 'gpu' ? cases.filter((c) => c.bytes === undefined) : cases;
    for (const c of some) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
    await expectSameBits(gpu(), 'softmax', { x: random([20, 700], 8) });
  });

  test('wrong kernels are rejected', async () => {
    const kills = (mutants: readonly Mutant[], checks: Readonly<Record<string, Check>>) =>
      expectKills(gpu(), 'softmax.wgsl', mutants, checks);
    const compare =
      (x: Tensor, options = {}) =>
      () =>
        compareTwins(gpu(), 'softmax', { x }, options);
    const backward =
      (x: Tensor, options = {}) =>
      () =>
        compareTwins(gpu(), 'softmaxBackward', { dy: random(x.shape, 9), y: softmax(x, options) }, options);
    // The largest and the only large element comes last, in every lane of a tile, and in every one of four.
    const last = (width: number) => {
      const x = random([width, width], 10);
      for (let i = 0; i < width; i++) x.data[i * width + width - 1 - i] = 300 + i;
      return x;
    };
    const hard = cases.find((c) => c.label.startsWith('masked'))!.inputs().x!;
    /** The hard rows, repeated to a given width. */
    const wide = (width: number) =>
      tensor(
        [hard.shape[0]!, width],
        Float32Array.from(
          { length: hard.shape[0]! * width },
          (_, i) => hard.data[Math.floor(i / width) * 5 + ((i % width) % 5)]!,
        ),
      );
    // A NaN with its sign bit set is the smallest of all keys.
    const endsInNaN = random([3, 35], 16);
    const bits = new Uint32Array(endsInNaN.data.buffer);
    bits[34] = 0xffc00000;
    bits[69] = 0x7fc00000;
    const odd = {
      'random rows': compare(random([9, 47], 11)),
      'large last elements': compare(last(47)),
      'hard rows': compare(wide(33)),
      'NaN at the end': compare(endsInNaN),
    };
    if (family === 'gpu') {
      await kills([...wrong.rows, ...wrong.tiles], odd);
      await kills(wrong.backwardTiles, { 'random rows': backward(random([9, 47], 12)) });
      return;
    }
    await kills(wrong.fours, odd);
    await kills(wrong.quads, {
      'random rows': compare(random([9, 44], 13)),
      'large last elements': compare(last(44)),
      'hard rows': compare(wide(40)),
    });
    await kills(wrong.across, { 'random columns': compare(random([9, 7], 14), { axis: 0 }) });
    await kills(wrong.backward, { 'random columns': backward(random([9, 7], 14), { axis: 0 }) });
    await kills(wrong.backwardQuads, { 'random rows': backward(random([9, 44], 15)) });
  });
});
