import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

/** Packed words of bytes from -128 to 127. */
export function packedBytes(count: number, seed: number): Uint32Array {
  const noise = noiseArray(count * 4, seed);
  return Uint32Array.from({ length: count }, (_, i) => {
    let word = 0;
    for (let b = 0; b < 4; b++) word |= (Math.floor((noise[4 * i + b]! + 1) * 128) & 255) << (8 * b);
    return word >>> 0;
  });
}

const inputs = (queries: number, n: number, words: number) => () => ({
  queries: tensor([queries, words], packedBytes(queries * words, 1)),
  queryScales: tensor([queries], noiseArray(queries, 2)),
  codes: tensor([n, words], packedBytes(n * words, 3)),
  scales: tensor([n], noiseArray(n, 4)),
});

export const cases: readonly Case[] = [
  {
    op: 'scoreInt8',
    label: 'words of 64 bytes',
    shape: 'queries [4, 16], codes [100000, 16]',
    inputs: inputs(4, 100_000, 16),
    bytes: 100_000 * (16 + 1 + 4) * 4,
    flops: 2 * 4 * 100_000 * 64,
  },
  {
    op: 'scoreInt8',
    label: 'rests of every tile',
    shape: 'queries [5, 3], codes [67, 3]',
    inputs: inputs(5, 67, 3),
  },
];
