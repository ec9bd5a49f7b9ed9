import { compareBound, compareExact, sumBound } from '../bounds.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';

/** concat with rho = 1: copies. Else a product; add: a product and a sum of |u| + |rho d|. */
export const judgeSkipTuning: Judge = ({ inputs, options, want, got, independent = false }) => {
  const rho = Math.abs(Math.fround(options.rho as number));
  if (options.mode !== 'add') {
    if (rho === 1 && options.rho === 1) return { y: compareExact(want.y!, got.y!) };
    const bound = sumBound(want.y!.data.map(Math.abs), 1, 'gamma_2(2^-23) * |y|');
    return { y: compareBound(want.y!, got.y!, bound) };
  }
  const absolute = inputs.u!.data.map((v, i) => Math.abs(v) + rho * Math.abs(inputs.d!.data[i]!));
  const bound = sumBound(absolute, 2, 'gamma_3(2^-23) * (|u| + |rho d|)');
  return { y: compareBound(want.y!, got.y!, { ...bound, statistics: independent }) };
};

/** du: copies. dd: a product. */
export const judgeSkipTuningBackward: Judge = ({ want, got }) => {
  const bound = sumBound(want.dd!.data.map(Math.abs), 1, 'gamma_2(2^-23) * |rho dy|');
  return {
    du: compareExact(want.du!, got.du!),
    dd: compareBound(want.dd as Tensor, got.dd as Tensor, bound),
  };
};
