import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judge } from '../src/core/bounds/index.ts';
import { foldIn, type Key, key } from '../src/core/key.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { openGpu } from '../src/gpu/index.ts';
import { hierarchicalAnn } from '../src/ref/hierarchicalAnn.ts';
import { sampleByBounds, sampleByHeap, sampleByShift } from '../src/ref/lazyGumbelSchemes.ts';
import { lazyGumbelTopK, lazyGumbelTopKBalls } from '../src/ref/lazyGumbelTopK.ts';
import { exponentialOf, gumbelOfTime, wordNoise } from '../src/ref/lib/wordNoise.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases, withBalls } from '../src/verify/lazyGumbelTopK.ts';
import { wordVectors } from '../src/verify/words.ts';
import { describeDevice, runsOn } from './support/device.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { exactFloat, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu, runRef } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from NumPy; the integer noise against its formula; the sample is the top-k of all sums, whatever the balls;
// ordered samples have the frequencies of Plackett-Luce, for this operator and for the three other schemes, while the naive
// scheme and a bound that does not hold are seen by the same test; a small part of a large vocabulary is scored; the kernels
// agree with the reference, exactly where there is nothing to round; wrong kernels are rejected.

describeVectors('lazyGumbelTopK');

const d = 3;
const n = 7;
const small = hierarchicalAnn(tensor([n, d], noiseArray(n * d, 4)), { lists: 4, iterations: 2 });
const balls = lazyGumbelTopKBalls(small);
const query = tensor([1, d], [1.5, -1, 0.7]);
const offsets = small.offsets!.data;

/** Scores by place in an index. */
function scoresOf(index: { vectors: Tensor }, q: Tensor): Float64Array {
  const [rows, width] = index.vectors.shape as [number, number];
  return Float64Array.from({ length: rows }, (_, at) => {
    let sum = 0;
    for (let j = 0; j < width; j++) sum += index.vectors.data[at * width + j]! * q.data[j]!;
    return sum;
  });
}

/** Chi square of ordered samples of two places against Plackett-Luce. */
function chiSquare(draw: (k: Key) => ArrayLike<number>, runs: number): number {
  const weights = scoresOf(small, query).map(Math.exp);
  const total = weights.reduce((a, b) => a + b, 0);
  const counts = new Float64Array(n * n);
  for (let i = 0; i < runs; i++) {
    const drawn = draw(foldIn(key(5), i));
    counts[drawn[0]! * n + drawn[1]!]!++;
  }
  let sum = 0;
  for (let a = 0; a < n; a++) {
    for (let b = 0; b < n; b++) {
      if (a === b) continue;
      const expected = (runs * weights[a]! * weights[b]!) / (total * (total - weights[a]!));
      sum += (counts[a * n + b]! - expected) ** 2 / expected;
    }
  }
  return sum;
}

const runs = 4000;
// 41 degrees of freedom: 41 + 6 sqrt(82) is beyond 1 in 10^6.
const limit = 95;
const placeOfId = Int32Array.from({ length: n }, (_, id) =>
  small.order.data.findIndex((row) => small.ids.data[row] === id),
);
const drawWith =
  (made: typeof balls, count = 2) =>
  (k: Key): number[] =>
    [...lazyGumbelTopK(small, made, query, count, { key: k }).ids.data].map((id) => placeOfId[id]!);

