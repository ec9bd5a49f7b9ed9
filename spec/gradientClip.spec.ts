import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { type GpuTensor, openGpu } from '../src/gpu/index.ts';
import { gradientClip, gradientClipFactor } from '../src/ref/gradientClip.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/gradientClip.ts';
import { describeDevice } from './support/device.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { anyFloat, size, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu, runRef } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; laws of the reference (the result's norm, no change below the limit, one factor for all,
// order and cuts of the list do not matter); the kernel on generated lists with NaN and infinities, on lists long enough
// for several levels of sums, and across windows; wrong kernels are rejected; bad calls are refused.

describeVectors('gradientClip');

const list = (element: fc.Arbitrary<number>, most: number) =>
  fc
    .array(
      tensorOf(
        element,
        size(most, [4, 16, 64, 256]).map((n) => [n]),
      ),
      { minLength: 1, maxLength: 5 },
    )
    .map((grads) => Object.fromEntries(grads.map((g, i) => [`grads.${i}`, g])));

const limits = fc.constantFrom(0, 1e-3, 1, 7, 1e6);

describe('the reference', () => {
  const wide = (n: number, seed: number) => tensor([n], Float64Array.from(noiseArray(n, seed)));

  test('brings the norm down to the limit, and leaves smaller gradients alone', () => {
    const grads = [wide(50, 1), wide(3, 2)];
    const { clipped, norm } = gradientClip(grads, 0.5);
    expect(norm.data[0]).toBeGreaterThan(0.5);
    expect(gradientClip(clipped, 1).norm.data[0]).toBeCloseTo(0.5, 6);
    expect(gradientClip(clipped, 1).clipped.map((t) => t.data)).toEqual(clipped.map((t) => t.data));
  });

  test('a list and its concatenation are clipped alike', () => {
    const whole = wide(60, 3);
    const parts = [whole.data.slice(0, 7), whole.data.slice(7, 8), whole.data.slice(8)];
    const cut = gradientClip(
      parts.map((d) => tensor([d.length], d)),
      1,
    );
    const joined = gradientClip([whole], 1);
    expect(cut.clipped.flatMap((t) => [...t.data])).toEqual([...joined.clipped[0]!.data]);
    expect(cut.norm.data).toEqual(joined.norm.data);
  });

  test('the factor is what the gradients are multiplied by', () => {
    const grads = [wide(9, 4), wide(5, 5)];
    const factor = gradientClipFactor(grads, 0.7).factor.data[0]!;
    const { clipped } = gradientClip(grads, 0.7);
    expect([...clipped[1]!.data]).toEqual([...grads[1]!.data].map((g) => g * factor));
  });
});

