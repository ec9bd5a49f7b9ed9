import { compareBound, minNormal, sumBound } from '../bounds.ts';
import type { Judge } from './judge.ts';

/** One product per element that stays, and what flushing a subnormal element loses, scaled; a dropped one must be 0. */
const judgeProduct =
  (name: 'y' | 'dx'): Judge =>
  ({ options, want, got, independent = false }) => {
    const { fail, suspect } = sumBound(want[name]!.data.map(Math.abs), 1, '');
    const flushed = minNormal / (1 - (options.p as number));
    const bound = {
      fail: fail.map((v, i) => (want[name]!.data[i] === 0 ? minNormal : v + flushed)),
      suspect: suspect!.map((v, i) => (want[name]!.data[i] === 0 ? minNormal : v + flushed)),
      why: 'gamma_2(2^-23) * |y|',
    };
    return { [name]: compareBound(want[name]!, got[name]!, { ...bound, statistics: independent }) };
  };

export const judgeDropout: Judge = judgeProduct('y');
export const judgeDropoutBackward: Judge = judgeProduct('dx');
