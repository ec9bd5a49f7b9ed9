import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { key } from '../src/core/key.ts';
import type { KMeansOptions } from '../src/core/ops/kMeans.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { kMeans } from '../src/ref/kMeans.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/kMeans.ts';
import { wordVectors } from '../src/verify/words.ts';
import { describeDevice, runsOn } from './support/device.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { exactFloat, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from NumPy; laws of the reference (the inertia never rises, a fixed point stays, well separated clusters
// are found, k-means++ draws in proportion, nobody is above capacity, balanced assignments are stable); the kernels agree
// with the reference by the margins of scores, exactly on integers, in both families; wrong kernels are rejected.

describeVectors('kMeans');

const integers = (rows: number, columns: number, seed: number): Tensor =>
  tensor(
    [rows, columns],
    noiseArray(rows * columns, seed).map((v) => Math.round(v * 4)),
  );

/** Points [n, d] and a k that fits, small sizes and sizes around the tiles of 64. */
const call = (element: fc.Arbitrary<number>) =>
  fc
    .record({
      n: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constantFrom(63, 64, 65, 129, 200)),
      d: fc.constantFrom(1, 3, 4, 5, 8, 17),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      options: fc.record({
        iterations: fc.constantFrom(0, 1, 3),
        init: fc.constantFrom('kmeans++' as const, 'sample' as const),
        metric: fc.constantFrom('l2' as const, 'spherical' as const),
        key: fc.constantFrom(key(1), key(2)),
      }),
    })
    .chain(({ n, d, share, options }) => {
      const k = Math.min(1 + Math.floor(share * n), n, 130);
      return tensorOf(element, fc.constant([n, d])).map((points) => ({ points, k, options }));
    });

