import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { failure, pass } from '../src/core/bounds.ts';
import { key } from '../src/core/key.ts';
import { tensor, zeros } from '../src/core/tensor.ts';
import { gumbelNoise } from '../src/ref/gumbelNoise.ts';
import { inclusionLoss, inclusionLossBackward } from '../src/ref/inclusionLoss.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/inclusionLoss.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size, tensorOf } from './support/tensors.ts';
import { compareTwins, expectTwins, runGpu, runRef } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; over noise, exp(-nll) is on average the frequency of being selected; gradients of all forms; the
// kernels: which rows are included exactly, losses within their bounds; bad targets are marked; wrong kernels are rejected.

describeVectors('inclusionLoss');

const ids = (...values: number[]) => tensor([values.length], values, 'i32');
const wide = (shape: number[], seed: number) =>
  tensor(
    shape,
    Float64Array.from(
      noiseArray(
        shape.reduce((a, b) => a * b, 1),
        seed,
      ),
      (v) => 2 * v,
    ),
  );

describe('the reference', () => {
  test('on average over noise, the probability of nll is the frequency of being selected', () => {
    const [n, k, draws, y] = [5, 2, 20_000, 3];
    const phi = [1, 0.2, -0.5, 0.4, -1.2];
    const noise = gumbelNoise(key(5), [draws, n]).data;
    const perturbed = Float64Array.from(noise, (g, i) => phi[i % n]! + g);
    let frequency = 0;
    let probability = 0;
    for (let m = 0; m < draws; m++) {
      const scores = tensor([1, n], Float64Array.from(phi));
      const own = { perturbed: tensor([1, n], perturbed.slice(m * n, (m + 1) * n)) };
      const { loss, included } = inclusionLoss(scores, ids(y), k, own);
      frequency += included.data[0]! / draws;
      probability += Math.exp(-loss.data[0]!) / draws;
    }
    // The difference has a mean of 0 and a variance below 1/4 per draw.
    expect(Math.abs(frequency - probability)).toBeLessThan(4 * Math.sqrt(0.25 / draws));
  });

  test('the gradients agree with central differences', () => {
    const targets = ids(0, 4, -1, 2);
    for (const options of [
      { form: 'nll' },
      { form: 'hinge', margin: 0.7 },
      { form: 'soft' },
      { form: 'forced' },
    ] as const) {
      const scores =
        options.form === 'soft'
          ? tensor([4, 6], wide([4, 6], 3).data.map((v) => 0.5 + v / 5) as Float64Array)
          : wide([4, 6], 3);
      expectGradient(
        [scores],
        ([s]) => [inclusionLoss(s!, targets, 2, options).loss],
        ([s], [dLoss]) => {
          const { count, threshold, rival } = inclusionLoss(s!, targets, 2, options);
          return [inclusionLossBackward(dLoss!, s!, targets, 2, count, threshold, rival, options).dScores];
        },
      );
    }
    expectGradient(
      [wide([4, 6], 4), wide([4, 6], 5)],
      ([s, p]) => [inclusionLoss(s!, targets, 3, { perturbed: p! }).loss],
      ([s, p], [dLoss]) => {
        const options = { perturbed: p! };
        const { count, threshold, rival } = inclusionLoss(s!, targets, 3, options);
        const g = inclusionLossBackward(dLoss!, s!, targets, 3, count, threshold, rival, options);
        return [g.dScores, g.dPerturbed!];
      },
    );
  });

  const s = zeros([2, 3]);
  test.each([
    [
      () => inclusionLoss(s, ids(0, 3), 1),
      'inclusionLoss: targets has 3 at element 1; there are 3 candidates',
    ],
    [() => inclusionLoss(s, ids(0), 1), 'targets has shape [1]; it must be [2]'],
    [() => inclusionLoss(s, ids(0, 1), 0), 'k is 0; it must be an integer from 1'],
    [() => inclusionLoss(s, ids(0, 1), 1, { form: 'max' as 'nll' }), 'form is "max"; it must be one of'],
    [() => inclusionLoss(s, ids(0, 1), 1, { margin: -1 }), 'margin is -1'],
    [() => inclusionLoss(s, ids(0, 1), 1, { form: 'hinge', perturbed: s }), 'perturbed is given, but hinge'],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const score = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: -12, max: 12 }).map((v) => v / 4) },
  { weight: 1, arbitrary: fc.constantFrom(-Infinity, -0, 40, -60) },
);
const call = fc
  .tuple(
    size(40, [8, 16]),
    size(60, [16]).map((n) => Math.max(n, 1)),
    fc.integer({ min: 1, max: 70 }),
  )
  .chain(([rows, n, k]) =>
    fc.record({
      scores: tensorOf(score, fc.constant([rows, n])),
      perturbed: tensorOf(score, fc.constant([rows, n])),
      targets: tensorOf(fc.integer({ min: -1, max: n - 1 }), fc.constant([rows]), 'i32'),
      k: fc.constant(k),
    }),
  );

