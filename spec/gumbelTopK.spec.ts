import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Tape } from '../src/core/autograd.ts';
import { compareExact, type Verdict } from '../src/core/bounds.ts';
import { key } from '../src/core/key.ts';
import type { Relaxation } from '../src/core/ops/gumbelTopK.ts';
import { Tensor, tensor } from '../src/core/tensor.ts';
import { type Gpu, openGpu } from '../src/gpu/index.ts';
import { refBackend } from '../src/ref/backend.ts';
import { gumbelNoise } from '../src/ref/gumbelNoise.ts';
import { gumbelTopK, gumbelTopKBackward, gumbelTopKRelaxed } from '../src/ref/gumbelTopK.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/gumbelTopK.ts';
import { describeDevice } from './support/device.ts';
import { dot, expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; the sampler's law (Plackett-Luce by enumeration, E[1/q] = 1), prefix, batch and shift laws;
// the laws of each relaxation (sum k, symmetry, complement, limits) and its gradient by finite differences and as a
// transpose; the kernels select the same bit for bit and relax within their bounds, for hard data, windows and both
// families; refused inputs show in the results; wrong kernels are rejected; bad calls are refused.

describeVectors('gumbelTopK');

const relaxations: readonly Relaxation[] = [
  'thresholdExp',
  'thresholdSigmoid',
  'thresholdLaplace',
  'exactK',
  'relaxedTopK',
];
const symmetric = relaxations.filter((r) => r !== 'relaxedTopK');
const rows = (n: number, row: readonly number[]): Tensor =>
  tensor([n, row.length], Array.from({ length: n }, () => row).flat());
const random = (shape: readonly number[], seed: number, scale = 1): Tensor =>
  tensor(
    shape,
    noiseArray(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ).map((v) => scale * v),
  );
const wide = (t: Tensor): Tensor => new Tensor('f64', t.shape, Float64Array.from(t.data));

const sumOf = (values: ArrayLike<number>): number => Array.from(values).reduce((a, v) => a + v, 0);

/** The value that a chi-square variable exceeds with a probability of 1e-6 (Wilson and Hilferty). */
function chiSquareLimit(degrees: number): number {
  const v = 2 / (9 * degrees);
  return degrees * (1 - v + 4.753 * Math.sqrt(v)) ** 3;
}

describe('the sampler', () => {
  const phi = [1, 0.2, -0.5, 0.7, -1.2];
  const weights = phi.map(Math.exp);
  const total = weights.reduce((a, b) => a + b, 0);
  const draws = 5000;
  const drawn = (() => {
    let sample: ReturnType<typeof gumbelTopK> | undefined;
    return () => (sample ??= gumbelTopK(rows(draws, phi), 3, { key: key(2026) }));
  })();

  test('draws ordered samples as Plackett and Luce say, over all 60 outcomes', () => {
    const sample = drawn();
    const seen = new Map<string, number>();
    for (let r = 0; r < draws; r++) {
      const outcome = sample.indices.data.slice(r * 3, r * 3 + 3).join();
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
    let statistic = 0;
    let outcomes = 0;
    let whole = 0;
    for (let a = 0; a < 5; a++) {
      for (let b = 0; b < 5; b++) {
        for (let c = 0; c < 5; c++) {
          if (a === b || b === c || a === c) continue;
          const [wa, wb, wc] = [weights[a]!, weights[b]!, weights[c]!];
          const p = ((wa / total) * wb * wc) / (total - wa) / (total - wa - wb);
          const count = seen.get([a, b, c].join()) ?? 0;
          statistic += (count - draws * p) ** 2 / (draws * p);
          outcomes++;
          whole += p;
        }
      }
    }
    expect(outcomes).toBe(60);
    expect(whole).toBeCloseTo(1, 12);
    expect(statistic).toBeLessThan(chiSquareLimit(59));
  });

  test('weights make sums over the sample unbiased: E[1/q] = 1, E[sum p f / q] = sum p f', () => {
    const sample = drawn();
    const f = [3, -1, 2, 0.5, 7];
    const inverse = new Float64Array(5);
    const squares = new Float64Array(5);
    let estimate = 0;
    let spread = 0;
    for (let r = 0; r < draws; r++) {
      let sum = 0;
      for (let j = 0; j < 3; j++) {
        const i = sample.indices.data[r * 3 + j]!;
        const q = Math.exp(-sample.logInclusion.data[r * 3 + j]!);
        inverse[i]! += q;
        squares[i]! += q * q;
        sum += (weights[i]! / total) * q * f[i]!;
      }
      estimate += sum;
      spread += sum * sum;
    }
    const close = (mean: number, square: number, want: number): void => {
      const deviation = Math.sqrt((square / draws - (mean / draws) ** 2) / draws);
      expect(Math.abs(mean / draws - want)).toBeLessThan(5 * deviation);
    };
    for (let i = 0; i < 5; i++) close(inverse[i]!, squares[i]!, 1);
    close(
      estimate,
      spread,
      weights.reduce((a, w, i) => a + (w / total) * f[i]!, 0),
    );
  });

  test('a key means the noise of that key, bit for bit', () => {
    const logits = random([3, 50], 1, 3);
    const drawn = gumbelTopK(logits, 7, { key: [5, 6], kHot: true });
    const given = gumbelTopK(logits, 7, { noise: gumbelNoise([5, 6], [3, 50]), kHot: true });
    expect(given).toEqual(drawn);
  });

  test('few are the first of many; a row alone is the row in a batch', () => {
    fc.assert(
      fc.property(size(60), fc.nat(), fc.nat(), (n, seed, cut) => {
        const logits = random([2, n], seed, 2);
        const noise = gumbelNoise(key(seed), [2, n]);
        const all = gumbelTopK(logits, n, { noise });
        const k = cut % (n + 1);
        const some = gumbelTopK(logits, k, { noise });
        const second = (t: Tensor) => tensor([n], t.data.slice(n, 2 * n));
        const alone = gumbelTopK(second(logits), k, { noise: second(noise) });
        for (let r = 0; r < 2; r++) {
          expect(some.indices.data.slice(r * k, r * k + k)).toEqual(all.indices.data.slice(r * n, r * n + k));
        }
        expect(alone.indices.data).toEqual(some.indices.data.slice(k));
        expect(alone.logInclusion.data).toEqual(some.logInclusion.data.slice(k));
      }),
      { numRuns: 50 },
    );
  });

  test('a shift of all logits changes nothing but the scores', () => {
    const logits = wide(random([200], 3, 4));
    const shifted = new Tensor(
      'f64',
      [200],
      Float64Array.from(logits.data, (v) => v + 1000),
    );
    const a = gumbelTopK(logits, 20, { key: key(1) });
    const b = gumbelTopK(shifted, 20, { key: key(1) });
    expect(b.indices.data).toEqual(a.indices.data);
    for (let j = 0; j < 20; j++) {
      expect(b.logInclusion.data[j]! - a.logInclusion.data[j]!).toBeCloseTo(0, 9);
      expect(b.scores.data[j]! - a.scores.data[j]!).toBeCloseTo(1000, 9);
    }
  });

  test('with k = n everything is in, with weight 1 and no threshold', () => {
    const logits = random([2, 9], 4);
    const all = gumbelTopK(logits, 9, { key: key(4), kHot: true });
    expect([...all.kHot!.data].every((v) => v === 1)).toBe(true);
    expect([...all.logInclusion.data].every((v) => Object.is(v, 0))).toBe(true);
    expect([...all.threshold.data]).toEqual([-Infinity, -Infinity]);
    expect([...all.counts.data]).toEqual([9, 9]);
  });

  test('short and empty rows are filled up and counted', () => {
    const logits = tensor([2, 3], [-Infinity, 1, -Infinity, -Infinity, -Infinity, -Infinity]);
    const got = gumbelTopK(logits, 2, { noise: tensor([2, 3], [0, 0, 0, 0, 0, 0]) });
    expect([...got.indices.data]).toEqual([1, -1, -1, -1]);
    expect([...got.scores.data]).toEqual([1, -Infinity, -Infinity, -Infinity]);
    expect([...got.counts.data]).toEqual([1, 0]);
    const none = gumbelTopK(tensor([2, 0], []), 0, { key: key(1) });
    expect([...none.threshold.data]).toEqual([-Infinity, -Infinity]);
  });
});

describe.each(relaxations)('%s', (relaxation) => {
  const relaxed = (x: Tensor, k: number, temperature = 1): Float64Array =>
    gumbelTopKRelaxed(x, k, { relaxation, temperature }).data as Float64Array;

  test('adds up to k, and but for relaxedTopK stays within [0, 1]', () => {
    fc.assert(
      fc.property(size(40), fc.nat(), fc.nat(), fc.constantFrom(0.1, 1, 30), (n, seed, kk, scale) => {
        const k = kk % (n + 1);
        const p = relaxed(wide(random([n], seed, scale)), k);
        expect(sumOf(p)).toBeCloseTo(k, 8);
        for (const v of p) {
          expect(v).toBeGreaterThanOrEqual(0);
          if (relaxation !== 'relaxedTopK') expect(v).toBeLessThanOrEqual(1 + 1e-12);
        }
      }),
    );
  });

  test('larger logits get no less, equal ones the same, and the order of positions does not matter', () => {
    const x = wide(random([30], 5, 3));
    x.data[4] = x.data[11]!;
    const p = relaxed(x, 7);
    const order = [...x.data.keys()].sort((a, b) => x.data[a]! - x.data[b]!);
    for (let j = 1; j < order.length; j++) {
      expect(p[order[j]!]!).toBeGreaterThanOrEqual(p[order[j - 1]!]! - 1e-12);
    }
    expect(p[4]).toBeCloseTo(p[11]!, 12);
    const reversed = relaxed(new Tensor('f64', [30], Float64Array.from(x.data).reverse()), 7);
    for (let i = 0; i < 30; i++) expect(reversed[29 - i]).toBeCloseTo(p[i]!, 12);
  });

  test('a shift of all logits changes nothing', () => {
    const x = wide(random([25], 6, 3));
    const shifted = new Tensor(
      'f64',
      [25],
      Float64Array.from(x.data, (v) => v - 300),
    );
    const [p, q] = [relaxed(x, 5), relaxed(shifted, 5)];
    for (let i = 0; i < 25; i++) expect(q[i]).toBeCloseTo(p[i]!, 11);
  });

  test('tends to the hard selection as the temperature falls', () => {
    const x = tensor([6], [3, 1, 2, 0, 5, 4], 'f64');
    // Every gap is 1: at temperature 1/60 the next one is beyond e^-60 (half of that for sigmoid and Laplace).
    const p = relaxed(x, 3, 1 / 60);
    for (let i = 0; i < 6; i++) expect(p[i]).toBeCloseTo([1, 0, 0, 0, 1, 1][i]!, 9);
  });

  test('its gradient agrees with central differences, for every rank, k and temperature', () => {
    for (const [shape, k, temperature] of [
      [[6], 2, 1],
      [[3, 9], 4, 0.6],
      [[2, 2, 5], 1, 1.7],
      [[12], 11, 1],
      [[2, 8], 8, 1],
      [[8], 0, 1],
    ] as const) {
      const n = shape.reduce((a: number, b) => a * b, 1);
      expectGradient(
        [tensor(shape, noiseArray(n, 12 + k))],
        ([x]) => [gumbelTopKRelaxed(x!, k, { relaxation, temperature })],
        ([x], [g]) => [gumbelTopKBackward(g!, x!, k, { relaxation, temperature })],
      );
    }
  });

  test('its gradient adds up to 0 in every row, also where only the selected have one', () => {
    const logits = wide(random([3, 40], 8, 2));
    const options = { relaxation, key: key(3), temperature: 0.8 };
    const { indices } = gumbelTopK(logits, 6, options);
    const g = wide(random([3, 6], 9));
    const sparse = gumbelTopKBackward(g, logits, 6, { ...options, positions: indices });
    const dense = new Float64Array(120);
    indices.data.forEach((i, at) => {
      dense[Math.floor(at / 6) * 40 + i] = g.data[at]!;
    });
    const same = gumbelTopKBackward(new Tensor('f64', [3, 40], dense), logits, 6, options);
    expect(sparse.data).toEqual(same.data);
    for (let r = 0; r < 3; r++) {
      expect(sumOf(sparse.data.slice(r * 40, r * 40 + 40))).toBeCloseTo(0, 10);
    }
  });
});

describe('the relaxations together', () => {
  test('scores of any size keep their logarithms', () => {
    const far = tensor([6], [-1e30, 0, -1e30, 0, -1e30, -1e30], 'f64');
    for (const relaxation of symmetric) {
      const p = [...gumbelTopKRelaxed(far, 3, { relaxation }).data];
      [0.25, 1, 0.25, 1, 0.25, 0.25].forEach((v, i) => {
        expect(p[i], relaxation).toBeCloseTo(v, 12);
      });
    }
  });

  test.each(symmetric)('%s has a symmetric Jacobian: <J v, w> = <v, J w>', (relaxation) => {
    const x = wide(random([35], 10, 2));
    const [v, w] = [wide(random([35], 11)), wide(random([35], 12))];
    const times = (g: Tensor) => gumbelTopKBackward(g, x, 9, { relaxation });
    expect(dot(times(v), w)).toBeCloseTo(dot(v, times(w)), 10);
  });

  test.each(['thresholdSigmoid', 'thresholdLaplace', 'exactK'] as const)(
    '%s of the opposite picks the complement',
    (relaxation) => {
      const x = wide(random([20], 13, 3));
      const opposite = new Tensor(
        'f64',
        [20],
        Float64Array.from(x.data, (v) => -v),
      );
      const p = gumbelTopKRelaxed(x, 6, { relaxation }).data;
      const q = gumbelTopKRelaxed(opposite, 14, { relaxation }).data;
      for (let i = 0; i < 20; i++) expect(p[i]! + q[i]!).toBeCloseTo(1, 10);
    },
  );

  test('with k = 1, thresholdExp, exactK and relaxedTopK are the softmax', () => {
    const x = wide(random([15], 14, 2));
    const e = Float64Array.from(x.data, Math.exp);
    const total = e.reduce((a, b) => a + b, 0);
    for (const relaxation of ['thresholdExp', 'exactK', 'relaxedTopK'] as const) {
      const p = gumbelTopKRelaxed(x, 1, { relaxation }).data;
      for (let i = 0; i < 15; i++) expect(p[i]).toBeCloseTo(e[i]! / total, 12);
    }
  });

  test('exactK are the marginals over all subsets', () => {
    const x = [0.3, -1, 2, 0.4, 1.1];
    const p = new Float64Array(5);
    let total = 0;
    for (let set = 0; set < 32; set++) {
      const members = [0, 1, 2, 3, 4].filter((i) => (set >> i) & 1);
      if (members.length !== 2) continue;
      const weight = Math.exp(members.reduce((a, i) => a + x[i]!, 0));
      total += weight;
      for (const i of members) p[i]! += weight;
    }
    const got = gumbelTopKRelaxed(tensor([5], x, 'f64'), 2, { relaxation: 'exactK' }).data;
    for (let i = 0; i < 5; i++) expect(got[i]).toBeCloseTo(p[i]! / total, 13);
  });
});

test('a tape sends the gradient of the selection back through the named relaxation', () => {
  using tape = new Tape(refBackend);
  const logits = random([2, 9], 62);
  const x = tape.parameter(logits);
  const options = { key: [3, 9], kHot: true, relaxation: 'thresholdSigmoid', temperature: 0.5 } as const;
  const { kHot } = tape.ops.gumbelTopK(x, 3, options);
  const g = random([2, 9], 63);
  const [dLogits] = tape.pullback(kHot!, [x], g);
  const { kHot: _, ...rest } = options;
  expect(dLogits).toEqual(gumbelTopKBackward(g, logits, 3, rest));
});

describe('bad calls are refused before any work', () => {
  const x = tensor([2, 3], [1, 2, 3, 4, 5, 6]);
  const g = x;
  const nan = tensor([2, 3], [1, 2, 3, 4, Number.NaN, 6]);
  test.each([
    [() => gumbelTopK(x, 2, {}), 'gumbelTopK: neither key nor noise is given'],
    [() => gumbelTopK(x, 2, { key: [1, 2], noise: x }), 'gumbelTopK: both key and noise are given'],
    [() => gumbelTopK(x, 4, { key: [1, 2] }), 'gumbelTopK: k is 4; it must be an integer from 0 to 3'],
    [() => gumbelTopK(x, 1.5, { key: [1, 2] }), 'gumbelTopK: k is 1.5'],
    [() => gumbelTopK(tensor([], [1]), 0, { key: [1, 2] }), 'gumbelTopK: logits are a scalar'],
    [() => gumbelTopK(x, 1, { noise: tensor([3], [1, 2, 3]) }), 'noise has shape [3]; it must be [2, 3]'],
    [() => gumbelTopK(x, 1, { key: [1, 2], mask: x }), 'mask has dtype f32; it takes u32'],
    [() => gumbelTopK(nan, 1, { key: [1, 2] }), 'gumbelTopK: logits[1, 1] is NaN; repair the input'],
    [() => gumbelTopK(x, 1, { noise: nan }), 'gumbelTopK: noise[1, 1] is NaN'],
    [() => gumbelTopKRelaxed(tensor([1], [Infinity]), 1), 'gumbelTopKRelaxed: logits[0] is Infinity'],
    [() => gumbelTopKRelaxed(x, 1, { temperature: 0 }), 'temperature is 0; it must be a number above 0'],
    [() => gumbelTopKRelaxed(x, 1, { temperature: Number.NaN }), 'temperature is NaN'],
    [
      () => gumbelTopKRelaxed(x, 1, { relaxation: 'soft' as Relaxation }),
      'relaxation is "soft"; it must be one',
    ],
    [
      () => gumbelTopKRelaxed(tensor([5000], new Float32Array(5000)), 5000, { relaxation: 'exactK' }),
      'exactK keeps N (k + 1) numbers per row, here 25005000; it takes up to 2^24',
    ],
    [() => gumbelTopKBackward(tensor([2], [1, 2]), x, 1), 'dKHot has shape [2]; it must be [2, 3]'],
    [
      () =>
        gumbelTopKBackward(tensor([2, 1], [1, 2]), x, 1, { positions: tensor([2, 2], [0, 1, 0, 1], 'i32') }),
      'dKHot has shape [2, 1]; it must be [2, 2]',
    ],
    [
      () => gumbelTopKBackward(tensor([2, 1], [1, 2]), g, 1, { positions: tensor([2, 1], [0, 3], 'i32') }),
      'gumbelTopKBackward: positions[1, 0] is 3; it must be in [-1, 3)',
    ],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

/** Logits with ties, both zeros, positions that take no part, subnormals, and values far apart. */
const logit = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -3, max: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0, 2 ** -149, -(2 ** -130), 2 ** -60) },
  { weight: 1, arbitrary: fc.constant(-Infinity) },
  { weight: 1, arbitrary: fc.constantFrom(-1e30, 80, -80, 1e6, -16777216) },
  { weight: 5, arbitrary: fc.float({ min: -8, max: 8, noNaN: true }) },
);
const shapes = (most: number) =>
  fc.tuple(fc.constantFrom(1, 3, most), size(600)).map(([b, n]) => [b, b > 9 ? Math.min(n, 40) : n]);
const pattern = (
  element: fc.Arbitrary<number>,
  shape: readonly number[],
  dtype?: 'u32',
): fc.Arbitrary<Tensor> => {
  const n = shape.reduce((a, b) => a * b, 1);
  const one = fc.array(element, { minLength: 1, maxLength: 97 });
  return one.map((p) =>
    tensor(
      shape,
      Array.from({ length: n }, (_, i) => p[i % p.length]!),
      dtype,
    ),
  );
};
/** @param most rows */
const calls = (most: number) =>
  shapes(most).chain((shape) =>
    fc.record({
      inputs: fc.record(
        {
          logits: pattern(logit, shape),
          noise: pattern(
            fc.oneof(fc.integer({ min: -2, max: 2 }), fc.float({ min: -4, max: 20, noNaN: true })),
            shape,
          ),
          mask: pattern(fc.constantFrom(0, 1, 1, 5), shape, 'u32'),
        },
        { requiredKeys: ['logits'] },
      ),
      k: fc.oneof(fc.constantFrom(0, Math.min(1, shape[1]!), shape[1]!), fc.nat(shape[1]!)),
      key: fc.tuple(fc.nat(2 ** 32 - 1), fc.nat(2 ** 32 - 1)),
    }),
  );

const probe = `
// @uses lib/addBits.wgsl
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> words: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> sums: array<u32>;
@compute @workgroup_size(64) fn probe(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.count) { sums[id.x] = addBits(words[id.x].x, words[id.x].y); }
}`;

/** Sums of numbers of all magnitudes and near each other, against f64 rounded once. */
async function compareSums(gpu: Gpu): Promise<Verdict> {
  const n = 8000;
  const words = Uint32Array.from(noiseArray(2 * n, 99), (v) => Math.floor((v + 1) * 2 ** 31));
  for (let i = 0; i < n; i++) {
    const [a, kind] = [words[2 * i]!, i % 6];
    if (kind === 1) words[2 * i + 1] = a ^ 0x80000000 ^ (words[2 * i + 1]! & 255);
    if (kind === 2) words[2 * i + 1] = (words[2 * i + 1]! & 0x807fffff) | (a & 0x7f000000);
    if (kind === 3) for (const j of [0, 1]) words[2 * i + j]! &= 0x80ffffff;
    if (kind === 4) words[2 * i + 1]! &= 0x80000000;
    for (const j of [0, 1]) if (((words[2 * i + j]! >>> 23) & 255) === 255) words[2 * i + j]! &= 0xff7fffff;
  }
  const values = new Float32Array(words.buffer);
  using _probe = gpu.override('addProbe.wgsl', probe);
  using input = gpu.upload(new Tensor('u32', [n, 2], words));
  using out = gpu.zeros('f32', [n]);
  const groups = [Math.ceil(n / 64)] as const;
  gpu.dispatch({ file: 'addProbe.wgsl', entry: 'probe', params: [n], reads: [input], writes: [out], groups });
  const want = Float32Array.from({ length: n }, (_, i) => values[2 * i]! + values[2 * i + 1]!);
  return compareExact(new Tensor('f32', [n], want), await out.read());
}

const inAddBits: readonly Mutant[] = [
  { name: 'what is shifted out is forgotten', from: '| select(0u, 1u, lost)', to: '' },
  { name: 'halves are rounded up, not to even', from: 'sum + 3u + ((sum >> 3u) & 1u)', to: 'sum + 4u' },
  { name: 'subnormals are flushed', from: 'select(0x800000u, 0u, ex == 0u)) << 3u', to: '0x800000u) << 3u' },
  { name: 'a carry is lost', from: 'e += carry;', to: '' },
  { name: 'the sign of a sum of zeros', from: 'select(0u, x & 0x80000000u, same)', to: 'x & 0x80000000u' },
];
const inKeys: readonly Mutant[] = [
  {
    name: 'all rows get the noise of the first',
    from: 'gumbelBits(noiseKey(), counterAt(firstCounter(), row * params.length + index))',
    to: 'gumbelBits(noiseKey(), counterAt(firstCounter(), index))',
  },
  { name: 'the bound on the noise is too low', from: 'select(110.2104', to: 'select(109.0' },
  {
    name: 'the given noise is subtracted',
    from: 'let sum = addBits(bits, added);',
    to: 'let sum = addBits(bits, added ^ select(0x80000000u, 0u, KEYED));',
  },
  {
    name: 'the mask is ignored',
    from: 'bits == NEG_INF_BITS || isMasked(row, index)',
    to: 'bits == NEG_INF_BITS',
  },
  {
    name: '-infinity takes part',
    from: 'bits == NEG_INF_BITS || isMasked(row, index)',
    to: 'isMasked(row, index)',
  },
  {
    name: 'refused inputs pass for numbers',
    from: 'select(orderKey(sum), BAD_KEY, bad)',
    to: 'select(orderKey(sum), 1u, bad)',
  },
];
const inResults: readonly Mutant[] = [
  {
    name: 'the threshold is the k-th score',
    from: 'let next = head + result.k;',
    to: 'let next = head + result.k - 1u;',
  },
  { name: 'counts are those of k + 1', from: 'min(foundOfRow[row], result.k)', to: 'foundOfRow[row]' },
  {
    name: 'weights of the score, not of the logit',
    from: 'logSurvival(logit - bitcast<f32>(kappa))',
    to: 'logSurvival(bitcast<f32>(bestOfRow[among]) - bitcast<f32>(kappa))',
  },
  {
    name: 'small survivals lose their second order',
    from: 'y * (0.5 - y * (0.041666667',
    to: 'y * (0.5 - y * (0.0',
  },
  {
    name: 'zeros and ones of the first row only',
    from: '(result.out + id) / result.k * result.length',
    to: '0u',
  },
];
const inSerial: readonly Mutant[] = [
  {
    name: 'the last ties are taken',
    from: 'if (ties == 0u) { continue; }',
    to: 'if (ties > 0u) { continue; }',
  },
  {
    name: 'the marks of a chunk go to the one before',
    from: 'wordOf(lane.row, lane.chunk, (start - first) / 32u)] = bits',
    to: 'wordOf(lane.row, max(lane.chunk, 1u) - 1u, (start - first) / 32u)] = bits',
  },
];
const inTiles: readonly Mutant[] = [
  {
    name: 'ties share a place',
    from: 'min(before.y, mine.y)',
    to: '0u',
  },
  {
    name: 'marks lie too close together',
    from: 'atomicOr(&words[(i - own.first) / 32u]',
    to: 'atomicOr(&words[(i - own.first) / 64u]',
  },
  {
    name: 'short rows are given in order of index',
    from: 'sortEntries(local, params.room, false);',
    to: 'sortEntries(local, params.room, true);',
  },
];
const inThreshold: readonly Mutant[] = [
  {
    name: 'the sigmoid lacks its 1',
    from: 'y < vec4f(0.0)) / (1.0 + e); }',
    to: 'y < vec4f(0.0)) / (2.0 + e); }',
  },
  { name: 'Laplace counts twice', from: 'select(1.0 - 0.5 * e, 0.5 * e', to: 'select(1.0 - 0.5 * e, e' },
  { name: 'a row is done too early', from: 'k * 4.8e-7', to: 'k * 4.8e-3' },
  {
    name: 'a part of 32 elements is dropped',
    from: 'total.value += part.value;\n    total.slope += part.slope;\n    start += 32u * LANES;',
    to: 'total.value = part.value;\n    total.slope += part.slope;\n    start += 32u * LANES;',
  },
  {
    name: 'differences are taken anew in every pass',
    from: 'if (params.step == 0u) {',
    to: 'if (params.step < 2u) {',
  },
  { name: 'the mean is not subtracted', from: '(g - row.mean) * params.inverse', to: 'g * params.inverse' },
  {
    name: 'the temperature is not divided by in the gradient',
    from: '(g - row.mean) * params.inverse',
    to: '(g - row.mean)',
  },
  {
    name: 'given positions get no term of their own',
    from: 'dLogits[at] += slopes[slot] * gradient[slot] * params.inverse;',
    to: '',
  },
  {
    name: 'all rows take the state of the first',
    from: 'let row = states[params.row + piece.row];\n  var total',
    to: 'let row = states[params.row];\n  var total',
  },
];
const inThresholdTiles: readonly Mutant[] = [
  {
    name: 'half of the invocations do not count',
    from: 'for (var d = LANES / 2u; d > 0u; d /= 2u)',
    to: 'for (var d = LANES / 4u; d > 0u; d /= 2u)',
  },
  {
    name: 'a row looks at its first partial sum alone',
    from: 'start < count',
    to: 'start < min(count, 1u)',
  },
  {
    name: 'the sum of another piece',
    from: 'partials[at] = total',
    to: 'partials[at - piece.chunk] = total',
  },
];
const inTableTiles: readonly Mutant[] = [
  {
    name: 'half of the invocations do not count',
    from: 'for (var d = LANES / 2u; d > 0u; d /= 2u)',
    to: 'for (var d = LANES / 4u; d > 0u; d /= 2u)',
  },
  {
    name: 'the largest is the one of the first invocation',
    from: 'return bestPlace[0];',
    to: 'return local;',
  },
  {
    name: 'only the last sum counts',
    from: 'tile[local] += tile[local + d];',
    to: 'tile[local] = tile[local + d];',
  },
];
const inTables: readonly Mutant[] = [
  {
    name: 'the tables run over one entry too few',
    from: 'for (var i = 0u; i < params.length; i++) {\n    let c',
    to: 'for (var i = 0u; i < params.length - 1u; i++) {\n    let c',
  },
  { name: 'the mean of the sum is not subtracted', from: 'both.y - both.x * meanSum', to: 'both.y' },
  {
    name: 'the entry does not count with itself',
    from: 'mine.y += sums + g * before * after;',
    to: 'mine.y += sums;',
  },
  {
    name: 'what is taken is not taken away',
    from: 'select(logOneMinus(min(taken, 0.5)), log(max(others, TINY)), i == largest)',
    to: 'select(0.0, log(max(others, TINY)), i == largest)',
  },
  {
    name: 'the largest loses nothing',
    from: 'log(max(others, TINY)), i == largest)',
    to: '0.0, i == largest)',
  },
  { name: 'nothing is handed back', from: 'select(0.0, -dw / free, free > TINY)', to: '0.0' },
  {
    name: 'the temperature is forgotten',
    from: '(rolling[w + i] - top) * params.inverse',
    to: '(rolling[w + i] - top)',
  },
];

describeDevice('the kernels', (gpu, family) => {
  // A software driver makes a loop of every barrier: where workgroups sort, a few rows are enough.
  const onGpu = family === 'gpu';
  const call = calls(onGpu ? 2 : 70);

  /** The same adapter, pretending that one binding holds 32 KiB; fresh buffers, which hold no right answers yet. */
  const narrow = () => openGpu({ family, maxBindingBytes: 32_768, poolBytes: 0 });

  test('select as the reference does, bit for bit, on hard data', async () => {
    await fc.assert(
      fc.asyncProperty(call, fc.boolean(), ({ inputs, k, key }, kHot) =>
        expectTwins(gpu(), 'gumbelTopK', inputs, inputs.noise === undefined ? { k, key, kHot } : { k, kHot }),
      ),
      { numRuns: onGpu ? 5 : 10 },
    );
  });

  test('select as it does from long rows, whole and in windows', async () => {
    await using small = await narrow();
    for (const [n, k, scale, on] of [
      [17_500, 300, 1, gpu()],
      [9003, 70, 0.01, small],
      [17_001, 8192, 0.01, gpu()],
      [8200, 8200, 1, small],
    ] as const) {
      if (onGpu && k !== 70) continue;
      const logits = random([n], n, scale);
      for (let i = 0; i < n; i += 7) logits.data[i] = Math.round(logits.data[i]!);
      // Noise of two digits: hundreds of ties, and cheaper for the reference than a key.
      const noise = tensor(
        [n],
        noiseArray(n, k).map((v) => Math.round(v * 30) / 10),
      );
      await expectTwins(on, 'gumbelTopK', { logits, noise }, { k, kHot: true });
    }
    if (!onGpu) {
      await expectTwins(small, 'gumbelTopK', { logits: random([2, 8200], 5, 1e-3) }, { k: 50, key: [1, 2] });
    }
    expect(small.liveTensors).toBe(0);
  });

  test('a row alone is the row in a batch', async () => {
    const logits = random([3, 1100], 21, 2);
    const noise = random([3, 1100], 22, 3);
    const whole = await runGpu(gpu(), 'gumbelTopK', { logits, noise }, { k: 100 });
    for (const r of [0, 2]) {
      const row = (t: Tensor) => tensor([1100], t.data.slice(r * 1100, (r + 1) * 1100));
      const alone = await runGpu(gpu(), 'gumbelTopK', { logits: row(logits), noise: row(noise) }, { k: 20 });
      expect(alone.indices!.data).toEqual(whole.indices!.data.slice(r * 100, r * 100 + 20));
    }
  });

  test.each(relaxations)('relax by %s within its bound, forward and backward', async (relaxation) => {
    await fc.assert(
      fc.asyncProperty(
        call,
        fc.constantFrom(0.3, 1, 2),
        fc.nat(),
        async ({ inputs, k: any, key }, temperature, seed) => {
          const table = relaxation === 'exactK' || relaxation === 'relaxedTopK';
          const k = table ? Math.min(any, Math.floor(2500 / Math.max(inputs.logits.size, 1))) : any;
          const options = { k, relaxation, temperature, ...(inputs.noise === undefined ? { key } : {}) };
          await expectTwins(gpu(), 'gumbelTopKRelaxed', inputs, options);
          const dKHot = random(inputs.logits.shape, seed);
          await expectTwins(gpu(), 'gumbelTopKBackward', { ...inputs, dKHot }, options);
          const noise = inputs.noise ?? gumbelNoise(key, inputs.logits.shape);
          const { indices } = gumbelTopK(inputs.logits, k, { ...inputs, noise });
          const sparse = { ...inputs, positions: indices, dKHot: random(indices.shape, seed + 1) };
          await expectTwins(gpu(), 'gumbelTopKBackward', sparse, options);
        },
      ),
      { numRuns: onGpu ? 2 : 4 },
    );
  });

  test('relax within their bounds where the sum is flat around k', async () => {
    const logits = tensor([2, 3], [-80, 0, -80, 0, -80, 0]);
    for (const relaxation of ['thresholdSigmoid', 'thresholdLaplace'] as const) {
      const options = { k: 2, key: [0, 0], temperature: 2, relaxation };
      await expectTwins(gpu(), 'gumbelTopKRelaxed', { logits }, options);
      await expectTwins(gpu(), 'gumbelTopKBackward', { logits, dKHot: random([2, 3], 30) }, options);
    }
  });

  test('relax long rows, whole and in windows', async () => {
    await using small = await narrow();
    const n = 9000;
    const logits = random([2, n], 31, 3);
    const noise = random([2, n], 34, 2);
    const dKHot = random([2, n], 32);
    const { indices } = gumbelTopK(logits, 50, { noise });
    const sparse = { logits, noise, positions: indices, dKHot: random([2, 50], 33) };
    for (const relaxation of ['thresholdExp', 'thresholdSigmoid', 'thresholdLaplace'] as const) {
      const options = { k: 50, relaxation, temperature: 0.5 };
      if (!onGpu) await expectTwins(gpu(), 'gumbelTopKRelaxed', { logits, noise }, options);
      if (onGpu && relaxation !== 'thresholdSigmoid') continue;
      if (!onGpu) await expectTwins(small, 'gumbelTopKBackward', { logits, noise, dKHot }, options);
      if (relaxation !== 'thresholdSigmoid') continue;
      await expectTwins(small, 'gumbelTopKRelaxed', { logits, noise }, options);
      await expectTwins(small, 'gumbelTopKBackward', sparse, options);
    }
    expect(small.liveTensors).toBe(0);
  });

  test('show refused inputs in the results of their row, and of no other', async () => {
    const n = 900;
    for (const bad of [Number.NaN, Infinity]) {
      const logits = random([3, n], 41);
      const right = gumbelTopK(logits, 5, { key: [1, 1] });
      logits.data[n + 500] = bad;
      const got = await runGpu(gpu(), 'gumbelTopK', { logits }, { k: 5, key: [1, 1] });
      expect([...got.counts!.data]).toEqual([5, -1, 5]);
      expect([...got.indices!.data.slice(5, 10)]).toEqual([-1, -1, -1, -1, -1]);
      for (const name of ['scores', 'logInclusion'] as const) {
        expect([...got[name]!.data.slice(5, 10)].every(Number.isNaN)).toBe(true);
      }
      expect(got.threshold!.data[1]).toBeNaN();
      for (const r of [0, 2]) {
        expect(got.indices!.data.slice(r * 5, r * 5 + 5)).toEqual(right.indices.data.slice(r * 5, r * 5 + 5));
      }
      for (const relaxation of relaxations) {
        const options = { k: 5, key: [1, 1], relaxation };
        const { relaxed } = await runGpu(gpu(), 'gumbelTopKRelaxed', { logits }, options);
        const { dLogits } = await runGpu(
          gpu(),
          'gumbelTopKBackward',
          { logits, dKHot: random([3, n], 2) },
          options,
        );
        for (const t of [relaxed!, dLogits!]) {
          const nans = [0, 1, 2].map((r) => t.data.slice(r * n, (r + 1) * n).filter(Number.isNaN).length);
          expect(nans, relaxation).toEqual([0, n, 0]);
        }
      }
    }
    const noise = random([3, n], 42);
    noise.data[7] = -Infinity;
    const got = await runGpu(gpu(), 'gumbelTopK', { logits: random([3, n], 43), noise }, { k: 5 });
    expect([...got.counts!.data]).toEqual([-1, 5, 5]);
  });

  test('give the same bits twice', async () => {
    const small = cases.filter((c) => /^\[[45], /.test(c.shape));
    for (const c of onGpu ? small.slice(0, 3) : small)
      await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  const logits = random([2, 2000], 53, 6);
  const dKHot = random([2, 2000], 54);
  const noise = random([2, 2000], 55);
  const indices = () => gumbelTopK(logits, 40, { noise }).indices;
  const twins = (on: Gpu, op: string, inputs: Parameters<typeof compareTwins>[2], options: object) => () =>
    compareTwins(on, op, inputs, options as Readonly<Record<string, unknown>>);
  const relaxed = (on: Gpu, relaxation: Relaxation) =>
    twins(on, 'gumbelTopKRelaxed', { logits }, { k: 400, relaxation, temperature: 0.6 });
  const gradient = (on: Gpu, relaxation: Relaxation) =>
    twins(on, 'gumbelTopKBackward', { logits, dKHot }, { k: 400, relaxation, temperature: 0.6 });
  const few = { logits: random([2, 60], 56, 2), dKHot: random([2, 60], 57) };
  const tables = (on: Gpu, relaxation: Relaxation, backward = false) => {
    const options = { k: 9, relaxation, temperature: 0.6 };
    if (backward) return twins(on, 'gumbelTopKBackward', { logits: few.logits, dKHot: few.dKHot }, options);
    return twins(on, 'gumbelTopKRelaxed', { logits: few.logits }, options);
  };

  /** Selections that call for every kernel. The short ones come first, since they need few. */
  const selections = (on: Gpu) => {
    const long = random([1, 4500], 51, 2);
    for (let i = 0; i < 4500; i += 3) long.data[i] = Math.round(long.data[i]!);
    // Too many ties for any guess, so that the exact threshold is looked for.
    const ties = tensor(
      [1, 4500],
      noiseArray(4500, 58).map((v) => (v > 0 ? 1 : 0)),
    );
    const none = tensor([1, 4500], new Float32Array(4500));
    const hard = cases[2]!;
    return {
      'short rows of a key': twins(on, 'gumbelTopK', { logits: few.logits }, { k: 9, key: [3, 4] }),
      'a refused input': async () => {
        const bad = random([1, 200], 52);
        bad.data[17] = Number.NaN;
        const { counts } = await runGpu(on, 'gumbelTopK', { logits: bad }, { k: 3, key: [1, 1] });
        return compareExact(tensor([1], [-1], 'i32'), counts!);
      },
      [hard.label]: twins(on, 'gumbelTopK', hard.inputs(), hard.options!),
      'long rows of a key': twins(on, 'gumbelTopK', { logits: long }, { k: 200, key: [4, 4] }),
      'more ties than candidates': twins(
        on,
        'gumbelTopK',
        { logits: ties, noise: none },
        { k: 50, kHot: true },
      ),
    };
  };

  // What the families share is judged in one of them, and what only one has in that one.
  if (family === 'cpu-vulkan') {
    test('a wrong sum in integers is rejected', async () => {
      await expectKills(gpu(), 'lib/addBits.wgsl', inAddBits, {
        'sums of all magnitudes': () => compareSums(gpu()),
      });
    });

    test('wrong selections are rejected', async () => {
      await using small = await narrow();
      await expectKills(small, 'lib/gumbelTopKKeys.wgsl', inKeys, selections(small));
      await expectKills(small, 'gumbelTopK.wgsl', [...inResults, ...inSerial], selections(small));
    });

    test('wrong relaxations are rejected', async () => {
      const sparse = { logits, positions: indices(), dKHot: random([2, 40], 59) };
      await expectKills(gpu(), 'gumbelTopK.threshold.wgsl', inThreshold, {
        sigmoid: relaxed(gpu(), 'thresholdSigmoid'),
        Laplace: relaxed(gpu(), 'thresholdLaplace'),
        'gradient of the sigmoid': gradient(gpu(), 'thresholdSigmoid'),
        'gradient at given positions': twins(gpu(), 'gumbelTopKBackward', sparse, { k: 40 }),
      });
      await expectKills(gpu(), 'gumbelTopK.tables.wgsl', inTables, {
        exactK: tables(gpu(), 'exactK'),
        relaxedTopK: tables(gpu(), 'relaxedTopK'),
        'gradient of exactK': tables(gpu(), 'exactK', true),
        'gradient of relaxedTopK': tables(gpu(), 'relaxedTopK', true),
      });
    });
  } else {
    test('wrong tiles are rejected', async () => {
      await using small = await narrow();
      const { 'short rows of a key': short, 'more ties than candidates': ties } = selections(small);
      await expectKills(small, 'gumbelTopK.tiles.wgsl', inTiles, { short: short!, ties: ties! });
      const line = { logits: random([2100], 61) };
      await expectKills(gpu(), 'gumbelTopK.threshold.wgsl', inThresholdTiles, {
        sigmoid: twins(gpu(), 'gumbelTopKRelaxed', line, { k: 5, relaxation: 'thresholdSigmoid' }),
      });
      await expectKills(gpu(), 'gumbelTopK.tables.wgsl', inTableTiles, {
        relaxedTopK: tables(gpu(), 'relaxedTopK'),
      });
    });
  }
});
