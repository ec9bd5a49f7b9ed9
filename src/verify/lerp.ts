import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

const shape = [32, 49, 512];
const size = 32 * 49 * 512;
const both = () => ({
  a: tensor(shape, noiseArray(size, 1)),
  b: tensor(shape, noiseArray(size, 2)),
  weight: tensor([1], [0.3]),
});

export const cases: readonly Case[] = [
  {
    op: 'lerp',
    label: 'the blend of a layer',
    shape: '[32, 49, 512]',
    inputs: both,
    independent: true,
    bytes: size * 12,
  },
  {
    op: 'lerpBackward',
    label: 'the blend of a layer',
    shape: '[32, 49, 512]',
    inputs: () => ({ ...both(), dy: tensor(shape, noiseArray(size, 3)) }),
    bytes: size * 20,
  },
];
