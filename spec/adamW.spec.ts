import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { openGpu } from '../src/gpu/index.ts';
import { adamW } from '../src/ref/adamW.ts';
import { cases } from '../src/verify/adamW.ts';
import { noiseArray } from '../src/verify/case.ts';
import { describeDevice } from './support/device.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch.optim, step by step; laws of the reference (the first step is a sign step, Adam and AdamW agree
// without decay, the factor multiplies the gradient, nothing is changed in place); the kernel stays within the followed
// roundings on generated data of all sizes and across windows; wrong kernels are rejected; bad calls are refused.

describeVectors('adamW');

const gradient = fc.oneof(
  tameFloat,
  fc.tuple(tameFloat, fc.integer({ min: -12, max: 6 })).map(([x, power]) => Math.fround(x * 10 ** power)),
  fc.constantFrom(0, 0, 2 ** -149, 2 ** -126),
);

const call = size(1500).chain((n) => {
  const shape = fc.constant([n]);
  return fc.record({
    inputs: fc.record(
      {
        param: tensorOf(tameFloat, shape),
        grad: tensorOf(gradient, shape),
        m: tensorOf(gradient, shape),
        v: tensorOf(
          gradient.map((x) => Math.fround(x * x)),
          shape,
        ),
        factor: fc.constantFrom(0, 1, 0.25, 1e-3).map((x) => tensor([], [x])),
      },
      { requiredKeys: ['param', 'grad', 'm', 'v'] },
    ),
    options: fc.record(
      {
        step: fc.constantFrom(1, 2, 10, 100000),
        lr: fc.constantFrom(0.001, 0.1, 0),
        beta1: fc.constantFrom(0.9, 0, 0.5),
        beta2: fc.constantFrom(0.999, 0, 0.95),
        eps: fc.constantFrom(1e-8, 1e-3),
        weightDecay: fc.constantFrom(0, 0.01, 0.5),
        decoupled: fc.boolean(),
      },
      { requiredKeys: ['step'] },
    ),
  });
});

describe('the reference', () => {
  const n = 50;
  const zero = tensor([n], new Float64Array(n));
  const wide = (seed: number) => tensor([n], Float64Array.from(noiseArray(n, seed)));
  const param = wide(1);
  const grad = wide(2);

  test('the first step from zero moments moves by lr against the sign of the gradient', () => {
    const after = adamW(param, grad, zero, zero, 1, { lr: 0.01, eps: 1e-30, weightDecay: 0 });
    for (let i = 0; i < n; i++) {
      expect(after.param.data[i]).toBeCloseTo(param.data[i]! - 0.01 * Math.sign(grad.data[i]!), 12);
    }
  });

  test('a constant gradient keeps moving by lr: the corrections undo the start from zero', () => {
    let state = { param, m: zero, v: zero };
    for (let step = 1; step <= 30; step++) {
      const next = adamW(state.param, grad, state.m, state.v, step, { lr: 0.01, weightDecay: 0, eps: 1e-30 });
      for (let i = 0; i < n; i++) {
        const moved = next.param.data[i]! - state.param.data[i]!;
        expect(moved).toBeCloseTo(-0.01 * Math.sign(grad.data[i]!), 10);
      }
      state = next;
    }
  });

  test('Adam and AdamW differ by their decay only', () => {
    const of = (decoupled: boolean, weightDecay: number) =>
      adamW(param, grad, wide(3), tensor([n], wide(4).data.map(Math.abs)), 5, { decoupled, weightDecay });
    expect(of(true, 0).param.data).toEqual(of(false, 0).param.data);
    expect(of(true, 0.1).m.data).toEqual(of(true, 0).m.data);
    expect(of(false, 0.1).m.data).not.toEqual(of(false, 0).m.data);
    expect(of(true, 0.1).param.data).not.toEqual(of(false, 0.1).param.data);
  });

  test('the factor multiplies the gradient', () => {
    const half = tensor(
      [n],
      (grad.data as Float64Array).map((g) => g / 2),
    );
    const a = adamW(param, grad, zero, zero, 1, { factor: tensor([], [0.5], 'f64') });
    const b = adamW(param, half, zero, zero, 1);
    expect(a.param.data).toEqual(b.param.data);
    expect(a.v.data).toEqual(b.v.data);
  });

  test('the inputs stay as they were', () => {
    const before = [param, grad, zero].map((t) => t.data.slice());
    adamW(param, grad, zero, zero, 1);
    expect([param, grad, zero].map((t) => t.data)).toEqual(before);
  });
});

