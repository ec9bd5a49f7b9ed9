import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Tape } from '../src/core/autograd.ts';
import { key } from '../src/core/key.ts';
import { type Tensor, tensor, zeros } from '../src/core/tensor.ts';
import { openGpu } from '../src/gpu/index.ts';
import { refBackend } from '../src/ref/backend.ts';
import { crossEntropy, crossEntropyBackward } from '../src/ref/crossEntropy.ts';
import { gumbelNoise } from '../src/ref/gumbelNoise.ts';
import { sampledCrossEntropy, sampledCrossEntropyBackward } from '../src/ref/sampledCrossEntropy.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases, withTargets } from '../src/verify/sampledCrossEntropy.ts';
import { subVocabInputs } from '../src/verify/subVocabHead.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu, runRef } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; all words give loss and gradients of the full softmax; with Gumbel top-k and its log-inclusion the
// sum is unbiased; gradients by finite differences and through the tape; the kernels within their bounds over sizes, chunks and
// corrections; bad targets are marked; memory stays below the logits; wrong kernels are rejected.

describeVectors('sampledCrossEntropy');

const ids = (shape: number[], ...values: number[]) => tensor(shape, values, 'i32');
const wide = (shape: number[], seed: number, scale = 1) =>
  tensor(
    shape,
    Float64Array.from(
      noiseArray(
        shape.reduce((a, b) => a * b, 1),
        seed,
      ),
      (v) => v * scale,
    ),
  );

describe('the reference', () => {
  test('all words, in any order, give the full softmax: loss, lse and gradients', () => {
    const [x, table] = [wide([1, 5, 3], 1, 2), wide([7, 3], 2, 2)];
    const words = ids([1, 7], 3, 6, 0, 2, 5, 1, 4);
    const targets = ids([1, 5], 6, 0, -100, 3, 3);
    const sampled = sampledCrossEntropy(x, table, words, targets);
    const full = crossEntropy(x, table, targets);
    const one = tensor([], [1], 'f64');
    const a = sampledCrossEntropyBackward(one, x, table, words, targets, sampled.lse, sampled.count);
    const b = crossEntropyBackward(one, x, table, targets, full.lse, full.count);
    const pairs = [
      [sampled.loss, full.loss],
      [sampled.lse, full.lse],
      [a.dx, b.dx],
      [a.dTable, b.dw],
    ] as const;
    for (const [got, want] of pairs) {
      for (let i = 0; i < want.size; i++) expect(got.data[i]).toBeCloseTo(want.data[i]!, 13);
    }
    expect(sampled.count.data).toEqual(full.count.data);
  });

  test('with Gumbel top-k and its log-inclusion the sum of exponentials is unbiased, and without it is not', () => {
    // One token, 6 words of which 2 are drawn; the sampler is not the model. 20,000 draws with a fixed key.
    const [n, k, draws] = [6, 2, 20_000];
    const phi = [1, 0.2, -0.5, 0.7, -1.2, 0];
    const s = [0.3, 1.5, -1, 0.2, 2, -0.4];
    const y = 4;
    const noise = gumbelNoise(key(11), [draws, n]).data;
    const words = new Int32Array(draws * k);
    const inclusion = new Float64Array(draws * k);
    for (let m = 0; m < draws; m++) {
      const score = (i: number): number => phi[i]! + noise[m * n + i]!;
      const order = phi.map((_, i) => i).sort((a, b) => score(b) - score(a));
      const threshold = score(order[k]!);
      for (let j = 0; j < k; j++) {
        words[m * k + j] = order[j]!;
        inclusion[m * k + j] = Math.log(-Math.expm1(-Math.exp(phi[order[j]!]! - threshold)));
      }
    }
    const x = tensor([draws, 1, 1], new Float64Array(draws).fill(1));
    const table = tensor([n, 1], Float64Array.from(s));
    const targets = tensor([draws, 1], new Int32Array(draws).fill(y));
    const z = s.reduce((sum, v) => sum + Math.exp(v), 0);
    const deviations = (logInclusion: Float64Array): number => {
      const { lse } = sampledCrossEntropy(x, table, tensor([draws, k], words), targets, {
        logInclusion: tensor([draws, k], logInclusion),
      });
      const values = Array.from(lse.data, Math.exp);
      const mean = values.reduce((a, b) => a + b, 0) / draws;
      const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / (draws - 1);
      return (mean - z) / Math.sqrt(variance / draws);
    };
    expect(Math.abs(deviations(inclusion))).toBeLessThan(4);
    expect(deviations(new Float64Array(draws * k))).toBeLessThan(-20);
  });

  test('a gate of 0 is as good as no word', () => {
    const [x, table, targets] = [wide([2, 3], 3), wide([6, 3], 4), ids([2], 1, 5)];
    const gates = tensor([3], [1, 0, 1], 'f64');
    const a = sampledCrossEntropy(x, table, ids([3], 0, 2, 4), targets, { gates });
    const b = sampledCrossEntropy(x, table, ids([3], 0, -1, 4), targets);
    expect(a.loss.data).toEqual(b.loss.data);
  });

  test('the gradients agree with central differences', () => {
    const words = ids([2, 3], 4, 0, 1, 1, 3, -1);
    const targets = ids([2, 2], 0, 2, -100, 3);
    const logInclusion = wide([2, 3], 5);
    const gates = tensor([2, 3], Float64Array.of(1, 0.5, 1, 0.9, 1, 1));
    expectGradient(
      [wide([2, 2, 3], 6), wide([5, 3], 7), gates],
      ([x, table, gates]) => [
        sampledCrossEntropy(x!, table!, words, targets, { logInclusion, gates: gates! }).loss,
      ],
      ([x, table, gates], [dLoss]) => {
        const options = { logInclusion, gates: gates! };
        const { lse, count } = sampledCrossEntropy(x!, table!, words, targets, options);
        const g = sampledCrossEntropyBackward(dLoss!, x!, table!, words, targets, lse, count, options);
        return [g.dx, g.dTable, g.dGates!];
      },
    );
  });

  test('the tape finds the backward, gates included', () => {
    const [x, table, gates] = [wide([2, 3], 8), wide([5, 3], 9), tensor([2], [1, 1], 'f64')];
    const [words, targets] = [ids([2], 4, 0), ids([2], 0, 2)];
    using tape = new Tape(refBackend);
    const [vx, vt, vg] = [x, table, gates].map((t) => tape.parameter(t));
    const fixed = [words, targets].map((t) => tape.constant(t));
    const { loss } = tape.ops.sampledCrossEntropy(vx!, vt!, fixed[0]!, fixed[1]!, { gates: vg! });
    const got = tape.backward(loss, [vx!, vt!, vg!]);
    const { lse, count } = sampledCrossEntropy(x, table, words, targets, { gates });
    const one = tensor([], [1], 'f64');
    const want = sampledCrossEntropyBackward(one, x, table, words, targets, lse, count, { gates });
    expect(got.map((t) => t.data)).toEqual([want.dx.data, want.dTable.data, want.dGates!.data]);
  });
});

