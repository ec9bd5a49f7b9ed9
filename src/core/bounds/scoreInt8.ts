import { compareBound, sumBound } from '../bounds.ts';
import type { Judge } from './judge.ts';

/** The integer sum is exact in f32; two products by scales are rounded. */
export const judgeScoreInt8: Judge = ({ want, got, independent = false }) => {
  const absolute = Float64Array.from(want.scores!.data, Math.abs);
  const bound = sumBound(absolute, 2, 'gamma_3(2^-23) * |score|');
  return { scores: compareBound(want.scores!, got.scores!, { ...bound, statistics: independent }) };
};
