import { type Tensor, tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';
import { distinctWords } from './localIds.ts';

/** Features of tokens that share sub-vocabularies, and the table. */
export function subVocabInputs(
  rows: number,
  tokens: number,
  width: number,
  k: number,
  words: number,
  seed: number,
): Record<'x' | 'table' | 'words', Tensor> {
  const size = Math.sqrt(3 / width);
  return {
    x: tensor(
      [rows, tokens, width],
      noiseArray(rows * tokens * width, seed).map((v) => 2 * v),
    ),
    table: tensor(
      [words, width],
      noiseArray(words * width, seed + 1).map((v) => size * v),
    ),
    words: tensor([rows, k], distinctWords(rows, k, words)),
  };
}

/** Odd sizes, several chunks, and some places without a word. */
export function oddInputs(): Record<'x' | 'table' | 'words', Tensor> {
  const made = subVocabInputs(3, 7, 13, 150, 301, 7);
  const words = (made.words.data as Int32Array).map((v, i) => (i % 11 === 5 ? -1 : v));
  return { ...made, words: tensor([3, 150], words) };
}

const odd = { chunk: 64 };

export const cases: readonly Case[] = [
  {
    op: 'subVocabHead',
    label: 'a document, 8,192 of 20,000 words',
    shape: '[1, 49, 64] x [1, 8192] of [20000, 64]',
    inputs: () => subVocabInputs(1, 49, 64, 8192, 20_000, 1),
    flops: 2 * 49 * 64 * 8192,
  },
  {
    op: 'subVocabHeadBackward',
    label: 'a document, 2,048 of 20,000 words',
    shape: '[1, 49, 64] x [1, 2048] of [20000, 64]',
    inputs: () => ({
      ...subVocabInputs(1, 49, 64, 2048, 20_000, 3),
      dLogits: tensor([1, 49, 2048], noiseArray(49 * 2048, 5)),
    }),
    flops: 4 * 49 * 64 * 2048,
  },
  {
    op: 'subVocabHead',
    label: 'odd sizes, several chunks, places without a word',
    shape: '[3, 7, 13] x [3, 150] of [301, 13]',
    inputs: oddInputs,
    options: odd,
  },
  {
    op: 'subVocabHeadBackward',
    label: 'odd sizes, several chunks, places without a word',
    shape: '[3, 7, 13] x [3, 150] of [301, 13]',
    inputs: () => ({ ...oddInputs(), dLogits: tensor([3, 7, 150], noiseArray(3150, 6)) }),
    options: odd,
  },
];
