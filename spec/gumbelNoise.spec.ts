import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareExact, type Verdict } from '../src/core/bounds.ts';
import { type Key, key } from '../src/core/key.ts';
import { Tensor } from '../src/core/tensor.ts';
import { type Gpu, openGpu } from '../src/gpu/index.ts';
import { gumbelNoise, gumbelOf } from '../src/ref/gumbelNoise.ts';
import { cases } from '../src/verify/gumbelNoise.ts';
import { describeDevice } from './support/device.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { decode, describeVectors, readVectors } from './support/vectors.ts';

// Plan: vectors from mpmath over JAX's bits; the integer definition is within its stated distance of the formula over
// all magnitudes; the noise of JAX for the same key is ours, cut to 23 bits; the distribution (moments,
// Kolmogorov-Smirnov, upper tail) is Gumbel's; the kernel equals the reference bit for bit; wrong kernels are rejected.

describeVectors('gumbelNoise');

/** Words that reach every magnitude of either tail: all counts of leading zeros and ones, with ragged and full rests. */
const hardWords: [number, number][] = [];
for (let zeros = 0; zeros <= 64; zeros++) {
  for (const rest of [0n, 1n, 2n ** 63n, 2n ** 64n - 1n, 0x9e3779b97f4a7c15n, 0x5555555555555555n]) {
    const wide = zeros === 64 ? 0n : ((rest | (1n << 63n)) & (2n ** 64n - 1n)) >> BigInt(zeros);
    for (const w of [wide, 2n ** 64n - 1n - wide]) {
      hardWords.push([Number(w >> 32n), Number(w & 0xffffffffn)]);
    }
  }
}

/** The formula in f64, through the smaller of u and 1 - u. */
function formula(first: number, second: number): number {
  const upper = first >= 2 ** 31;
  const [high, low] = upper ? [2 ** 32 - 1 - first, 2 ** 32 - 1 - second] : [first, second];
  const p = (high * 2 ** 32 + low + 0.5) * 2 ** -64;
  return -Math.log(upper ? -Math.log1p(-p) : -Math.log(p));
}

describe('the definition', () => {
  const check = (first: number, second: number): void => {
    const want = formula(first, second);
    const got = Math.fround(gumbelOf(first, second) / 2 ** 25);
    const ulp = 2 ** (Math.floor(Math.log2(Math.max(Math.abs(want), 2 ** -126))) - 23);
    // The lowest bit of u stands for the half, which moves the extreme words: by log(2) at most, at the very end.
    const p = first >= 2 ** 31 ? [2 ** 32 - 1 - first, 2 ** 32 - 1 - second] : [first, second];
    const atEnd = p[0] === 0 && p[1]! < 2 ** 24 ? 0.7 / (p[1]! + 0.5) : 0;
    const allowed = ulp / 2 + 1.2e-7 + atEnd;
    if (!(Math.abs(got - want) <= allowed)) {
      expect.fail(`words ${first}, ${second}: got ${got}, want ${want}, allowed ${allowed}`);
    }
  };

  test('is within half an ulp + 1.2e-7 of -log(-log(u)), over every magnitude', () => {
    for (const [first, second] of hardWords) check(first, second);
  });

  test('is so for a grid over all first words', () => {
    for (let first = 0; first < 2 ** 32; first += 4799) check(first, Math.imul(first, 2654435761) >>> 0);
  });

  test('never falls by more than its accuracy as u grows', () => {
    let last = -Infinity;
    for (let first = 0; first < 2 ** 32; first += 65537) {
      const g = gumbelOf(first, 0) / 2 ** 25;
      expect(g).toBeGreaterThan(last - 1e-7);
      last = g;
    }
  });

  test('stays within its stated range', () => {
    const values = hardWords.map(([a, b]) => gumbelOf(a, b) / 2 ** 25);
    expect(Math.min(...values)).toBeGreaterThan(-3.8);
    expect(Math.max(...values)).toBeLessThan(44.4);
    expect(Math.max(...values)).toBeGreaterThan(44.3);
  });
});

