import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judge } from '../src/core/bounds/index.ts';
import { compareExact } from '../src/core/bounds.ts';
import {
  type AnnOptions,
  type AnnSearchOptions,
  type Metric,
  planHierarchicalAnn,
} from '../src/core/ops/hierarchicalAnn.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { openGpu } from '../src/gpu/index.ts';
import { planEmit } from '../src/gpu/lib/annEmit.ts';
import { hierarchicalAnn, hierarchicalAnnAdd } from '../src/ref/hierarchicalAnn.ts';
import { hierarchicalAnnSearch } from '../src/ref/hierarchicalAnnSearch.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases, tensorsOf } from '../src/verify/hierarchicalAnn.ts';
import { wordVectors } from '../src/verify/words.ts';
import { describeDevice, runsOn } from './support/device.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { exactFloat, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from FAISS; laws of the reference (all lists = exact search, recall grows with nprobe, the first m of k,
// batches, ids, adding = building, extension, zero vectors); the judge rejects wrong results; the kernels agree with the
// reference by the margins of scores, exactly on integers, in both families and in windows; wrong kernels are rejected.

describeVectors('hierarchicalAnn');

const integers = (rows: number, columns: number, seed: number): Tensor =>
  tensor(
    [rows, columns],
    noiseArray(rows * columns, seed).map((v) => Math.round(v * 4)),
  );
const row = (t: Tensor, r: number): number[] => [...t.data.subarray(r * t.shape[1]!, (r + 1) * t.shape[1]!)];

/** Vectors, queries, an index and a search over it. */
const call = (element: fc.Arbitrary<number>) =>
  fc
    .record({
      n: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constantFrom(63, 64, 65, 130, 300)),
      d: fc.constantFrom(1, 3, 4, 8, 13),
      queries: fc.constantFrom(1, 2, 4, 33),
      metric: fc.constantFrom<Metric>('ip', 'l2', 'cosine'),
      lists: fc.integer({ min: 1, max: 40 }),
      levels: fc.constantFrom(1, 2, 3),
      k: fc.constantFrom(0, 1, 5, 64, 400),
      nprobe: fc.integer({ min: 1, max: 40 }),
      sorted: fc.boolean(),
      onShort: fc.constantFrom('extend' as const, 'pad' as const),
      beam: fc.constantFrom(undefined, 1, 3),
    })
    .chain((c) =>
      fc
        .tuple(tensorOf(element, fc.constant([c.n, c.d])), tensorOf(element, fc.constant([c.queries, c.d])))
        .map(([vectors, queries]) => {
          const lists = Math.min(c.lists, c.n);
          const build: AnnOptions<Tensor> = {
            metric: c.metric,
            lists,
            levels: c.levels,
            iterations: 1,
            refine: 0,
          };
          const options: AnnSearchOptions = {
            nprobe: Math.min(c.nprobe, lists),
            sorted: c.sorted,
            onShort: c.onShort,
            ...(c.beam === undefined ? {} : { beam: c.beam }),
          };
          return { vectors, queries, build, k: c.k, options };
        }),
    );

