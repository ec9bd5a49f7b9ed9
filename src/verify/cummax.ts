import { tensor } from '../core/tensor.ts';
import { cummax } from '../ref/cummax.ts';
import { type Case, noiseArray } from './case.ts';

const seedShape = [32, 49, 512];
const seedSize = 32 * 49 * 512;
const hard = [0, -0, Number.NaN, 1e-45, -1e-45, 3.4028235e38, -3.4028235e38, Infinity, -Infinity, 1, 1, -1];

/** x with many ties, both zeros, NaN, subnormals and extremes. */
function hardRow(length: number): Float32Array {
  const pick = noiseArray(length, 7);
  return Float32Array.from(pick, (p) => hard[Math.floor((p + 1) * 6)]!);
}

export const cases: readonly Case[] = [
  {
    op: 'cummax',
    label: 'one layer of the seed',
    shape: '[32, 49, 512] axis 1',
    inputs: () => ({ x: tensor(seedShape, noiseArray(seedSize, 1)) }),
    options: { axis: 1 },
    bytes: seedSize * 12,
  },
  {
    op: 'cummax',
    label: 'one long row, last axis',
    shape: '[1, 100003]',
    inputs: () => ({ x: tensor([1, 100003], noiseArray(100003, 2)) }),
    bytes: 100003 * 12,
  },
  {
    op: 'cummax',
    label: 'NaN, both zeros, subnormals, ties; carry and mask',
    shape: '[3, 257, 5] axis 1',
    inputs: () => ({
      x: tensor([3, 257, 5], hardRow(3 * 257 * 5)),
      carryIn: tensor([3, 5], hardRow(15)),
      mask: tensor(
        [3, 257],
        Uint32Array.from(noiseArray(3 * 257, 3), (v) => (v > -0.4 ? 1 : 0)),
      ),
    }),
    options: { axis: 1 },
  },
  {
    op: 'cummaxBackward',
    label: 'one layer of the seed',
    shape: '[32, 49, 512] axis 1',
    inputs: () => ({
      dValues: tensor(seedShape, noiseArray(seedSize, 4)),
      indices: cummax(tensor(seedShape, noiseArray(seedSize, 1)), { axis: 1 }).indices,
    }),
    options: { axis: 1 },
    bytes: seedSize * 12,
  },
  {
    op: 'cummaxBackward',
    label: 'one long row with its carry',
    shape: '[1, 4099]',
    inputs: () => ({
      dValues: tensor([1, 4099], noiseArray(4099, 5)),
      indices: cummax(tensor([1, 4099], hardRow(4099)), { carryIn: tensor([1], [0.5]) }).indices,
      dCarryOut: tensor([1], [2]),
    }),
  },
];
