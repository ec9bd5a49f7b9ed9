import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

const n = 100_003;

/** Words of sub-vocabularies without repeats: steps through the whole vocabulary, another one for each row. */
export function distinctWords(rows: number, k: number, of: number): Int32Array {
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
  const words = new Int32Array(rows * k);
  for (let row = 0; row < rows; row++) {
    let step = 7919 + 2 * row;
    while (divisor(step, of) !== 1) step++;
    for (let j = 0; j < k; j++) words[row * k + j] = (j * step + row) % of;
  }
  return words;
}

const integers = (count: number, below: number, seed: number): Int32Array =>
  Int32Array.from(noiseArray(count, seed), (u) => Math.floor(((u + 1) / 2) * below));

export const cases: readonly Case[] = [
  {
    op: 'localIds',
    label: 'documents of the seed, 8,192 words each',
    shape: 'ids [4, 49], words [4, 8192]',
    inputs: () => ({
      ids: tensor([4, 49], integers(196, n, 1)),
      words: tensor([4, 8192], distinctWords(4, 8192, n)),
    }),
    bytes: 4 * (8192 + 98) * 4,
  },
  {
    op: 'localIds',
    label: 'words that repeat, places without a word',
    shape: 'ids [3, 70], words [3, 37]',
    inputs: () => ({
      ids: tensor(
        [3, 70],
        integers(210, 40, 2).map((v) => v - 2),
      ),
      words: tensor(
        [3, 37],
        integers(111, 30, 3).map((v) => v - 1),
      ),
    }),
  },
];
