import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Tape } from '../src/core/autograd.ts';
import { failure, pass } from '../src/core/bounds.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { openGpu } from '../src/gpu/index.ts';
import { refBackend } from '../src/ref/backend.ts';
import {
  crossEntropy,
  crossEntropyBackward,
  crossEntropyLogits,
  crossEntropyLogitsBackward,
} from '../src/ref/crossEntropy.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/crossEntropy.ts';
import { describeDevice, runsOn } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size, tameFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins, runGpu, runRef } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch and its autograd; laws of the reference (the fused form equals the plain one on its logits, a
// shift of all logits changes nothing, ignored tokens are as good as absent, rows of the gradient sum to zero, gradients
// by finite differences and through the tape); the kernels within their bounds over sizes, chunks, excluded words and
// ignored tokens; bad targets and numbers are marked; memory stays below the logits; wrong kernels are rejected.

describeVectors('crossEntropy');

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
const ids = (...values: number[]) => tensor([values.length], values, 'i32');

describe('the reference', () => {
  const x = wide([4, 3], 1, 2);
  const w = wide([6, 3], 2, 2);
  const bias = wide([6], 3);
  const targets = ids(0, 5, 3, 2);
  const options = { ignoreIndex: 3, bias };

  /** x wᵀ + bias. */
  const logits = tensor(
    [4, 6],
    Float64Array.from({ length: 24 }, (_, at) => {
      const [i, j] = [Math.floor(at / 6), at % 6];
      return bias.data[j]! + [0, 1, 2].reduce((s, d) => s + x.data[i * 3 + d]! * w.data[j * 3 + d]!, 0);
    }),
  );

  test('the fused form gives what the plain form gives for its logits', () => {
    const fused = crossEntropy(x, w, targets, options);
    const plain = crossEntropyLogits(logits, targets, options);
    expect(fused.loss.data[0]).toBeCloseTo(plain.loss.data[0]!, 12);
    expect(fused.count.data).toEqual(plain.count.data);
    plain.lse.data.forEach((v, i) => {
      expect(fused.lse.data[i]).toBeCloseTo(v, 12);
    });
  });

  test('a shift of all logits of a token changes its lse alone', () => {
    const moved = tensor(
      [4, 6],
      (logits.data as Float64Array).map((v, at) => v + 10 * Math.floor(at / 6)),
    );
    const [a, b] = [
      crossEntropyLogits(logits, targets, options),
      crossEntropyLogits(moved, targets, options),
    ];
    expect(b.loss.data[0]).toBeCloseTo(a.loss.data[0]!, 12);
    expect(b.lse.data[2]! - a.lse.data[2]!).toBeCloseTo(20, 12);
  });

  test('ignored tokens are as good as absent', () => {
    const kept = [0, 1, 3].flatMap((i) => [...logits.data.slice(i * 6, i * 6 + 6)]);
    const a = crossEntropyLogits(logits, targets, options);
    const b = crossEntropyLogits(tensor([3, 6], Float64Array.from(kept)), ids(0, 5, 2));
    expect(a.loss.data[0]).toBeCloseTo(b.loss.data[0]!, 13);
    expect([a.count.data[0], b.count.data[0]]).toEqual([3, 3]);
  });

  test('equal logits cost log V each', () => {
    const flat = tensor([2, 9], new Float64Array(18).fill(4));
    expect(crossEntropyLogits(flat, ids(0, 8)).loss.data[0]).toBeCloseTo(Math.log(9), 14);
  });

  test('each row of the gradient sums to zero, and ignored ones are zero', () => {
    const { lse, count } = crossEntropyLogits(logits, targets, options);
    const dLoss = tensor([], [2], 'f64');
    const g = crossEntropyLogitsBackward(dLoss, logits, targets, lse, count, options).data;
    for (let i = 0; i < 4; i++) {
      const row = [...g.slice(i * 6, i * 6 + 6)];
      expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(0, 14);
      expect(row.every((v) => v === 0)).toBe(i === 2);
    }
  });

  test('the gradients agree with central differences', () => {
    expectGradient(
      [x, w, bias],
      ([x, w, bias]) => {
        const { loss, lse } = crossEntropy(x!, w!, targets, { ignoreIndex: 3, bias: bias! });
        return [loss, lse];
      },
      ([x, w, bias], [dLoss, dLse]) => {
        const { lse, count } = crossEntropy(x!, w!, targets, { ignoreIndex: 3, bias: bias! });
        const g = crossEntropyBackward(dLoss!, x!, w!, targets, lse, count, {
          ignoreIndex: 3,
          bias: bias!,
          dLse: dLse!,
        });
        return [g.dx, g.dw, g.dBias!];
      },
    );
    expectGradient(
      [logits],
      ([logits]) => {
        const { loss, lse } = crossEntropyLogits(logits!, targets, { ignoreIndex: 3 });
        return [loss, lse];
      },
      ([logits], [dLoss, dLse]) => {
        const { lse, count } = crossEntropyLogits(logits!, targets, { ignoreIndex: 3 });
        return [
          crossEntropyLogitsBackward(dLoss!, logits!, targets, lse, count, { ignoreIndex: 3, dLse: dLse! }),
        ];
      },
    );
  });

  test('the tape finds the backward, with and without a bias', () => {
    using tape = new Tape(refBackend);
    const [vx, vw, vb] = [x, w, bias].map((t) => tape.parameter(t));
    const { loss } = tape.ops.crossEntropy(vx!, vw!, tape.constant(targets), { ignoreIndex: 3, bias: vb! });
    const [dx, , dBias] = tape.backward(loss, [vx!, vw!, vb!]);
    const { lse, count } = crossEntropy(x, w, targets, options);
    const want = crossEntropyBackward(tensor([], [1], 'f64'), x, w, targets, lse, count, options);
    expect(dx!.data).toEqual(want.dx.data);
    expect(dBias!.data).toEqual(want.dBias!.data);
    const plain = tape.ops.crossEntropy(vx!, vw!, tape.constant(targets), { ignoreIndex: 3 });
    expect(tape.backward(plain.loss, [vw!])[0]!.shape).toEqual([6, 3]);
  });
});

describe('bad calls are refused before any work', () => {
  const x = tensor([2, 3], [1, 2, 3, 4, 5, 6]);
  const w = tensor([4, 3], new Float32Array(12));
  const good = ids(0, 3);
  const scalar = tensor([], [1]);
  const lse = tensor([2], [0, 0]);
  const count = tensor([], [2], 'i32');
  test.each([
    [
      () => crossEntropy(x, tensor([4, 2], new Float32Array(8)), good),
      'crossEntropy: w has shape [4, 2]; it must be [V, 3]',
    ],
    [() => crossEntropy(scalar, w, good), 'crossEntropy: x is a scalar; it must be [..., D]'],
    [() => crossEntropy(x, tensor([0, 3], []), good), 'there are 0 words; there must be at least one'],
    [() => crossEntropy(x, w, ids(1)), 'targets has shape [1]; it must be [2]'],
    [() => crossEntropy(x, w, tensor([2], [0, 1])), 'targets has dtype f32; it takes i32'],
    [() => crossEntropy(x, w, good, { chunk: 100 }), 'chunk is 100; it must be a multiple of 64'],
    [() => crossEntropy(x, w, good, { ignoreIndex: 0.5 }), 'ignoreIndex is 0.5; it must be an integer'],
    [() => crossEntropy(x, w, good, { bias: lse }), 'bias has shape [2]; it must be [4]'],
    [
      () => crossEntropy(x, w, ids(0, 4)),
      'targets has 4 at position 1; there are 4 words, and ignoreIndex is -100',
    ],
    [() => crossEntropyLogits(x, ids(-1, 0), { ignoreIndex: 3 }), 'targets has -1 at position 0'],
    [
      () => crossEntropyBackward(lse, x, w, good, lse, count),
      'crossEntropyBackward: dLoss has shape [2]; it must be []',
    ],
    [() => crossEntropyBackward(scalar, x, w, good, scalar, count), 'lse has shape []; it must be [2]'],
    [() => crossEntropyBackward(scalar, x, w, good, lse, scalar), 'count has dtype f32; it takes i32'],
    [
      () => crossEntropyLogitsBackward(scalar, x, ids(0, 9), lse, count),
      'crossEntropyLogitsBackward: targets has 9 at position 1; there are 3 words',
    ],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const sizes = fc.record({
  tokens: size(70, [8, 16, 64]),
  words: size(300, [64, 128, 192]).map((n) => Math.max(n, 1)),
  width: size(40, [4, 16]),
  ignore: fc.constantFrom(-100, 0, 3),
  picks: fc.array(fc.nat(1e6), { minLength: 1, maxLength: 20 }),
  scale: fc.constantFrom(0.1, 1, 4),
  chunk: fc.constantFrom(undefined, 64, 128),
  bias: fc.boolean(),
  dLse: fc.boolean(),
});
type Sizes = typeof sizes extends fc.Arbitrary<infer S> ? S : never;

function goals({ tokens, words, ignore, picks }: Sizes): Tensor {
  const data = Int32Array.from({ length: tokens }, (_, i) => {
    const pick = picks[i % picks.length]!;
    return pick % 4 === 0 ? ignore : pick % words;
  });
  return tensor([tokens], data);
}

function backwardInputs(forward: Record<string, Tensor>, op: string, options: object, dLse: boolean) {
  const { lse, count } = runRef(op, forward, { ...options });
  const n = lse!.size;
  return {
    ...forward,
    dLoss: tensor([], [0.7]),
    lse: lse!,
    count: count!,
    ...(dLse ? { dLse: tensor([n], noiseArray(n, 9)) } : {}),
  };
}

const wrong: readonly Mutant[] = [
  {
    name: 'the last column of a chunk is left out',
    from: 'j < end; j += stride',
    to: 'j + 1u < end; j += stride',
    all: true,
  },
  { name: 'the largest is not subtracted', from: 'return exp(logit - top);', to: 'return exp(logit);' },
  {
    name: 'earlier chunks are forgotten',
    from: 'if (params.isFirst == 0u) { state = states[row]; }',
    to: '',
  },
  { name: 'earlier sums are not scaled', from: 'state.sum * weight(state.top, top)', to: 'state.sum' },
  { name: 'parts are not scaled', from: 'part.sum * weight(part.top, top)', to: 'part.sum' },
  {
    name: 'the largest starts at zero',
    from: 'top = select(logit, max(top, logit), found);',
    to: 'top = max(top, logit);',
  },
  {
    name: 'targets are counted from the chunk',
    from: 'u32(targets[row]) - params.firstColumn',
    to: 'u32(targets[row])',
  },
  { name: 'ignored tokens count', from: 'if (goal != params.ignoreIndex) {', to: 'if (true) {' },
  { name: 'the mean is over all tokens', from: 'f32(max(sum.count, 1u))', to: 'f32(max(params.count, 1u))' },
  { name: 'a target that is no word passes', from: '|| u32(goal) >= params.words) {', to: ') {' },
  { name: 'NaN is not noticed', from: '{ code = BAD; }', to: '{ }' },
  {
    name: 'an excluded word spoils the row',
    from: 'if (bits != (INFINITY_BITS | 0x80000000u)) {',
    to: 'if (true) {',
  },
  { name: 'the target is not subtracted', from: 'if (column == row.column) { g -= row.own; }', to: '' },
  { name: 'ignored tokens have a gradient', from: 'if (counts) { own', to: 'if (true) { own' },
  { name: 'the gradient of lse is lost', from: 'factor += dLse[row];', to: '' },
  {
    name: 'the gradient of lse goes to the target, too',
    from: '{ g -= row.own; }',
    to: '{ g -= row.factor; }',
  },
  {
    name: 'the gradient is not divided by the count',
    from: 'dLoss[0] / f32(max(countIn[0], 1))',
    to: 'dLoss[0]',
  },
];

describeDevice('the kernel', (gpu, family) => {
  test('stays within its bounds over sizes and chunks, forward and backward', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, async (s) => {
        const { tokens, words, width, scale } = s;
        const forward = {
          x: tensor(
            [tokens, width],
            noiseArray(tokens * width, 1).map((v) => v * scale),
          ),
          w: tensor(
            [words, width],
            noiseArray(words * width, 2).map((v) => v * scale),
          ),
          targets: goals(s),
          ...(s.bias
            ? {
                bias: tensor(
                  [words],
                  noiseArray(words, 3).map((v) => v * scale),
                ),
              }
            : {}),
        };
        const options = { ignoreIndex: s.ignore, ...(s.chunk === undefined ? {} : { chunk: s.chunk }) };
        await expectTwins(gpu(), 'crossEntropy', forward, options);
        const backward = backwardInputs(forward, 'crossEntropy', options, s.dLse);
        await expectTwins(gpu(), 'crossEntropyBackward', backward, options);
      }),
      { numRuns: runsOn(gpu(), 40) },
    );
  });

  test('stays within its bounds for given logits, with excluded words', async () => {
    const logit = fc.oneof(
      { weight: 6, arbitrary: tameFloat },
      { weight: 2, arbitrary: fc.constantFrom(-Infinity, -1e30, -200, 300, 1e36, -1e36) },
    );
    const call = sizes.chain((s) =>
      fc.record({ s: fc.constant(s), logits: tensorOf(logit, fc.constant([s.tokens, s.words])) }),
    );
    await fc.assert(
      fc.asyncProperty(call, async ({ s, logits }) => {
        const forward = { logits, targets: goals(s) };
        const options = { ignoreIndex: s.ignore };
        await expectTwins(gpu(), 'crossEntropyLogits', forward, options);
        const backward = backwardInputs(forward, 'crossEntropyLogits', options, s.dLse);
        // Without a finite lse there is no gradient to compare.
        if (backward.lse.data.every(Number.isFinite))
          await expectTwins(gpu(), 'crossEntropyLogitsBackward', backward, options);
      }),
      { numRuns: runsOn(gpu(), 40) },
    );
  });

  test('passes the cases of verify', async () => {
    // The large products take the family for GPUs minutes on a software driver; matmul's spec has them.
    for (const c of cases.filter(
      (c) => c.flops === undefined || family === 'cpu-vulkan' || c.shape.startsWith('[7'),
    ))
      await expectTwins(gpu(), c.op, c.inputs(), c.options);
  });

  test('gives the same bits twice', async () => {
    for (const c of cases.filter((c) => c.flops === undefined))
      await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('marks a target that is no word: the loss is NaN, whatever the others are', async () => {
    const x = tensor([3, 2], [1, 2, 3, 4, 5, 6]);
    const w = tensor([5, 2], noiseArray(10, 1));
    for (const bad of [5, -1, 2 ** 31 - 1, -(2 ** 31)]) {
      const { loss, count } = await runGpu(gpu(), 'crossEntropy', { x, w, targets: ids(0, bad, 4) });
      expect(loss!.data[0]).toBeNaN();
      expect(count!.data[0]).toBe(3);
    }
  });

  test('no token: loss 0, count 0, and zeros for gradients', async () => {
    const forward = { x: tensor([0, 3], []), w: tensor([4, 3], noiseArray(12, 1)), targets: ids() };
    await expectTwins(gpu(), 'crossEntropy', forward);
    await expectTwins(gpu(), 'crossEntropyBackward', backwardInputs(forward, 'crossEntropy', {}, false));
  });

  test('works through rows in windows where one binding is too small', async () => {
    await using small = await openGpu({ family, maxBindingBytes: 64 * 30 * 4 });
    const logits = tensor(
      [200, 30],
      noiseArray(6000, 5).map((v) => 5 * v),
    );
    const forward = {
      logits,
      targets: tensor(
        [200],
        Int32Array.from({ length: 200 }, (_, i) => i % 30),
      ),
    };
    const backward = backwardInputs(forward, 'crossEntropyLogits', {}, true);
    expect(await runGpu(small, 'crossEntropyLogits', forward)).toEqual(
      await runGpu(gpu(), 'crossEntropyLogits', forward),
    );
    expect(await runGpu(small, 'crossEntropyLogitsBackward', backward)).toEqual(
      await runGpu(gpu(), 'crossEntropyLogitsBackward', backward),
    );
  });

  test('never holds the logits: memory follows the chunk', async () => {
    await using fresh = await openGpu({ family });
    const [tokens, words, width] = [256, 8192, 8];
    using x = fresh.upload(tensor([tokens, width], noiseArray(tokens * width, 1)));
    using w = fresh.upload(tensor([words, width], noiseArray(words * width, 2)));
    using targets = fresh.upload(tensor([tokens], new Int32Array(tokens)));
    const before = fresh.pool.peakBytes;
    using forward = fresh.ops.crossEntropy(x, w, targets, { chunk: 256 });
    using dLoss = fresh.upload(tensor([], [1]));
    using _back = fresh.ops.crossEntropyBackward(dLoss, x, w, targets, forward.lse, forward.count, {
      chunk: 256,
    });
    await fresh.idle();
    const logits = tokens * words * 4;
    expect(fresh.pool.peakBytes - before).toBeLessThan(logits / 4);
  });

  test('wrong kernels are rejected', async () => {
    const twins =
      (op: string, inputs: Record<string, Tensor>, options: object = {}) =>
      () =>
        compareTwins(gpu(), op, inputs, { ...options });
    const at = (op: string, label: string) => {
      const c = cases.find((c) => c.op === op && c.label.includes(label))!;
      return twins(c.op, c.inputs(), c.options);
    };
    const low = tensor(
      [3, 200],
      noiseArray(600, 4).map((v) => v - 300),
    );
    const forward = { logits: low, targets: ids(0, 70, 199) };
    const checks = {
      'several chunks': at('crossEntropy', 'odd sizes'),
      'several chunks, backward': at('crossEntropyBackward', 'odd sizes'),
      'large logits, excluded words': at('crossEntropyLogits', 'excluded words'),
      'all logits low': twins('crossEntropyLogits', forward),
      'lse alone': at('crossEntropyLogitsBackward', 'lse alone'),
      'plain gradient': twins(
        'crossEntropyLogitsBackward',
        backwardInputs(
          { ...forward, targets: ids(0, 3, 199) },
          'crossEntropyLogits',
          { ignoreIndex: 3 },
          false,
        ),
        { ignoreIndex: 3 },
      ),
      'NaN is marked': twins('crossEntropyLogits', {
        logits: tensor([1, 3], [1, Number.NaN, 2]),
        targets: ids(0),
      }),
      'a target that is no word is marked': async () => {
        const { loss } = await runGpu(gpu(), 'crossEntropyLogits', { logits: low, targets: ids(0, 200, 1) });
        return Number.isNaN(loss!.data[0]) ? pass() : failure('the loss is a number');
      },
    };
    await expectKills(gpu(), 'crossEntropy.wgsl', wrong, checks);
  });
});
