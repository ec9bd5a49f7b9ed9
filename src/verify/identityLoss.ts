import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

const shape = [4096, 128];
const size = 4096 * 128;
const both = () => ({ x: tensor(shape, noiseArray(size, 1)), goal: tensor(shape, noiseArray(size, 2)) });

export const cases: readonly Case[] = [
  {
    op: 'identityLoss',
    label: 'predicted rows of a vocabulary',
    shape: '[4096, 128]',
    inputs: both,
    options: { weight: 0.5 },
    bytes: size * 8,
  },
  {
    op: 'identityLossBackward',
    label: 'predicted rows of a vocabulary',
    shape: '[4096, 128]',
    inputs: () => ({ dLoss: tensor([], [0.7]), ...both() }),
    options: { weight: 0.5 },
    bytes: size * 12,
  },
];
