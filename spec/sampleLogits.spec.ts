import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { failure, pass } from '../src/core/bounds.ts';
import { key } from '../src/core/key.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { openGpu } from '../src/gpu/index.ts';
import { gumbelNoise } from '../src/ref/gumbelNoise.ts';
import { sampleLogits } from '../src/ref/sampleLogits.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/sampleLogits.ts';
import { describeDevice, runsOn } from './support/device.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors by PyTorch over JAX's bits; laws of the reference (the noise is gumbelNoise's, a limit is as good as
// excluding the other words, limits nest, greedy is topK 1); frequencies against enumerated probabilities; the kernel draws
// the reference's words but for rounding, over ties, excluded words, all limits, parts and windows; rows that cannot be
// drawn from are marked; wrong kernels are rejected; bad calls are refused.

describeVectors('sampleLogits');

/** The words that limits leave, as the definition says it: sorted, cut after k, cut after the sum is reached. */
function enumerated(row: readonly number[], { temperature = 1, topK = row.length, topP = 1 }): number[] {
  const order = row.map((_, j) => j).sort((a, b) => row[b]! - row[a]! || a - b);
  const weights = order.map((j, i) => (i < topK ? Math.exp(row[j]! / temperature) : 0));
  const total = weights.reduce((a, b) => a + b, 0);
  const out = new Array<number>(row.length).fill(0);
  let sum = 0;
  for (const [i, j] of order.entries()) {
    if (i > 0 && sum >= topP * total) break;
    sum += weights[i]!;
    out[j] = weights[i]!;
  }
  return out.map((w) => w / sum);
}

describe('the reference', () => {
  const x = tensor(
    [40, 9],
    noiseArray(360, 1).map((v) => 3 * v),
  );

  test('adds the noise of the same key', () => {
    const noise = gumbelNoise(key(5), [40, 9]).data;
    const { ids } = sampleLogits(x, { key: key(5), temperature: 0.5 });
    for (let row = 0; row < 40; row++) {
      const scores = Array.from({ length: 9 }, (_, j) => x.data[row * 9 + j]! / 0.5 + noise[row * 9 + j]!);
      expect(ids.data[row]).toBe(scores.indexOf(Math.max(...scores)));
    }
  });

  test('a limit draws what excluding the other words draws', () => {
    for (const limit of [{ topK: 3 }, { topP: 0.6 }, { topK: 4, topP: 0.5, temperature: 2 }]) {
      const data = x.data.slice();
      for (let row = 0; row < 40; row++) {
        const p = enumerated([...x.data.slice(row * 9, row * 9 + 9)], limit);
        for (let j = 0; j < 9; j++) if (p[j] === 0) data[row * 9 + j] = -Infinity;
      }
      const { temperature = 1 } = limit;
      const limited = sampleLogits(x, { key: key(6), ...limit });
      const excluded = sampleLogits(tensor([40, 9], data), { key: key(6), temperature });
      expect(limited.ids.data).toEqual(excluded.ids.data);
    }
  });

  test('the smallest limits are greedy', () => {
    const greedy = sampleLogits(x, { temperature: 0 });
    expect(sampleLogits(x, { key: key(7), topK: 1 }).ids.data).toEqual(greedy.ids.data);
    expect(sampleLogits(x, { key: key(7), topP: 1e-9 }).ids.data).toEqual(greedy.ids.data);
    expect(sampleLogits(x, { key: key(7), topK: 1 }).logProbs.data).toEqual(greedy.logProbs.data);
  });

  test('a topK of all words and a topP of 1 change nothing', () => {
    const plain = sampleLogits(x, { key: key(8) });
    expect(sampleLogits(x, { key: key(8), topK: 9, topP: 1 }).ids.data).toEqual(plain.ids.data);
    expect(sampleLogits(x, { key: key(8), topK: 99 }).ids.data).toEqual(plain.ids.data);
  });
});

const laws = [
  {},
  { temperature: 0.5 },
  { temperature: 3 },
  { topK: 3 },
  { topP: 0.7 },
  { topK: 5, topP: 0.8, temperature: 1.5 },
  { topK: 4, topP: 0.01 },
];
const row = [1, 0.2, -0.5, 1, -1.2, 0, 1];

/** Pearson's statistic of many draws from the same row; the 1e-6 quantile for 6 degrees of freedom is 38.3. */
function chiSquare(ids: ArrayLike<number>, options: object): number {
  const p = enumerated(row, options);
  const counts = p.map(() => 0);
  for (let i = 0; i < ids.length; i++) counts[ids[i]!]!++;
  return p.reduce((sum, q, j) => {
    const expected = q * ids.length;
    if (q === 0) return counts[j]! > 0 ? Infinity : sum;
    return sum + (counts[j]! - expected) ** 2 / expected;
  }, 0);
}

const draws = 20000;
const many = tensor(
  [draws, row.length],
  Float32Array.from({ length: draws * row.length }, (_, i) => row[i % row.length]!),
);

test.each(laws)('draws of the reference follow the enumerated probabilities: %o', (options) => {
  expect(chiSquare(sampleLogits(many, { key: key(11), ...options }).ids.data, options)).toBeLessThan(38.3);
});

describe('bad calls are refused before any work', () => {
  const x = tensor([2, 3], [1, 2, 3, 4, 5, 6]);
  const with5 = (value: number) => tensor([2, 3], [1, 2, 3, 4, value, 6]);
  test.each([
    [() => sampleLogits(x), 'sampleLogits: there is no key; give one made by key(seed), or temperature 0'],
    [() => sampleLogits(x, { key: [1, 2, 3] as never }), 'sampleLogits: key is [1, 2, 3]'],
    [() => sampleLogits(tensor([], [1]), { key: key(1) }), 'sampleLogits: logits has shape []'],
    [() => sampleLogits(tensor([2, 0], []), { key: key(1) }), 'its last axis must hold at least one word'],
    [() => sampleLogits(x, { temperature: -1 }), 'temperature is -1; it must be 0, or from 0.001 to 1000'],
    [() => sampleLogits(x, { temperature: 1e-9 }), 'temperature is 1e-9'],
    [() => sampleLogits(x, { key: key(1), topK: 0 }), 'topK is 0; it must be an integer from 1'],
    [() => sampleLogits(x, { key: key(1), topP: 0 }), 'topP is 0; it must be above 0 and at most 1'],
    [() => sampleLogits(x, { key: key(1), topP: Number.NaN }), 'topP is NaN'],
    [
      () => sampleLogits(with5(Number.NaN), { key: key(1) }),
      'logits[1, 1] is NaN; it must be below Infinity',
    ],
    [() => sampleLogits(with5(Infinity), { temperature: 0 }), 'logits[1, 1] is Infinity'],
    [
      () => sampleLogits(tensor([1, 2], [-Infinity, -Infinity]), { key: key(1) }),
      'row 0 has no word: all its logits are -Infinity',
    ],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const logit = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: -3, max: 3 }) },
  { weight: 4, arbitrary: fc.float({ min: -9, max: 9, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0, -Infinity, -Infinity) },
  { weight: 1, arbitrary: fc.constantFrom(-3.4028234663852886e38, -1e30, 2 ** -149, 200, -200) },
);

const call = fc
  .record({
    rows: fc.constantFrom(1, 1, 2, 7),
    words: size(1500, [2, 64, 256, 1024]).map((n) => Math.max(n, 1)),
    pattern: fc.array(logit, { minLength: 1, maxLength: 97 }),
    options: fc.record(
      {
        key: fc.nat(1e6).map((seed) => key(seed)),
        temperature: fc.constantFrom(0, 0.001, 0.5, 1, 1, 4, 1000),
        topK: fc.constantFrom(1, 2, 5, 40, 300),
        topP: fc.constantFrom(1e-6, 0.1, 0.5, 0.9, 0.999),
      },
      { requiredKeys: ['key'] },
    ),
  })
  .map(({ rows, words, pattern, options }) => {
    const data = Float32Array.from({ length: rows * words }, (_, i) => pattern[i % pattern.length]!);
    // No row may be without a word.
    for (let r = 0; r < rows; r++) if (data[r * words] === -Infinity) data[r * words] = 0.25;
    return { logits: tensor([rows, words], data), options };
  });

const wrong: readonly Mutant[] = [
  { name: 'the last of equal logits is the largest', from: 'if (key > largest)', to: 'if (key >= largest)' },
  {
    name: 'the last word of a part is left out',
    from: 'min(first + params.chunk, params.words)',
    to: 'min(first + params.chunk, params.words) - 1u',
  },
  { name: 'all words at the key take part', from: 'return *seen <= cut.limit;', to: 'return true;' },
  {
    name: 'equal words of earlier parts are forgotten',
    from: 'var seenK = byCount.before;',
    to: 'var seenK = 0u;',
  },
  {
    name: 'equal words of earlier parts are forgotten, top-p',
    from: 'var seenP = byMass.before;',
    to: 'var seenP = 0u;',
  },
  {
    name: 'the probabilities ignore the temperature',
    from: 'exp((logit - top) * params.inverse)',
    to: 'exp(logit - top)',
  },
  {
    name: 'the scores ignore the temperature',
    from: '(logit - top) * params.inverse + noise',
    to: '(logit - top) + noise',
  },
  { name: 'no noise', from: '* params.inverse + noise;', to: '* params.inverse;' },
  { name: 'all rows get the same noise', from: 'params.baseLow), origin + j)', to: 'params.baseLow), j)' },
  {
    name: 'top-p counts words that top-k took out',
    from: 'if (takesPart(key.x, cut, &seen))',
    to: 'if (key.x > NEG_INF_KEY)',
  },
  {
    name: 'a digit of top-k is too large',
    from: 'countSums[at + digit] < params.topK',
    to: 'countSums[at + digit] + 1u < params.topK',
  },
  {
    name: 'a digit of top-p is too small',
    from: 'massSums[at + digit] < enough',
    to: 'massSums[at + digit] <= 1.2 * enough',
  },
  { name: 'the last digit is left out', from: 'keyByCount(own.row, 8u)', to: 'keyByCount(own.row, 7u)' },
  {
    name: 'the log-probability has the temperature',
    from: 'sum += plainWeight(bitcast<f32>(bits), top)',
    to: 'sum += weight(bitcast<f32>(bits), top)',
  },
  { name: 'NaN is not noticed', from: 'bad = 1u;', to: 'bad = 0u;' },
];

describeDevice('the kernel', (gpu, family) => {
  test('draws what the reference draws, within the margins', async () => {
    await fc.assert(
      fc.asyncProperty(call, ({ logits, options }) =>
        expectTwins(gpu(), 'sampleLogits', { logits }, options),
      ),
      { numRuns: runsOn(gpu(), 80) },
    );
  });

  test('passes the cases of verify, and gives the same bits twice', async () => {
    for (const c of cases) {
      await expectTwins(gpu(), c.op, c.inputs(), c.options);
      await expectSameBits(gpu(), c.op, c.inputs(), c.options);
    }
  });

  test('follows the enumerated probabilities', async () => {
    for (const options of laws.slice(-2)) {
      const { ids } = await runGpu(gpu(), 'sampleLogits', { logits: many }, { key: key(12), ...options });
      expect(chiSquare(ids!.data, options)).toBeLessThan(38.3);
    }
  });

  test('a row alone and in a batch have the same limits', async () => {
    const one = tensor(
      [1, 700],
      noiseArray(700, 8).map((v) => Math.round(6 * v)),
    );
    const options = { key: key(3), topK: 50, topP: 0.7 };
    const alone = await runGpu(gpu(), 'sampleLogits', { logits: one }, options);
    const rows = tensor(
      [9, 700],
      Float32Array.from({ length: 6300 }, (_, i) => one.data[i % 700]!),
    );
    const batch = await runGpu(gpu(), 'sampleLogits', { logits: rows }, options);
    expect(batch.ids!.data[0]).toBe(alone.ids!.data[0]);
  });

  test('marks rows that cannot be drawn from, and only these', async () => {
    const rows = [
      [0, Number.NaN, 1],
      [Infinity, 0, 0],
      [-Infinity, -Infinity, -Infinity],
      [-Infinity, 3, -Infinity],
    ];
    for (const options of [{ temperature: 0 }, { key: key(1) }, { key: key(1), topK: 2, topP: 0.5 }]) {
      const got = await runGpu(gpu(), 'sampleLogits', { logits: tensor([4, 3], rows.flat()) }, options);
      expect([...got.ids!.data]).toEqual([-1, -1, -1, 1]);
      expect([...got.logProbs!.data].map(Number.isNaN)).toEqual([true, true, true, false]);
    }
  });

  test('works through rows in windows where one binding is too small', async () => {
    await using small = await openGpu({ family, maxBindingBytes: 64 * 512 });
    const logits = tensor(
      [200, 30],
      noiseArray(6000, 5).map((v) => Math.round(5 * v)),
    );
    const options = { key: key(9), topK: 12, topP: 0.8 };
    expect(await runGpu(small, 'sampleLogits', { logits }, options)).toEqual(
      await runGpu(gpu(), 'sampleLogits', { logits }, options),
    );
  });

  test('wrong kernels are rejected', async () => {
    const ofCase = (label: string) => cases.find((c) => c.label.includes(label))!;
    const twins = (logits: Tensor, options: object) => () =>
      compareTwins(gpu(), 'sampleLogits', { logits }, { ...options });
    const flat = tensor([64, 900], new Float32Array(64 * 900));
    const opinion = tensor(
      [200, 40],
      noiseArray(8000, 6).map((v) => 5 * v),
    );
    const checks = {
      greedy: twins(ofCase('greedy').inputs().logits!, { temperature: 0 }),
      'a distribution': twins(opinion, { key: key(1), temperature: 2 }),
      'top-p': twins(opinion, { key: key(3), temperature: 2, topP: 0.7 }),
      'both limits among ties': twins(ofCase('both limits').inputs().logits!, ofCase('both limits').options!),
      'top-k of equal words over parts': twins(flat, { key: key(2), topK: 450 }),
      'top-p of equal words over parts': twins(flat, { key: key(2), topP: 0.5 }),
      'both limits': twins(opinion, { key: key(4), topK: 6, topP: 0.6 }),
      'words that differ in the last bits': twins(
        tensor(
          [60, 16],
          Float32Array.from({ length: 960 }, (_, i) => 1 + ((i * 7) % 16) * 2 ** -23),
        ),
        { key: key(5), topK: 5 },
      ),
      'a limit beyond the words': twins(
        tensor(
          [40, 6],
          Float32Array.from({ length: 240 }, (_, i) => (i % 6 < 4 ? -Infinity : i % 5)),
        ),
        { key: key(5), topK: 4 },
      ),
      'NaN is marked': async () => {
        const { ids } = await runGpu(
          gpu(),
          'sampleLogits',
          { logits: tensor([1, 3], [1, Number.NaN, 2]) },
          { key: key(6) },
        );
        return ids!.data[0] === -1 ? pass() : failure('not marked');
      },
    };
    await expectKills(gpu(), 'sampleLogits.wgsl', wrong, checks);
  });
});
