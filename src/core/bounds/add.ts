import { compareBound, sumBound } from '../bounds.ts';
import type { Judge } from './judge.ts';

/** One addition: gamma_1 * (|a| + |b|). */
export const judgeAdd: Judge = ({ inputs, want, got, independent = false }) => {
  const absolute = inputs.a!.data.map((v, i) => Math.abs(v) + Math.abs(inputs.b!.data[i]!));
  const bound = sumBound(absolute, 1, 'gamma_1(2^-23) * (|a| + |b|)');
  return { y: compareBound(want.y!, got.y!, { ...bound, statistics: independent }) };
};
