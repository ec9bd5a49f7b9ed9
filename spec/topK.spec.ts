import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { type Family, type Gpu, openGpu } from '../src/gpu/index.ts';
import { layOut } from '../src/gpu/lib/selectLayout.ts';
import { topK, topKBackward } from '../src/ref/topK.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/topK.ts';
import { describeDevice, runsOn } from './support/device.ts';
import { dot, expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { anyFloat, shapeAndAxis, size, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from numpy, agreeing with JAX; laws of the reference (it is a stable sort, prefixes, permutations,
// scaling, the mask as removal, the set, the smallest, gradient by finite differences and as a transpose); the kernels
// equal it bit for bit on hard data of every shape, in long rows whose sample misleads, in many rows, in windows and in
// blocks; a row alone equals the row in a batch; wrong kernels are rejected; bad calls are refused.

describeVectors('topK');

const row = (max = 300) =>
  tensorOf(
    anyFloat,
    size(max).map((n) => [n]),
  );
const rowAndK = row().chain((x) => fc.record({ x: fc.constant(x), k: fc.nat(x.size) }));

describe('the reference', () => {
  test('is a stable sort by the rule of the contract', () => {
    fc.assert(
      fc.property(rowAndK, fc.boolean(), ({ x, k }, largest) => {
        const v = [...x.data];
        const want = [...v.keys()].sort((a, b) => {
          const [p, q] = [v[a]!, v[b]!];
          if (Number.isNaN(p) || Number.isNaN(q))
            return Number(Number.isNaN(p)) - Number(Number.isNaN(q)) || a - b;
          return (p === q ? 0 : p > q === largest ? -1 : 1) || a - b;
        });
        const got = topK(x, k, { largest });
        expect([...got.indices.data]).toEqual(want.slice(0, k));
        expect([...got.values.data]).toEqual(want.slice(0, k).map((t) => v[t]));
        expect([...got.counts.data]).toEqual([k]);
      }),
    );
  });

  test('the first m of the k best are the m best', () => {
    fc.assert(
      fc.property(rowAndK, fc.nat(), ({ x, k }, some) => {
        const m = some % (k + 1);
        expect(topK(x, m).indices.data).toEqual(topK(x, k).indices.data.slice(0, m));
      }),
    );
  });

  test('as a set it is the same, by ascending index', () => {
    fc.assert(
      fc.property(rowAndK, ({ x, k }) => {
        const sorted = topK(x, k).indices.data.slice().sort();
        expect(topK(x, k, { sorted: false }).indices.data).toEqual(sorted);
      }),
    );
  });

  test('moving the elements moves the indices, when none are equal', () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray([...new Array(60).keys()], { minLength: 60 }),
        fc.nat(60),
        (order, k) => {
          const value = (t: number) => Math.fround(Math.sin(t) * 10);
          const before = topK(tensor([60], order.toSorted((a, b) => a - b).map(value)), k).indices.data;
          const after = topK(tensor([60], order.map(value)), k).indices.data;
          expect([...after].map((t) => order[t])).toEqual([...before]);
        },
      ),
    );
  });

  test('scaling by a power of two keeps the indices', () => {
    fc.assert(
      fc.property(
        tensorOf(
          tameFloat,
          size(200).map((n) => [n]),
        ),
        fc.nat(),
        (x, some) => {
          const k = some % (x.size + 1);
          const scaled = tensor(
            x.shape,
            Float32Array.from(x.data, (v) => v * 1024),
          );
          expect(topK(scaled, k).indices.data).toEqual(topK(x, k).indices.data);
        },
      ),
    );
  });

  test('the smallest are the largest of the negated', () => {
    fc.assert(
      fc.property(rowAndK, ({ x, k }) => {
        const negated = tensor(
          x.shape,
          Float32Array.from(x.data, (v) => -v),
        );
        expect(topK(x, k, { largest: false }).indices.data).toEqual(topK(negated, k).indices.data);
      }),
    );
  });

  test('a masked position is as good as absent', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyFloat, fc.boolean()), { maxLength: 60 }), (pairs) => {
        const at = [...pairs.keys()].filter((t) => pairs[t]![1]);
        const values = pairs.map(([v]) => v);
        const mask = tensor(
          [pairs.length],
          pairs.map(([, on]) => Number(on)),
          'u32',
        );
        const k = pairs.length;
        const got = topK(tensor([k], values), k, { mask });
        const want = topK(
          tensor(
            [at.length],
            at.map((t) => values[t]!),
          ),
          at.length,
        );
        expect([...got.counts.data]).toEqual([at.length]);
        expect([...got.indices.data.slice(0, at.length)]).toEqual([...want.indices.data].map((t) => at[t]));
        expect([...got.indices.data.slice(at.length)].every((t) => t === -1)).toBe(true);
        expect([...got.values.data.slice(at.length)].every((v) => v === -Infinity)).toBe(true);
      }),
    );
  });

  test('the gradient agrees with central differences, for every rank and axis', () => {
    for (const [shape, axis] of [
      [[7], 0],
      [[3, 5], 0],
      [[3, 5], 1],
      [[2, 6, 3], 1],
      [[4, 2, 3], -3],
    ] as const) {
      const n = shape.reduce((a: number, b) => a * b, 1);
      const length = shape.at(axis)!;
      expectGradient(
        [tensor(shape, noiseArray(n, 1))],
        ([x]) => [topK(x!, 2, { axis }).values],
        ([x], [dValues]) => [topKBackward(dValues!, topK(x!, 2, { axis }).indices, length, { axis })],
      );
    }
  });

  test('the backward is the transpose of the selection, also with ties', () => {
    fc.assert(
      fc.property(rowAndK, ({ x, k }) => {
        const { indices } = topK(x, k);
        const v = tensor([x.size], noiseArray(x.size, 2));
        const w = tensor([k], noiseArray(k, 3));
        const selected = tensor(
          [k],
          Float32Array.from(indices.data, (t) => v.data[t]!),
        );
        expect(dot(v, topKBackward(w, indices, x.size))).toBeCloseTo(dot(selected, w), 5);
      }),
    );
  });
});

