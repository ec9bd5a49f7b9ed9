import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

const of = (shape: number[], seed: number) =>
  tensor(
    shape,
    noiseArray(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
  );
const size = 8 * 96 * 32 * 32;

export const cases: readonly Case[] = [
  {
    op: 'skipTuning',
    label: 'a block of a U-Net',
    shape: '[8, 64, 32, 32] and [8, 32, 32, 32]',
    inputs: () => ({ u: of([8, 64, 32, 32], 1), d: of([8, 32, 32, 32], 2) }),
    options: { rho: 0.78 },
    bytes: size * 8,
  },
  {
    op: 'skipTuning',
    label: 'rho = 1 changes no bit',
    shape: '[3, 5, 7] and [3, 2, 7]',
    inputs: () => ({
      u: tensor(
        [3, 5, 7],
        noiseArray(105, 3).map((v, i) => (i % 9 === 0 ? Number.NaN : i % 7 === 0 ? v * 2 ** -130 : v)),
      ),
      d: tensor(
        [3, 2, 7],
        noiseArray(42, 4).map((v, i) => (i % 5 === 0 ? Infinity : i % 3 === 0 ? v * 2 ** -130 : v)),
      ),
    }),
    options: { rho: 1 },
  },
  {
    op: 'skipTuning',
    label: 'a residual',
    shape: '[32, 49, 512]',
    inputs: () => ({ u: of([32, 49, 512], 1), d: of([32, 49, 512], 2) }),
    options: { rho: 0.9, mode: 'add' },
    independent: true,
    bytes: 32 * 49 * 512 * 12,
  },
  {
    op: 'skipTuningBackward',
    label: 'a block of a U-Net',
    shape: '[8, 64, 32, 32] and [8, 32, 32, 32]',
    inputs: () => ({ dy: of([8, 96, 32, 32], 3), u: of([8, 64, 32, 32], 1), d: of([8, 32, 32, 32], 2) }),
    options: { rho: 0.78 },
    bytes: size * 8,
  },
];
