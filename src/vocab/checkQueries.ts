import { ArgumentError } from '../core/errors.ts';

/** Check queries [count, dim] and k; returns count. @throws ArgumentError */
export function checkQueries(queries: Float32Array, dim: number, k: number): number {
  if (queries.length % dim !== 0)
    throw new ArgumentError('search', `${queries.length} numbers are no queries of ${dim}; give whole rows`);
  const bad = queries.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0)
    throw new ArgumentError(
      'search',
      `query ${Math.floor(bad / dim)} holds ${queries[bad]}; queries must be finite`,
    );
  if (!Number.isInteger(k) || k < 0)
    throw new ArgumentError('search', `k is ${k}; it must be an integer from 0 on`);
  return queries.length / dim;
}