describe('bad calls are refused before any work', () => {
  const x = tensor([2, 3], [1, 2, 3, 4, 5, 6]);
  const flat = tensor([6], [1, 2, 3, 4, 5, 6]);
  test.each([
    [() => adamW(x, flat, x, x, 1), 'adamW: grad has shape [6]; it must be [2, 3]'],
    [() => adamW(x, x, x, tensor([2, 3], new Float64Array(6)), 1), 'adamW: v has dtype f64; it takes f32'],
    [() => adamW(x, x, x, x, 0), 'adamW: step is 0; it must be an integer from 1'],
    [() => adamW(x, x, x, x, 1, { beta1: 1 }), 'adamW: beta1 is 1; it must be at least 0 and below 1'],
    [() => adamW(x, x, x, x, 1, { beta2: Number.NaN }), 'adamW: beta2 is NaN'],
    [() => adamW(x, x, x, x, 1, { lr: -1 }), 'adamW: lr is -1; it must be a finite number >= 0'],
    [() => adamW(x, x, x, x, 1, { eps: 0 }), 'adamW: eps is 0; it must be at least 2^-126'],
    [() => adamW(x, x, x, x, 1, { factor: flat }), 'adamW: factor has shape [6]; it must be []'],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const wrong: readonly Mutant[] = [
  { name: 'eps is left out', from: 'params.rootScale + params.eps', to: 'params.rootScale' },
  { name: 'no correction of the root', from: '* params.rootScale', to: '' },
  { name: 'the old mean is used', from: '(m / root)', to: '(oldM[i] / root)' },
  { name: 'the square is not squared', from: '(g * g)', to: 'abs(g)' },
  { name: 'the decay of AdamW is left out', from: 'params.shrink * p', to: 'p' },
  { name: 'the decay of Adam is left out', from: ' + params.coupledDecay * p', to: '' },
  { name: 'the factor is ignored', from: 'params.hasFactor != 0u', to: 'params.hasFactor > 1u' },
  { name: 'the last quad is left out', from: 'i >= params.count', to: 'i + 1u >= params.count' },
  { name: 'the betas are swapped', from: 'params.beta2 * oldV', to: 'params.beta1 * oldV' },
];

describeDevice('the kernel', (gpu, family) => {
  test('stays within its bounds on generated data', async () => {
    await fc.assert(
      fc.asyncProperty(call, ({ inputs, options }) => expectTwins(gpu(), 'adamW', inputs, options)),
      { numRuns: 100 },
    );
  });

  test('passes the cases of verify, and gives the same bits twice', async () => {
    for (const c of cases) await expectTwins(gpu(), c.op, c.inputs(), c.options);
    const c = cases.at(-1)!;
    await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('works through tensors in windows where one binding is too small', async () => {
    await using small = await openGpu({ family, maxBindingBytes: 4096 });
    const inputs = Object.fromEntries(
      ['param', 'grad', 'm', 'v'].map((name, i) => [name, tensor([3003], noiseArray(3003, i).map(Math.abs))]),
    );
    expect(await runGpu(small, 'adamW', inputs, { step: 2 })).toEqual(
      await runGpu(gpu(), 'adamW', inputs, { step: 2 }),
    );
  });

  test('a step in steady state creates no buffer', async () => {
    const state = cases[1]!.inputs() as Record<'param' | 'grad' | 'm' | 'v', Tensor>;
    using grad = gpu().upload(state.grad);
    let now = {
      param: gpu().upload(state.param),
      m: gpu().upload(state.m),
      v: gpu().upload(state.v),
    };
    const dispose = () => {
      for (const t of Object.values(now)) t[Symbol.dispose]();
    };
    let created = 0;
    for (let step = 1; step <= 6; step++) {
      const { param, m, v } = gpu().ops.adamW(now.param, grad, now.m, now.v, step);
      dispose();
      now = { param, m, v };
      if (step === 2) created = gpu().pool.created;
    }
    expect(gpu().pool.created).toBe(created);
    dispose();
  });

  test('wrong kernels are rejected', async () => {
    const checks = {
      'the cases of verify': () => {
        const c = cases[1]!;
        return compareTwins(gpu(), c.op, c.inputs(), c.options);
      },
      'Adam with decay': () => {
        const { factor: _, ...inputs } = cases[1]!.inputs();
        const v = tensor([1003], noiseArray(1003, 3).map(Math.abs));
        return compareTwins(
          gpu(),
          'adamW',
          { ...inputs, v },
          {
            step: 3,
            decoupled: false,
            weightDecay: 0.1,
            eps: 1e-3,
          },
        );
      },
    };
    await expectKills(gpu(), 'adamW.wgsl', wrong, checks);
  });
});
