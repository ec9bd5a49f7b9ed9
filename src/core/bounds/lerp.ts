import { compareBound, sumBound } from '../bounds.ts';
import type { Tensor } from '../tensor.ts';
import { flushing, lostProduct, lostSum } from './flushing.ts';
import type { Judge } from './judge.ts';

/** 1 - w, two products and a sum: at most four roundings on any path, of terms (|1 - w| + 1) |a| and |w| |b|. */
export const judgeLerp: Judge = ({ inputs, want, got, independent = false }) => {
  const a = inputs.a!.data;
  const b = inputs.b!.data;
  const w = inputs.weight!.data[0]!;
  // 1 - w is rounded relative to its own operands, so |1| + |w| stands for |1 - w|. It is 0 or at least 2^-24: never flushed.
  const absolute = new Float64Array(a.length);
  const lost = new Float64Array(a.length);
  for (let i = 0; i < a.length; i++) {
    absolute[i] = (1 + Math.abs(w)) * Math.abs(a[i]!) + Math.abs(w * b[i]!);
    lost[i] = lostProduct(1 - w, a[i]!) + lostProduct(w, a[i]!) + lostProduct(w, b[i]!);
  }
  const bound = flushing(sumBound(absolute, 3, 'gamma_4(2^-23) * ((1 + |w|) |a| + |w| |b|)'), lost);
  return { y: compareBound(want.y!, got.y!, { ...bound, statistics: independent }) };
};

/** da and db: a product each. dWeight: a sum of n terms dy (b - a), in any order. */
export const judgeLerpBackward: Judge = ({ inputs, want, got, independent = false }) => {
  const { a, b, dy } = inputs as Record<string, Tensor>;
  const w = inputs.weight!.data[0]!;
  const scaled = (by: number): Float64Array => Float64Array.from(dy!.data, (g) => by * Math.abs(g));
  let total = 0;
  let lostOfTotal = 0;
  for (let i = 0; i < dy!.size; i++) {
    const [g, p, q] = [dy!.data[i]!, a!.data[i]!, b!.data[i]!];
    total += Math.abs(g) * (Math.abs(p) + Math.abs(q));
    lostOfTotal += lostProduct(g, q - p) + Math.abs(g) * lostSum(p, q);
  }
  const check = (
    name: string,
    absolute: ArrayLike<number>,
    terms: number,
    lost: ArrayLike<number>,
    why: string,
  ) =>
    compareBound(want[name] as Tensor, got[name] as Tensor, {
      ...flushing(sumBound(absolute, terms, why), lost),
      statistics: independent,
    });
  const lostBy = (factor: number) => Float64Array.from(dy!.data, (g) => lostProduct(factor, g));
  const lostOfDa = lostBy(1 - w).map((v, i) => v + lostProduct(w, dy!.data[i]!));
  return {
    da: check('da', scaled(1 + Math.abs(w)), 2, lostOfDa, 'gamma_3(2^-23) * (1 + |w|) |dy|'),
    db: check('db', scaled(Math.abs(w)), 1, lostBy(w), 'gamma_2(2^-23) * |w dy|'),
    dWeight: check(
      'dWeight',
      [total],
      dy!.size + 2,
      [lostOfTotal],
      'gamma_n(2^-23) * sum |dy| (|a| + |b|), n + 3 roundings',
    ),
  };
};
