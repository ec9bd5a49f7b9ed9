import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Tape } from '../src/core/autograd.ts';
import type { SmoothMethod } from '../src/core/ops/smoothTopK.ts';
import { Tensor, tensor } from '../src/core/tensor.ts';
import { openGpu } from '../src/gpu/index.ts';
import { refBackend } from '../src/ref/backend.ts';
import { smoothTopK, smoothTopKBackward, smoothTopKJvp } from '../src/ref/smoothTopK.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/smoothTopK.ts';
import { describeDevice } from './support/device.ts';
import { dot, expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch with the golden values; the laws (sum k, within 0 and 1, order, shift, limit, complement, k = 1), and
// which of them the counter-example breaks; gradients by x, k and the temperature against differences, <Jv, w> = <v, J^T w>;
// the kernels within their bounds on hard rows, whole and in windows; refused scores; wrong kernels and bad calls.

describeVectors('smoothTopK');

const thresholds: readonly SmoothMethod[] = ['exp', 'sigmoid', 'laplace', 'clip'];
const sound: readonly SmoothMethod[] = [...thresholds, 'gradTopK'];
const methods: readonly SmoothMethod[] = [...sound, 'iteratedSoftmax'];
const random = (shape: readonly number[], seed: number, scale = 1): Tensor => {
  const n = shape.reduce((a, b) => a * b, 1);
  return tensor(
    shape,
    noiseArray(n, seed).map((v) => scale * v),
  );
};
const wide = (t: Tensor, f = (v: number) => v): Tensor =>
  new Tensor(
    'f64',
    t.shape,
    Float64Array.from(t.data, (v) => f(v)),
  );
const values = (x: Tensor, k: number, method: SmoothMethod, temperature = 1): readonly number[] => [
  ...smoothTopK(x, k, { method, temperature }).values.data,
];
const sumOf = (v: ArrayLike<number>): number => Array.from(v).reduce((a, b) => a + b, 0);

describe.each(sound)('%s', (method) => {
  test('adds up to k within 0 and 1, keeps the order, and a shift changes nothing', () => {
    fc.assert(
      fc.property(size(40), fc.nat(), fc.nat(), fc.constantFrom(0.1, 1, 30), (n, seed, some, scale) => {
        const k = some % (n + 1);
        const x = wide(random([n], seed, scale));
        const p = values(x, k, method);
        const moved = values(
          wide(x, (v) => v - 300),
          k,
          method,
        );
        expect(sumOf(p)).toBeCloseTo(k, 8);
        const order = [...x.data.keys()].sort((a, b) => x.data[a]! - x.data[b]!);
        order.forEach((i, j) => {
          expect(p[i]).toBeGreaterThanOrEqual(0);
          expect(p[i]).toBeLessThanOrEqual(1 + 1e-12);
          expect(p[i]!).toBeGreaterThanOrEqual((p[order[j - 1] ?? i] ?? 0) - 1e-12);
          expect(moved[i]).toBeCloseTo(p[i]!, 8);
        });
      }),
      { numRuns: 60 },
    );
  });

  test('tends to the hard selection, and to k / N', () => {
    const x = tensor([6], [3, 1, 2, 0, 5, 4], 'f64');
    values(x, 3, method, 1 / 60).forEach((v, i) => {
      expect(v).toBeCloseTo([1, 0, 0, 0, 1, 1][i]!, 9);
    });
    for (const v of values(x, 3, method, 1e9)) expect(v).toBeCloseTo(0.5, 6);
  });

  test('its Jacobian is symmetric', () => {
    const x = wide(random([30], 1, 2));
    const [v, w] = [wide(random([30], 2)), wide(random([30], 3))];
    const times = (t: Tensor) => smoothTopKJvp(t, x, 7, { method });
    expect(dot(times(v), w)).toBeCloseTo(dot(v, times(w)), 10);
    expect([...smoothTopKBackward(v, x, 7, { method }).dx.data]).toEqual([...times(v).data]);
  });
});

describe.each(methods)('the gradient of %s', (method) => {
  test('by x agrees with central differences', () => {
    for (const [shape, k, temperature] of [
      [[6], 2, 1],
      [[3, 9], 4, 0.6],
      [[2, 2, 5], 1, 1.7],
      [[2, 8], 8, 1],
      [[8], 0, 1],
    ] as const) {
      const n = shape.reduce((a: number, b) => a * b, 1);
      expectGradient(
        [tensor(shape, noiseArray(n, 12 + k))],
        ([x]) => [smoothTopK(x!, k, { method, temperature }).values],
        ([x], [g]) => [smoothTopKBackward(g!, x!, k, { method, temperature }).dx],
      );
    }
  });

  test('by the temperature does so, too, and <J v, w> = <v, J^T w>', () => {
    const x = wide(random([2, 11], 21, 3));
    const g = wide(random([2, 11], 22));
    const v = wide(random([2, 11], 23));
    const at = (temperature: number): number[] => {
      const p = values(x, 4, method, temperature);
      return [0, 1].map((r) => sumOf(p.map((u, i) => (Math.floor(i / 11) === r ? u * g.data[i]! : 0))));
    };
    const { dTemperature, dx } = smoothTopKBackward(g, x, 4, { method, temperature: 0.9 });
    const [above, below] = [at(0.9 + 1e-6), at(0.9 - 1e-6)];
    for (const r of [0, 1]) expect(dTemperature.data[r]).toBeCloseTo((above[r]! - below[r]!) / 2e-6, 6);
    const jv = smoothTopKJvp(v, x, 4, { method, temperature: 0.9 });
    expect(dot(jv, g)).toBeCloseTo(dot(v, dx), 10);
  });
});

test.each(thresholds)(
  'the gradient of k of %s is how the values move from k to k + 1, on average',
  (method) => {
    // The values at k + 1 minus those at k are the integral of w / sum(w), which the ends enclose for the sum of the g > 0.
    const x = wide(random([400], 31, 2));
    const g = new Tensor(
      'f64',
      [400],
      Float64Array.from(x.data, (v) => (v > 0 ? 1 : 0)),
    );
    const moved = sumOf(values(x, 81, method).map((v, i) => (v - values80(method, x)[i]!) * g.data[i]!));
    const ends = [80, 81].map((k) => smoothTopKBackward(g, x, k, { method }).dK.data[0]!);
    expect(moved).toBeGreaterThan(Math.min(...ends) - 0.02);
    expect(moved).toBeLessThan(Math.max(...ends) + 0.02);
  },
);

const cache = new Map<string, readonly number[]>();
function values80(method: SmoothMethod, x: Tensor): readonly number[] {
  const known = cache.get(method) ?? values(x, 80, method);
  cache.set(method, known);
  return known;
}

test.each(['sigmoid', 'laplace', 'clip', 'gradTopK'] as const)(
  '%s of the opposite is the complement',
  (method) => {
    const x = wide(random([20], 13, 3));
    const p = values(x, 6, method);
    const q = values(
      wide(x, (v) => -v),
      14,
      method,
    );
    p.forEach((v, i) => {
      expect(v + q[i]!).toBeCloseTo(1, 10);
    });
  },
);

test('with k = 1 exp and gradTopK are the softmax; laplace is not where one entry is above 1/2', () => {
  const x = tensor([4], [3, 2, 1, 4], 'f64');
  const e = [...x.data].map(Math.exp);
  for (const method of ['exp', 'gradTopK'] as const) {
    values(x, 1, method).forEach((v, i) => {
      expect(v).toBeCloseTo(e[i]! / sumOf(e), 12);
    });
  }
  expect(values(x, 1, 'laplace')[3]).toBeCloseTo(0.628179548, 9);
});

test('the iterated softmax exceeds 1, loses the order, and has no ones for k = N', () => {
  const four = tensor([4], [3, 2, 1, 4], 'f64');
  expect(Math.max(...values(four, 3, 'iteratedSoftmax'))).toBeCloseTo(1.117, 3);
  const [low, middle, high] = values(tensor([3], [-2.584, 1.774, 4.536], 'f64'), 2, 'iteratedSoftmax');
  expect(middle).toBeGreaterThan(high!);
  expect(low).toBeCloseTo(0.017, 3);
  const all = values(four, 4, 'iteratedSoftmax', 0.001);
  [1.25, 1.25, 0.25, 1.25].forEach((v, i) => {
    expect(all[i]).toBeCloseTo(v, 3);
  });
});

test('the threshold is where f is taken, and infinite where nothing is chosen', () => {
  const x = wide(random([50], 41, 4));
  const { values: p, threshold } = smoothTopK(x, 9, { method: 'sigmoid', temperature: 0.7 });
  p.data.forEach((v, i) => {
    expect(v).toBeCloseTo(1 / (1 + Math.exp((threshold.data[0]! - x.data[i]!) / 0.7)), 12);
  });
  expect(smoothTopK(x, 0).threshold.data[0]).toBe(Infinity);
  expect(smoothTopK(x, 50).threshold.data[0]).toBe(-Infinity);
  expect([...smoothTopK(tensor([2, 0], []), 0).threshold.data]).toEqual([Infinity, Infinity]);
});

test('a tape sends gradients back through it', () => {
  using tape = new Tape(refBackend);
  const x = tape.parameter(random([2, 9], 51));
  const { values: p } = tape.ops.smoothTopK(x, 3, { method: 'laplace', temperature: 0.5 });
  const g = random([2, 9], 52);
  const [dx] = tape.pullback(p, [x], g);
  expect(dx).toEqual(smoothTopKBackward(g, x.value, 3, { method: 'laplace', temperature: 0.5 }).dx);
});

test.each([
  [() => smoothTopK(tensor([], [1]), 0), 'smoothTopK: x is a scalar'],
  [() => smoothTopK(tensor([2], [1, 2]), 3), 'smoothTopK: k is 3; it must be an integer from 0 to 2'],
  [() => smoothTopK(tensor([2], [1, 2], 'i32'), 1), 'smoothTopK: x has dtype i32'],
  [
    () => smoothTopK(tensor([2], [1, 2]), 1, { temperature: -1 }),
    'temperature is -1; it must be a number above 0',
  ],
  [
    () => smoothTopK(tensor([2], [1, 2]), 1, { method: 'soft' as SmoothMethod }),
    'method is "soft"; it must be one of',
  ],
  [() => smoothTopK(tensor([1, 2], [1, Number.NaN]), 1), 'smoothTopK: x[0, 1] is NaN; repair the input'],
  [
    () => smoothTopK(tensor([5000], new Float32Array(5000)), 5000, { method: 'gradTopK' }),
    'gradTopK keeps N (k + 1) numbers per row, here 25005000',
  ],
  [
    () => smoothTopKBackward(tensor([1], [1]), tensor([2], [1, 2]), 1),
    'smoothTopKBackward: dValues has shape [1]; it must be [2]',
  ],
  [() => smoothTopKJvp(tensor([1], [1]), tensor([2], [1, 2]), 1), 'smoothTopKJvp: tangent has shape [1]'],
] as const)('bad call: %s', (run, message) => {
  expect(run).toThrow(message);
});

const wrong: readonly Mutant[] = [
  { name: 'lambda without its base', from: 'row.base + row.lambda', to: 'row.lambda' },
  {
    name: 'k = 0 has the threshold of k = N',
    from: 'select(lambda, INFINITE, params.k == 0u',
    to: 'select(lambda, EXCLUDED, params.k == 0u',
  },
  {
    name: 'the gradient of k is that of lambda',
    from: 'var mean = bitcast<u32>(row.mean);',
    to: 'var mean = bitcast<u32>(row.lambda);',
  },
  {
    name: 'the temperature moves the other way',
    from: '0.0 - total * params.inverse',
    to: 'total * params.inverse',
  },
  { name: 'only the first partial sum', from: 'c < params.chunks; c++', to: 'c < 1u; c++' },
  { name: 'what is taken stays', from: 'return (1.0 - taken) *', to: 'return 1.0 *' },
  { name: 'the smallest score does not count', from: 'select(0.0, all, i == owner)', to: '0.0' },
  {
    name: 'the tangent of the values before is left out',
    from: '- rolling[values + params.length + i] * value',
    to: '',
  },
  { name: 'one step too few', from: 'min(params.k, live)', to: 'min(params.k - 1u, live)' },
];
const wrongClip: readonly Mutant[] = [
  {
    name: 'clip ends at 2',
    from: 'clamp(y, vec4f(0.0), vec4f(1.0))',
    to: 'clamp(y, vec4f(0.0), vec4f(2.0))',
  },
  { name: 'clipped entries have a slope', from: '& (y < vec4f(1.0))', to: '' },
  { name: 'the bracket is too narrow', from: 'row.low = -t;', to: 'row.low = -0.1 * t;' },
];

describeDevice('the kernels', (gpu, family) => {
  const onGpu = family === 'gpu';

  test('agree with the reference on hard rows', async () => {
    for (const c of cases.slice(1)) await expectTwins(gpu(), c.op, c.inputs(), c.options);
  });

  test.each(methods)('%s does so for any size', async (method) => {
    const table = method === 'gradTopK' || method === 'iteratedSoftmax';
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1, 3),
        size(table ? 60 : 300),
        fc.nat(),
        fc.nat(),
        fc.constantFrom(0.4, 1, 3),
        async (rows, n, some, seed, temperature) => {
          const k = Math.min(some % (n + 1), table ? 12 : n);
          const options = { k, method, temperature };
          const x = random([rows, n], seed, 2);
          await expectTwins(gpu(), 'smoothTopK', { x }, options);
          await expectTwins(
            gpu(),
            'smoothTopKBackward',
            { x, dValues: random([rows, n], seed + 1) },
            options,
          );
          if (method === 'iteratedSoftmax') {
            await expectTwins(gpu(), 'smoothTopKJvp', { x, tangent: random([rows, n], seed + 2) }, options);
          }
        },
      ),
      { numRuns: onGpu ? 3 : 6 },
    );
  });

  test('relax long rows, in windows', async () => {
    await using small = await openGpu({ family, maxBindingBytes: 32_768, poolBytes: 0 });
    const x = random([1, 9000], 61, 4);
    const options = { k: 60, method: 'clip', temperature: 0.5 };
    await expectTwins(small, 'smoothTopK', { x }, options);
    expect(small.liveTensors).toBe(0);
  });

  test('show refused scores in the results of their row', async () => {
    const x = random([3, 20], 71);
    x.data[27] = Number.NaN;
    for (const method of methods) {
      const options = { k: 4, method };
      const made = {
        ...(await runGpu(gpu(), 'smoothTopK', { x }, options)),
        ...(await runGpu(gpu(), 'smoothTopKBackward', { x, dValues: random([3, 20], 72) }, options)),
      };
      for (const name of ['values', 'dx', 'dTemperature']) {
        const per = made[name]!.size / 3;
        const nans = [0, 1, 2].map(
          (r) => made[name]!.data.slice(r * per, r * per + per).filter(Number.isNaN).length,
        );
        expect(nans, `${method} ${name}`).toEqual([0, per, 0]);
      }
    }
  });

  test('give the same bits twice', async () => {
    for (const c of cases.slice(1, 7)) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  // Both families run the same text here.
  if (!onGpu) {
    test('wrong kernels are rejected', async () => {
      const x = random([2, 1500], 81, 3);
      const few = random([2, 14], 82, 1.5);
      const call = (op: string, inputs: Parameters<typeof compareTwins>[2], options: object) => () =>
        compareTwins(gpu(), op, inputs, options as Readonly<Record<string, unknown>>);
      const sigmoid = { k: 30, method: 'sigmoid' };
      const iterated = { k: 4, method: 'iteratedSoftmax' };
      await expectKills(gpu(), 'smoothTopK.wgsl', wrong, {
        values: call('smoothTopK', { x }, sigmoid),
        'k = 0': call('smoothTopK', { x: few }, { k: 0 }),
        gradient: call('smoothTopKBackward', { x, dValues: random([2, 1500], 83) }, sigmoid),
        iterated: call('smoothTopK', { x: few }, iterated),
        'gradient of iterated': call(
          'smoothTopKBackward',
          { x: few, dValues: random([2, 14], 84) },
          iterated,
        ),
        'tangent of iterated': call('smoothTopKJvp', { x: few, tangent: random([2, 14], 85) }, iterated),
      });
      const clip = { k: 5, method: 'clip' };
      await expectKills(gpu(), 'gumbelTopK.threshold.wgsl', wrongClip, {
        values: call('smoothTopK', { x: few }, clip),
        gradient: call('smoothTopKBackward', { x: few, dValues: random([2, 14], 86) }, clip),
      });
    });
  }
});
