import { compareBound, sumBound } from '../bounds.ts';
import { planPoolQuery } from '../ops/poolQuery.ts';
import type { Judge } from './judge.ts';

/** A mean of at most p + 1 numbers: their sum and a division within 2.5 ulp. One number alone is a copy. */
export const judgePoolQuery: Judge = ({ inputs, options, want, got, independent = false }) => {
  const { x, positions } = inputs;
  const { queries, length, width, pooling } = planPoolQuery(x!, positions!, options);
  const absolute = new Float64Array(want.queries!.size);
  const terms = new Float64Array(absolute.length);
  for (let i = 0; i < positions!.size; i++) {
    const p = positions!.data[i]!;
    for (let d = 0; d < width && pooling === 'mean'; d++) {
      // The reference divides by how many are not masked; the largest number stands for their mean.
      for (let t = 0; t <= p; t++) {
        const at = (Math.floor(i / queries) * length + t) * width + d;
        absolute[i * width + d] = Math.max(absolute[i * width + d]!, Math.abs(x!.data[at]!));
      }
      terms[i * width + d] = p + 4;
    }
  }
  const bound = sumBound(absolute, terms, 'gamma_n+4(2^-23) * the largest |x| of the n positions');
  return { queries: compareBound(want.queries!, got.queries!, { ...bound, statistics: independent }) };
};

/** A sum over the queries of the row, each divided. */
export const judgePoolQueryBackward: Judge = ({ inputs, options, want, got, independent = false }) => {
  const { dQueries, x, positions } = inputs;
  const { queries, length, width } = planPoolQuery(x!, positions!, options);
  const sums = new Float64Array(x!.size);
  for (let i = 0; i < positions!.size; i++) {
    for (let t = 0; t <= positions!.data[i]!; t++) {
      for (let d = 0; d < width; d++)
        sums[(Math.floor(i / queries) * length + t) * width + d]! += Math.abs(dQueries!.data[i * width + d]!);
    }
  }
  const bound = sumBound(
    sums,
    queries + 3,
    'gamma_Q+3(2^-23) * sum |dQueries| over the queries at or after the position',
  );
  return { dx: compareBound(want.dx!, got.dx!, { ...bound, statistics: independent }) };
};