describe('bad calls are refused before any work', () => {
  const x = tensor([2, 3], [1, 2, 3, 4, 5, 6]);
  const dy = tensor([2, 2], [1, 2, 3, 4]);
  test.each([
    [() => topK(x, 4), 'topK: k is 4, and axis 1 of shape [2, 3] has 3; ask for at most 3, or set onShort'],
    [() => topK(x, -1), 'topK: k is -1; it must be an integer from 0'],
    [() => topK(x, 1.5), 'topK: k is 1.5; it must be an integer'],
    [() => topK(x, Number.NaN), 'topK: k is NaN; it must be an integer'],
    [() => topK(x, 1, { axis: 2 }), 'topK: axis 2 is outside [-2, 2) for shape [2, 3]'],
    [() => topK(tensor([], [1]), 1), 'topK: axis -1 is outside'],
    [() => topK(tensor([2], [1, 2], 'i32'), 1), 'topK: x has dtype i32; it takes f32 or f64'],
    [() => topK(x, 1, { mask: x }), 'topK: mask has dtype f32; it takes u32'],
    [() => topK(x, 1, { mask: tensor([3], [1, 1, 1], 'u32') }), 'mask has shape [3]; it must be [2, 3]'],
    [() => topK(x, 1, { onShort: 'extend' as never }), 'onShort is "extend"; it must be "error" or "pad"'],
    [() => topK(x, 1, { sorted: 1 as never }), 'topK: sorted is 1; it must be true or false'],
    [() => topK(x, 1, { largest: 'no' as never }), 'topK: largest is "no"; it must be true or false'],
    [() => topKBackward(dy, dy, 3), 'topKBackward: indices has dtype f32; it takes i32'],
    [() => topKBackward(dy, tensor([4], [0, 0, 0, 0], 'i32'), 3), 'indices has shape [4]; it must be [2, 2]'],
    [() => topKBackward(dy, tensor([2, 2], [0, 0, 0, 0], 'i32'), -3), 'length is -3; it must be an integer'],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

/** A call of any shape, axis, k and set of options. */
const call = shapeAndAxis().chain(({ shape, axis }) => {
  const at = axis < 0 ? axis + shape.length : axis;
  return fc.record({
    inputs: fc.record(
      {
        x: tensorOf(anyFloat, fc.constant(shape)),
        mask: tensorOf(fc.constantFrom(0, 1, 1, 7), fc.constantFrom(shape, shape.slice(0, at + 1)), 'u32'),
      },
      { requiredKeys: ['x'] },
    ),
    options: fc.record({
      axis: fc.constant(axis),
      k: fc.oneof(fc.nat(shape[at]!), fc.nat(Math.min(shape[at]!, 33)), fc.constant(shape[at]! + 2)),
      sorted: fc.boolean(),
      largest: fc.boolean(),
      onShort: fc.constant('pad'),
    }),
  });
});

/** A long row by a rule. */
const longRow = (n: number, rule: (t: number, noise: number) => number): Tensor => {
  const noise = noiseArray(n, n);
  return tensor(
    [n],
    Float32Array.from(noise, (v, t) => rule(t, v)),
  );
};

/** The positions that a kernel draws for its sample of a row (`drawnPosition` in lib/selection.wgsl). */
function drawnPositions(length: number, k: number, family: Family): Set<number> {
  const sizes = { outer: 1, length, inner: 1, k, slots: k, sorted: true, largest: true, maskInner: 0 };
  const { sampleSize, draws, stride } = layOut(sizes, 2 ** 25, family === 'gpu', {
    tiles: true,
    few: true,
  });
  const scramble = (s: number): number => {
    let h = Math.imul(s ^ (s >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return (h ^ (h >>> 16)) >>> 0;
  };
  return new Set(
    Array.from(
      { length: sampleSize * draws },
      (_, s) => s * stride + (((scramble(s) >>> 16) * stride) >>> 16),
    ),
  );
}

/** Long rows that look different from what a sample, a chunk or a window suggests. */
function hardRows(family: Family): Readonly<Record<string, Tensor>> {
  const drawn = drawnPositions(40_000, 700, family);
  return {
    'half tied at zero': longRow(20_001, (_, v) => Math.max(v, 0)),
    'ties at the last place, in every chunk': longRow(20_000, (t, v) =>
      t % 7 === 0 ? 3 : t % 11 === 0 ? 4 : v,
    ),
    'below zero, a few NaN and infinities': longRow(18_000, (t, v) =>
      t % 97 === 5 ? Number.NaN : t % 89 === 7 ? 1 / v / 0 : v - 2,
    ),
    'the sample sees only the best': longRow(40_000, (t, v) => (drawn.has(t) ? 2 + v : v)),
    'the sample sees none of the best': longRow(40_000, (t, v) => (drawn.has(t) ? v : 2 + v)),
    'all equal': longRow(20_000, () => 1),
    'the best at the very end': longRow(17_003, (t, v) => (t >= 16_999 ? 2 : v)),
    'close together': longRow(20_000, (_, v) => 1 + v * 1e-5),
  };
}

async function expectHardRows(gpu: Gpu): Promise<void> {
  // Where barriers are slow, two calls per row in turn, so that each call meets some rows and each row some calls.
  const slow = runsOn(gpu, 4) === 1;
  for (const [row, x] of Object.values(hardRows(gpu.family)).entries()) {
    const calls = [
      [25, { sorted: false }],
      [700, {}],
      [1800, {}],
      [700, { largest: false, sorted: false }],
      [9000, { sorted: false }],
      [x.size, {}],
    ] as const;
    for (const [i, [k, options]] of calls.entries()) {
      if (slow && i % 3 !== row % 3) continue;
      await expectTwins(gpu, 'topK', { x }, { k, ...options });
    }
  }
}

// Wrong kernels, by file. Some are tried on the adapter as it is, the others (narrow) in windows of 64 KiB.
const serial: Readonly<Record<string, readonly Mutant[]>> = {
  'topK.wgsl': [
    {
      name: 'only what is above the threshold is marked',
      from: 'keys >= vec4u(threshold)',
      to: 'keys > vec4u(threshold)',
    },
    { name: 'the same, one entry at a time', from: 'key >= threshold)', to: 'key > threshold)' },
    { name: 'ties are not told apart', from: 'at += equals.x + equals.y + equals.z + equals.w;', to: '' },
    { name: 'all ties are collected', from: 'if (ties == 0u) { continue; }', to: '', all: true },
    {
      name: 'the last chunk is cut short',
      from: 'let end = min(first + params.chunk, params.length);',
      to: 'let end = min(first + params.chunk, params.length - 1u);',
      all: true,
    },
    {
      name: 'short rows are padded with index 0',
      from: 'indices[place] = 0xffffffffu;',
      to: 'indices[place] = 0u;',
    },
    {
      name: 'values are not taken from where the index points',
      from: 'values[place] = x[placeOf(viewOf(row), index)]',
      to: 'values[place] = x[placeOf(viewOf(row), index) + 1u]',
    },
    {
      name: 'leaders promise more than there is',
      from: 'leaders[c] < threshold',
      to: 'leaders[c] <= threshold',
    },
    {
      name: 'too many held entries are forgotten',
      from: 'size = bestHeld(HOLD);',
      to: 'size = 0u;',
    },
    {
      name: 'the gradient lands one place further',
      from: 'backward.length + u32(owner))',
      to: 'backward.length + u32(owner) + 1u)',
    },
  ],
  'lib/topKKeys.wgsl': [
    {
      name: 'floats are compared as raw bits',
      from: 'let key = orderKey(bits);',
      to: 'let key = bits;',
    },
    {
      name: 'NaN ranks first',
      from: 'select(~key, key, params.largest == 1u), 1u,',
      to: 'select(~key, key, params.largest == 1u), ALL,',
    },
    { name: 'the smallest are the largest', from: 'select(~key, key, params.largest == 1u)', to: 'key' },
    {
      name: 'the mask is ignored',
      from: 'if (params.maskInner != 0u &&',
      to: 'if (params.maskInner > 99u &&',
    },
    { name: 'a later block starts over', from: 'if (params.after != 0u &&', to: 'if (params.after > 1u &&' },
  ],
  'lib/selection.wgsl': [
    { name: 'the rank is off by one', from: 'if (here >= left) {', to: 'if (here > left) {' },
    {
      name: 'a digit is cut short',
      from: 'return (key >> 10u) & 2047u;',
      to: 'return (key >> 10u) & 2040u;',
    },
    { name: 'an earlier entry counts as later', from: 'index < otherIndex', to: 'index <= otherIndex' },
    {
      name: 'entries of the last window are passed over',
      from: 'index - params.first < params.count',
      to: 'index < params.count',
    },
    {
      name: 'a sample that misled is trusted',
      from: 'select(READY, RETRY, tooFew || found > params.capacity)',
      to: 'READY',
    },
    {
      name: 'one tie too many is taken',
      from: 'ties = params.k - seen.x;',
      to: 'ties = params.k - seen.x + 1u;',
    },
  ],
  'lib/selectionSteps.wgsl': [
    {
      name: 'ties go to the later chunks',
      from: 'let earlier = min(before.y, choice.ties);',
      to: 'let earlier = 0u;',
    },
    {
      name: 'insertion is not stable',
      from: 'ordered[base + j - 1u].x < entry.x',
      to: 'ordered[base + j - 1u].x <= entry.x',
    },
    {
      name: 'the leading digit is not sorted by',
      from: 'let width = max((32u - countLeadingZeros(span) + 2u) / 3u, 1u);',
      to: 'let width = max((32u - countLeadingZeros(span)) / 4u, 1u);',
    },
    {
      name: 'a part ends one candidate early',
      from: 'let end = min((lane.chunk + 1u) * shape.piece, shape.found);',
      to: 'let end = min((lane.chunk + 1u) * shape.piece, shape.found) - 1u;',
      all: true,
    },
    { name: 'a block forgets the one before', from: 'if (taken > 0u) {', to: 'if (taken > 99999u) {' },
  ],
};
const serialInParts: readonly Mutant[] = [
  {
    name: 'parts do not know of the parts before them',
    from: 'bins[place] = total;',
    to: 'bins[place] = 0u;',
  },
  {
    name: 'of too many candidates ties are dropped',
    from: 'if (entry.x > threshold || tie) {',
    to: 'if (entry.x > threshold) {',
  },
];
const tiles: Readonly<Record<string, readonly Mutant[]>> = {
  'topK.tiles.wgsl': [
    {
      name: 'only what is above the threshold is marked',
      from: 'let reaches = keys >= vec4u(threshold);',
      to: 'let reaches = keys > vec4u(threshold);',
    },
    { name: 'the same, one entry at a time', from: 'if (key >= threshold) {', to: 'if (key > threshold) {' },
    {
      name: 'the last chunk is cut short',
      from: 'min(first + params.chunk, params.length)',
      to: 'min(first + params.chunk, params.length - 1u)',
    },
    {
      name: 'all ties are collected',
      from: 'before.x + min(before.y, mine.y)',
      to: 'before.x + before.y',
    },
    {
      name: 'marks of neighbours overlap',
      from: 'q % 8u * 4u',
      to: 'q % 8u',
    },
    {
      name: 'a short row is sorted one step less',
      from: 'block <= size; block *= 2u',
      to: 'block < size; block *= 2u',
    },
    {
      name: 'a short row does not end where x does',
      from: 'if (i < params.length) { key',
      to: 'if (true) { key',
    },
  ],
  'lib/selection.wgsl': [
    {
      name: 'a sample that misled is trusted',
      from: 'select(READY, RETRY, tooFew || found > params.capacity)',
      to: 'READY',
    },
    { name: 'an earlier entry counts as later', from: 'index < otherIndex', to: 'index > otherIndex' },
  ],
  'lib/selectionTiles.wgsl': [
    {
      name: 'ties go to the later chunks',
      from: 'let earlier = min(before.y, choice.ties);',
      to: 'let earlier = 0u;',
    },
    { name: 'tiles all rise', from: 'let rising = ((start + low) & block) == 0u;', to: 'let rising = true;' },
    {
      name: 'a step between tiles is skipped',
      from: 'if (goesFirst(b, a) == rising) {\n        own[i] = b;',
      to: 'if (false) {\n        own[i] = b;',
    },
    {
      name: 'of several steps between tiles only the first is done',
      from: 'half > 0u; half /= 2u',
      to: 'half > 0u; half = 0u',
    },
    {
      name: 'entries between tiles are taken from neighbours',
      from: 'let low = lane / nearest * nearest * count + lane % nearest;',
      to: 'let low = lane / nearest * nearest * 2u + lane % nearest;',
    },
    {
      name: 'what lies behind the candidates is sorted with them',
      from: 'if (at.start + i < found)',
      to: 'if (true)',
    },
  ],
};

describeDevice('the kernels', (gpu, family) => {
  /** The same adapter, pretending that one binding holds 64 KiB: x in windows, results in blocks. */
  const narrow = () => openGpu({ family, maxBindingBytes: 65_536 });

  test('equal the reference bit for bit on hard data of every shape', async () => {
    await fc.assert(
      fc.asyncProperty(call, ({ inputs, options }) => expectTwins(gpu(), 'topK', inputs, options)),
      { numRuns: runsOn(gpu(), 100) },
    );
  });

  test('equal it on long rows whose sample, chunks or ties mislead', () => expectHardRows(gpu()));

  test('equal it through windows and in blocks', async () => {
    await using small = await narrow();
    await expectHardRows(small);
    await fc.assert(
      fc.asyncProperty(call, ({ inputs, options }) => expectTwins(small, 'topK', inputs, options)),
      { numRuns: runsOn(gpu(), 30) },
    );
    const x = tensor([5, 60, 300], noiseArray(90_000, 3));
    for (const axis of [0, 1, 2]) await expectTwins(small, 'topK', { x }, { k: 4, axis });
    const { indices } = topK(x, 17);
    const dValues = tensor([5, 60, 17], noiseArray(5100, 4));
    await expectTwins(small, 'topKBackward', { dValues, indices }, { length: 300 });
    expect(small.liveTensors).toBe(0);
  });

  test('a row alone is the row in a batch, and few are the first of many', async () => {
    const x = tensor(
      [70, 3000],
      noiseArray(210_000, 11).map((v) => Math.round(v * 500)),
    );
    const whole = await runGpu(gpu(), 'topK', { x }, { k: 500 });
    for (const r of [0, 1, 37, 69]) {
      const alone = await runGpu(
        gpu(),
        'topK',
        { x: tensor([3000], x.data.slice(r * 3000, (r + 1) * 3000)) },
        { k: 20 },
      );
      expect(alone.indices!.data).toEqual(whole.indices!.data.slice(r * 500, r * 500 + 20));
    }
  });

  test('the gradient equals the reference bit for bit', async () => {
    await fc.assert(
      fc.asyncProperty(call, fc.nat(), async ({ inputs, options }, seed) => {
        const { indices } = topK(inputs.x, options.k, { ...options, onShort: 'pad' });
        const dValues = tensor(indices.shape, noiseArray(indices.size, seed));
        const length = inputs.x.shape.at(options.axis)!;
        await expectTwins(gpu(), 'topKBackward', { dValues, indices }, { length, axis: options.axis });
      }),
      { numRuns: runsOn(gpu(), 40) },
    );
  });

  test('give the same bits twice', async () => {
    const x = tensor([300, 130], noiseArray(39_000, 14));
    await expectSameBits(gpu(), 'topK', { x }, { k: 40, axis: 0 });
    for (const x of Object.values(hardRows(family))) await expectSameBits(gpu(), 'topK', { x }, { k: 700 });
  });

  test('wrong kernels are rejected', { timeout: 240_000 }, async () => {
    await using small = await narrow();
    const rows = hardRows(family);
    const tied = rows['half tied at zero']!;
    const masked = cases.find((c) => c.label.includes('a mask'))!;
    const middle = cases.find((c) => c.label.includes('middle axis'))!;
    const many = tensor([70, 200], noiseArray(14_000, 12));
    const tiedRows = tensor(
      [70, 200],
      many.data.map((v) => Math.round(v)),
    );
    const { indices } = topK(many, 3);
    const dValues = tensor([70, 3], noiseArray(210, 13));
    // Cheap ones first: the first that rejects is enough.
    const mixed = rows['below zero, a few NaN and infinities']!;
    const checks = {
      'many rows': () => compareTwins(small, 'topK', { x: many }, { k: 10 }),
      'the gradient': () => compareTwins(small, 'topKBackward', { dValues, indices }, { length: 200 }),
      [middle.label]: () => compareTwins(small, 'topK', middle.inputs(), middle.options),
      'a tied row': () => compareTwins(small, 'topK', { x: tied }, { k: 700 }),
      'many tied rows': () => compareTwins(small, 'topK', { x: tiedRows }, { k: 10 }),
      'ties at the last place': async () => {
        // Another row first: what it leaves in the buffers must not pass for a result.
        const x = rows['ties at the last place, in every chunk']!;
        await runGpu(small, 'topK', { x: tensor(x.shape, x.data.slice().reverse()) }, { k: 1800 });
        return compareTwins(small, 'topK', { x }, { k: 1800 });
      },
      'a tied row as a set': () => compareTwins(small, 'topK', { x: tied }, { k: 12_000, sorted: false }),
      'a misled sample': () =>
        compareTwins(small, 'topK', { x: rows['the sample sees only the best'] }, { k: 700 }),
      [masked.label]: () => compareTwins(small, 'topK', masked.inputs(), masked.options),
      'a mixed row as a set': () => compareTwins(small, 'topK', { x: mixed }, { k: 12_000, sorted: false }),
      'the smallest of a tied row': () => compareTwins(small, 'topK', { x: tied }, { k: 20, largest: false }),
    };
    for (const [file, wrong] of Object.entries(family === 'gpu' ? tiles : serial)) {
      await expectKills(small, file, wrong, checks);
    }
    // In windows this small, candidates are never worked on in several parts.
    if (family !== 'gpu') {
      await expectKills(gpu(), 'lib/selectionSteps.wgsl', serialInParts, {
        'all of a tied row': () => compareTwins(gpu(), 'topK', { x: tied }, { k: tied.size }),
        'a set': () => compareTwins(gpu(), 'topK', { x: rows['close together'] }, { k: 2000, sorted: false }),
      });
    }
    expect(small.liveTensors).toBe(0);
  });
});
