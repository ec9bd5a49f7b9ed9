import { compareBound, compareExact, sumBound } from '../bounds.ts';
import { planSkipTuning, type SkipTuningOptions } from '../ops/skipTuning.ts';
import type { Tensor } from '../tensor.ts';
import { flushing, lostProduct } from './flushing.ts';
import type { Judge } from './judge.ts';

/** concat: copies of u, and of d where rho is 1; else a product. add: a product and a sum of |u| + |rho d|. */
export const judgeSkipTuning: Judge = ({ inputs, options, want, got, independent = false }) => {
  const { u, d } = inputs as Record<'u' | 'd', Tensor>;
  const rho = Math.fround(options.rho as number);
  if (options.mode === 'add') {
    const absolute = Float64Array.from(u.data, (v, i) => Math.abs(v) + Math.abs(rho * d.data[i]!));
    const lost = Float64Array.from(d.data, (v) => lostProduct(rho, v));
    const bound = flushing(sumBound(absolute, 2, 'gamma_3(2^-23) * (|u| + |rho d|)'), lost);
    return { y: compareBound(want.y!, got.y!, { ...bound, statistics: independent }) };
  }
  if (rho === 1) return { y: compareExact(want.y!, got.y!) };
  const products = productsBy(rho, d);
  const plan = planSkipTuning(u, d, rho, options as SkipTuningOptions);
  const [ofU, ofD] = [plan.u * plan.inner, plan.d * plan.inner];
  // A run of y is u's part of a row, which is copied, then d's.
  const fail = Float64Array.from(want.y!.data, (_, i) => {
    const at = (i % (ofU + ofD)) - ofU;
    return at < 0 ? 0 : products.fail[Math.floor(i / (ofU + ofD)) * ofD + at]!;
  });
  return { y: compareBound(want.y!, got.y!, { fail, why: `u copied; d: ${products.why}` }) };
};

/** du: copies. dd: a product, or copies where rho is 1. */
export const judgeSkipTuningBackward: Judge = ({ inputs, options, want, got }) => {
  const { dy, u, d } = inputs as Record<'dy' | 'u' | 'd', Tensor>;
  const rho = Math.fround(options.rho as number);
  const plan = planSkipTuning(u, d, rho, options as SkipTuningOptions);
  const du = compareExact(want.du!, got.du!);
  if (rho === 1) return { du, dd: compareExact(want.dd!, got.dd!) };
  const [ofU, ofD] = [plan.u * plan.inner, plan.d * plan.inner];
  const own = d.data.slice();
  for (let i = 0; i < own.length; i++) {
    own[i] = dy.data[plan.add ? i : Math.floor(i / ofD) * (ofU + ofD) + ofU + (i % ofD)]!;
  }
  return { du, dd: compareBound(want.dd!, got.dd!, productsBy(rho, { data: own })) };
};

/** One product each, of which all is lost where a factor is subnormal. */
function productsBy(rho: number, { data }: Pick<Tensor, 'data'>): ReturnType<typeof sumBound> {
  const sizes = Float64Array.from(data, (v) => Math.abs(rho * v));
  const lost = Float64Array.from(data, (v) => lostProduct(rho, v));
  return flushing(sumBound(sizes, 1, 'gamma_2(2^-23) * |rho| times the element'), lost);
}
