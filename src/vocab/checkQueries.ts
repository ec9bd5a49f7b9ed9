import { ArgumentError } from '../core/errors.ts';
import type { VocabSearchOptions } from './vocabIndex.ts';

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

/**
 * The lists that a search asks for in an index that cannot say how many lists a recall takes.
 * @throws ArgumentError for a recall other than 1, unless there is one list or `nprobe` says it
 */
export function nprobeOf({ nprobe, recall }: VocabSearchOptions, lists: number): number | undefined {
  if (nprobe !== undefined || recall === undefined) return nprobe;
  if (!(recall > 0 && recall <= 1))
    throw new ArgumentError('search', `recall is ${recall}; it must be above 0, at most 1`);
  if (recall < 1 && lists > 1)
    throw new ArgumentError(
      'search',
      `recall is ${recall}; how many lists that takes only an index on disk knows: give nprobe, or 1 for all`,
    );
  return lists;
}