describe('bad calls are refused before any work', () => {
  const x = tensor([2], [1, 2]);
  test.each([
    [() => gradientClip([], 1), 'gradientClip: grads is not a list with at least one tensor'],
    [() => gradientClip(x as unknown as Tensor[], 1), 'grads is not a list'],
    [() => gradientClip([x], -1), 'gradientClip: maxNorm is -1; it must be a finite number >= 0'],
    [() => gradientClipFactor([x], Number.NaN), 'gradientClipFactor: maxNorm is NaN'],
    [
      () => gradientClip([x, tensor([1], [1], 'f64')], 1),
      'gradientClip: grads.1 has dtype f64; it takes f32',
    ],
    [() => gradientClip([tensor([1], [1], 'i32')], 1), 'grads.0 has dtype i32; it takes f32 or f64'],
    [() => runRef('gradientClip', {}, { maxNorm: 1 }), 'the input "grads.0, grads.1, ..." is missing'],
    [
      () => runRef('gradientClip', { 'grads.0': x, 'grads.2': x }, { maxNorm: 1 }),
      'the list grads has 2 tensors, but no "grads.1"',
    ],
    [
      () => runRef('gradientClip', { grads: x }, { maxNorm: 1 }),
      'there is no input "grads"; it takes grads.0',
    ],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const wrong: readonly Mutant[] = [
  { name: 'what lies behind the last element counts', from: '< vec4u(params.count)', to: '< vec4u(~0u)' },
  { name: 'every tensor writes its sums to the front', from: 'params.first + id', to: 'id' },
  { name: 'squares are not squared', from: 'sum += g * g;', to: 'sum += abs(g);' },
  { name: 'one lane of the quads is lost', from: '(sum.z + sum.w)', to: 'sum.z' },
  { name: 'a step of the sums is left out', from: 'var step = 0u', to: 'var step = 1u', all: true },
  { name: 'the last sum is left out', from: 'i < params.count; i++', to: 'i + 1u < params.count; i++' },
  { name: 'gradients are scaled up', from: 'min(1.0, params.maxNorm', to: 'max(0.0, params.maxNorm' },
  { name: 'no epsilon', from: '(root + 1e-6)', to: 'root' },
  { name: 'NaN is not noticed', from: 'if (largest > INFINITY_BITS)', to: 'if (false)' },
  { name: 'the sign is lost', from: 'product, finite', to: 'product & vec4u(0x7fffffffu), finite' },
];

describeDevice('the kernel', (gpu, family) => {
  test('stays within its bounds on generated lists', async () => {
    await fc.assert(
      fc.asyncProperty(list(tameFloat, 1200), limits, (inputs, maxNorm) =>
        expectTwins(gpu(), 'gradientClip', inputs, { maxNorm }),
      ),
      { numRuns: 60 },
    );
  });

  test('knows NaN and infinity', async () => {
    await fc.assert(
      fc.asyncProperty(list(anyFloat, 70), limits, (inputs, maxNorm) =>
        expectTwins(gpu(), 'gradientClip', inputs, { maxNorm }),
      ),
      { numRuns: 60 },
    );
  });

  test('passes the cases of verify, and gives the same bits twice', async () => {
    for (const c of cases) {
      await expectTwins(gpu(), c.op, c.inputs(), c.options);
      await expectSameBits(gpu(), c.op, c.inputs(), c.options);
    }
  });

  test('works through tensors in windows where one binding is too small', async () => {
    await using small = await openGpu({ family, maxBindingBytes: 4096 });
    const inputs = { 'grads.0': tensor([5003], noiseArray(5003, 1)), 'grads.1': tensor([2], [3, 4]) };
    const options = { maxNorm: 2 };
    const verdictOf = await runGpu(small, 'gradientClip', inputs, options);
    const whole = await runGpu(gpu(), 'gradientClip', inputs, options);
    expect(verdictOf.norm!.data[0]).toBeCloseTo(whole.norm!.data[0]!, 4);
    expect(verdictOf['clipped.1']!.data[1]).toBeCloseTo(whole['clipped.1']!.data[1]!, 6);
  });

  test('feeds adamW: the factor there is as good as clipping first', async () => {
    const inputs = { 'grads.0': tensor([300], noiseArray(300, 1)), 'grads.1': tensor([7], noiseArray(7, 2)) };
    const lifted = Object.values(inputs).map((t) => gpu().upload(t));
    using zero = gpu().zeros('f32', [300]);
    using a = gpu().ops.gradientClip(lifted, 1);
    using b = gpu().ops.gradientClipFactor(lifted, 1);
    using first = gpu().ops.adamW(zero, a.clipped[0] as GpuTensor, zero, zero, 1);
    using second = gpu().ops.adamW(zero, lifted[0]!, zero, zero, 1, { factor: b.factor });
    expect((await second.m.read()).data).toEqual((await first.m.read()).data);
    for (const t of lifted) t[Symbol.dispose]();
  });

  test('wrong kernels are rejected', async () => {
    const odd = cases.at(-1)!;
    const two = (a: Tensor, b: Tensor) => ({ 'grads.0': a, 'grads.1': b });
    const checks = {
      'odd sizes': () => compareTwins(gpu(), odd.op, odd.inputs(), { maxNorm: 0.5 }),
      'below the limit': () => compareTwins(gpu(), odd.op, odd.inputs(), odd.options),
      'several levels of sums': () =>
        compareTwins(
          gpu(),
          'gradientClip',
          two(tensor([70001], noiseArray(70001, 1)), tensor([3], [100, -70, 30])),
          { maxNorm: 1 },
        ),
      tiny: () =>
        compareTwins(gpu(), 'gradientClip', { 'grads.0': tensor([2], [1e-7, -1e-7]) }, { maxNorm: 1e-9 }),
      zeros: () =>
        compareTwins(gpu(), 'gradientClip', two(tensor([2], [0, 0]), tensor([], [0])), { maxNorm: 1 }),
      NaN: () =>
        compareTwins(gpu(), 'gradientClip', two(tensor([2], [0, Number.NaN]), tensor([], [0])), {
          maxNorm: 1,
        }),
      infinity: () =>
        compareTwins(gpu(), 'gradientClip', two(tensor([2], [1, Infinity]), tensor([], [2])), { maxNorm: 1 }),
    };
    await expectKills(gpu(), 'gradientClip.wgsl', wrong, checks);
  });
});