describe('the reference', () => {
  test('with all lists probed is the exact search', () => {
    fc.assert(
      fc.property(call(fc.oneof(exactFloat, tameFloat)), ({ vectors, queries, build, k }) => {
        const metric = build.metric!;
        const index = hierarchicalAnn(vectors, build);
        const all = hierarchicalAnnSearch(index, queries, k, {
          nprobe: index.offsets ? index.offsets.size - 1 : 1,
          beam: 2 ** 20,
        });
        const flat = hierarchicalAnnSearch(hierarchicalAnn(vectors, { flat: true, metric }), queries, k);
        expect(all.ids.data).toEqual(flat.ids.data);
        expect(all.scores.data).toEqual(flat.scores.data);
      }),
      { numRuns: 60 },
    );
  });

  test('obeys its own rule: the judge accepts it', () => {
    fc.assert(
      fc.property(call(fc.oneof(exactFloat, tameFloat)), ({ vectors, queries, build, k, options }) => {
        const index = hierarchicalAnn(vectors, build);
        const made = { ...tensorsOf(index) };
        const ids = judge('hierarchicalAnn', {
          inputs: { vectors },
          options: { ...build },
          want: made,
          got: made,
        });
        for (const v of Object.values(ids)) expect(v.verdict, v.message).toBe('PASS');
        const found = { ...hierarchicalAnnSearch(index, queries, k, options) };
        const inputs = { ...made, queries };
        const verdicts = judge('hierarchicalAnnSearch', {
          inputs,
          options: { ...options, metric: build.metric, k },
          want: found,
          got: found,
        });
        for (const v of Object.values(verdicts)) expect(v.verdict, v.message).toBe('PASS');
      }),
      { numRuns: 60 },
    );
  });

  test.each([
    [200_000, {}, [40, 2000]], // 2000 = 40 * 50
    [100_000, {}, [27, 999]], // 1000 = 27 * 37 + 1: the number of lists is free
    [100_000, { lists: 1000 }, [27, 1000]],
    [200_000, { lists: 2048 }, [32, 2048]],
    [900, { lists: 3, levels: 2 }, [1, 3]], // no product is worth its price
    [900, { lists: 9, levels: 3 }, [3, 5, 9]],
    [20_000, {}, [200]],
  ])('%i vectors with %o have levels of %o', (n, options, want) => {
    expect(planHierarchicalAnn({ dtype: 'f32', shape: [n, 4] } as unknown as Tensor, options).levels).toEqual(
      want,
    );
  });

  const words = wordVectors({ n: 3000, d: 16, queries: 12, clusters: 60, seed: 5 });
  const index = hierarchicalAnn(words.vectors, { lists: 60, levels: 2 });

  test('the first m of k results are the m results, and a batch is its queries one by one', () => {
    const k = 300;
    const whole = hierarchicalAnnSearch(index, words.queries, k, { nprobe: 20 });
    for (const m of [1, 10, 100]) {
      const part = hierarchicalAnnSearch(index, words.queries, m, { nprobe: 20 });
      for (let q = 0; q < 12; q++) expect(row(part.ids, q)).toEqual(row(whole.ids, q).slice(0, m));
    }
    for (let q = 0; q < 12; q++) {
      const alone = hierarchicalAnnSearch(index, tensor([1, 16], row(words.queries, q)), k, { nprobe: 20 });
      expect(row(alone.ids, 0)).toEqual(row(whole.ids, q));
      expect(row(alone.scores, 0)).toEqual(row(whole.scores, q));
    }
    const set = hierarchicalAnnSearch(index, words.queries, k, { nprobe: 20, sorted: false });
    for (let q = 0; q < 12; q++) expect(row(set.ids, q)).toEqual(row(whole.ids, q).sort((a, b) => a - b));
  });

  test('finds more with more lists, and never fewer than k', () => {
    const exact = hierarchicalAnnSearch(hierarchicalAnn(words.vectors, { flat: true }), words.queries, 100);
    let before = 0;
    for (const nprobe of [1, 5, 15, 30, 60]) {
      const found = hierarchicalAnnSearch(index, words.queries, 100, { nprobe });
      expect([...found.counts.data]).toEqual(Array(12).fill(100));
      let hits = 0;
      for (let q = 0; q < 12; q++) {
        const want = new Set(row(exact.ids, q));
        hits += row(found.ids, q).filter((id) => want.has(id)).length;
      }
      expect(hits).toBeGreaterThanOrEqual(before);
      before = hits;
    }
    expect(before).toBe(1200);
    const short = hierarchicalAnnSearch(index, words.queries, 1000, { nprobe: 2, onShort: 'pad' });
    expect(Math.max(...short.counts.data)).toBeLessThan(1000);
    for (let q = 0; q < 12; q++) {
      expect(row(short.ids, q).filter((id) => id >= 0).length).toBe(short.counts.data[q]);
      expect(row(short.scores, q).at(-1)).toBe(Number.NEGATIVE_INFINITY);
    }
  });

  test('adding is as good as building with the same centroids, and leaves the old index alone', () => {
    const half = tensor([1500, 16], words.vectors.data.slice(0, 1500 * 16));
    const rest = tensor([1500, 16], words.vectors.data.slice(1500 * 16));
    const first = hierarchicalAnn(half, { lists: 30, levels: 2 });
    const before = first.vectors.data.slice();
    const both = hierarchicalAnnAdd(first, rest);
    expect(first.vectors.data).toEqual(before);
    expect([...both.ids.data]).toEqual(Array.from({ length: 3000 }, (_, i) => i));
    const all = hierarchicalAnnSearch(both, words.queries, 50, { nprobe: 30 });
    const exact = hierarchicalAnnSearch(hierarchicalAnn(words.vectors, { flat: true }), words.queries, 50);
    expect(all.ids.data).toEqual(exact.ids.data);
    const empty = hierarchicalAnn(tensor([0, 16], []), { flat: true });
    expect(hierarchicalAnnSearch(empty, words.queries, 3).counts.data).toEqual(new Int32Array(12));
    expect(hierarchicalAnnAdd(empty, half).ids.size).toBe(1500);
  });

  test('a zero vector has cosine 0 to everything', () => {
    const index = hierarchicalAnn(tensor([3, 2], [0, 0, -1, 0, 2, 0]), { flat: true, metric: 'cosine' });
    const { ids, scores } = hierarchicalAnnSearch(index, tensor([2, 2], [5, 0, 0, 0]), 3);
    expect([...ids.data]).toEqual([2, 0, 1, 0, 1, 2]);
    expect([...scores.data]).toEqual([1, 0, -1, 0, 0, 0]);
  });
});

