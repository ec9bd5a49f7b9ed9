import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { cummax } from '../src/ref/cummax.ts';
import { maxState, maxStateBackward } from '../src/ref/maxState.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/maxState.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { anyFloat, size, tameFloat, tensorOf, wideFloat } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; laws of the reference (its m is cummax, split anywhere, a reset is a new call, a masked
// position is as good as absent, channels do not mix, gradient by finite differences); the kernels equal the reference
// on hard data, for both families, with rows cut into chunks and not; wrong kernels are rejected; bad calls are refused.

describeVectors('maxState');

const product = (shape: readonly number[]): number => shape.reduce((n, s) => n * s, 1);
const random = (shape: readonly number[], seed: number): Tensor =>
  tensor(shape, noiseArray(product(shape), seed));
const sign = (shape: readonly number[], seed: number, share = 0.5): Tensor =>
  tensor(
    shape,
    Uint32Array.from(noiseArray(product(shape), seed), (v) => Number(v < 2 * share - 1)),
  );
/** Positions from..to of a [B, T, ...] tensor. */
const slice = (t: Tensor, from: number, to: number): Tensor => {
  const [batch = 0, length = 0, ...rest] = t.shape;
  const width = product(rest);
  const data = t.data.slice(0, batch * (to - from) * width);
  for (let n = 0; n < batch; n++) {
    const at = n * length * width;
    data.set(t.data.subarray(at + from * width, at + to * width), n * (to - from) * width);
  }
  return tensor([batch, to - from, ...rest], data, t.dtype);
};
const alphas = tensor([5], [0.5, 0.25, -0.75, 1, 0.125]);

/** Sizes [B, T, C] around the edges of periods, chunks and quads. */
const sizes = fc.tuple(
  fc.constantFrom(1, 1, 2, 3),
  size(70, [4, 16, 32, 64]),
  fc.constantFrom(1, 2, 3, 4, 5, 8, 12),
);
const call = (element: fc.Arbitrary<number>) =>
  sizes.chain(([batch, length, channels]) =>
    fc.record(
      {
        abc: tensorOf(element, fc.constant([batch, length, 3 * channels])),
        alphas: tensorOf(fc.oneof(tameFloat, wideFloat), fc.constant([5])),
        carryIn: tensorOf(fc.oneof(element, fc.constant(-Infinity)), fc.constant([batch, channels])),
        mask: tensorOf(fc.constantFrom(0, 1, 1, 7), fc.constant([batch, length]), 'u32'),
        reset: tensorOf(fc.constantFrom(0, 0, 0, 0, 1, 5), fc.constant([batch, length]), 'u32'),
      },
      { requiredKeys: ['abc', 'alphas'] },
    ),
  );

/** No cap, or one among the numbers of the data. */
const caps = fc.constantFrom<{ cap?: number }>({}, { cap: 0 }, { cap: 0.7 }, { cap: -1 }, { cap: 3e38 });

