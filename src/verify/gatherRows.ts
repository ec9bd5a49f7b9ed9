import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

const words = 8192;
const width = 64;
const rows = 16384;
/** Distinct rows in no order: an odd step walks through all of them. */
const ids = () =>
  tensor(
    [1, words],
    Int32Array.from({ length: words }, (_, i) => (i * 40503) % rows),
  );

export const cases: readonly Case[] = [
  {
    op: 'gatherRows',
    label: 'a sub-vocabulary',
    shape: `[${rows}, ${width}], ids [1, ${words}]`,
    inputs: () => ({ table: tensor([rows, width], noiseArray(rows * width, 1)), ids: ids() }),
    bytes: words * (width * 8 + 4),
  },
  {
    op: 'gatherRowsBackward',
    label: 'a sub-vocabulary',
    shape: `[${rows}, ${width}], ids [1, ${words}]`,
    inputs: () => ({
      dy: tensor([1, words, width], noiseArray(words * width, 2)),
      table: tensor([rows, width], new Float32Array(rows * width)),
      ids: ids(),
    }),
    bytes: words * (width * 8 + 4) + rows * width * 4,
  },
  {
    op: 'gatherRowsBackward',
    label: 'rows named many times, some none',
    shape: '[7, 5, 3], ids [700]',
    inputs: () => ({
      dy: tensor([700, 3], noiseArray(2100, 3)),
      table: tensor([7, 5, 3], new Float32Array(105)),
      ids: tensor(
        [700],
        Int32Array.from({ length: 700 }, (_, i) => ((i * i) % 36) - 1),
      ),
    }),
  },
];
