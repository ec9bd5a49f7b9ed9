import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judge } from '../src/core/bounds/index.ts';
import { type Verdict, worstOf } from '../src/core/bounds.ts';
import { activations } from '../src/core/ops/gatedFfn.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import type { Gpu } from '../src/gpu/index.ts';
import { gatedFfn, gatedFfnBackward } from '../src/ref/gatedFfn.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/gatedFfn.ts';
import { describeDevice } from './support/device.ts';
import { dot, expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size, tameFloat, tensorOf } from './support/tensors.ts';
import { expectSameBits, expectTwins, runGpu, runRef } from './support/twins.ts';
import { decode, describeVectors, readVectors } from './support/vectors.ts';

// Plan: vectors from torch in f64, which the reference meets to the last bit or its neighbour; laws of the reference (linear
// in the value path, hidden units may be permuted, gradients by finite differences and as a transpose, relu's kink); the
// kernels equal the reference exactly on integers and within the composed bound on everything else, for every activation,
// subset of biases and tile edge, gates far out included; a row alone has the bits of the row in a batch; wrong kernels
// are rejected; bad calls are refused.

describeVectors('gatedFfn');

type Weights = Record<'w1' | 'wg' | 'w2', Tensor> & Partial<Record<'b1' | 'bg' | 'b2', Tensor>>;

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const noisy = (shape: readonly number[], seed: number): Tensor =>
  tensor(shape, noiseArray(count(shape), seed));
const round = (t: Tensor, scale: number): Tensor =>
  tensor(
    t.shape,
    Float32Array.from(t.data, (v) => Math.round(scale * v)),
  );

function weights(d: number, h: number, e: number, make = noisy): Weights {
  return {
    w1: make([h, d], 1),
    b1: make([h], 2),
    wg: make([h, d], 3),
    bg: make([h], 4),
    w2: make([e, h], 5),
    b2: make([e], 6),
  };
}

const edges = [3, 4, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65];
const calls = fc
  .tuple(
    size(66, edges),
    size(40, edges),
    size(66, edges),
    size(34, edges),
    fc.constantFrom(...activations),
    fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
  )
  .chain(([rows, d, h, e, activation, biases]) => {
    const of = (...shape: number[]) => tensorOf(tameFloat, fc.constant(shape));
    return fc.record({
      inputs: fc.record({
        x: of(rows, d),
        w1: of(h, d),
        b1: biases[0] ? of(h) : fc.constant(undefined),
        wg: of(h, d),
        bg: biases[1] ? of(h) : fc.constant(undefined),
        w2: of(e, h),
        b2: biases[2] ? of(e) : fc.constant(undefined),
      }),
      dy: of(rows, e),
      options: fc.constant({ activation }),
    });
  });