describe('the reference', () => {
  test('its m is cummax', () => {
    // With a = -c, b = 0 and only alpha2 = 1, y = m.
    const c = random([2, 30, 3], 1);
    const abc = tensor(
      [2, 30, 9],
      Float64Array.from({ length: 2 * 30 * 9 }, (_, i) => {
        const at = Math.floor(i / 9) * 3 + (i % 3);
        return [-1, 0, 1][Math.floor((i % 9) / 3)]! * c.data[at]!;
      }),
    );
    const carryIn = tensor([2, 3], Float64Array.from([0.2, -2, 2, -0.1, 0.4, -5]));
    const mask = sign([2, 30], 2, 0.7);
    const got = maxState(abc, tensor([5], Float64Array.from([0, 1, 0, 0, 0])), { carryIn, mask });
    const want = cummax(tensor([2, 30, 3], Float64Array.from(c.data)), { axis: 1, carryIn, mask });
    expect(got.y.data).toEqual(want.values.data);
    expect(got.carryOut.data).toEqual(want.carryOut.data);
  });

  test('with a cap, y has min(m, cap) and the states have m', () => {
    const abc = random([2, 40, 6], 12);
    const zero = abc.data.map((v, i) => (i % 6 < 2 ? -abc.data[i + 4]! : i % 6 < 4 ? 0 : v)) as Float32Array;
    const only = tensor([5], [0, 1, 0, 0, 0]);
    const free = maxState(tensor(abc.shape, zero), only);
    const held = maxState(tensor(abc.shape, zero), only, { cap: 0.3 });
    expect(held.y.data).toEqual(free.y.data.map((m) => Math.min(m, Math.fround(0.3))));
    expect(held.states.data).toEqual(free.states.data);
    expect(held.carryOut.data).toEqual(free.carryOut.data);
    expect(maxState(abc, alphas, { cap: 9 }).y.data).toEqual(maxState(abc, alphas).y.data);
  });

  test('cut anywhere and carried over, the parts equal the whole', () => {
    fc.assert(
      fc.property(call(anyFloat), fc.nat(), ({ abc, alphas, ...options }, where) => {
        const length = abc.shape[1]!;
        const cut = where % (length + 1);
        const part = (t: Tensor | undefined, from: number, to: number) => t && slice(t, from, to);
        const run = (from: number, to: number, carryIn: Tensor | undefined) =>
          maxState(slice(abc, from, to), alphas, {
            ...(carryIn && { carryIn }),
            ...(options.mask && { mask: part(options.mask, from, to)! }),
            ...(options.reset && { reset: part(options.reset, from, to)! }),
          });
        const whole = maxState(abc, alphas, options);
        const head = run(0, cut, options.carryIn);
        const tail = run(cut, length, head.carryOut);
        expect(head.y.data).toEqual(slice(whole.y, 0, cut).data);
        expect(tail.y.data).toEqual(slice(whole.y, cut, length).data);
        expect(tail.carryOut.data).toEqual(whole.carryOut.data);
      }),
    );
  });

  test('a document after a reset is as good as alone', () => {
    const abc = random([2, 40, 6], 3);
    const reset = tensor([2, 40], new Uint32Array(80));
    reset.data[13] = reset.data[40 + 13] = 1;
    const packed = maxState(abc, alphas, { reset, carryIn: random([2, 2], 4) });
    const alone = maxState(slice(abc, 13, 40), alphas);
    expect(slice(packed.y, 13, 40).data).toEqual(alone.y.data);
    expect(packed.carryOut.data).toEqual(alone.carryOut.data);
  });

  test('a masked position is as good as absent, and padding on the left changes nothing', () => {
    const abc = random([1, 40, 6], 5).data.map((v) => v - 0.9);
    const x = tensor([1, 40, 6], abc);
    const mask = tensor(
      [1, 40],
      Uint32Array.from({ length: 40 }, (_, t) => Number(t >= 11)),
    );
    const padded = maxState(x, alphas, { mask });
    const alone = maxState(slice(x, 11, 40), alphas);
    expect(slice(padded.y, 11, 40).data).toEqual(alone.y.data);
    expect(padded.carryOut.data).toEqual(alone.carryOut.data);
    // In front of the first position nothing was seen: m is 0, so y = alpha1 b + alpha3 a + alpha4 c.
    expect(padded.y.data[0]).toBe(Math.fround(0.5 * abc[2]! - 0.75 * abc[0]! + abc[4]!));
  });

  test('channels do not mix: any order of them gives the same, so the number of heads means nothing', () => {
    const [batch, length, channels] = [2, 9, 8];
    const abc = random([batch, length, 3 * channels], 6);
    const order = [3, 1, 7, 0, 5, 2, 6, 4];
    const moved = tensor(
      abc.shape,
      abc.data.map((_, i) => abc.data[i - (i % channels) + order[i % channels]!]!) as Float32Array,
    );
    const y = maxState(abc, alphas).y.data;
    const want = y.map((_, i) => y[i - (i % channels) + order[i % channels]!]!);
    expect(maxState(moved, alphas).y.data).toEqual(want);
  });

  test('the saved states are the state before every 16th position', () => {
    const abc = random([2, 35, 6], 7);
    const { states } = maxState(abc, alphas);
    for (const [k, at] of [0, 16, 32].entries()) {
      expect(slice(states, k, k + 1).data).toEqual(maxState(slice(abc, 0, at), alphas).carryOut.data);
    }
  });

  test('the gradient agrees with central differences, with carry, mask and reset', () => {
    for (const [batch, length, channels] of [
      [1, 1, 1],
      [2, 7, 3],
      [2, 35, 2],
    ] as const) {
      const flags = { mask: sign([batch, length], 8, 0.7), reset: sign([batch, length], 9, 0.1) };
      for (const options of [{}, flags, { ...flags, cap: 0.4 }]) {
        expectGradient(
          [random([batch, length, 3 * channels], 10), alphas, random([batch, channels], 11)],
          ([abc, alphas, carryIn]) => {
            const { y, carryOut } = maxState(abc!, alphas!, { ...options, carryIn: carryIn! });
            // A state that saw nothing is the constant -Infinity; it has no differences.
            return [
              y,
              tensor(carryOut.shape, carryOut.data.map((v) => (v === -Infinity ? 0 : v)) as Float64Array),
            ];
          },
          ([abc, alphas, carryIn], [dy, dCarryOut]) => {
            const { states } = maxState(abc!, alphas!, { ...options, carryIn: carryIn! });
            const g = maxStateBackward(dy!, abc!, alphas!, states, { ...options, dCarryOut: dCarryOut! });
            return [g.dabc, g.dAlphas, g.dCarryIn];
          },
        );
      }
    }
  });
});

