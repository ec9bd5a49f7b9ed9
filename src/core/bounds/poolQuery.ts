import { compareBound, sumBound } from '../bounds.ts';
import { type PoolQueryPlan, planPoolQuery } from '../ops/poolQuery.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';

/** Call the body for each query with the positions that it is the mean of, as rows of x. */
function forSets(
  { queries, length, pooling }: PoolQueryPlan,
  positions: Tensor,
  mask: Tensor | undefined,
  body: (query: number, rows: readonly number[]) => void,
): void {
  for (let i = 0; i < positions.size; i++) {
    const first = Math.floor(i / queries) * length;
    const asked = first + positions.data[i]!;
    const rows: number[] = [];
    for (let t = first; t <= asked; t++) if (mask === undefined || mask.data[t] !== 0) rows.push(t);
    const before = rows.filter((t) => t < asked);
    if (pooling === 'cls') body(i, rows.slice(0, 1));
    else if (pooling === 'own') body(i, rows.slice(before.length));
    else if (pooling === 'last') body(i, before.length > 0 ? before.slice(-1) : rows);
    else body(i, rows);
  }
}

/**
 * A mean of n numbers: n - 1 additions and a division within 2.5 ulp. One number alone is a copy. sumBound's n times 2^-126 is
 * more than flushing can take: from the sum, which is divided, and once from the quotient.
 */
export const judgePoolQuery: Judge = ({ inputs, options, want, got, independent = false }) => {
  const { x, positions, mask } = inputs;
  const plan = planPoolQuery(x!, positions!, options);
  const { width } = plan;
  const absolute = new Float64Array(want.queries!.size);
  const copied = new Uint8Array(want.queries!.size).fill(1);
  const terms = new Float64Array(want.queries!.size);
  forSets(plan, positions!, mask, (i, rows) => {
    for (let d = 0; d < width && rows.length > 1; d++) {
      for (const t of rows) absolute[i * width + d]! += Math.abs(x!.data[t * width + d]!) / rows.length;
      terms[i * width + d] = rows.length + 2;
      copied[i * width + d] = 0;
    }
  });
  const why = 'gamma_n+3(2^-23) * the mean of the n absolute values; a copy where n is 1';
  const sums = sumBound(absolute, terms, why);
  const fail = sums.fail.map((v, i) => (copied[i] ? 0 : v));
  const suspect = sums.suspect!.map((v, i) => (copied[i] ? 0 : v));
  const bound = { fail, suspect, why, statistics: independent };
  return { queries: compareBound(want.queries!, got.queries!, bound) };
};

/** A sum over the queries whose set holds the position, each divided by the size of its set. */
export const judgePoolQueryBackward: Judge = ({ inputs, options, want, got, independent = false }) => {
  const { dQueries, x, positions, mask } = inputs;
  const plan = planPoolQuery(x!, positions!, options);
  const { width } = plan;
  const sums = new Float64Array(x!.size);
  const terms = new Float64Array(x!.size);
  forSets(plan, positions!, mask, (i, rows) => {
    for (const t of rows) {
      for (let d = 0; d < width; d++) {
        sums[t * width + d]! += Math.abs(dQueries!.data[i * width + d]!) / rows.length;
        terms[t * width + d]! += 1;
      }
    }
  });
  const bound = sumBound(
    sums,
    terms.map((n) => (n > 0 ? n + 3 : 0)),
    'gamma_n+4(2^-23) * sum |dQueries| / the size of its set, over the n queries whose set holds the position',
  );
  return { dx: compareBound(want.dx!, got.dx!, { ...bound, statistics: independent }) };
};