describe('bad calls are refused before any work', () => {
  const [x, table] = [zeros([2, 3]), zeros([4, 3])];
  const [words, targets] = [ids([2], 0, 3), ids([2], 1, 2)];
  const q = tensor([2], [0, 0]);
  test.each([
    [() => sampledCrossEntropy(x, table, words, ids([1], 0)), 'targets has shape [1]; it must be [2]'],
    [
      () => sampledCrossEntropy(x, table, words, ids([2], 0, 4)),
      'targets has 4 at element 1; there are 4 words',
    ],
    [() => sampledCrossEntropy(x, table, ids([1], -2), targets), 'words has -2 at element 0'],
    [() => sampledCrossEntropy(x, table, ids([3], 1, 3, 1), targets), 'words has 1 twice in row 0'],
    [
      () => sampledCrossEntropy(x, table, words, targets, { correction: 'tf' }),
      'correction "tf" needs targetLogInclusion',
    ],
    [
      () => sampledCrossEntropy(x, table, words, targets, { targetLogInclusion: q }),
      'leave it out, or use "tf"',
    ],
    [() => sampledCrossEntropy(x, table, words, targets, { correction: 'no' as 'ht' }), 'correction is "no"'],
    [
      () => sampledCrossEntropy(x, table, words, targets, { gates: tensor([2], [1, -1]) }),
      'gates has -1 at element 1; a gate is at least 0',
    ],
    [
      () => sampledCrossEntropy(x, table, words, targets, { logInclusion: zeros([3]) }),
      'logInclusion has shape [3]; it must be [2]',
    ],
    [
      () => sampledCrossEntropyBackward(q, x, table, words, targets, q, ids([], 2)),
      'sampledCrossEntropyBackward: dLoss has shape [2]; it must be []',
    ],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

function backwardInputs(forward: Record<string, Tensor>, options: object) {
  const { lse, count } = runRef('sampledCrossEntropy', forward, { ...options });
  return { ...forward, dLoss: tensor([], [0.7]), lse: lse!, count: count! };
}

const sizes = fc.record({
  rows: fc.integer({ min: 1, max: 3 }),
  tokens: size(20, [8, 16]).map((n) => Math.max(n, 1)),
  width: size(20, [4, 16]).map((n) => Math.max(n, 1)),
  k: size(200, [64, 128]).map((n) => Math.max(n, 1)),
  extra: fc.constantFrom(0, 1, 50),
  inclusion: fc.boolean(),
  gates: fc.boolean(),
  tf: fc.boolean(),
});

const wrong: readonly Mutant[] = [
  { name: 'ignored tokens count', from: 'goal = IGNORED;', to: 'goal = i32(params.k);' },
  { name: 'a target that is no word passes', from: 'goal = BAD;', to: 'goal = 0;' },
  { name: 'a hit counts twice', from: 'else if (goal < 0) {', to: 'else {' },
  {
    name: 'no word takes part',
    from: 'if (words[row * params.columns + column] == NONE) {',
    to: 'if (false) {',
  },
  { name: 'gates are forgotten', from: 's += logGate(gates[at]);', to: '' },
  {
    name: 'hits are corrected',
    from: 'if (goalsIn[token] == i32(params.first + column)) {',
    to: 'if (false) {',
  },
  {
    name: 'the column of a hit is counted from the chunk',
    from: '== i32(params.first + column)',
    to: '== i32(column)',
  },
  {
    name: 'each chunk has the inclusion of the first',
    from: 's -= inclusion[at];',
    to: 's -= inclusion[row * params.k + column];',
  },
  { name: 'the own column of hits is there', from: 'if (owner[token] < 0) {', to: 'if (false) {' },
  { name: 'a target outside is not corrected', from: 'sum -= ownInclusion[token];', to: '' },
  { name: 'a target outside adds nothing to dx', from: 'dx[i] += g * rowsOf[i];', to: '' },
  { name: 'a target outside learns nothing', from: 'dRows[i] = g * x[i];', to: 'dRows[i] = 0.0;' },
  {
    name: 'the gradient of gates is that of their logs',
    from: 'dGates[at] = sum / gate;',
    to: 'dGates[at] = sum;',
  },
  { name: 'gates hear the first token alone', from: 't < params.tokens; t++', to: 't < 1u; t++' },
];

describeDevice('the kernel', (gpu, family) => {
  test('stays within its bounds over sizes, chunks and corrections, forward and backward', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, async ({ rows, tokens, width, k, extra, inclusion, gates, tf }) => {
        const given = withTargets(subVocabInputs(rows, tokens, width, k, k + extra, 1));
        const noise = (seed: number, shape: readonly number[], scale: number) =>
          tensor(
            shape,
            noiseArray(
              shape.reduce((a, b) => a * b, 1),
              seed,
            ).map((v) => scale * (v - 1)),
          );
        const forward = {
          ...given,
          ...(inclusion ? { logInclusion: noise(2, [rows, k], 2) } : {}),
          ...(gates ? { gates: noise(3, [rows, k], -0.5) } : {}),
          ...(tf ? { targetLogInclusion: noise(4, [rows, tokens], 1) } : {}),
        };
        const options = { chunk: 64, correction: tf ? 'tf' : 'ht' };
        await expectTwins(gpu(), 'sampledCrossEntropy', forward, options);
        await expectTwins(gpu(), 'sampledCrossEntropyBackward', backwardInputs(forward, options), options);
      }),
      { numRuns: 6 },
    );
  });

  test('passes the odd cases of verify, and gives the same bits twice', async () => {
    for (const c of cases.slice(2)) await expectTwins(gpu(), c.op, c.inputs(), c.options);
    const [, , , backward] = cases;
    await expectSameBits(gpu(), backward!.op, backward!.inputs(), backward!.options);
  });

  test('marks a target that is no word: the loss is NaN', async () => {
    const { x, table, words } = subVocabInputs(1, 3, 2, 3, 5, 1);
    for (const bad of [5, -1, 2 ** 31 - 1]) {
      const { loss, count } = await runGpu(gpu(), 'sampledCrossEntropy', {
        x,
        table,
        words,
        targets: ids([1, 3], 0, bad, 4),
      });
      expect(loss!.data[0]).toBeNaN();
      expect(count!.data[0]).toBe(3);
    }
  });

  test('never holds the logits: memory follows the chunk', async () => {
    await using fresh = await openGpu({ family });
    const [tokens, k] = [256, 4096];
    const given = withTargets(subVocabInputs(1, tokens, 4, k, k, 1));
    using x = fresh.upload(given.x!);
    using table = fresh.upload(given.table!);
    using words = fresh.upload(given.words!);
    using targets = fresh.upload(given.targets!);
    const before = fresh.pool.peakBytes;
    using forward = fresh.ops.sampledCrossEntropy(x, table, words, targets, { chunk: 128 });
    using dLoss = fresh.upload(tensor([], [1]));
    const { lse, count } = forward;
    using _back = fresh.ops.sampledCrossEntropyBackward(dLoss, x, table, words, targets, lse, count, {
      chunk: 128,
    });
    await fresh.idle();
    expect(fresh.pool.peakBytes - before).toBeLessThan((tokens * k * 4) / 4);
  });

  test('wrong kernels are rejected', async () => {
    const small = subVocabInputs(1, 3, 2, 3, 5, 1);
    const checks = Object.fromEntries(
      cases
        .slice(2)
        .map((c) => [`${c.op}, ${c.label}`, () => compareTwins(gpu(), c.op, c.inputs(), c.options)]),
    );
    await expectKills(gpu(), 'sampledCrossEntropy.wgsl', wrong, {
      ...checks,
      'a target that is no word': async () => {
        const { loss } = await runGpu(gpu(), 'sampledCrossEntropy', {
          ...small,
          targets: ids([1, 3], 0, 5, 4),
        });
        const { pass, failure } = await import('../src/core/bounds.ts');
        return Number.isNaN(loss!.data[0]) ? pass() : failure('the loss is a number');
      },
    });
  });
});