describe('the reference', () => {
  test('never lets the inertia rise, whatever the start', () => {
    fc.assert(
      fc.property(call(tameFloat), ({ points, k, options }) => {
        const x = tensor(points.shape, Float64Array.from(points.data));
        const { inertia, counts } = kMeans(x, k, { ...options, iterations: 4 });
        for (let t = 1; t < inertia.size; t++) {
          expect(inertia.data[t]!).toBeLessThanOrEqual(inertia.data[t - 1]! * (1 + 1e-12) + 1e-9);
        }
        expect([...counts.data].reduce((a, b) => a + b, 0)).toBe(points.shape[0]);
      }),
      { numRuns: 60 },
    );
  });

  test('stays where it has arrived', () => {
    const points = wordVectors({ n: 300, d: 8, queries: 0, clusters: 12, seed: 3 }).vectors;
    const x = tensor(points.shape, Float64Array.from(points.data));
    const arrived = kMeans(x, 12, { iterations: 100 });
    expect(arrived.inertia.data[100]).toBe(arrived.inertia.data[99]);
    const again = kMeans(x, 12, { iterations: 3, initialCentroids: arrived.centroids });
    expect(again.assignments.data).toEqual(arrived.assignments.data);
    const off = Math.max(...again.centroids.data.map((v, i) => Math.abs(v - arrived.centroids.data[i]!)));
    expect(off).toBeLessThan(1e-12);
  });

  test('is cut into steps without a difference', () => {
    const points = integers(200, 5, 4);
    const first = integers(9, 5, 5);
    let stepped = kMeans(points, 9, { iterations: 0, initialCentroids: first });
    for (let t = 0; t < 3; t++)
      stepped = kMeans(points, 9, { iterations: 1, initialCentroids: stepped.centroids });
    const whole = kMeans(points, 9, { iterations: 3, initialCentroids: first });
    expect(stepped.centroids.data).toEqual(whole.centroids.data);
    expect(stepped.assignments.data).toEqual(whole.assignments.data);
  });

  test('k = n gives every point its own cluster, and equal points share one', () => {
    const { inertia, counts } = kMeans(tensor([5, 1], [3, 1, 4, 1, 5]), 5, { iterations: 2 });
    expect(inertia.data[2]).toBe(0);
    expect([...counts.data].sort()).toEqual([0, 1, 1, 1, 2]);
  });

  test('k-means++ draws the second centroid in proportion to the squared distance', () => {
    // From 0 or from 3: the others are at squared distances 1 and 9, or 9 and 4.
    const x = tensor([3, 1], [0, 1, 3]);
    const seen = new Map<string, number>();
    const runs = 3000;
    for (let seed = 0; seed < runs; seed++) {
      const { centroids } = kMeans(x, 2, { iterations: 0, key: key(seed) });
      const name = [...centroids.data].join(' ');
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
    const want = { '0 1': 1 / 30, '0 3': 9 / 30, '1 0': 1 / 15, '1 3': 4 / 15, '3 0': 9 / 39, '3 1': 4 / 39 };
    for (const [name, p] of Object.entries(want)) {
      const deviation = Math.sqrt(runs * p * (1 - p));
      expect(Math.abs((seen.get(name) ?? 0) - runs * p), name).toBeLessThan(5 * deviation);
    }
  });

  test('a sampled start takes different points', () => {
    const x = tensor(
      [40, 1],
      Float32Array.from({ length: 40 }, (_, i) => i),
    );
    for (let seed = 0; seed < 20; seed++) {
      const { centroids } = kMeans(x, 40, { iterations: 0, init: 'sample', key: key(seed) });
      expect([...centroids.data].sort((a, b) => a - b)).toEqual([...x.data]);
    }
  });

  test('balanced: nobody is above capacity, and with rounds enough the assignment is stable', () => {
    fc.assert(
      fc.property(call(exactFloat), fc.constantFrom(1, 1.3, 2), ({ points, k, options }, capacity) => {
        const limited: KMeansOptions<Tensor> = {
          ...options,
          metric: 'l2',
          iterations: 0,
          balanced: true,
          capacity,
        };
        const { centroids, assignments, counts } = kMeans(points, k, { ...limited, rounds: 1000 });
        const [n, d] = points.shape as [number, number];
        const most = Math.min(Math.ceil((capacity * n) / k), n);
        expect(Math.max(...counts.data)).toBeLessThanOrEqual(most);
        const distance = (i: number, c: number): number => {
          let sum = 0;
          for (let j = 0; j < d; j++) sum += (points.data[i * d + j]! - centroids.data[c * d + j]!) ** 2;
          return sum;
        };
        const worst = Array.from({ length: k }, () => -1);
        for (let i = 0; i < n; i++) {
          const c = assignments.data[i]!;
          worst[c] = Math.max(worst[c]!, distance(i, c));
        }
        // No point and centroid would both rather have each other.
        for (let i = 0; i < n; i++) {
          const own = distance(i, assignments.data[i]!);
          for (let c = 0; c < k; c++) {
            if (distance(i, c) < own) {
              expect(
                counts.data[c]! === most && worst[c]! <= distance(i, c),
                `point ${i}, centroid ${c}`,
              ).toBe(true);
            }
          }
        }
        // Few rounds leave points over: they still find a place.
        expect(Math.max(...kMeans(points, k, { ...limited, rounds: 1 }).counts.data)).toBeLessThanOrEqual(
          most,
        );
      }),
      { numRuns: 40 },
    );
  });
});

describe('bad calls are refused before any work', () => {
  const x = tensor([2, 3], [1, 2, 3, 4, 5, 6]);
  test.each([
    [() => kMeans(x, 3), 'kMeans: k is 3; it must be an integer from 1 to 2'],
    [() => kMeans(x, 0), 'kMeans: k is 0'],
    [() => kMeans(tensor([6], [1, 2, 3, 4, 5, 6]), 1), 'it must have two axes'],
    [() => kMeans(tensor([0, 3], []), 1), 'it needs at least one row'],
    [() => kMeans(x, 1, { iterations: -1 }), 'iterations is -1'],
    [() => kMeans(x, 1, { init: 'random' as never }), 'init is "random"; it must be one of kmeans++, sample'],
    [() => kMeans(x, 1, { metric: 'ip' as never }), 'metric is "ip"'],
    [() => kMeans(x, 1, { balanced: true, capacity: 0.5 }), 'capacity is 0.5; it must be at least 1'],
    [
      () => kMeans(x, 2, { initialCentroids: tensor([1, 3], [0, 0, 0]) }),
      'initialCentroids has shape [1, 3]; it must be [2, 3]',
    ],
    [() => kMeans(tensor([2, 1], [1, Number.NaN]), 1), 'points holds NaN in row 1, column 0'],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const wrong: readonly (Mutant & { readonly serial?: true })[] = [
  { name: 'ties go to the later centroid', from: '!(score > (*best).score)', to: '(score < (*best).score)' },
  {
    serial: true,
    name: 'the last dimensions are left out',
    from: 'for (var j = 0u; j < width; j++) {\n        let p = points[row',
    to: 'for (var j = 0u; j < width - 1u; j++) {\n        let p = points[row',
  },
  {
    serial: true,
    name: 'the last centroid is never considered',
    from: 'i < min(8u, own.high - c)',
    to: 'i + 1u < min(8u, own.high - c)',
  },
  {
    serial: true,
    name: 'the second point of an invocation is forgotten',
    from: 'if (hasTwo) {',
    to: 'if (hasTwo && row > twin) {',
  },
  {
    name: 'the last member of a cluster is left out',
    from: 'm < min(begin + 64u, last); m++',
    to: 'm + 1u < min(begin + 64u, last); m++',
  },
  { name: 'means are not divided', from: 'scale = 1.0 / f32(count);', to: 'scale = 1.0;' },
  {
    name: 'an empty cluster stays where it is',
    from: 'if (count == 0u && restart[c] == NONE) { return; }',
    to: 'if (count == 0u) { return; }',
  },
  { name: 'D is not squared', from: 'return -dot(t, t);', to: 'return -sqrt(dot(t, t));' },
  {
    name: 'directions count by their length',
    from: 'if (SPHERICAL) { block += weights[row] * x; }',
    to: 'if (SPHERICAL) { block += x; }',
  },
  {
    serial: true,
    name: 'one more point than the capacity is admitted',
    from: 'var keep = params.capacity;',
    to: 'var keep = params.capacity + 1u;',
  },
  { name: 'homeless points stay where they were refused', from: 'placed[row] = low;', to: '' },
];
const wrongTiles: readonly Mutant[] = [
  {
    name: 'ties of lanes go to the later centroid',
    from: 'score == winner.score && index < winner.index',
    to: 'score == winner.score && index > winner.index',
  },
  {
    name: 'only the first tile of centroids is looked at',
    from: 'c < own.high; c += TILE',
    to: 'c < min(own.high, own.low + TILE); c += TILE',
  },
  {
    name: 'a part of the last step is lost',
    from: 'j < width; j += STEP / 4u',
    to: 'j + STEP / 4u <= width; j += STEP / 4u',
  },
  {
    name: 'one more point than the capacity is admitted',
    from: 'sharedKeep = params.capacity;',
    to: 'sharedKeep = params.capacity + 1u;',
  },
];

describeDevice('the kernel', (gpu, family) => {
  test('agrees with the reference on generated points', async () => {
    await fc.assert(
      fc.asyncProperty(call(fc.oneof(exactFloat, tameFloat)), ({ points, k, options }) =>
        expectTwins(gpu(), 'kMeans', { points }, { ...options, k }),
      ),
      { numRuns: runsOn(gpu(), 25) },
    );
  });

  test('is the reference exactly where sums are exact', async () => {
    for (const [n, d, k] of [
      [65, 3, 9],
      [200, 8, 70],
      [130, 16, 129],
    ] as const) {
      const inputs = { points: integers(n, d, n), initialCentroids: integers(k, d, k) };
      const options: KMeansOptions<Tensor> = { iterations: 0 };
      const want = kMeans(inputs.points, k, { ...options, initialCentroids: inputs.initialCentroids });
      const got = await runGpu(gpu(), 'kMeans', inputs, { ...options, k });
      expect(got.assignments!.data).toEqual(want.assignments.data);
      expect(got.inertia!.data).toEqual(want.inertia.data);
      const limit = { ...options, balanced: true, capacity: 1.2 };
      const full = kMeans(inputs.points, k, { ...limit, initialCentroids: inputs.initialCentroids });
      const placed = await runGpu(gpu(), 'kMeans', inputs, { ...limit, k });
      expect(placed.assignments!.data).toEqual(full.assignments.data);
      expect(placed.counts!.data).toEqual(full.counts.data);
    }
  });

  test('reaches the inertia of the reference', async () => {
    const points = wordVectors({ n: 1500, d: 12, queries: 0, clusters: 30, seed: 6 }).vectors;
    for (const metric of ['l2', 'spherical'] as const) {
      const options = { k: 25, iterations: 6, metric };
      const want = kMeans(points, 25, options).inertia.data[6]!;
      const got = (await runGpu(gpu(), 'kMeans', { points }, options)).inertia!.data[6]!;
      // Whole runs part at the first near tie; from one start they end at like sums.
      expect(Math.abs(got / want - 1)).toBeLessThan(0.05);
    }
  });

  test('gives the same bits twice', async () => {
    for (const c of cases.slice(2)) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('wrong kernels are rejected', async () => {
    const check = (inputs: Record<string, Tensor>, options: object) => () =>
      compareTwins(gpu(), 'kMeans', inputs, { ...options });
    const given = (n: number, d: number, k: number) => ({
      points: integers(n, d, 31),
      initialCentroids: integers(k, d, 32),
    });
    const checks = {
      'integers, one iteration': check(given(150, 5, 10), { k: 10, iterations: 1 }),
      'balanced in one round': check(given(90, 4, 6), {
        k: 6,
        iterations: 0,
        balanced: true,
        capacity: 1,
        rounds: 1,
      }),
      'far and empty centroids': check(
        { points: integers(40, 2, 35), initialCentroids: tensor([3, 2], [0, 0, 90, 90, 80, -80]) },
        { k: 3, iterations: 1 },
      ),
      directions: check(
        {
          points: tensor([90, 6], noiseArray(540, 33)),
          initialCentroids: tensor([5, 6], noiseArray(30, 34)),
        },
        { k: 5, iterations: 1, metric: 'spherical' },
      ),
      ...(family === 'gpu'
        ? { 'more centroids than a tile': check(given(140, 17, 70), { k: 70, iterations: 0 }) }
        : {}),
    };
    const mutants = family === 'gpu' ? [...wrong.filter((m) => !m.serial), ...wrongTiles] : wrong;
    await expectKills(gpu(), 'kMeans.wgsl', mutants, checks);
  });
});
