import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tensor } from '../src/core/tensor.ts';
import { cummax, cummaxBackward } from '../src/ref/cummax.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/cummax.ts';
import { describeDevice } from './support/device.ts';
import { dot, expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { anyFloat, shapeAndAxis, size, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; laws of the reference (prefix, idempotence, split anywhere, mask as identity, gradient by
// finite differences and as a transpose); the kernels equal the reference bit for bit on hard data, for both families,
// with rows cut into chunks and not; wrong kernels are rejected; bad calls are refused with the value and the remedy.

describeVectors('cummax');

const call = shapeAndAxis().chain(({ shape, axis }) =>
  tensorOf(anyFloat, fc.constant(shape)).chain((x) => {
    const at = axis < 0 ? axis + shape.length : axis;
    const carryShape = shape.filter((_, i) => i !== at);
    const maskShapes = fc.constantFrom(shape, shape.slice(0, at + 1));
    return fc.record({
      inputs: fc.record(
        {
          x: fc.constant(x),
          carryIn: tensorOf(anyFloat, fc.constant(carryShape)),
          mask: tensorOf(fc.constantFrom(0, 1, 1, 7), maskShapes, 'u32'),
        },
        { requiredKeys: ['x'] },
      ),
      options: fc.constant({ axis }),
    });
  }),
);

describe('the reference', () => {
  test('running it on its own values changes nothing', () => {
    fc.assert(
      fc.property(
        tensorOf(
          anyFloat,
          size(300).map((n) => [n]),
        ),
        (x) => {
          const once = cummax(x).values;
          expect(cummax(once).values.data).toEqual(once.data);
        },
      ),
    );
  });

  test('cut anywhere and carried over, the parts equal the whole', () => {
    fc.assert(
      fc.property(
        tensorOf(
          anyFloat,
          size(80).map((n) => [n]),
        ),
        fc.nat(),
        (x, where) => {
          const cut = where % (x.size + 1);
          const whole = cummax(x);
          const head = cummax(tensor([cut], x.data.slice(0, cut)));
          const tail = cummax(tensor([x.size - cut], x.data.slice(cut)), { carryIn: head.carryOut });
          expect([...head.values.data, ...tail.values.data]).toEqual([...whole.values.data]);
          const moved = [...tail.indices.data].map((i) => (i < 0 ? head.indices.data.at(-1) : i + cut));
          expect([...head.indices.data, ...moved]).toEqual([...whole.indices.data]);
          expect(tail.carryOut.data).toEqual(whole.carryOut.data);
        },
      ),
    );
  });

  test('a masked position is as good as absent', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyFloat, fc.boolean()), { maxLength: 60 }), (pairs) => {
        const kept = pairs.filter(([, on]) => on).map(([v]) => v);
        const x = tensor(
          [pairs.length],
          pairs.map(([v]) => v),
        );
        const mask = tensor(
          [pairs.length],
          pairs.map(([, on]) => Number(on)),
          'u32',
        );
        const got = cummax(x, { mask });
        const want = cummax(tensor([kept.length], kept));
        expect([...got.values.data].filter((_, i) => pairs[i]![1])).toEqual([...want.values.data]);
        expect(got.carryOut.data).toEqual(want.carryOut.data);
      }),
    );
  });

  test('the gradient agrees with central differences, for every rank, axis and carry', () => {
    for (const [shape, axis] of [
      [[7], 0],
      [[3, 5], 0],
      [[3, 5], 1],
      [[2, 6, 3], 1],
      [[4, 2, 3], -3],
    ] as const) {
      const at = axis < 0 ? axis + shape.length : axis;
      const carryShape = shape.filter((_, i) => i !== at);
      const n = shape.reduce((a: number, b) => a * b, 1);
      const x = tensor(shape, noiseArray(n, 1));
      const carry = tensor(
        carryShape,
        noiseArray(n, 2).slice(
          0,
          carryShape.reduce((a: number, b) => a * b, 1),
        ),
      );
      expectGradient(
        [x, carry],
        ([x, carryIn]) => {
          const y = cummax(x!, { axis, carryIn: carryIn! });
          return [y.values, y.carryOut];
        },
        ([x, carryIn], [dValues, dCarryOut]) => {
          const { indices } = cummax(x!, { axis, carryIn: carryIn! });
          const g = cummaxBackward(dValues!, indices, { axis, dCarryOut: dCarryOut! });
          return [g.dx, g.dCarryIn];
        },
      );
    }
  });

  test('the backward is the transpose of the selection, also with ties', () => {
    fc.assert(
      fc.property(
        tensorOf(
          fc.constantFrom(0, 1, 2),
          size(50).map((n) => [n]),
        ),
        (x) => {
          const { indices } = cummax(x);
          const v = tensor(x.shape, Float64Array.from(noiseArray(x.size, 3)));
          const w = tensor(x.shape, Float64Array.from(noiseArray(x.size, 4)));
          const selected = tensor(
            x.shape,
            Float64Array.from(indices.data, (i) => v.data[i]!),
          );
          const { dx } = cummaxBackward(w, indices);
          expect(dot(selected, w)).toBeCloseTo(dot(v, dx), 10);
        },
      ),
    );
  });
});

