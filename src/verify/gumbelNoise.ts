import { key } from '../core/key.ts';
import type { Case } from './case.ts';

const vocabulary = 1_000_000;

export const cases: readonly Case[] = [
  {
    op: 'gumbelNoise',
    label: 'one number per vocabulary entry',
    shape: '[1000000]',
    inputs: () => ({}),
    options: { key: key(42), shape: [vocabulary] },
    bytes: vocabulary * 4,
  },
  {
    op: 'gumbelNoise',
    label: 'a large seed, an odd shape',
    shape: '[7, 1025]',
    inputs: () => ({}),
    options: { key: key(2 ** 53 - 1), shape: [7, 1025] },
  },
];
