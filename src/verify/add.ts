import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

const shape = [32, 49, 512];
const size = 32 * 49 * 512;

export const cases: readonly Case[] = [
  {
    op: 'add',
    label: 'the residual of a layer',
    shape: '[32, 49, 512]',
    inputs: () => ({ a: tensor(shape, noiseArray(size, 1)), b: tensor(shape, noiseArray(size, 2)) }),
    independent: true,
    bytes: size * 12,
  },
  {
    op: 'addBackward',
    label: 'the residual of a layer, one document',
    shape: '[49, 512]',
    inputs: () => ({ dy: tensor([49, 512], noiseArray(49 * 512, 3)) }),
    bytes: 49 * 512 * 12,
  },
];
