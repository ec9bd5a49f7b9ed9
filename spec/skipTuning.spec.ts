import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tensor } from '../src/core/tensor.ts';
import { skipSchedule } from '../src/models/skipTuning.ts';
import * as ref from '../src/ref/index.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/skipTuning.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { anyFloat, size, tameFloat, tensorOf, wideFloat } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from PyTorch; the schedule's ends; rho = 1 is the plain concatenation and the plain sum, bit for bit, on both
// twins; gradients along every axis; twins on generated shapes; wrong kernels are rejected; bad calls are refused.

describeVectors('skipTuning');

describe('the schedule', () => {
  test('goes from bottom to top in equal steps, and its ends are exact', () => {
    expect(skipSchedule(3, 0.5, 1)).toEqual([0.5, 0.75, 1]);
    expect(skipSchedule(1, 0.7, 1)).toEqual([0.7]);
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 30 }), tameFloat, tameFloat, (n, bottom, top) => {
        const rhos = skipSchedule(n, bottom, top);
        expect([rhos[0], rhos.at(-1)]).toEqual([bottom, top]);
        if (bottom === top) expect(new Set(rhos).size).toBe(1);
      }),
    );
  });

  test('bad numbers are refused', () => {
    expect(() => skipSchedule(0, 1)).toThrow('count is 0');
    expect(() => skipSchedule(2, Number.NaN)).toThrow('bottom is NaN');
  });
});

describe('the reference', () => {
  const shapes: [number[], number[], number][] = [
    [[2, 3], [2, 1], 1],
    [[2, 3, 2], [2, 2, 2], -2],
    [[3], [2], 0],
  ];

  test('rho = 1 is the concatenation itself', () => {
    const u = tensor([2, 1], [Number.NaN, -0]);
    const d = tensor([2, 2], [2 ** -149, Infinity, 3, -Infinity]);
    expect([...ref.skipTuning(u, d, 1).data]).toEqual([Number.NaN, 2 ** -149, Infinity, -0, 3, -Infinity]);
  });

  test('the gradients agree with central differences along every axis', () => {
    for (const [su, sd, axis] of shapes) {
      const [nu, nd] = [su, sd].map((s) => s.reduce((a, b) => a * b)) as [number, number];
      expectGradient(
        [tensor(su, noiseArray(nu, 1)), tensor(sd, noiseArray(nd, 2))],
        ([u, d]) => [ref.skipTuning(u!, d!, 0.6, { axis })],
        ([u, d], [dy]) => Object.values(ref.skipTuningBackward(dy!, u!, d!, 0.6, { axis })),
      );
    }
    expectGradient(
      [tensor([4], noiseArray(4, 1)), tensor([4], noiseArray(4, 2))],
      ([u, d]) => [ref.skipTuning(u!, d!, -1.5, { mode: 'add' })],
      ([u, d], [dy]) => Object.values(ref.skipTuningBackward(dy!, u!, d!, -1.5, { mode: 'add' })),
    );
  });

  test('bad calls are refused', () => {
    const a = tensor([2, 3], new Float32Array(6));
    expect(() => ref.skipTuning(a, tensor([3, 3], new Float32Array(9)), 1)).toThrow(
      'skipTuning: d has shape [3, 3]; but for axis 1 it must be that of u, [2, 3]',
    );
    expect(() => ref.skipTuning(a, a, Number.NaN)).toThrow('rho is NaN');
    expect(() => ref.skipTuning(a, a, 1e39)).toThrow('rho is 1e+39; it must be a finite f32');
    expect(() => ref.skipTuning(a, tensor([3, 2], new Float32Array(6)), 1, { mode: 'add' })).toThrow(
      'd has shape [3, 2]; it must be [2, 3]',
    );
  });
});