describe('bad calls are refused before any work', () => {
  const x = tensor([2, 3], [1, 2, 3, 4, 5, 6]);
  test.each([
    [() => cummax(x, { axis: 2 }), 'cummax: axis 2 is outside [-2, 2) for shape [2, 3]'],
    [() => cummax(x, { axis: 0.5 }), 'cummax: axis 0.5 is outside'],
    [() => cummax(tensor([2], [1, 2], 'i32')), 'cummax: x has dtype i32; it takes f32 or f64'],
    [() => cummax(x, { carryIn: tensor([3], [0, 0, 0]) }), 'cummax: carryIn has shape [3]; it must be [2]'],
    [() => cummax(x, { mask: tensor([3], [1, 1, 1], 'u32') }), 'mask has shape [3]; it must be [2, 3]'],
    [() => cummaxBackward(x, tensor([2, 3], [0, 0, 0, 0, 0, 0])), 'indices has dtype f32; it takes i32'],
    [
      () => cummaxBackward(x, tensor([6], [0, 0, 0, 0, 0, 0], 'i32')),
      'indices has shape [6]; it must be [2, 3]',
    ],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const wrong: readonly Mutant[] = [
  {
    name: 'ties keep the first index',
    from: 'if (key >= state.key) { state',
    to: 'if (key > state.key) { state',
    all: true,
  },
  { name: 'ties of chunks keep the first', from: 'late.key >= early.key', to: 'late.key > early.key' },
  {
    name: 'the last element of a chunk is left out',
    from: 'let end = min(first + params.chunk, params.length);',
    to: 'let end = min(first + params.chunk, params.length) - 1u;',
    all: true,
  },
  {
    name: 'the carry between chunks is dropped',
    from: 'state = combine(state, State(orderKey(s.x)',
    to: 'state = combine(State(0u, NEG_INF_BITS, -1), State(orderKey(s.x)',
  },
  {
    name: 'quads: ties keep the first index',
    from: 'let wins = nextKey >= key;',
    to: 'let wins = nextKey > key;',
  },
  {
    name: 'quads: the last step is left out',
    from: 'for (var t = 0u; t < params.length; t++)',
    to: 'for (var t = 0u; t + 1u < params.length; t++)',
  },
  { name: 'quads: the gradient is not reset', from: 'sum = select(sum, vec4f(0.0), pays);', to: '' },
  {
    name: 'quads: the carry is ignored',
    from: 'if (params.hasCarry != 0u) { bits = carryIn4[quad]; }',
    to: '',
  },
  {
    name: 'the carry from outside is ignored',
    from: 'params.hasCarry != 0u',
    to: 'params.hasCarry > 1u',
    all: true,
  },
  { name: 'the identity is zero', from: 'const NEG_INF_BITS = 0xff800000u;', to: 'const NEG_INF_BITS = 0u;' },
  {
    name: 'floats are compared as raw bits',
    from: 'let key = orderKey(bits);',
    to: 'let key = bits;',
    all: true,
  },
  { name: 'the mask is ignored', from: 'if (params.maskInner == 0u) { return true; }', to: 'return true;' },
  { name: 'the gradient is not reset after it is paid', from: 'sum = select(sum, 0.0, pays);', to: '' },
  { name: 'the rest of a later chunk is lost', from: 'select(0.0, sum, rest.y != 0.0)', to: '0.0' },
];
const wrongTiles: readonly Mutant[] = [
  { name: 'a step of the tile scan is skipped', from: 'd < TILE; d *= 2u', to: 'd < TILE / 2u; d *= 2u' },
  {
    name: 'the carry between tiles is dropped',
    from: 'carry = combine(carry, tile[TILE - 1u]);',
    to: 'carry = tile[TILE - 1u];',
  },
  {
    name: 'an invocation starts from the tile up to itself, not before itself',
    from: 'combine(carry, tile[local - 1u])',
    to: 'combine(carry, tile[local])',
  },
];

describeDevice('the kernel', (gpu, family) => {
  test('equals the reference bit for bit on hard data', async () => {
    await fc.assert(
      fc.asyncProperty(call, ({ inputs, options }) => expectTwins(gpu(), 'cummax', inputs, options)),
      { numRuns: 120 },
    );
  });

  test('equals it on rows long enough to be cut into chunks and tiles', async () => {
    for (const n of [1023, 1024, 1025, 4096, 8193, 40000]) {
      const x = tensor(
        [2, n],
        noiseArray(2 * n, n).map((v) => Math.round(v * 40)),
      );
      await expectTwins(gpu(), 'cummax', { x }, {});
      await expectTwins(gpu(), 'cummax', { x: x, carryIn: tensor([n], noiseArray(n, 9)) }, { axis: 0 });
      await expectTwins(gpu(), 'cummaxBackward', { dValues: x, indices: cummax(x).indices }, {});
    }
  });

  test('has the gradient of the reference within its bound', async () => {
    const backward = shapeAndAxis().chain(({ shape, axis }) =>
      fc.record({
        x: tensorOf(anyFloat, fc.constant(shape)),
        dValues: tensorOf(tameFloat, fc.constant(shape)),
        axis: fc.constant(axis),
        carry: fc.boolean(),
      }),
    );
    await fc.assert(
      fc.asyncProperty(backward, async ({ x, dValues, axis, carry }) => {
        const { indices, carryOut } = cummax(x, { axis });
        const dCarryOut = carry ? tensor(carryOut.shape, noiseArray(carryOut.size, 6)) : undefined;
        await expectTwins(gpu(), 'cummaxBackward', { dValues, indices, dCarryOut }, { axis });
      }),
      { numRuns: 60 },
    );
  });

  test('gives the same bits twice', async () => {
    for (const c of cases) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('wrong kernels are rejected', async () => {
    const steps = (n: number, ...shape: number[]) =>
      tensor(
        shape,
        Float32Array.from({ length: n }, (_, i) => -i),
      );
    const ones = {
      dValues: tensor([300, 2], new Float32Array(600).fill(1)),
      indices: tensor([300, 2], new Int32Array(600)),
    };
    const hard = cases.find((c) => c.label.includes('NaN'))!;
    const checks = {
      'NaN, zeros, ties, carry, mask': () => compareTwins(gpu(), hard.op, hard.inputs(), hard.options),
      'rows in fours, with a carry': () =>
        compareTwins(
          gpu(),
          'cummax',
          {
            x: tensor([9, 64, 8], noiseArray(9 * 64 * 8, 3).map(Math.round)),
            carryIn: tensor([9, 8], noiseArray(72, 5)),
          },
          { axis: 1 },
        ),
      'rows in fours, gradient': () =>
        compareTwins(
          gpu(),
          'cummaxBackward',
          {
            dValues: tensor([60, 128], noiseArray(60 * 128, 3)),
            indices: cummax(tensor([60, 128], noiseArray(60 * 128, 4)), { axis: 0 }).indices,
          },
          { axis: 0 },
        ),
      'all values below zero': () => compareTwins(gpu(), 'cummax', { x: steps(600, 2, 300) }),
      'ties over chunks': () =>
        compareTwins(
          gpu(),
          'cummax',
          { x: tensor([500, 2], noiseArray(1000, 2).map(Math.round)) },
          { axis: 0 },
        ),
      'a falling column in chunks': () =>
        compareTwins(gpu(), 'cummax', { x: steps(1000, 500, 2) }, { axis: 0 }),
      'a falling row in chunks and tiles': () => compareTwins(gpu(), 'cummax', { x: steps(9000, 1, 9000) }),
      'a rising row in chunks and tiles': () =>
        compareTwins(gpu(), 'cummax', {
          x: tensor(
            [1, 9000],
            Float32Array.from({ length: 9000 }, (_, i) => i),
          ),
        }),
      'one owner far to the left': () => compareTwins(gpu(), 'cummaxBackward', ones, { axis: 0 }),
      'a gradient that is paid more than once': () =>
        compareTwins(gpu(), 'cummaxBackward', {
          dValues: tensor([4], [1, 2, 3, 4]),
          indices: tensor([4], [0, 1, 1, 3], 'i32'),
        }),
    };
    await expectKills(gpu(), 'cummax.wgsl', family === 'gpu' ? [...wrong, ...wrongTiles] : wrong, checks);
  });
});
