import { compareBound, sumBound } from '../bounds.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';

/** 1 - w, two products and a sum: at most four roundings on any path, of terms (|1 - w| + 1) |a| and |w| |b|. */
export const judgeLerp: Judge = ({ inputs, want, got, independent = false }) => {
  const w = inputs.weight!.data[0]!;
  // 1 - w is rounded relative to its own operands, so |1| + |w| stands for |1 - w|.
  const absolute = Float64Array.from(
    inputs.a!.data,
    (v, i) => (1 + Math.abs(w)) * Math.abs(v) + Math.abs(w) * Math.abs(inputs.b!.data[i]!),
  );
  const bound = sumBound(absolute, 3, 'gamma_4(2^-23) * ((1 + |w|) |a| + |w| |b|)');
  return { y: compareBound(want.y!, got.y!, { ...bound, statistics: independent }) };
};

/** da and db: a product each. dWeight: a sum of n terms dy (b - a), in any order. */
export const judgeLerpBackward: Judge = ({ inputs, want, got, independent = false }) => {
  const w = Math.abs(inputs.weight!.data[0]!);
  const dy = inputs.dy!;
  const scaled = (by: number): Float64Array => Float64Array.from(dy.data, (g) => by * Math.abs(g));
  let total = 0;
  for (let i = 0; i < dy.size; i++) {
    total += Math.abs(dy.data[i]!) * (Math.abs(inputs.a!.data[i]!) + Math.abs(inputs.b!.data[i]!));
  }
  const check = (name: string, absolute: ArrayLike<number>, terms: number, why: string) =>
    compareBound(want[name] as Tensor, got[name] as Tensor, {
      ...sumBound(absolute, terms, why),
      statistics: independent,
    });
  return {
    da: check('da', scaled(1 + w), 2, 'gamma_3(2^-23) * (1 + |w|) |dy|'),
    db: check('db', scaled(w), 1, 'gamma_2(2^-23) * |w dy|'),
    dWeight: check('dWeight', [total], dy.size + 2, 'gamma_n(2^-23) * sum |dy| (|a| + |b|), n + 3 roundings'),
  };
};
