import { key } from '../core/key.ts';
import type { Case } from './case.ts';

const vocabulary = 1_000_000;

export const cases: readonly Case[] = [
  {
    op: 'randomBits',
    label: 'one word per vocabulary entry',
    shape: '[1000000]',
    inputs: () => ({}),
    options: { key: key(42), shape: [vocabulary] },
    bytes: vocabulary * 4,
  },
  {
    op: 'randomBits',
    label: 'a key with all bits set, an odd shape',
    shape: '[3, 5, 67]',
    inputs: () => ({}),
    options: { key: key(-1), shape: [3, 5, 67] },
  },
];