const wrong: readonly Mutant[] = [
  {
    name: 'the backbone is scaled, too',
    from: 'y[i] = backbone[row * params.u + at];',
    to: 'y[i] = scaled(backbone[row * params.u + at]);',
  },
  { name: 'the skip is not scaled', from: 'y[i] = scaled(skip[', to: 'y[i] = (skip[' },
  { name: 'the skip begins one too late', from: '+ at - params.u]', to: '+ at - params.u + 1u]' },
  { name: 'the parts change places', from: 'if (at < params.u) {', to: 'if (at >= params.d) {' },
  {
    name: 'the last element is left out',
    from: 'if (i < params.size) {\n      let row = i / (params.u',
    to: 'if (i + 1u < params.size) {\n      let row = i / (params.u',
  },
  {
    name: 'only rho = 1 is applied',
    from: 'bits, params.plain != 0u',
    to: 'bits, params.plain == 0u',
  },
  { name: 'the sum forgets rho', from: 'a[i] + params.rho * b[i]', to: 'a[i] + b[i]' },
  { name: 'the gradient of the skip is taken from the backbone', from: ' + params.begin', to: '' },
  { name: 'the gradient is not scaled', from: 'part[i] = scaled(dy[', to: 'part[i] = (dy[' },
];

describeDevice('the kernel', (gpu) => {
  const call = fc
    .record({
      outer: fc.constantFrom(1, 2, 5),
      u: size(40, [16]),
      d: size(40, [16]),
      inner: fc.constantFrom(1, 3, 64),
      rho: fc.constantFrom(1, 0, 0.78, -2, 300),
      plain: fc.constantFrom(tameFloat, wideFloat),
    })
    .map((c) => ({ ...c, element: c.rho === 1 ? anyFloat : c.plain }))
    .chain(({ outer, u, d, inner, rho, element }) =>
      fc.record({
        rho: fc.constant(rho),
        u: tensorOf(element, fc.constant([outer, u, inner])),
        d: tensorOf(element, fc.constant([outer, d, inner])),
        dy: tensorOf(element, fc.constant([outer, u + d, inner])),
      }),
    );

  test('agrees with the reference on generated shapes', async () => {
    await fc.assert(
      fc.asyncProperty(call, async ({ u, d, dy, rho }) => {
        await expectTwins(gpu(), 'skipTuning', { u, d }, { rho });
        await expectTwins(gpu(), 'skipTuningBackward', { dy, u, d }, { rho });
        if (u.size !== d.size || rho === 1) return;
        await expectTwins(gpu(), 'skipTuning', { u, d }, { rho, mode: 'add' });
        await expectTwins(gpu(), 'skipTuningBackward', { dy: d, u, d }, { rho, mode: 'add' });
      }),
      { numRuns: 30 },
    );
  });

  test('rho = 1 passes the bits on, and adds like add', async () => {
    // A NaN with a payload, subnormals, both zeros.
    const bits = Uint32Array.of(0x7fc01234, 0xff800001, 1, 0x80000001, 0x80000000, 0x7f800000);
    const odd = tensor([1, 6], new Float32Array(bits.buffer));
    const { y } = await runGpu(gpu(), 'skipTuning', { u: odd, d: odd }, { rho: 1 });
    const got = new Uint32Array(y!.data.buffer, y!.data.byteOffset, 12);
    expect([...got]).toEqual([...bits, ...bits]);
    const a = tensor([5000], noiseArray(5000, 1));
    const b = tensor([5000], noiseArray(5000, 2));
    const joined = await runGpu(gpu(), 'skipTuning', { u: a, d: b }, { rho: 1, mode: 'add' });
    const added = await runGpu(gpu(), 'add', { a, b });
    expect(joined.y!.data).toEqual(added.y!.data);
  });

  test('gives the same bits twice, and agrees on the cases of verify', async () => {
    for (const c of cases) {
      await expectTwins(gpu(), c.op, c.inputs(), c.options);
      await expectSameBits(gpu(), c.op, c.inputs(), c.options);
    }
  });

  test('wrong kernels are rejected', async () => {
    const u = tensor([3, 5, 7], noiseArray(105, 1));
    const d = tensor([3, 2, 7], noiseArray(42, 2));
    const dy = tensor([3, 7, 7], noiseArray(147, 3));
    await expectKills(gpu(), 'skipTuning.wgsl', wrong, {
      concat: () => compareTwins(gpu(), 'skipTuning', { u, d }, { rho: 0.6 }),
      add: () => compareTwins(gpu(), 'skipTuning', { u, d: u }, { rho: 0.6, mode: 'add' }),
      backward: () => compareTwins(gpu(), 'skipTuningBackward', { dy, u, d }, { rho: 0.6 }),
    });
  });
});
