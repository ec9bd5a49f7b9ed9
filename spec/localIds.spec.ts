import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tensor, zeros } from '../src/core/tensor.ts';
import { localIds } from '../src/ref/localIds.ts';
import { cases } from '../src/verify/localIds.ts';
import { describeDevice } from './support/device.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size, tensorOf } from './support/tensors.ts';
import { compareTwins, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; the map is the inverse of the list of words; the kernels agree with the reference, exactly;
// wrong kernels are rejected; bad calls are refused.

describeVectors('localIds');

const call = fc
  .tuple(
    fc.integer({ min: 1, max: 3 }),
    size(70, [16, 64]),
    size(200, [64]),
    fc.integer({ min: 1, max: 300 }),
  )
  .chain(([rows, tokens, k, words]) =>
    fc.record({
      ids: tensorOf(fc.integer({ min: -2, max: words }), fc.constant([rows, tokens]), 'i32'),
      words: tensorOf(fc.integer({ min: -2, max: words }), fc.constant([rows, k]), 'i32'),
    }),
  );

describe('the reference', () => {
  test('a local id leads back to the word; -1 only where the row has no such word', () => {
    fc.assert(
      fc.property(call, ({ ids, words }) => {
        const local = localIds(ids, words);
        const [rows = 0, k = 0] = words.shape;
        const tokens = ids.size / rows;
        for (let i = 0; i < ids.size; i++) {
          const own = [...words.data.slice(Math.floor(i / tokens) * k, (Math.floor(i / tokens) + 1) * k)];
          expect(local.data[i]).toBe(ids.data[i]! < 0 ? -1 : own.indexOf(ids.data[i]!));
        }
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    [
      () => localIds(zeros([2], 'i32'), zeros([2, 3], 'i32')),
      'localIds: words has shape [2, 3]; it must be [k]',
    ],
    [() => localIds(zeros([2, 2], 'i32'), zeros([3], 'i32')), 'words has shape [3]; it must be [2, k]'],
    [() => localIds(zeros([], 'i32'), zeros([3], 'i32')), 'ids is a scalar; it must be [..., T]'],
    [() => localIds(zeros([2]), zeros([3], 'i32')), 'ids has dtype f32; it takes i32'],
    [() => localIds(zeros([2], 'i32'), zeros([3], 'u32')), 'words has dtype u32; it takes i32'],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const wrong: Record<'cpu-vulkan' | 'gpu', readonly Mutant[]> = {
  'cpu-vulkan': [
    {
      name: 'the last of equal words counts',
      from: 'j - 1u, words[first + j - 1u]',
      to: 'params.k - j, words[first + params.k - j]',
    },
    { name: 'the first word is left out', from: 'j > 0u; j--', to: 'j > 1u; j--' },
    { name: 'negative ids match', from: 'select(found, NONE, wanted > 0x7fffffffu)', to: 'found' },
    {
      name: 'all rows have the words of the first',
      from: 'let first = row * params.k;',
      to: 'let first = 0u;',
    },
  ],
  gpu: [
    { name: 'any of equal words counts', from: 'atomicMin(&least, j);', to: 'atomicStore(&least, j);' },
    { name: 'the last word is left out', from: 'j < params.k; j +=', to: 'j + 1u < params.k; j +=' },
    { name: 'negative ids match', from: '&& wanted <= 0x7fffffffu', to: '' },
    { name: 'all rows have the words of the first', from: 'token / params.tokens * params.k', to: '0u' },
  ],
};

describeDevice('the kernel', (gpu, family) => {
  test('agrees with the reference, exactly', async () => {
    await fc.assert(
      fc.asyncProperty(call, (inputs) => expectTwins(gpu(), 'localIds', inputs)),
      { numRuns: 20 },
    );
    for (const c of cases) await expectTwins(gpu(), c.op, c.inputs());
  });

  test('wrong kernels are rejected', async () => {
    const equal = {
      ids: tensor([3], [5, 6, 7], 'i32'),
      words: tensor([200], new Int32Array(200).fill(5).fill(6, 150), 'i32'),
    };
    await expectKills(gpu(), 'localIds.wgsl', wrong[family], {
      'many words': () => compareTwins(gpu(), 'localIds', cases[1]!.inputs()),
      'equal words': () => compareTwins(gpu(), 'localIds', equal),
      'the ends': () =>
        compareTwins(gpu(), 'localIds', {
          ids: tensor([2], [8, 9], 'i32'),
          words: tensor([3], [8, 1, 9], 'i32'),
        }),
    });
  });
});
