import { type Tensor, tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

const of = (shape: readonly number[], seed: number): Tensor =>
  tensor(
    shape,
    noiseArray(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
  );
const layer = [32, 49, 512] as const;
const size = 32 * 49 * 512;

export const cases: readonly Case[] = [
  {
    op: 'mixHeads',
    label: 'a layer of the seed, 8 heads',
    shape: '[32, 49, 512]',
    inputs: () => ({ x: of(layer, 1), weight: of([8, 8], 2) }),
    independent: true,
    bytes: size * 8,
    flops: size * 16,
  },
  {
    op: 'mixHeadsBackward',
    label: 'a layer of the seed, 8 heads',
    shape: '[32, 49, 512]',
    inputs: () => ({ dy: of(layer, 3), x: of(layer, 1), weight: of([8, 8], 2) }),
    bytes: size * 12,
    flops: size * 32,
  },
  {
    op: 'mixHeadsBackward',
    label: 'odd sizes',
    shape: '[131, 15]',
    inputs: () => ({ dy: of([131, 15], 3), x: of([131, 15], 1), weight: of([3, 3], 2) }),
  },
];