describe('an exact sample', () => {
  const scores = scoresOf(small, query);
  const groups = { offsets, scoreOf: (at: number) => scores[at]! };
  const largest = Array.from({ length: 4 }, (_, g) =>
    Math.max(-9, ...scores.subarray(offsets[g], offsets[g + 1])),
  );
  test.each<[string, (k: Key) => ArrayLike<number>]>([
    ['lazily', drawWith(balls)],
    ['the first two of five', drawWith(balls, 5)],
    ['top down by shifted noise', (k) => sampleByShift(groups, 2, k).words],
    ['by a heap of groups', (k) => sampleByHeap(groups, 2, k).words],
    ['by bounds alone', (k) => sampleByBounds(groups, largest, 2, k).words],
    ['by loose bounds', (k) => sampleByBounds(groups, [2, 5, 4, 3.5], 2, k).words],
  ])('%s has the frequencies of Plackett-Luce', (_, draw) => {
    expect(chiSquare(draw, runs)).toBeLessThan(limit);
  });

  test('the test sees groups that are drawn first and given fresh noise', () => {
    const naive = (k: Key): number[] => {
      const noise = wordNoise(k, offsets);
      const fresh = wordNoise(foldIn(k, 1), offsets);
      const best = (g: number): number => {
        let top = -Infinity;
        for (let i = offsets[g]!; i < offsets[g + 1]!; i++) top = Math.max(top, scores[i]! + noise[i]!);
        return top;
      };
      const order = [0, 1, 2, 3].sort((a, b) => best(b) - best(a));
      const inside = (g: number): number[] =>
        Array.from({ length: offsets[g + 1]! - offsets[g]! }, (_, i) => offsets[g]! + i);
      return [...inside(order[0]!), ...inside(order[1]!)].sort(
        (a, b) => scores[b]! + fresh[b]! - scores[a]! - fresh[a]!,
      );
    };
    expect(chiSquare(naive, runs)).toBeGreaterThan(limit);
  });

  test('the test sees a bound that does not hold', () => {
    const low = largest.map((b) => b - 1);
    expect(chiSquare((k) => sampleByBounds(groups, low, 2, k).words, runs)).toBeGreaterThan(limit);
  });

  test('schemes take any k, and bounds leave words unscored', () => {
    for (const k of [0, 1, 7, 9]) {
      for (const sample of [
        sampleByShift(groups, k, key(k)),
        sampleByHeap(groups, k, key(k)),
        sampleByBounds(groups, largest, k, key(k)),
      ]) {
        expect(new Set(sample.words).size).toBe(Math.min(k, n));
        expect([...sample.perturbed]).toEqual([...sample.perturbed].sort((a, b) => b - a));
      }
    }
    const many = { offsets: [0, 500, 1000], scoreOf: (i: number) => (i < 500 ? 4 : -4) };
    expect(sampleByBounds(many, [4, -4], 5, key(1)).scored).toBeLessThan(30);
    expect(() => sampleByShift(groups, 1.5, key(0))).toThrow('k is 1.5; it must be an integer from 0 on');
    expect(sampleByBounds({ offsets: [0], scoreOf: () => 0 }, [], 3, key(0)).words.length).toBe(0);
  });

  const words = wordVectors({ n: 4000, d: 6, queries: 3, clusters: 60, seed: 2 });
  const index = hierarchicalAnn(words.vectors, { lists: 160, iterations: 2, refine: 0 });
  const around = lazyGumbelTopKBalls(index);
  const sample = (k: number, radii = around.radii, options: object = {}) =>
    lazyGumbelTopK(index, { ...around, radii }, words.queries, k, { key: key(3), ...options });
  /** The k largest of all sums. */
  const plain = (q: number, k: number): number[] => {
    const scores = scoresOf(index, tensor([1, 6], words.queries.data.slice(q * 6, q * 6 + 6)));
    const noise = wordNoise(foldIn(key(3), q), index.offsets!.data);
    const sums = Float32Array.from(scores, (s, at) => s + noise[at]!);
    const idAt = (at: number): number => index.ids.data[index.order.data[at]!]!;
    const order = Array.from(sums, (_, at) => at);
    order.sort((a, b) => sums[b]! - sums[a]! || idAt(a) - idAt(b));
    return order.slice(0, k).map(idAt);
  };

  test('is the top-k of all sums, whatever the balls, and scores a small part', () => {
    const found = sample(32);
    const wide = sample(
      32,
      tensor(
        [160],
        around.radii.data.map((r) => r * 1e6),
      ),
    );
    for (let q = 0; q < 3; q++) {
      expect([...found.ids.data.subarray(q * 32, q * 32 + 32)]).toEqual(plain(q, 32));
      expect(found.scored.data[q]).toBeLessThan(0.5 * 4000);
      expect(found.scored.data[q]).toBeGreaterThan(32);
      expect(wide.scored.data[q]).toBe(4000);
    }
    expect(wide.ids.data).toEqual(found.ids.data);
    expect(wide.threshold.data).toEqual(found.threshold.data);
    expect(sample(32, around.radii, { key: key(4) }).ids.data).not.toEqual(found.ids.data);
    // Balls that do not hold their lists are seen.
    const none = sample(32, tensor([160], new Float32Array(160)));
    expect(none.ids.data).not.toEqual(found.ids.data);
  });

  test('the first m of k are the m, and the threshold is the sum after the last', () => {
    const all = sample(40);
    for (const m of [0, 1, 7]) {
      const few = sample(m);
      for (let q = 0; q < 3; q++) {
        expect([...few.ids.data.subarray(q * m, q * m + m)]).toEqual([
          ...all.ids.data.subarray(q * 40, q * 40 + m),
        ]);
        expect(few.threshold.data[q]).toBe(all.perturbed.data[q * 40 + m]);
      }
    }
    const whole = lazyGumbelTopK(small, balls, query, n, { key: key(1) });
    expect([...whole.ids.data].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(whole.threshold.data[0]).toBe(Number.NEGATIVE_INFINITY);
    expect(whole.scored.data[0]).toBe(n);
    const empty = hierarchicalAnn(tensor([0, 2], []));
    const nothing = lazyGumbelTopK(empty, lazyGumbelTopKBalls(empty), tensor([1, 2], [1, 2]), 0, {
      key: key(1),
    });
    expect(nothing.ids.size).toBe(0);
    expect(nothing.threshold.data[0]).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe('noise in integers', () => {
  test('follows its formula, also where it is rare', () => {
    let [worstTime, worstNoise] = [0, 0];
    for (let i = 0; i < 20_000; i++) {
      const first = Math.floor(((i * 2654435761) % 2 ** 32) / 2 ** (i % 34)) >>> 0;
      const second = (i * 40503 * 65537) >>> 0;
      const p = (first * 2 ** 32 + second) / 2 ** 64;
      const low = (~second | 1) >>> 0;
      const exact = p < 0.5 ? -Math.log1p(-p) : -Math.log(((~first >>> 0) * 2 ** 32 + low) / 2 ** 64);
      const time = exponentialOf(first, second);
      worstTime = Math.max(worstTime, (Math.abs(time / 2 ** 40 - exact) - 2 ** -38) / exact);
      const count = 1 + (i % 64);
      const noise = -Math.log(time / 2 ** 40 / count);
      const error = Math.abs(gumbelOfTime(time, count) - noise) - Math.abs(noise) * 2 ** -24;
      worstNoise = Math.max(worstNoise, error);
    }
    expect(worstTime).toBeLessThan(3e-7);
    expect(worstNoise).toBeLessThan(1.2e-7);
    expect(exponentialOf(0, 0)).toBe(1);
    expect(exponentialOf(2 ** 32 - 1, 2 ** 32 - 1) / 2 ** 40).toBeCloseTo(64 * Math.LN2, 6);
  });

  test('is Gumbel noise in every segment, and segments do not repeat each other', () => {
    const noise = wordNoise(key(8), [0, 1, 3, 70, 40_000]);
    const mean = noise.reduce((a, b) => a + b, 0) / noise.length;
    const variance = noise.reduce((a, b) => a + (b - mean) ** 2, 0) / noise.length;
    expect(Math.abs(mean - 0.5772156649)).toBeLessThan((6 * 1.2825) / 200);
    expect(Math.abs(variance - Math.PI ** 2 / 6)).toBeLessThan(6 * 1.644934 * Math.sqrt(4.4 / 40_000));
    // Quantiles of exp(-exp(-g)), which is uniform.
    const counts = new Float64Array(64);
    for (const g of noise) counts[Math.floor(64 * Math.exp(-Math.exp(-g)))]!++;
    const chi = counts.reduce((sum, c) => sum + (c - 625) ** 2 / 625, 0);
    expect(chi).toBeLessThan(63 + 6 * Math.sqrt(126));
    expect(new Set(noise).size).toBeGreaterThan(39_900);
    // Neighbours are independent.
    let together = 0;
    for (let i = 1; i < noise.length; i++) together += (noise[i]! - mean) * (noise[i - 1]! - mean);
    expect(Math.abs(together / noise.length / variance)).toBeLessThan(6 / 200);
  });
});

describe('bad calls are refused before any work', () => {
  const options = { key: key(0) };
  test.each<[() => unknown, string]>([
    [
      () => lazyGumbelTopK(small, balls, tensor([1, 2], [1, 2]), 1, options),
      'queries has shape [1, 2]; it must be [1, 3]',
    ],
    [() => lazyGumbelTopK(small, balls, query, 8, options), 'k is 8; it must be an integer from 0 to 7'],
    [
      () => lazyGumbelTopK(small, balls, query, 1, { ...options, temperature: 0 }),
      'temperature is 0; it must be a number from 0.001 to 1000',
    ],
    [() => lazyGumbelTopK(small, balls, query, 1, {} as never), 'there is no key'],
    [
      () => lazyGumbelTopK(small, { centres: balls.centres } as never, query, 1, options),
      'the balls have no tensor "radii"; make them with lazyGumbelTopKBalls',
    ],
    [
      () => lazyGumbelTopK(small, { ...balls, radii: tensor([3], [1, 1, 1]) }, query, 1, options),
      'radii has shape [3]; it must be [4]',
    ],
    [
      () => lazyGumbelTopK(small, { ...balls, radii: tensor([4], [1, -1, 1, 1]) }, query, 1, options),
      'radii holds -1 for list 1',
    ],
    [
      () => lazyGumbelTopK(small, balls, tensor([1, 3], [1, Number.NaN, 1]), 1, options),
      'queries holds NaN in row 0, column 1',
    ],
    [() => lazyGumbelTopKBalls({ ...small, metric: 'l2' } as never), 'the index was built for l2'],
  ])('%#', (run, message) => {
    expect(run).toThrow(message);
  });
});

describe('the judge', () => {
  const c = cases[1]!;
  const inputs = c.inputs();
  const right = runRef(c.op, inputs, c.options);
  const verdict = (change: (r: Record<string, Tensor>) => void): string => {
    const got = Object.fromEntries(
      Object.entries(right).map(([name, t]) => [name, tensor(t.shape, t.data.slice(), t.dtype as 'f32')]),
    );
    change(got);
    const verdicts = Object.values(judge(c.op, { inputs, options: c.options ?? {}, want: right, got }));
    return verdicts.some((v) => v.verdict === 'FAIL') ? 'FAIL' : 'PASS';
  };
  test.each<[string, Parameters<typeof verdict>[0], string]>([
    ['accepts what is right', () => {}, 'PASS'],
    ['rejects an id twice', (r) => r.ids!.data.copyWithin(1, 0, 1), 'FAIL'],
    ['rejects a sum that is off', (r) => r.perturbed!.data.fill(9, 0, 1), 'FAIL'],
    ['rejects NaN', (r) => r.perturbed!.data.fill(Number.NaN, 3, 4), 'FAIL'],
    ['rejects another threshold', (r) => r.threshold!.data.fill(1, 2, 3), 'FAIL'],
    ['rejects a count of all words', (r) => r.scored!.data.fill(700, 0, 1), 'FAIL'],
  ])('%s', (_, change, want) => {
    expect(verdict(change)).toBe(want);
  });
});

const wrong: readonly Mutant[] = [
  // lazyNoise
  { name: 'arrivals of all segments are alike', from: 'vec2u(arrival, start)', to: 'vec2u(arrival, 0u)' },
  { name: 'later arrivals count', from: 'if (any((seen & bit) != vec2u(0u))) { continue; }', to: '' },
  {
    name: 'words without arrivals have no noise',
    from: 'place < count && left > 0u && !over',
    to: 'place < 0u',
  },
  {
    name: 'fresh time begins at 0',
    from: 'addWide(vec2u(256u, 0u), exponentialTime(words.x, words.y))',
    to: 'exponentialTime(words.x, words.y)',
  },
  {
    name: 'bounds are not used',
    from: 'let limited = params.round > 0u && params.kept > params.k;',
    to: 'let limited = false;',
  },
  {
    name: 'bounds are too small',
    from: 'let bound = bitcast<f32>(plan.x);',
    to: 'let bound = bitcast<f32>(plan.x) - 3.0;',
  },
  { name: 'all queries draw alike', from: 'vec2u(0u, params.base + q));', to: 'vec2u(0u, params.base));' },
  { name: 'words are in the order of lists', from: 'ranks[start + place]', to: 'start + place', all: true },
  // lazyScores
  { name: 'the second query of four is left out', from: 'put(q.y, place, nb, scores.y);', to: '' },
  { name: 'the temperature is not used', from: 'score * params.inverse', to: 'score' },
  // lazyBounds
  {
    name: 'a bound without the radius',
    from: 'product + reach + params.loose',
    to: 'product + params.loose',
  },
  {
    name: 'the temperature is not in the bound',
    from: '(absolute + reach)) * params.inverse',
    to: '(absolute + reach))',
  },
  // lazyHeld, lazyRounds
  { name: 'chunks hold nothing', from: 'held[id] = sum;', to: 'held[id] = 0u;' },
  {
    name: 'a chunk knows only the lists of its own',
    from: 'for (var c = q * chunks; c < id; c++) { before += heldBy[c]; }',
    to: '',
  },
  // lazySegments
  {
    name: 'a segment that is not full is left out',
    from: '+ SEGMENT - 1u) / SEGMENT; }',
    to: ') / SEGMENT; }',
  },
  {
    name: 'only the first segment of a list',
    from: 'segments[list] = count;',
    to: 'segments[list] = min(count, 1u);',
  },
  // lazyResults
  {
    name: 'the threshold is the first sum',
    from: 'threshold[params.base + q] = bits;',
    to: 'threshold[params.base + q] = selectedSums[q * params.kept];',
  },
  { name: 'ranks stand for ids', from: 'ids[at] = idOfRank[rank];', to: 'ids[at] = rank + 1;' },
];
const wrongBalls: readonly Mutant[] = [
  { name: 'sums in place of means', from: 'sum = sum / f32(members);', to: '' },
  { name: 'the last row of a list has no weight', from: 'row < end; row++', to: 'row + 1u < end; row++' },
  {
    name: 'the nearest row decides',
    from: 'atomicMax(&reach[list], bitcast',
    to: 'atomicMin(&reach[list], bitcast',
  },
  {
    name: 'a row belongs to the list before',
    from: 'if (starts[middle] <= place)',
    to: 'if (starts[middle] < place)',
  },
  { name: 'squares stand for distances', from: 'sqrt(squaresOf[list])', to: 'squaresOf[list]' },
  { name: 'radii are not rounded up', from: '(1.0 + params.loose)', to: '(1.0 - params.loose)' },
];
const wrongBlocks: readonly Mutant[] = [
  {
    name: 'the last row of a list is left out',
    from: 'min(begin + BLOCK, parentStarts[list + 1u])',
    to: 'min(begin + BLOCK, parentStarts[list + 1u] - 1u)',
  },
];
const wrongArrivals: readonly Mutant[] = [
  { name: 'no carry', from: 'select(0u, 1u, low < b.y)', to: '0u' },
  { name: 'a product without its high word', from: '(a >> 16u) * (b >> 16u)', to: '0u' },
  { name: 'rare noise by its first term', from: 'square + cube / 3u + (fourth >> 2u)', to: '0u' },
  { name: 'the count is forgotten', from: 'negLog(count << zerosOfCount)', to: 'negLog(0x80000000u)' },
];

describeDevice('the kernel', (gpu, family) => {
  const call = (element: fc.Arbitrary<number>) =>
    fc
      .record({
        n: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constantFrom(63, 64, 65, 130, 300)),
        d: fc.constantFrom(1, 3, 4, 9),
        queries: fc.constantFrom(1, 2, 5, 33),
        lists: fc.integer({ min: 1, max: 70 }),
        k: fc.integer({ min: 0, max: 40 }),
        temperature: fc.constantFrom(0.3, 1, 8),
      })
      .chain((c) =>
        fc
          .tuple(tensorOf(element, fc.constant([c.n, c.d])), tensorOf(element, fc.constant([c.queries, c.d])))
          .map(([vectors, queries]) => ({
            inputs: {
              ...withBalls(vectors, { lists: Math.min(c.lists, c.n), iterations: 0, refine: 0 }),
              queries,
            } as Record<string, Tensor>,
            options: { k: Math.min(c.k, c.n), key: key(c.n + c.k), temperature: c.temperature },
          })),
      );

  test('agrees with the reference on generated samples', async () => {
    await fc.assert(
      fc.asyncProperty(call(fc.oneof(exactFloat, tameFloat)), async ({ inputs, options }) => {
        await expectTwins(gpu(), 'lazyGumbelTopK', inputs, options);
        const { queries: _q, centres: _c, radii: _r, ...index } = inputs;
        await expectTwins(gpu(), 'lazyGumbelTopKBalls', index);
      }),
      { numRuns: runsOn(gpu(), 6) },
    );
  });

  test('agrees on the cases of verify, exactly where there is nothing to round, and gives the same bits twice', async () => {
    for (const c of cases.slice(1, 1 + runsOn(gpu(), 5)))
      await expectTwins(gpu(), c.op, c.inputs(), c.options);
    for (const c of cases.slice(3, 5)) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
    const c = cases[2]!;
    const want = runRef(c.op, c.inputs(), c.options);
    const got = await runGpu(gpu(), c.op, c.inputs(), c.options);
    for (const name of ['ids', 'perturbed', 'threshold', 'scored'])
      expect(got[name]!.data, name).toEqual(want[name]!.data);
  });

  // The kernels of both families are the same, in workgroups of other sizes: one is enough for what follows.
  const once = test.runIf(family === 'cpu-vulkan');
  once('works where vectors and sums do not fit into one binding', async () => {
    await using narrow = await openGpu({ family, maxBindingBytes: 16384 });
    const { vectors, queries } = wordVectors({ n: 600, d: 16, queries: 9, clusters: 40, seed: 9 });
    const inputs = withBalls(vectors, { lists: 40, iterations: 1, refine: 0 });
    const { centres: _c, radii: _r, ...index } = inputs;
    await expectTwins(narrow, 'lazyGumbelTopKBalls', index);
    await expectTwins(
      narrow,
      'lazyGumbelTopK',
      { ...inputs, queries },
      { k: 50, key: key(2), temperature: 3 },
    );
    expect(narrow.liveTensors).toBe(0);
  });

  test('marks what it cannot refuse: a query that is not finite', async () => {
    const c = cases[4]!;
    const inputs = { ...c.inputs(), queries: tensor([2, 2], [Number.NaN, 1, 1, 1]) };
    const got = await runGpu(gpu(), c.op, inputs, { ...c.options, k: 3 });
    expect([...got.ids!.data.subarray(0, 3)]).toEqual([-1, -1, -1]);
    expect([...got.perturbed!.data.subarray(0, 3), got.threshold!.data[0]]).toEqual(
      Array(4).fill(Number.NaN),
    );
    expect([...got.ids!.data.subarray(3)].every((id) => id >= 0)).toBe(true);
  });

  once('wrong kernels are rejected', async () => {
    // More than one chunk of lists, more than four queries, lists of several segments; ids are not ranks.
    const vectors = tensor([700, 5], noiseArray(3500, 41));
    const ids = tensor(
      [700],
      Int32Array.from({ length: 700 }, (_, i) => 3 * i + 1),
    );
    const inputs = withBalls(vectors, { lists: 70, iterations: 0, refine: 0, ids });
    const few = withBalls(vectors, { lists: 4, iterations: 0, refine: 0, ids });
    const { centres: _c, radii: _r, ...index } = inputs;
    const asked = (queries: number, scale: number) =>
      tensor(
        [queries, 5],
        noiseArray(queries * 5, 42).map((v) => v * scale),
      );
    const sample = {
      'some queries': () =>
        compareTwins(
          gpu(),
          'lazyGumbelTopK',
          { ...inputs, queries: asked(8, 5) },
          { k: 20, key: key(3), temperature: 0.5 },
        ),
      'noise alone': () =>
        compareTwins(gpu(), 'lazyGumbelTopK', { ...few, queries: asked(1, 0) }, { k: 700, key: key(4) }),
    };
    // SwiftShader takes most of a second to compile a variant: it gets every third.
    const slow = /swiftshader/i.test(`${gpu().info.device} ${gpu().info.description}`);
    const some = (all: readonly Mutant[]): readonly Mutant[] => all.filter((_, i) => !slow || i % 3 === 0);
    await expectKills(gpu(), 'lazyGumbelTopK.wgsl', some(wrong), sample);
    await expectKills(gpu(), 'lib/arrivals.wgsl', some(wrongArrivals), sample);
    await expectKills(gpu(), 'lib/listBlocks.wgsl', wrongBlocks, sample);
    await expectKills(gpu(), 'lazyGumbelTopK.wgsl', some(wrongBalls), {
      balls: () => compareTwins(gpu(), 'lazyGumbelTopKBalls', index),
    });
  });
});