describe('bad calls are refused before any work', () => {
  const x = tensor([4, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
  const index = hierarchicalAnn(x, { lists: 2 });
  const ids = (...values: number[]): Tensor => tensor([values.length], values, 'i32');
  test.each([
    [
      () => hierarchicalAnn(x, { lists: 5 }),
      'hierarchicalAnn: lists is 5; it must be an integer from 1 to 4',
    ],
    [() => hierarchicalAnn(x, { flat: true, lists: 2 }), 'flat means one list, but lists is 2'],
    [() => hierarchicalAnn(x, { levels: 4 }), 'levels is 4; it must be an integer from 1 to 3'],
    [
      () => hierarchicalAnn(x, { metric: 'dot' as never }),
      'metric is "dot"; it must be one of ip, l2, cosine',
    ],
    [() => hierarchicalAnn(x, { ids: ids(1, 2, 2, 3) }), 'ids repeats the id 2'],
    [() => hierarchicalAnn(x, { ids: ids(1, -2, 2, 3) }), 'ids holds -2'],
    [
      () => hierarchicalAnn(tensor([1, 2], [1, Number.POSITIVE_INFINITY])),
      'vectors holds Infinity in row 0, column 1',
    ],
    [() => hierarchicalAnnAdd(index, x, { newIds: ids(9, 8, 7, 3) }), 'newIds repeats the id 3'],
    [
      () => hierarchicalAnnAdd(index, tensor([1, 3], [1, 2, 3])),
      'newVectors has shape [1, 3]; it must be [1, 2]',
    ],
    [
      () => hierarchicalAnnSearch(index, tensor([1, 3], [1, 2, 3]), 1),
      'queries has shape [1, 3]; it must be [1, 2]',
    ],
    [
      () => hierarchicalAnnSearch(index, tensor([1, 2], [1, Number.NaN]), 1),
      'queries holds NaN in row 0, column 1',
    ],
    [() => hierarchicalAnnSearch(index, x, -1), 'k is -1'],
    [
      () => hierarchicalAnnSearch(index, x, 1, { nprobe: 3 }),
      'nprobe is 3; it must be an integer from 1 to 2',
    ],
    [
      () => hierarchicalAnnSearch(index, x, 1, { metric: 'l2' }),
      'metric is l2, but the index was built for ip',
    ],
    [
      () => hierarchicalAnnSearch(index, x, 4, { nprobe: 1, onShort: 'error' }),
      'vectors in 1 lists, and k is 4; raise nprobe',
    ],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

describe('the judge', () => {
  const vectors = integers(200, 4, 1);
  const index = hierarchicalAnn(vectors, { lists: 8 });
  const inputs = { ...tensorsOf(index), queries: integers(3, 4, 2) };
  const options = { k: 20, nprobe: 3 };
  const right = { ...hierarchicalAnnSearch(index, inputs.queries, 20, options) };
  const verdict = (change: (ids: Int32Array, scores: Float32Array, counts: Int32Array) => void): string => {
    const ids = right.ids.data.slice() as Int32Array;
    const scores = right.scores.data.slice() as Float32Array;
    const counts = right.counts.data.slice() as Int32Array;
    change(ids, scores, counts);
    const got = {
      ...right,
      ids: tensor([3, 20], ids),
      scores: tensor([3, 20], scores),
      counts: tensor([3], counts),
    };
    return judge('hierarchicalAnnSearch', { inputs, options, want: right, got }).ids!.verdict;
  };
  test.each<[string, Parameters<typeof verdict>[0], string]>([
    ['accepts what is right', () => {}, 'PASS'],
    [
      'rejects an id twice',
      (ids) => {
        ids[1] = ids[0]!;
      },
      'FAIL',
    ],
    [
      'rejects an id that does not exist',
      (ids) => {
        ids[5] = 4711;
      },
      'FAIL',
    ],
    [
      'rejects a score that is off',
      (_, scores) => {
        scores[3]! += 1;
      },
      'FAIL',
    ],
    [
      'rejects NaN',
      (_, scores) => {
        scores[3] = Number.NaN;
      },
      'FAIL',
    ],
    [
      'rejects results that are left out',
      (ids, scores, counts) => {
        ids[59] = -1;
        scores[59] = Number.NEGATIVE_INFINITY;
        counts[2] = 19;
      },
      'FAIL',
    ],
    [
      'rejects another order',
      (ids, scores) => {
        ids.subarray(0, 20).reverse();
        scores.subarray(0, 20).reverse();
      },
      'FAIL',
    ],
  ])('%s', (_, change, want) => {
    expect(verdict(change)).toBe(want);
  });
});

const wrong: readonly Mutant[] = [
  {
    name: 'the last query of four is left out',
    from: 'if (q.w != q.x) { put(q.w, place, scores.w); }',
    to: '',
  },
  {
    name: 'results are in the order of the lists',
    from: 'if (RANKED) { place = ranks[row]; }',
    to: '',
    all: true,
  },
  {
    name: 'all queries look into a list that one has opened',
    from: 'var open = parentMasks[parent];',
    to: 'var open = 0xffffffffu >> (32u - params.queries);',
  },
  { name: 'queries are not scaled', from: 's *= scales[params.base + query];', to: '' },
  { name: 'lists are not extended', from: ' || held.y < params.vectors', to: '' },
  {
    name: 'one list too many is opened',
    from: 'return count < params.least',
    to: 'return count <= params.least',
  },
  { name: 'what is absent is a result', from: 'select(NEG_INF_BITS, bits, there)', to: 'bits' },
  {
    name: 'rows stand for ids',
    from: 'word = idOfRow[selected[q * params.found + r]];',
    to: 'word = selected[q * params.found + r];',
  },
];
const wrongBlocks: readonly Mutant[] = [
  {
    name: 'the last row of a list is left out',
    from: 'min(begin + BLOCK, parentStarts[list + 1u])',
    to: 'min(begin + BLOCK, parentStarts[list + 1u] - 1u)',
  },
  {
    name: 'a block belongs to the list before',
    from: 'firstBlocks[middle] <= block',
    to: 'firstBlocks[middle] < block',
  },
  { name: 'the third of four is the second', from: 'vec4u(a, b, c, d)', to: 'vec4u(a, b, b, d)' },
  { name: 'distances are not squared', from: 'return -dot(t, t);', to: 'return -length(t);' },
];
// What the sample says cannot be wrong: it decides about speed only.
const wrongEmission: readonly Mutant[] = [
  { name: 'what equals the threshold is left out', from: 'key < plan.x ||', to: 'key <= plan.x ||' },
  { name: 'nobody is done again', from: 'some = true;', to: '' },
  { name: 'the counter is not reset', from: 'tried[q] = 0u;', to: '' },
  { name: 'bits of a failed try stay', from: 'tried[bitsAt() + i] = 0u;', to: '' },
  { name: 'digits of the round before stay', from: 'tried[at + i] = 0u;', to: '' },
  { name: 'among equals the last rows count', from: 'let far = ~row;', to: 'let far = row;' },
  {
    name: 'pairs stay where they arrived',
    from: 'places[word] - places[q * wordsOf()] + countOneBits(before)',
    to: 'slot',
  },
  { name: 'a row follows itself', from: '((1u << (row % 32u)) - 1u)', to: '((2u << (row % 32u)) - 1u)' },
  {
    name: 'places stand for rows',
    from: 'rowsByPlace[i / params.k * params.capacity + chosen[i]]',
    to: 'chosen[i]',
  },
  { name: 'queries are not scaled', from: 's *= bitcast<f32>(plan.w);', to: '' },
];
const wrongBuild: readonly Mutant[] = [
  {
    name: 'the worst node is kept',
    from: '!(score > scores[filled - 1u])',
    to: '(score > scores[filled - 1u])',
  },
  {
    name: 'children are shared out evenly',
    from: 'rest += before;',
    to: 'rest += node * total / params.nodes;',
  },
  { name: 'only the first node above is followed', from: 'b < max(params.beamIn, 1u)', to: 'b < 1u' },
  {
    name: 'lists are by source, not by rank',
    from: 'ranked[i] = listOf[rank[i]];',
    to: 'ranked[i] = listOf[i];',
  },
  { name: 'ids may repeat', from: '-1, badIds[0] != 0u', to: '-1, false' },
  { name: 'new rows start at the second', from: 'newIds[i - params.old]', to: 'newIds[i + 1u - params.old]' },
];

describeDevice('the kernel', (gpu, family) => {
  test('agrees with the reference on generated searches', async () => {
    await fc.assert(
      fc.asyncProperty(
        call(fc.oneof(exactFloat, tameFloat)),
        async ({ vectors, queries, build, k, options }) => {
          const index = hierarchicalAnn(vectors, build);
          const all = { ...options, metric: build.metric, k };
          await expectTwins(gpu(), 'hierarchicalAnnSearch', { ...tensorsOf(index), queries }, all);
        },
      ),
      { numRuns: runsOn(gpu(), 25) },
    );
  });

  test('builds and adds where its own tree leads', async () => {
    await fc.assert(
      fc.asyncProperty(call(fc.oneof(exactFloat, tameFloat)), async ({ vectors, queries, build }) => {
        await expectTwins(gpu(), 'hierarchicalAnn', { vectors }, { ...build });
        const index = hierarchicalAnn(vectors, build);
        await expectTwins(
          gpu(),
          'hierarchicalAnnAdd',
          { ...tensorsOf(index), newVectors: queries },
          { metric: build.metric },
        );
      }),
      { numRuns: runsOn(gpu(), 12) },
    );
  });

  /** Searches that are long enough for scores to be emitted, in the family that does. */
  const emissions = (): Record<
    string,
    { index: Record<string, Tensor>; options: Record<string, unknown> }
  > => {
    const n = 2100;
    // The best 20 rows are those with a 2 and, of all the others, which are equal, the first: too many reach the guess.
    const equal = tensor(
      [n, 2],
      Float32Array.from({ length: 2 * n }, (_, i) => (i % 600 < 2 ? 2 : 1)),
    );
    // The rows of the sample, the fifth of every eight, are better than all others: too few reach the guess.
    const lifted = integers(n, 3, 31);
    for (let i = 4; i < n; i += 8) lifted.data[3 * i] = 40;
    const made = (
      vectors: Tensor,
      queries: Tensor,
      build: AnnOptions<Tensor>,
      options: AnnSearchOptions & { k: number },
    ) => {
      expect(planEmit(n, options.k, 2 ** 25)).toBeDefined();
      const index = {
        ...tensorsOf(hierarchicalAnn(vectors, { iterations: 1, refine: 0, ...build })),
        queries,
      };
      return { index, options: { metric: build.metric ?? 'ip', ...options } };
    };
    return {
      'ties in lists': made(integers(n, 8, 32), integers(5, 8, 33), { lists: 20 }, { k: 20, nprobe: 4 }),
      'too many': made(equal, tensor([2, 2], [1, 1, 3, 0]), { flat: true }, { k: 20 }),
      'too few': made(lifted, tensor([3, 3], [1, 0, 0, 0, 1, 1, -1, 0, 0]), { flat: true }, { k: 40 }),
      directions: made(
        tensor([n, 3], noiseArray(3 * n, 34)),
        tensor([5, 3], noiseArray(15, 35)),
        { lists: 20, levels: 2, metric: 'cosine' },
        { k: 9, nprobe: 2, sorted: false },
      ),
    };
  };

  test('emits what reaches a threshold, and does again what failed', async () => {
    for (const { index, options } of Object.values(emissions())) {
      await expectTwins(gpu(), 'hierarchicalAnnSearch', index, options);
      await expectSameBits(gpu(), 'hierarchicalAnnSearch', index, options);
    }
    await using narrow = await openGpu({ family, maxBindingBytes: 65536 });
    const { index, options } = emissions()['ties in lists']!;
    await expectTwins(narrow, 'hierarchicalAnnSearch', index, options);
    expect(narrow.liveTensors).toBe(0);
  });

  // Only this family emits.
  test.runIf(family === 'gpu')('wrong emissions are rejected', async () => {
    const checks = Object.entries(emissions()).map(
      ([name, { index, options }]) =>
        [name, () => compareTwins(gpu(), 'hierarchicalAnnSearch', index, options)] as const,
    );
    await expectKills(gpu(), 'hierarchicalAnn.emit.wgsl', wrongEmission, Object.fromEntries(checks));
  });

  test('gives the same bits twice', async () => {
    for (const c of cases.slice(2)) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('works where vectors and scores do not fit into one binding', async () => {
    await using narrow = await openGpu({ family, maxBindingBytes: 65536 });
    const { vectors, queries } = wordVectors({ n: 2000, d: 16, queries: 20, clusters: 40, seed: 9 });
    const build = { lists: 40, levels: 2, sample: 500, iterations: 2, refine: 1 };
    await expectTwins(narrow, 'hierarchicalAnn', { vectors }, build);
    const index = tensorsOf(hierarchicalAnn(vectors, build));
    await expectTwins(
      narrow,
      'hierarchicalAnnSearch',
      { ...index, queries },
      { metric: 'ip', k: 300, nprobe: 9 },
    );
    await expectTwins(narrow, 'hierarchicalAnnAdd', { ...index, newVectors: queries }, { metric: 'ip' });
    expect(narrow.liveTensors).toBe(0);
  });

  test('marks what it cannot refuse: repeated ids', async () => {
    const x = tensor([4, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
    using vectors = gpu().upload(x);
    using ids = gpu().upload(tensor([4], [3, 1, 3, 0], 'i32'));
    using index = gpu().ops.hierarchicalAnn(vectors, { flat: true, ids });
    expect([...(await index.ids.read()).data]).toEqual([-1, -1, -1, -1]);
  });

  test('wrong kernels are rejected', async () => {
    const search = (
      vectors: Tensor,
      build: AnnOptions<Tensor>,
      queries: Tensor,
      options: AnnSearchOptions & { k: number },
    ) => {
      const index = hierarchicalAnn(vectors, build);
      const inputs = { ...tensorsOf(index), queries };
      return () =>
        compareTwins(gpu(), 'hierarchicalAnnSearch', inputs, { metric: build.metric ?? 'ip', ...options });
    };
    const ids = tensor(
      [150],
      Int32Array.from({ length: 150 }, (_, i) => 3 * i + 2),
    );
    const searches = {
      'four queries over integers': search(
        integers(150, 5, 11),
        { lists: 12, levels: 2, ids },
        integers(4, 5, 12),
        { k: 20, nprobe: 3 },
      ),
      'few lists, extended': search(integers(150, 4, 13), { lists: 30 }, integers(2, 4, 14), {
        k: 60,
        nprobe: 1,
      }),
      'short rows': search(integers(90, 4, 15), { lists: 20, metric: 'l2' }, integers(3, 4, 16), {
        k: 40,
        nprobe: 2,
        onShort: 'pad',
      }),
      directions: search(
        tensor([80, 3], noiseArray(240, 17)),
        { lists: 5, metric: 'cosine' },
        tensor([2, 3], noiseArray(6, 18)),
        { k: 9, nprobe: 2 },
      ),
    };
    await expectKills(gpu(), 'hierarchicalAnn.wgsl', wrong, searches);
    await expectKills(gpu(), 'lib/listBlocks.wgsl', wrongBlocks, searches);

    const vectors = tensor([130, 5], noiseArray(650, 19));
    const added = tensor([20, 5], noiseArray(100, 20));
    const newIds = tensor(
      [20],
      Int32Array.from({ length: 20 }, (_, i) => 300 - 14 * i),
    );
    const sparse = tensor(
      [130],
      Int32Array.from({ length: 130 }, (_, i) => 4 * ((i * 37) % 130) + 1),
    );
    const old = hierarchicalAnn(vectors, { lists: 10, levels: 2, ids: sparse });
    await expectKills(gpu(), 'lib/annBuild.wgsl', wrongBuild, {
      'three levels': () =>
        compareTwins(
          gpu(),
          'hierarchicalAnn',
          { vectors, ids: sparse },
          { lists: 25, levels: 3, iterations: 1, beam: 2 },
        ),
      'added between': () =>
        compareTwins(gpu(), 'hierarchicalAnnAdd', { ...tensorsOf(old), newVectors: added, newIds }, {}),
      'shares of a skewed sample': async () => {
        const skewed = tensor(
          [60, 1],
          Float32Array.from({ length: 60 }, (_, i) => (i < 50 ? 1 + i / 100 : 40 + i)),
        );
        const options = { lists: 12, levels: 2, metric: 'l2', iterations: 3, beam: 1 };
        const want = { ...hierarchicalAnn(skewed, options as AnnOptions<Tensor>) } as unknown as Record<
          string,
          Tensor
        >;
        const got = await runGpu(gpu(), 'hierarchicalAnn', { vectors: skewed }, options);
        return compareExact(want.rootOffsets!, got.rootOffsets!);
      },
      'repeated ids are marked': async () => {
        const twice = tensor([130], new Int32Array(130).fill(3));
        const got = await runGpu(gpu(), 'hierarchicalAnn', { vectors, ids: twice }, { flat: true });
        return compareExact(tensor([130], new Int32Array(130).fill(-1)), got.ids!);
      },
    });
  });
});