const wrong: readonly Mutant[] = [
  {
    name: 'a tie with the k-th is always selected',
    from: '(own == lastKey && y > bestIndices[last])',
    to: 'false',
  },
  {
    name: 'the rival is the k-th even of the selected',
    from: 'select(params.k - 1u, params.k, included == 1 && params.form != HINGE)',
    to: 'params.k - 1u',
  },
  { name: 'masked targets count', from: '&& scores[row * params.n + u32(y)] != NEGATIVE_INFINITY;', to: ';' },
  { name: 'a target that is no candidate passes', from: 'result = Row(0.0, 1u, BAD);', to: '' },
  { name: 'the selection is by the scores', from: 'rankKey(perturbed[row', to: 'rankKey(scores[row' },
  { name: 'a masked rival counts', from: 'bestValues[at] != NEGATIVE_INFINITY && ', to: '' },
  { name: 'the margin is forgotten', from: 'max(0.0, params.margin + bitcast', to: 'max(0.0, bitcast' },
  { name: 'the series has no linear term', from: 'return -z + y *', to: 'return y *' },
  {
    name: 'the slope is that of the hinge',
    from: 'return survivalSlope(score - threshold);',
    to: 'return 1.0;',
  },
  { name: 'the threshold moves though it is constant', from: '|| params.stopThreshold != 0u', to: '' },
  { name: 'the rival gets nothing', from: '{ dScores[at] += g; }', to: '{ }' },
  { name: 'the mean is not taken', from: '/ f32(max(count[0], 1)))', to: ')' },
];

describeDevice('the kernel', (gpu) => {
  test('stays within its bounds for all forms', async () => {
    await fc.assert(
      fc.asyncProperty(
        call,
        fc.constantFrom('nll', 'hinge', 'forced'),
        fc.boolean(),
        async ({ scores, perturbed, targets, k }, form, noisy) => {
          const given = { scores, targets, ...(noisy && form !== 'hinge' ? { perturbed } : {}) };
          await expectTwins(gpu(), 'inclusionLoss', given, { k, form });
          const { count, threshold, rival } = runRef('inclusionLoss', given, { k, form });
          const backward = {
            ...given,
            dLoss: tensor([], [0.3]),
            count: count!,
            threshold: threshold!,
            rival: rival!,
          };
          await expectTwins(gpu(), 'inclusionLossBackward', backward, { k, form });
        },
      ),
      { numRuns: 12 },
    );
    for (const c of cases.slice(1)) await expectTwins(gpu(), c.op, c.inputs(), c.options);
  });

  test('marks a target that is no candidate: the loss is NaN', async () => {
    for (const bad of [3, -2]) {
      const { loss } = await runGpu(
        gpu(),
        'inclusionLoss',
        { scores: zeros([2, 3]), targets: ids(0, bad) },
        { k: 1 },
      );
      expect(loss!.data[0]).toBeNaN();
    }
  });

  test('wrong kernels are rejected', async () => {
    const checks = cases
      .slice(1)
      .map((c) => [`${c.op}, ${c.label}`, () => compareTwins(gpu(), c.op, c.inputs(), c.options)]);
    const few = tensor([2, 4], [-Infinity, 0.5, 1, -Infinity, 1, 1, 1, 1]);
    await expectKills(gpu(), 'inclusionLoss.wgsl', wrong, {
      ...Object.fromEntries(checks),
      'few candidates and ties': () =>
        compareTwins(gpu(), 'inclusionLoss', { scores: few, targets: ids(1, 3) }, { k: 2 }),
      'a target that is no candidate': async () => {
        const { loss } = await runGpu(
          gpu(),
          'inclusionLoss',
          { scores: zeros([1, 3]), targets: ids(3) },
          { k: 1 },
        );
        return Number.isNaN(loss!.data[0]) ? pass() : failure('the loss is a number');
      },
    });
  });
});
