import type { Tensor } from '../core/tensor.ts';
import { packStrings, pieceTable } from '../core/tokenizers/pieceTable.ts';
import { type Case, noise } from './case.ts';

/**
 * Random words over a small alphabet, and all its letters but one plus random pieces with random costs: ties, words that cannot be
 * spelled, empty ones and long ones occur.
 */
export function formInputs(
  words: number,
  pieces: number,
  longest: number,
  seed: number,
  lettersCost = 9,
): Record<string, Tensor> {
  const next = noise(seed);
  const pick = (n: number): number => Math.floor(((next() + 1) / 2) * n);
  const string = (length: number): Uint8Array =>
    Uint8Array.from({ length }, () => [97, 98, 99, 255, 0][pick(pick(12) === 0 ? 5 : 4)]!);
  const letters = [97, 98, 99, 255].map((byte, id) => ({ id, bytes: Uint8Array.of(byte) }));
  const others = Array.from({ length: pieces }, (_, i) => ({ id: i + 10, bytes: string(2 + pick(5)) }));
  const costs = new Map(others.map(({ id }) => [id, 5 + pick(12)]));
  const table = pieceTable([...letters, ...others], (id) => costs.get(id) ?? lettersCost);
  const { bytes, offsets } = packStrings(Array.from({ length: words }, () => string(pick(longest + 1))));
  return { words: bytes, offsets, ...table };
}

export const cases: readonly Case[] = [
  {
    op: 'surfaceForms',
    label: 'a vocabulary',
    shape: '4096 words, 2000 pieces',
    inputs: () => formInputs(4096, 2000, 16, 1),
    bytes: 4096 * 8 * 4,
  },
  {
    op: 'surfaceForms',
    label: 'long words, few pieces',
    shape: '200 words, 40 pieces, 3 places',
    inputs: () => formInputs(200, 40, 255, 2),
    options: { length: 3, padding: 7 },
  },
];