describe('the reference', () => {
  test('is the oracle to the last bit of f32, or its neighbour', () => {
    for (const c of readVectors('gatedFfn').cases) {
      const inputs = Object.fromEntries(Object.entries(c.inputs).map(([k, v]) => [k, decode(v)]));
      const got = runRef(c.op, inputs, c.options);
      for (const [name, v] of Object.entries(c.outputs)) {
        const want = decode(v);
        for (let i = 0; i < want.size; i++) {
          const w = want.data[i]!;
          // The oracle's own erf and tanh are good to f64's relative 1e-13 or so; far out in the tail, below 1e-30, it cuts.
          const ulp = Math.max(2 ** (Math.floor(Math.log2(Math.abs(w))) - 23), 1e-13);
          expect(
            Math.abs(got[name]!.data[i]! - w) <= ulp,
            `${c.name}, ${name}[${i}]: ${got[name]!.data[i]}, ${w}`,
          ).toBe(true);
        }
      }
    }
  });

  test('is linear in the value path', () => {
    const w = weights(5, 7, 3);
    const x = noisy([4, 5], 9);
    const double = (t: Tensor): Tensor => tensor(t.shape, t.data.map((v) => 2 * v) as Float32Array);
    const zero = tensor([3], [0, 0, 0]);
    const y = gatedFfn(x, { ...w, b2: zero });
    const y2 = gatedFfn(x, { ...w, w1: double(w.w1), b1: double(w.b1!), b2: zero });
    y2.data.forEach((v, i) => {
      expect(v).toBe(2 * y.data[i]!);
    });
  });

  test('permuting the hidden units changes nothing but the order of summation', () => {
    const order = [3, 0, 6, 2, 5, 1, 4];
    const w = weights(5, 7, 3);
    const rowsOf = (t: Tensor, width: number): Tensor =>
      tensor(
        t.shape,
        Float32Array.from(t.data, (_, i) => t.data[order[Math.floor(i / width)]! * width + (i % width)]!),
      );
    const columnsOf = (t: Tensor): Tensor =>
      tensor(
        t.shape,
        Float32Array.from(t.data, (_, i) => t.data[Math.floor(i / 7) * 7 + order[i % 7]!]!),
      );
    const moved = {
      w1: rowsOf(w.w1, 5),
      b1: rowsOf(w.b1!, 1),
      wg: rowsOf(w.wg, 5),
      bg: rowsOf(w.bg!, 1),
      w2: columnsOf(w.w2),
      b2: w.b2!,
    };
    const x = noisy([4, 5], 9);
    for (const activation of activations) {
      const [y, y2] = [gatedFfn(x, w, { activation }), gatedFfn(x, moved, { activation })];
      y2.data.forEach((v, i) => {
        expect(v).toBeCloseTo(y.data[i]!, 6);
      });
    }
  });

  test('the gradient agrees with central differences, for every activation, rank and subset of biases', () => {
    for (const activation of activations) {
      for (const [shape, biases] of [
        [[4], ['b1', 'bg', 'b2']],
        [
          [3, 4],
          ['b1', 'bg', 'b2'],
        ],
        [[2, 3, 4], []],
        [[2, 1, 3, 4], ['bg']],
      ] as const) {
        const all = weights(4, 5, 3);
        const names = (['w1', 'b1', 'wg', 'bg', 'w2', 'b2'] as const).filter(
          (n) => n.startsWith('w') || (biases as readonly string[]).includes(n),
        );
        const record = (tensors: readonly Tensor[]): Weights =>
          Object.fromEntries(names.map((n, i) => [n, tensors[i + 1]!])) as unknown as Weights;
        expectGradient(
          [noisy(shape, 8), ...names.map((n) => all[n]!)],
          (tensors) => [gatedFfn(tensors[0]!, record(tensors), { activation })],
          (tensors, [dy]) => {
            const g = gatedFfnBackward(dy!, tensors[0]!, record(tensors), { activation });
            return [g.dx, ...names.map((n) => g[`d${n}`])];
          },
        );
      }
    }
  });

  test('<dy, J v> = <Jᵀ dy, v> along the value weights, where the layer is linear', () => {
    const wide = (shape: number[], seed: number): Tensor =>
      tensor(shape, Float64Array.from(noiseArray(count(shape), seed)));
    const w = weights(5, 7, 3, (shape, seed) => wide([...shape], seed));
    const [x, dy] = [wide([4, 5], 8), wide([4, 3], 9)];
    const { dw1, dw2 } = gatedFfnBackward(dy, x, w, { activation: 'silu' });
    const none = { b1: tensor([7], new Float64Array(7)), b2: tensor([3], new Float64Array(3)) };
    // y without the biases of the value path is linear in w1: J w1 = y. In w2 it is linear once b2 is gone.
    expect(dot(dw1, w.w1)).toBeCloseTo(dot(dy, gatedFfn(x, { ...w, ...none }, { activation: 'silu' })), 10);
    expect(dot(dw2, w.w2)).toBeCloseTo(
      dot(dy, gatedFfn(x, { ...w, b2: none.b2 }, { activation: 'silu' })),
      10,
    );
  });

  test('the derivative of relu at a gate of 0 is 0', () => {
    const one = tensor([1, 1], [1]);
    const w = { w1: one, wg: one, w2: one, b1: tensor([1], [1]) };
    const g = gatedFfnBackward(tensor([2, 1], [1, 1]), tensor([2, 1], [0, -0]), w);
    expect([...g.dx.data, ...g.dwg.data]).toEqual([0, 0, 0]);
    expect(g.dbg).toBeUndefined();
  });
});

