import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';
import { distinctWords } from './localIds.ts';

const size = 2 * 16 * 50_000;

export const cases: readonly Case[] = [
  {
    op: 'maskBySubVocab',
    label: '8,192 of 50,000 words',
    shape: '[2, 16, 50000], words [2, 8192]',
    inputs: () => ({
      logits: tensor([2, 16, 50_000], noiseArray(size, 1)),
      words: tensor([2, 8192], distinctWords(2, 8192, 50_000)),
    }),
    bytes: size * 8,
  },
  {
    op: 'maskBySubVocabBackward',
    label: 'words that repeat, places without a word',
    shape: '[3, 5, 67], words [3, 20]',
    inputs: () => ({
      dy: tensor([3, 5, 67], noiseArray(3 * 5 * 67, 2)),
      words: tensor(
        [3, 20],
        Int32Array.from(noiseArray(60, 3), (u) => Math.floor(34 * (u + 1)) - 1),
      ),
    }),
  },
  {
    op: 'maskBySubVocab',
    label: 'the same forward',
    shape: '[3, 5, 67], words [3, 20]',
    inputs: () => ({
      logits: tensor([3, 5, 67], noiseArray(3 * 5 * 67, 4)),
      words: tensor(
        [3, 20],
        Int32Array.from(noiseArray(60, 3), (u) => Math.floor(33.5 * (u + 1)) - 1),
      ),
    }),
  },
];