test('the noise of JAX for the same key is the same, cut to 23 bits of u', () => {
  const { jaxGumbel } = readVectors('gumbelNoise') as unknown as {
    jaxGumbel: { key: Key; values: Parameters<typeof decode>[0] };
  };
  const theirs = decode(jaxGumbel.values).data;
  const ours = gumbelNoise(jaxGumbel.key, [theirs.length]).data;
  const u = (g: number): number => Math.exp(-Math.exp(-g));
  for (let i = 0; i < theirs.length; i++) {
    expect(u(ours[i]!) - u(theirs[i]!)).toBeGreaterThan(-(2 ** -22));
    expect(u(ours[i]!) - u(theirs[i]!)).toBeLessThan(2 ** -22);
  }
});

/** Check a sample of standard Gumbel noise; every test fails a right sample with a probability below 1e-6. */
function expectGumbel(sample: Float32Array): void {
  const n = sample.length;
  let sum = 0;
  let squares = 0;
  for (const g of sample) {
    sum += g;
    squares += g * g;
  }
  const mean = sum / n;
  const variance = squares / n - mean ** 2;
  // Mean 0.5772, variance pi^2/6; the variance of the sample variance is (m4 - s^4)/n with m4 = 14.61.
  expect(Math.abs(mean - 0.5772156649)).toBeLessThan(5 * Math.sqrt(1.645 / n));
  expect(Math.abs(variance - Math.PI ** 2 / 6)).toBeLessThan(5 * Math.sqrt((14.61 - 2.706) / n));
  // Kolmogorov-Smirnov: P(sqrt(n) D > 2.72) < 1e-6.
  const sorted = sample.slice().sort();
  let distance = 0;
  for (let i = 0; i < n; i++) {
    const cdf = Math.exp(-Math.exp(-sorted[i]!));
    distance = Math.max(distance, cdf - i / n, (i + 1) / n - cdf);
  }
  expect(Math.sqrt(n) * distance).toBeLessThan(2.72);
  // The upper tail: counts beyond a threshold are Poisson.
  for (let threshold = 4; n * Math.exp(-threshold) > 30; threshold++) {
    const expected = n * -Math.expm1(-Math.exp(-threshold));
    const count = sorted.filter((g) => g > threshold).length;
    expect(Math.abs(count - expected), `beyond ${threshold}`).toBeLessThan(5 * Math.sqrt(expected));
  }
  // The largest is log(n) + Gumbel; beyond these, the probability is 1e-6 in all.
  const largest = sorted.at(-1)! - Math.log(n);
  expect(largest).toBeGreaterThan(-2.7);
  expect(largest).toBeLessThan(15);
  // The grid is fine enough for the tail: the largest thousandth has hardly any ties.
  const tail = sorted.slice(-Math.floor(n / 1000));
  expect(new Set(tail).size).toBeGreaterThan(tail.length * 0.99);
}

describe('the reference', () => {
  test('a longer tensor starts with the shorter one', () => {
    fc.assert(
      fc.property(fc.integer(), size(200), fc.nat(50), (seed, n, more) => {
        const long = gumbelNoise(key(seed), [n + more]).data;
        expect(gumbelNoise(key(seed), [n]).data).toEqual(long.slice(0, n));
      }),
      { numRuns: 30 },
    );
  });

  test('has the moments, the distribution and the tail of Gumbel noise', () => {
    expectGumbel(gumbelNoise(key(11), [1_000_000]).data as Float32Array);
  });
});

