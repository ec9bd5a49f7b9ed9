import { type Tensor, tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

const shape = [32, 49, 512];

/** Two queries for each row of the seed's batch. */
const documents = (): Record<string, Tensor> => ({
  x: tensor(shape, noiseArray(32 * 49 * 512, 1)),
  positions: tensor(
    [32, 2],
    Int32Array.from({ length: 64 }, (_, i) => (i * 29) % 49),
  ),
});

/** Some positions are none, some rows begin with padding or are nothing but padding. */
const masked = (): Record<string, Tensor> => ({
  x: tensor([4, 9, 5], noiseArray(180, 2)),
  positions: tensor(
    [4, 6],
    [0, 4, 8, -1, 3, 1, 8, 7, 2, 2, 0, 5, 0, 1, 2, 3, 4, 8, -1, 0, 8, 6, 3, 1],
    'i32',
  ),
  mask: tensor(
    [4, 9],
    Uint32Array.from({ length: 36 }, (_, i) =>
      i < 9 ? 1 : i < 18 ? (i % 3) % 2 : i < 27 ? Number(i > 20) : 0,
    ),
  ),
});

const small = (['mean', 'last', 'cls', 'own'] as const).flatMap((pooling): Case[] => [
  {
    op: 'poolQuery',
    label: `${pooling}, padding`,
    shape: '[4, 9, 5], positions [4, 6]',
    inputs: masked,
    options: { pooling },
  },
  {
    op: 'poolQueryBackward',
    label: `${pooling}, padding`,
    shape: '[4, 9, 5], positions [4, 6]',
    inputs: () => ({ ...masked(), dQueries: tensor([4, 6, 5], noiseArray(120, 3)) }),
    options: { pooling },
  },
]);

export const cases: readonly Case[] = [
  {
    op: 'poolQuery',
    label: "the seed's batch, mean",
    shape: '[32, 49, 512], positions [32, 2]',
    inputs: documents,
    options: { pooling: 'mean' },
    bytes: 32 * 49 * 512 * 4,
  },
  {
    op: 'poolQueryBackward',
    label: "the seed's batch, mean",
    shape: '[32, 49, 512], positions [32, 2]',
    inputs: () => ({ ...documents(), dQueries: tensor([32, 2, 512], noiseArray(32 * 1024, 4)) }),
    options: { pooling: 'mean' },
    bytes: 32 * 49 * 512 * 4,
  },
  ...small,
];
