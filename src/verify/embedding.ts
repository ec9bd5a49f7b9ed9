import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

/** Ids as text has them: a few name most of the positions. */
function zipfIds(count: number, rows: number): Int32Array {
  return Int32Array.from(noiseArray(count, 5), (u) => Math.floor(rows ** ((u + 1) / 2)) - 1);
}

const rows = 8460;
const width = 512;
const ids = () => tensor([32, 49], zipfIds(32 * 49, rows));

export const cases: readonly Case[] = [
  {
    op: 'embedding',
    label: "the seed's table and batch",
    shape: '[8460, 512], ids [32, 49]',
    inputs: () => ({ table: tensor([rows, width], noiseArray(rows * width, 1)), ids: ids() }),
    options: { paddingIndex: 259 },
    bytes: 32 * 49 * width * 8,
  },
  {
    op: 'embeddingBackward',
    label: 'one id in every third place, a padding row',
    shape: '[300, 20], ids [40, 49]',
    inputs: () => ({
      dy: tensor([40, 49, 20], noiseArray(40 * 49 * 20, 2)),
      table: tensor([300, 20], noiseArray(6000, 1)),
      ids: tensor(
        [40, 49],
        zipfIds(40 * 49, 300).map((v, i) => (i % 3 === 0 ? 7 : v)),
      ),
    }),
    options: { paddingIndex: 259 },
  },
  {
    op: 'embeddingBackward',
    label: "the seed's table and batch",
    shape: '[8460, 512], ids [32, 49]',
    inputs: () => ({
      dy: tensor([32, 49, width], noiseArray(32 * 49 * width, 2)),
      table: tensor([rows, width], new Float32Array(rows * width)),
      ids: ids(),
    }),
    options: { paddingIndex: 259 },
    bytes: (32 * 49 + rows) * width * 4,
  },
];
