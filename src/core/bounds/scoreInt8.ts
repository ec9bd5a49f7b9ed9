import { compareBound, minNormal, sumBound } from '../bounds.ts';
import { flushing, isSubnormal } from './flushing.ts';
import type { Judge } from './judge.ts';

/** The integer sum is exact in f32; two products by scales are rounded. */
export const judgeScoreInt8: Judge = ({ inputs, want, got, independent = false }) => {
  const scales = inputs.scales!.data;
  const queryScales = inputs.queryScales!.data;
  const absolute = Float64Array.from(want.scores!.data, Math.abs);
  // With a subnormal scale all may be lost; with a subnormal first product, 2^-126 times the second scale.
  const lost = absolute.map((size, at) => {
    const scale = scales[at % scales.length]!;
    const queryScale = queryScales[Math.floor(at / scales.length)]!;
    const first = minNormal * Math.abs(queryScale);
    return isSubnormal(scale) || isSubnormal(queryScale) ? size : size > 0 && size < first ? first : 0;
  });
  const bound = flushing(sumBound(absolute, 2, 'gamma_3(2^-23) * |score|'), lost);
  return { scores: compareBound(want.scores!, got.scores!, { ...bound, statistics: independent }) };
};
