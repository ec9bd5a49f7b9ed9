import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tensor, zeros } from '../src/core/tensor.ts';
import { crossEntropyLogits } from '../src/ref/crossEntropy.ts';
import { maskBySubVocab, maskBySubVocabBackward } from '../src/ref/maskBySubVocab.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/maskBySubVocab.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { anyFloat, size, tensorOf } from './support/tensors.ts';
import { compareTwins, expectTwins, runGpu } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; the loss over masked logits is the loss over the words alone; the kernels copy every bit around
// the edges of their flags and blocks; a word that is not there is left out; wrong kernels are rejected.

describeVectors('maskBySubVocab');

describe('the reference', () => {
  test('the loss of masked logits is the loss over the words alone', () => {
    const logits = tensor([2, 9], Float64Array.from(noiseArray(18, 1)));
    const words = tensor([4], [8, 2, 5, -1], 'i32');
    const inside = [8, 2, 5, 17, 11, 14].map((at) => logits.data[at]!);
    const few = tensor([2, 3], Float64Array.from(inside));
    const masked = crossEntropyLogits(maskBySubVocab(logits, words), tensor([2], [2, 5], 'i32'));
    const alone = crossEntropyLogits(few, tensor([2], [1, 2], 'i32'));
    expect(masked.loss.data[0]).toBeCloseTo(alone.loss.data[0]!, 14);
  });

  test('the gradient agrees with central differences where something is inside', () => {
    const words = tensor([2, 2], [0, 3, 1, -1], 'i32');
    const finite = (t: ReturnType<typeof tensor>) =>
      tensor(
        t.shape,
        Float64Array.from(t.data, (v) => (v === -Infinity ? 0 : v)),
      );
    expectGradient(
      [tensor([2, 3, 4], noiseArray(24, 2))],
      ([logits]) => [finite(maskBySubVocab(logits!, words))],
      (_, [dy]) => [maskBySubVocabBackward(dy!, words)],
    );
  });

  test.each([
    [
      () => maskBySubVocab(zeros([4]), zeros([2], 'i32')),
      'maskBySubVocab: logits has shape [4]; it must be [..., T, N]',
    ],
    [
      () => maskBySubVocab(zeros([2, 3, 4]), zeros([3, 2], 'i32')),
      'words has shape [3, 2]; it must be [2, k]',
    ],
    [
      () => maskBySubVocab(zeros([3, 4]), tensor([2], [0, 4], 'i32')),
      'words has 4 at element 1; there are 4 rows',
    ],
    [() => maskBySubVocabBackward(zeros([3, 4]), zeros([2])), 'maskBySubVocabBackward: words has dtype f32'],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const call = fc
  .tuple(
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 5 }),
    size(600, [32, 64, 256]),
    size(40, [16]),
  )
  .filter(([, , length]) => length > 0)
  .chain(([rows, tokens, length, k]) =>
    fc.record({
      logits: tensorOf(anyFloat, fc.constant([rows, tokens, length])),
      words: tensorOf(fc.integer({ min: -1, max: length - 1 }), fc.constant([rows, k]), 'i32'),
    }),
  );

const wrong: readonly Mutant[] = [
  {
    name: 'the mask is turned around',
    from: 'given[token * params.length + word], isInside)',
    to: 'given[token * params.length + word], !isInside)',
  },
  {
    name: 'the last word is left out',
    from: 'if (word < params.length) {',
    to: 'if (word + 1u < params.length) {',
  },
  { name: 'all rows have the words of the first', from: 'token / params.tokens * flagWords()', to: '0u' },
  { name: 'flags of a row overlap the next', from: '(params.length + 31u) / 32u', to: 'params.length / 32u' },
];

describeDevice('the kernel', (gpu) => {
  test('copies every bit that is inside, forward and backward', async () => {
    await fc.assert(
      fc.asyncProperty(call, async ({ logits, words }) => {
        await expectTwins(gpu(), 'maskBySubVocab', { logits, words });
        await expectTwins(gpu(), 'maskBySubVocabBackward', { dy: logits, words });
      }),
      { numRuns: 15 },
    );
    for (const c of cases) await expectTwins(gpu(), c.op, c.inputs());
  });

  test('a word that is not there is left out', async () => {
    const { y } = await runGpu(gpu(), 'maskBySubVocab', {
      logits: tensor([1, 3], [1, 2, 3]),
      words: tensor([3], [3, 1, -7], 'i32'),
    });
    expect([...y!.data]).toEqual([-Infinity, 2, -Infinity]);
  });

  test('wrong kernels are rejected', async () => {
    await expectKills(gpu(), 'maskBySubVocab.wgsl', wrong, {
      forward: () => compareTwins(gpu(), cases[2]!.op, cases[2]!.inputs()),
      backward: () => compareTwins(gpu(), cases[1]!.op, cases[1]!.inputs()),
      'the last words of two rows': () =>
        compareTwins(gpu(), 'maskBySubVocab', {
          logits: tensor([2, 1, 33], noiseArray(66, 5)),
          words: tensor([2, 1], [32, 5], 'i32'),
        }),
    });
  });
});