describe('bad calls are refused before any work', () => {
  const abc = random([2, 3, 6], 1);
  const { y, states } = maxState(abc, alphas);
  test.each([
    [
      () => maxState(random([2, 3, 5], 1), alphas),
      'maxState: abc has shape [2, 3, 5]; it must be [B, T, 3C]',
    ],
    [() => maxState(random([3, 6], 1), alphas), 'maxState: abc has shape [3, 6]; it must be [B, T, 3C]'],
    [() => maxState(abc, random([4], 1)), 'maxState: alphas has shape [4]; it must be [5]'],
    [
      () => maxState(abc, alphas, { carryIn: random([2, 6], 1) }),
      'carryIn has shape [2, 6]; it must be [2, 2]',
    ],
    [() => maxState(abc, alphas, { mask: sign([2], 1) }), 'mask has shape [2]; it must be [2, 3]'],
    [() => maxState(abc, alphas, { reset: random([2, 3], 1) }), 'reset has dtype f32; it takes u32'],
    [() => maxState(abc, alphas, { cap: Infinity }), 'maxState: cap is Infinity; it must be a finite number'],
    [
      () => maxStateBackward(y, abc, alphas, states, { cap: Number.NaN }),
      'maxStateBackward: cap is NaN; it must be a finite number',
    ],
    [() => maxStateBackward(abc, abc, alphas, states), 'dy has shape [2, 3, 6]; it must be [2, 3, 2]'],
    [() => maxStateBackward(y, abc, alphas, y), 'states has shape [2, 3, 2]; it must be [2, 1, 2]'],
    [
      () => maxStateBackward(y, abc, alphas, states, { dCarryOut: random([2], 1) }),
      'dCarryOut has shape [2]; it must be [2, 2]',
    ],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

/** Wrong kernels by the entry point that they change, so that their checks need few others. */
const wrong: Record<
  'forward' | 'quads' | 'chunks' | 'backward' | 'backwardQuads' | 'backwardChunks',
  Mutant[]
> = {
  forward: [
    {
      name: 'ties stay with the first',
      from: 'orderKey(c) >= orderKey(before)',
      to: 'orderKey(c) > orderKey(before)',
    },
    { name: 'the state starts from zero', from: 'const NOTHING = 0xff800000u;', to: 'const NOTHING = 0u;' },
    {
      name: 'a masked position joins',
      from: 'if (params.flags == 1u) { return select(0u, 1u, flag != 0u); }',
      to: 'if (params.flags == 1u) { return 1u; }',
    },
    {
      name: 'a reset is passed over',
      from: 'if (params.flags == 2u) { return select(1u, 3u, flag != 0u); }',
      to: 'if (params.flags == 2u) { return 1u; }',
    },
    {
      name: 'mask and reset change places',
      from: 'select(0u, 1u, mask[i] != 0u)',
      to: 'select(0u, 2u, mask[i] != 0u)',
    },
    {
      name: 'the carry from outside is ignored',
      from: 'params.hasCarry != 0u',
      to: 'params.hasCarry > 1u',
      all: true,
    },
    {
      name: 'alpha1 and alpha3 change places',
      from: 'alphas[0] * b[i] + alphas[2] * a[i]',
      to: 'alphas[0] * a[i] + alphas[2] * b[i]',
    },
    { name: 'alpha5 is forgotten', from: 'alphas[1] + alphas[4]', to: 'alphas[1]' },
    { name: 'the cap is passed over', from: 'CAPPED != 0u &&', to: 'CAPPED > 1u &&' },
    { name: 'the cap is below', from: 'key > orderKey(bitcast', to: 'key < orderKey(bitcast' },
    {
      name: 'states are saved four positions late',
      from: 'if (start % PERIOD == 0u) { states',
      to: 'if (start % PERIOD == 4u) { states',
    },
  ],
  quads: [
    {
      name: 'ties stay with the first, four channels',
      from: 'orderKey4(c) >= orderKey4(before)',
      to: 'orderKey4(c) > orderKey4(before)',
    },
    {
      name: 'the cap is passed over, four channels',
      from: 'CAPPED == 0u',
      to: 'CAPPED != 2u',
    },
    {
      name: 'alpha1 and alpha3 change places, four channels',
      from: 'alphas[0] * b + alphas[2] * a',
      to: 'alphas[0] * a + alphas[2] * b',
    },
  ],
  chunks: [
    {
      name: 'a chunk forgets the resets of those before it',
      from: 'select(1u, 3u, cut)',
      to: '1u',
    },
    {
      name: 'a chunk starts from nothing',
      from: 'if (first > 0u) { state = states',
      to: 'if (first > params.length) { state = states',
    },
    {
      name: 'a chunk leaves out its last position',
      from: 't < min(first + params.chunk, params.length); t++',
      to: 't + 1u < min(first + params.chunk, params.length); t++',
    },
  ],
  backward: [
    { name: 'alpha5 is forgotten', from: 'weights[1] + weights[4]', to: 'weights[1]' },
    {
      name: 'the gradient is not reset after it is paid',
      from: 'takes || (flag & 2u) != 0u',
      to: 'false',
    },
    { name: 'a reset lets the gradient through', from: 'takes || (flag & 2u) != 0u', to: 'takes' },
    {
      name: 'where nothing was seen, m has a gradient',
      from: ', 0.0, m[i] == NOTHING ||',
      to: ', 0.0, false ||',
    },
    { name: 'above the cap m has a gradient', from: ' || over(m[i]))', to: ')' },
    { name: 'a masked position is paid', from: '(flag & 1u) != 0u && orderKey(c[i])', to: 'orderKey(c[i])' },
    {
      name: 'the sum for alpha1 takes a',
      from: 'g[k] * vec4f(b[k], mf, a[k], cf)',
      to: 'g[k] * vec4f(a[k], mf, b[k], cf)',
    },
    {
      name: 'some partial sums of the alphas are left out',
      from: 'i < params.items; i += SPAN',
      to: 'i + 1u < params.items; i += SPAN',
    },
    { name: 'the last span is left out', from: 's < SPAN; s++', to: 's < SPAN - 1u; s++' },
    { name: 'alpha5 gets the sum of another', from: 'select(i, 1u, i == 4u)', to: 'select(i, 3u, i == 4u)' },
  ],
  backwardQuads: [
    {
      name: 'the gradient is not reset after it is paid, four channels',
      from: 'takes | vec4<bool>((flag & 2u) != 0u)',
      to: 'vec4<bool>(false)',
    },
    { name: 'above the cap m has a gradient, four channels', from: ' | over4(max));', to: ');' },
    { name: 'a channel of four is left out of a sum', from: 'dot(dAlpha3, one)', to: 'dAlpha3.x' },
  ],
  backwardChunks: [
    {
      name: 'the rest of a later chunk is lost',
      from: 'select(0.0, sum, passable[at] != 0u)',
      to: '0.0',
    },
    {
      name: 'the rest of a later chunk passes what pays it',
      from: 'select(0.0, sum, passable[at] != 0u)',
      to: 'sum',
    },
    { name: 'above the cap m has a gradient, in chunks', from: ' || over(state));', to: ');' },
    {
      name: 'a chunk counts on past the position that takes over',
      from: 'passes = 0u;\n      break;',
      to: 'passes = 0u;',
    },
  ],
};

/** The inputs of a backward call that belongs to a forward one. */
function backwardOf(
  {
    abc,
    alphas,
    ...options
  }: { abc: Tensor; alphas: Tensor; carryIn?: Tensor; mask?: Tensor; reset?: Tensor },
  seed = 1,
): Record<string, Tensor> {
  const { y, carryOut, states } = maxState(abc, alphas, options);
  const { carryIn: _, ...flags } = options;
  return {
    dy: random(y.shape, seed),
    abc,
    alphas,
    states,
    ...flags,
    dCarryOut: random(carryOut.shape, seed + 1),
  };
}

describeDevice('the kernel', (gpu, family) => {
  test('equals the reference on hard data, the state bit for bit', async () => {
    const any = fc.oneof(call(tameFloat), call(anyFloat), call(wideFloat));
    await fc.assert(
      fc.asyncProperty(any, caps, (inputs, cap) => expectTwins(gpu(), 'maxState', inputs, cap)),
      { numRuns: 60 },
    );
  });

  test('has the gradient of the reference within its bound', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(call(tameFloat), call(wideFloat)), caps, (inputs, cap) =>
        expectTwins(gpu(), 'maxStateBackward', backwardOf(inputs), cap),
      ),
      { numRuns: 30 },
    );
  });

  test('does so on rows long enough to be cut into chunks', async () => {
    for (const [length, channels] of [
      [127, 1],
      [128, 4],
      [1000, 3],
      [4099, 2],
    ] as const) {
      const inputs = {
        abc: random([2, length, 3 * channels], length),
        alphas,
        carryIn: random([2, channels], 2),
        mask: sign([2, length], 3, 0.8),
        reset: sign([2, length], 4, 0.01),
      };
      for (const { mask, reset, ...some } of [inputs]) {
        for (const flags of [{}, { mask }, { reset }, { mask, reset }]) {
          for (const cap of [{}, { cap: 0.9 }]) {
            await expectTwins(gpu(), 'maxState', { ...some, ...flags }, cap);
            await expectTwins(gpu(), 'maxStateBackward', backwardOf({ ...some, ...flags }), cap);
          }
        }
      }
    }
  });

  test('gives the same bits twice', async () => {
    for (const c of cases) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('wrong kernels are rejected', async () => {
    const ties = (shape: readonly number[], seed: number): Tensor =>
      tensor(shape, noiseArray(product(shape), seed).map((v) => Math.round(2 * v)) as Float32Array);
    const flagged = (batch: number, length: number, seed: number) => ({
      mask: sign([batch, length], seed, 0.7),
      reset: sign([batch, length], seed + 1, 0.1),
    });
    const { mask, reset } = flagged(2, 37, 1);
    // 80 rows of 5 channels leave more partial sums than there are spans.
    const rows = { abc: ties([2, 37, 3 * 35], 3), alphas, carryIn: ties([2, 35], 4) };
    const below = {
      abc: tensor(
        rows.abc.shape,
        rows.abc.data.map((v) => v - 3),
      ),
      alphas,
    };
    const zeros = { abc: tensor([1, 5, 3], [0, 0, 0, 0, 0, -0, 1, 1, 0, 1, 1, -0, 0, 0, -0]), alphas };
    const nothingAtTheEnd = { ...rows, mask: sign([2, 37], 1, 0), reset };
    const small = [
      rows,
      below,
      { ...below, mask },
      { ...rows, reset },
      { ...rows, mask, reset },
      nothingAtTheEnd,
      zeros,
    ];
    const fours = { abc: ties([2, 37, 24], 5), alphas };
    const zeros4 = {
      abc: tensor(
        [1, 9, 12],
        new Float32Array(108).map((_, i) => (i % 5 < 2 ? 0 : -0)),
      ),
      alphas,
    };
    const quads = [zeros4, fours, { ...fours, mask, reset }];
    const falling = tensor(
      [1, 700, 3],
      Float32Array.from({ length: 2100 }, (_, i) => -1 - i / 64),
    );
    const long = { abc: falling, alphas, carryIn: tensor([1, 1], [3]) };
    const cut = { ...long, abc: random([1, 700, 3], 6) };
    const chunks = [
      long,
      cut,
      { ...long, reset: sign([1, 700], 7, 0.004) },
      { ...cut, ...flagged(1, 700, 8) },
    ];
    const checks = (op: string, all: readonly Parameters<typeof backwardOf>[0][]) =>
      Object.fromEntries(
        [{}, { cap: 0.5 }].flatMap((cap) =>
          all
            .slice(0, cap.cap === undefined ? all.length : 2)
            .map((inputs, i) => [
              `inputs ${i}, ${JSON.stringify(cap)}`,
              () => compareTwins(gpu(), op, op === 'maxState' ? inputs : backwardOf(inputs), cap),
            ]),
        ),
      );
    const kills = (
      mutants: readonly Mutant[],
      op: string,
      all: readonly Parameters<typeof backwardOf>[0][],
    ) => expectKills(gpu(), 'maxState.wgsl', mutants, checks(op, all));
    // The families share all entry points but those for four channels.
    if (family === 'gpu') {
      await kills(wrong.forward, 'maxState', small);
      await kills(wrong.chunks, 'maxState', chunks);
      await kills(wrong.backward, 'maxStateBackward', small);
      await kills(wrong.backwardChunks, 'maxStateBackward', chunks);
    } else {
      await kills(wrong.quads, 'maxState', quads);
      await kills(wrong.backwardQuads, 'maxStateBackward', quads);
    }
  });
});