describe('bad calls are refused before any work', () => {
  test.each([
    [() => gumbelNoise([1] as unknown as Key, [2]), 'gumbelNoise: key is [1]; make one with'],
    [() => gumbelNoise(key(1), [2, 1.5]), 'gumbelNoise: shape [2, 1.5] has the size 1.5'],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const probe = `
// @uses lib/gumbel.wgsl
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> words: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> noise: array<u32>;
@compute @workgroup_size(64) fn probe(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.count) { noise[id.x] = bitsOfFixed(gumbelFixed(words[id.x].x, words[id.x].y)); }
}`;

/** The integer noise of chosen words, which no key would reach. */
async function compareWords(gpu: Gpu, words: readonly [number, number][]): Promise<Verdict> {
  using _probe = gpu.override('gumbelProbe.wgsl', probe);
  const n = words.length;
  using input = gpu.upload(new Tensor('u32', [n, 2], Uint32Array.from(words.flat())));
  using out = gpu.zeros('f32', [n]);
  const groups = [Math.ceil(n / 64)] as const;
  gpu.dispatch({
    file: 'gumbelProbe.wgsl',
    entry: 'probe',
    params: [n],
    reads: [input],
    writes: [out],
    groups,
  });
  const want = Float32Array.from(words, ([a, b]) => gumbelOf(a, b) / 2 ** 25);
  return compareExact(new Tensor('f32', [n], want), await out.read());
}

const wrong: readonly Mutant[] = [
  {
    name: 'the outer sign is dropped',
    from: 'return exponent * LN2_Q25 + i32((rest',
    to: 'return -exponent * LN2_Q25 - i32((rest',
  },
  {
    name: 'the tail has no correction',
    from: 'select(0, i32((correction',
    to: 'select(0, 0 * i32((correction',
  },
  {
    name: 'the tail correction lacks its second order',
    from: '(((square >> 4u) * 13653u) >> 12u) + cube',
    to: 'cube',
  },
  {
    name: 'the second word is ignored',
    from: 'select(second, ~second, upper)',
    to: 'select(0u, ~0u, upper)',
  },
  { name: 'the lower tail uses 1 - u', from: 'let upper = first >= 0x80000000u;', to: 'let upper = true;' },
  {
    name: 'one factor of the logarithm is missing',
    from: 'log += select(0u, 66589974u, larger >= m);',
    to: '',
  },
  { name: 'a factor is off in its last bits', from: '505874286u', to: '505874350u' },
  { name: 'the third order of the logarithm is missing', from: ' + ((cube * 21846u) >> 16u)', to: '' },
  {
    name: 'halves are rounded up, not to even',
    from: '- 1u + even) >> drop',
    to: '- 1u + min(half, 1u)) >> drop',
  },
  { name: 'the noise is cut, not rounded', from: '(magnitude + max(half, 1u) - 1u + even)', to: 'magnitude' },
  {
    name: 'words without a leading bit are shifted wrongly',
    from: 'select(0u, 32u, high == 0u)',
    to: 'select(0u, 31u, high == 0u)',
  },
];
const wrongKernel: readonly Mutant[] = [
  { name: 'the last element is left out', from: 'i < params.count', to: 'i + 1u < params.count' },
  {
    name: 'the windows all start at zero',
    from: 'vec2u(params.baseHigh, params.baseLow)',
    to: 'vec2u(0u, 0u)',
  },
  { name: 'a step is left out', from: 'step < PER', to: 'step < PER - 1u' },
];

describeDevice('the kernel', (gpu, family) => {
  test('equals the reference bit for bit', async () => {
    const word = fc.nat(2 ** 32 - 1);
    await fc.assert(
      fc.asyncProperty(word, word, size(5000), (a, b, n) =>
        expectTwins(gpu(), 'gumbelNoise', {}, { key: [a, b], shape: [n] }),
      ),
      { numRuns: 40 },
    );
  });

  test('equals it on words of every magnitude', async () => {
    const v = await compareWords(gpu(), hardWords);
    expect(v.verdict, v.message).toBe('PASS');
  });

  test('equals it on a million elements', async () => {
    await expectTwins(gpu(), 'gumbelNoise', {}, cases[0]!.options);
  });

  test('gives the same bits twice', async () => {
    for (const c of cases) await expectSameBits(gpu(), c.op, {}, c.options);
  });

  test('wrong kernels are rejected', async () => {
    // Fresh buffers: a recycled one may hold the right answer from the call before.
    await using small = await openGpu({ family, maxBindingBytes: 8192, poolBytes: 0 });
    const checks = {
      'words of every magnitude': () => compareWords(small, hardWords),
      'an odd length in windows': () =>
        compareTwins(small, 'gumbelNoise', {}, { key: [1, 2], shape: [20011] }),
    };
    await expectKills(small, 'gumbelNoise.wgsl', wrongKernel, checks);
    await expectKills(small, 'lib/gumbel.wgsl', wrong, checks);
    expect(small.liveTensors).toBe(0);
  });
});
