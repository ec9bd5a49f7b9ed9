import { key } from '../core/key.ts';
import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

const shape = [32, 49, 512];
const size = 32 * 49 * 512;

export const cases: readonly Case[] = [
  {
    op: 'dropout',
    label: 'a layer of the seed',
    shape: '[32, 49, 512] p 0.1',
    inputs: () => ({ x: tensor(shape, noiseArray(size, 1)) }),
    options: { p: 0.1, key: key(1) },
    independent: true,
    bytes: size * 8,
  },
  {
    op: 'dropoutBackward',
    label: 'a layer of the seed',
    shape: '[32, 49, 512] p 0.1',
    inputs: () => ({ dy: tensor(shape, noiseArray(size, 2)) }),
    options: { p: 0.1, key: key(1) },
    bytes: size * 8,
  },
  {
    op: 'dropout',
    label: 'nearly everything is dropped',
    shape: '[4099] p 0.999',
    inputs: () => ({ x: tensor([4099], noiseArray(4099, 3)) }),
    options: { p: 0.999, key: [2 ** 32 - 1, 7] },
  },
];