describe('bad calls are refused before any work', () => {
  const x = noisy([2, 3], 1);
  const w = weights(3, 4, 2);
  test.each([
    [
      () => gatedFfn(x, w, { activation: 'tanh' as never }),
      'gatedFfn: activation is "tanh"; it must be one of relu, silu',
    ],
    [() => gatedFfn(noisy([2, 5], 1), w), 'w1 has shape [4, 3]; it must be [H, 5] for x of shape [2, 5]'],
    [() => gatedFfn(x, { ...w, wg: noisy([5, 3], 1) }), 'wg has shape [5, 3]; it must be [4, 3]'],
    [() => gatedFfn(x, { ...w, w2: noisy([4, 2], 1) }), 'w2 has shape [4, 2]; it must be [E, 4]'],
    [() => gatedFfn(x, { ...w, b2: noisy([4], 1) }), 'b2 has shape [4]; it must be [2]'],
    [() => gatedFfn(x, { w1: w.w1, wg: w.wg } as never), 'the weight w2 is missing'],
    [() => gatedFfn(tensor([], [1]), w), 'x is a scalar'],
    [() => gatedFfnBackward(x, x, w), 'gatedFfnBackward: dy has shape [2, 3]; it must be [2, 2]'],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

/** Compare the twins; random data whose roundings are independent are also tested for lost precision and bias. */
async function compare(
  gpu: Gpu,
  op: 'gatedFfn' | 'gatedFfnBackward',
  inputs: Record<string, Tensor | undefined>,
  activation: string,
  independent = false,
): Promise<Verdict> {
  const options = { activation };
  const want = runRef(op, inputs, options);
  const got = await runGpu(gpu, op, inputs, options);
  return worstOf(Object.values(judge(op, { inputs, options, want, got, independent })));
}

const wrongShared: readonly Mutant[] = [
  { name: 'silu without its factor', from: 'return g * sigmoids(g).x;', to: 'return sigmoids(g).x;' },
  { name: 'the tail of erf is not mirrored', from: 'select(tail, 1.0 - tail, g >= 0.0)', to: 'tail' },
  { name: 'a coefficient of erf is off', from: '0.13986185', to: '0.13996185' },
  { name: 'the cubic term of geluTanh is missing', from: 'z + CUBE * z * z * z', to: 'z' },
  { name: 'no activation', from: 'return max(g, 0.0);', to: 'return g;' },
];
const wrongSlopes: readonly Mutant[] = [
  {
    name: 'the gradient of the gate forgets the value',
    from: 'gradient * (value * slope(gate))',
    to: 'gradient * slope(gate)',
  },
  {
    name: 'the gradient of the value forgets the activation',
    from: 'u[id] = gradient * open;',
    to: 'u[id] = gradient;',
  },
  { name: 'h is not made again', from: 'dh[id] = value * open;', to: '' },
];
const wrongTiles: readonly Mutant[] = [
  { name: 'value and gate are exchanged', from: 'u * activation(g);', to: 'g * activation(u);' },
  {
    name: 'the last tile of features is dropped',
    from: 'start < params.features; start',
    to: 'start + TILE_K <= params.features; start',
  },
  {
    name: 'the bias of the gate is dropped',
    from: 'if (params.hasGateBias != 0u)',
    to: 'if (params.hasGateBias > 1u)',
  },
  {
    name: 'a row at the edge is stale',
    from: 'row + 2u, row + 3u);',
    to: 'row + 2u, row + 4u);',
  },
  {
    name: 'x is rounded to 10 bits, as f16 would',
    from: 'gate[i] = fma(vec4f(above[i])',
    to: 'gate[i] = fma(vec4f(bitcast<f32>(bitcast<u32>(above[i]) & 0xffffe000u))',
  },
];
const wrongPacking: readonly Mutant[] = [
  {
    name: 'value and gate are exchanged',
    from: 'texel[j] = values[place] * activation(gates[place]);',
    to: 'texel[j] = gates[place] * activation(values[place]);',
  },
  {
    name: 'the last row of a panel is dropped',
    from: 'if (row < elements.rows)',
    to: 'if (row + 1u < elements.rows)',
  },
  {
    name: 'the last unit is dropped',
    from: 'min(4u, elements.hidden - unit)',
    to: 'min(3u, elements.hidden - unit)',
  },
];
const wrongGate: readonly Mutant[] = [
  {
    name: 'value and gate are exchanged',
    from: 'product[id] = values[id] * activation(gates[id]);',
    to: 'product[id] = gates[id] * activation(values[id]);',
  },
];

describeDevice('the kernel', (gpu, family) => {
  const plain = { x: noisy([20, 33], 9), ...weights(33, 19, 13) };
  const far = { ...plain, x: tensor([20, 33], plain.x.data.map((v) => 8 * v) as Float32Array) };
  const backward = { dy: noisy([20, 13], 7), ...plain };
  // One unit, value 1, gate x: y is the activation itself, and nothing but its own error is in the bound.
  const one = tensor([1, 1], [1]);
  const alone = {
    x: tensor(
      [385, 1],
      Float32Array.from({ length: 385 }, (_, i) => (i - 192) / 16),
    ),
    ...{ w1: tensor([1, 1], [0]), b1: tensor([1], [1]), wg: one, w2: one },
  };
  const slopes = { dy: tensor([385, 1], new Float32Array(385).fill(1)), ...alone };
  const checks = {
    'relu, independent roundings': () => compare(gpu(), 'gatedFfn', plain, 'relu', true),
    'silu, gates far out': () => compare(gpu(), 'gatedFfn', far, 'silu'),
    'gelu alone': () => compare(gpu(), 'gatedFfn', alone, 'gelu'),
    'geluTanh, gates far out': () => compare(gpu(), 'gatedFfn', far, 'geluTanh'),
    gradients: () => compare(gpu(), 'gatedFfnBackward', backward, 'silu'),
  };

  test('equals the reference within the composed bound', async () => {
    await fc.assert(
      fc.asyncProperty(calls, ({ inputs, options }) => expectTwins(gpu(), 'gatedFfn', inputs, options)),
      { numRuns: 40 },
    );
    for (const c of cases.filter((c) => c.op === 'gatedFfn' && (c.flops ?? 0) < 1e8)) {
      await expectTwins(gpu(), c.op, c.inputs(), c.options);
    }
  });

  test('has the gradients of the reference within the composed bound', async () => {
    await fc.assert(
      fc.asyncProperty(calls, ({ inputs, dy, options }) =>
        expectTwins(gpu(), 'gatedFfnBackward', { dy, ...inputs }, options),
      ),
      { numRuns: 30 },
    );
    for (const c of cases.filter((c) => c.op === 'gatedFfnBackward' && (c.flops ?? 0) < 1e8)) {
      await expectTwins(gpu(), c.op, c.inputs(), c.options);
    }
  });

  test('computes each activation and its slope within their own error', async () => {
    for (const activation of activations) {
      for (const [op, inputs] of [
        ['gatedFfn', alone],
        ['gatedFfnBackward', slopes],
      ] as const) {
        const v = await compare(gpu(), op, inputs, activation);
        expect(v.verdict, `${op}, ${activation}: ${v.message}`).toBe('PASS');
      }
    }
  });

  test('equals the reference exactly on integers with relu', async () => {
    const small = (shape: readonly number[], seed: number): Tensor => round(noisy(shape, seed), 3);
    const inputs = { x: small([35, 21], 9), ...weights(21, 34, 11, small) };
    const exactly = async (op: string, given: Record<string, Tensor>): Promise<void> => {
      const want = runRef(op, given);
      const got = await runGpu(gpu(), op, given);
      for (const [name, w] of Object.entries(want)) {
        expect(
          got[name]!.data.findIndex((v, i) => v !== w.data[i]),
          name,
        ).toBe(-1);
      }
    };
    await exactly('gatedFfn', inputs);
    await exactly('gatedFfnBackward', { dy: small([35, 11], 8), ...inputs });
  });

  test('a row alone has the bits of the row in a batch', async () => {
    for (const activation of ['relu', 'gelu']) {
      const whole = (await runGpu(gpu(), 'gatedFfn', plain, { activation })).y!;
      for (const r of [0, 16, 19]) {
        const x = tensor([33], plain.x.data.slice(r * 33, (r + 1) * 33));
        const alone = (await runGpu(gpu(), 'gatedFfn', { ...plain, x }, { activation })).y!;
        expect([...alone.data]).toEqual([...whole.data.slice(r * 13, (r + 1) * 13)]);
      }
    }
  });

  test('gives the same bits twice', async () => {
    await expectSameBits(gpu(), 'gatedFfn', plain, { activation: 'gelu' });
    await expectSameBits(gpu(), 'gatedFfnBackward', backward, { activation: 'silu' });
  });

  test('wrong kernels are rejected', async () => {
    await expectKills(gpu(), 'gatedFfn.wgsl', family === 'gpu' ? wrongTiles : wrongPacking, checks);
    // One family is enough for the functions of one variable, and for the kernel that both run.
    if (family === 'gpu') return;
    await expectKills(gpu(), 'lib/activations.wgsl', wrongShared, checks);
    await expectKills(gpu(), 'gatedFfn.wgsl', wrongSlopes, { gradients: checks.gradients });
  });

  if (family === 'cpu-vulkan') {
    test('without subgroups other kernels take over, right and with the same bits', async () => {
      const with_ = (await runGpu(gpu(), 'gatedFfn', plain, { activation: 'silu' })).y!;
      Object.defineProperty(gpu(), 'subgroups', { value: false, configurable: true });
      try {
        const without = (await runGpu(gpu(), 'gatedFfn', plain, { activation: 'silu' })).y!;
        expect([...without.data]).toEqual([...with_.data]);
        await expectKills(gpu(), 'gatedFfn.wgsl', wrongGate, checks);
      } finally {
        Object.defineProperty(gpu(), 'subgroups', { value: true, configurable: true });
      }
    });
  }
});
