import { ArgumentError } from '../core/errors.ts';
import type { VocabIndex } from './vocabIndex.ts';

/** How the cache answers. */
export interface CacheOptions {
  /** Entries kept; the one that was not used for longest goes first. @defaultValue 256 */
  readonly capacity?: number;
  /** The longest embedding: max |e|. */
  readonly longest: number;
  /**
   * Words kept beyond the k best. The certificate then says that the k best are among all of these, and holds for queries
   * farther away, since the word after the last is farther below the k-th. @defaultValue 0
   */
  readonly spare?: number;
  /**
   * Also use an entry without the certificate when the cosine of the queries is at least this. Such an answer may be wrong;
   * every `audit`-th is compared with a search. @defaultValue above 1: never
   */
  readonly cosine?: number;
  /** @defaultValue 8 */
  readonly audit?: number;
}

/** A set of words for a query, and where it comes from. */
export interface CachedSet {
  /** k + spare words (or all), ascending. */
  readonly ids: Int32Array;
  /** `certified`: the k best of the query are provably among them. `similar`: of a query near by. `searched`: just searched. */
  readonly from: 'certified' | 'similar' | 'searched';
}

/** What the cache did so far. */
export interface CacheStats {
  readonly certified: number;
  readonly similar: number;
  readonly searched: number;
  /** (certified + similar) / all. */
  readonly hitRate: number;
  /** Similar answers that were compared with a search, and which share of the k best they lacked on average, at most. */
  readonly audited: number;
  readonly missingMean: number;
  readonly missingMost: number;
}

/** A bounded cache of sub-vocabularies. */
export interface SubVocabCache {
  readonly size: number;
  readonly stats: CacheStats;
  /** The k best words for one query, and `spare` more. */
  find(query: Float32Array, k: number): Promise<CachedSet>;
}

interface Entry {
  readonly query: Float64Array;
  readonly norm: number;
  readonly k: number;
  readonly ids: Int32Array;
  /** t' - r' less twice the error of the two scores: how far the k-th is above the best that is not kept. */
  readonly gap: number;
}

/**
 * Remember the k best words of queries, and answer a query near by from memory.
 *
 * An entry keeps its query q', the k + spare best words, the k-th score t' and the best score r' that is not among them. A word's
 * score changes by at most |q - q'| |e| between the two queries. So if
 *
 *     t' - r' > 2 |q - q'| max |e|
 *
 * k words of the set score more for q than any word outside of it, and the k best of q are in the set: without spare words, they are
 * the set. With k in the thousands the k-th and the next score are so close that nothing but the same query is certified without
 * spare words; whoever scores the words anyway, to sample from them, loses nothing by having a few more. The same query is a hit
 * whatever is tied, and scores that are off by at most `relativeError` cost twice that much of the gap. This needs exact searches: an index
 * that is not exact is searched in all of its lists. When the version of the index changes, all entries are dropped.
 */
export function createSubVocabCache(
  index: VocabIndex,
  lists: number | undefined,
  options: CacheOptions,
): SubVocabCache {
  const { capacity = 256, longest, spare = 0, cosine = 2, audit = 8 } = options;
  if (!Number.isInteger(capacity) || capacity < 1)
    throw new ArgumentError('cache', `capacity is ${capacity}; it must be an integer from 1 on`);
  if (!(longest >= 0 && longest < Infinity))
    throw new ArgumentError('cache', `longest is ${longest}; it must be the length of the longest embedding`);
  if (!Number.isInteger(spare) || spare < 0)
    throw new ArgumentError('cache', `spare is ${spare}; it must be an integer from 0 on`);
  if (!Number.isInteger(audit) || audit < 1)
    throw new ArgumentError('cache', `audit is ${audit}; it must be an integer from 1 on`);
  if (!index.exact && lists === undefined)
    throw new ArgumentError(
      'cache',
      'the index is not exact by itself; say how many lists make a search exact',
    );
  let version = index.version;
  // In the order of use: a Map keeps the order of insertion.
  const entries = new Map<number, Entry>();
  let next = 0;
  const counts = { certified: 0, similar: 0, searched: 0, audited: 0, missing: 0, missingMost: 0 };

  const searchExactly = async (
    query: Float32Array,
    k: number,
  ): Promise<{ ids: Int32Array; scores: Float32Array; count: number }> => {
    const found = await index.search(query, k + spare + 1, lists === undefined ? {} : { nprobe: lists });
    return { ids: found.ids, scores: found.scores, count: found.counts[0]! };
  };

  return {
    get size() {
      return entries.size;
    },
    get stats() {
      const { certified, similar, searched, audited, missing, missingMost } = counts;
      const all = certified + similar + searched;
      return {
        certified,
        similar,
        searched,
        hitRate: all === 0 ? 0 : (certified + similar) / all,
        audited,
        missingMean: audited === 0 ? 0 : missing / audited,
        missingMost,
      };
    },
    async find(query, k) {
      if (query.length !== index.dim)
        throw new ArgumentError('cache', `the query has ${query.length} elements, not ${index.dim}`);
      if (index.version !== version) {
        entries.clear();
        version = index.version;
      }
      const q = Float64Array.from(query);
      const norm = Math.hypot(...q);
      let similar: number | undefined;
      let nearest = cosine;
      for (const [at, entry] of entries) {
        if (entry.k !== k) continue;
        let squares = 0;
        let product = 0;
        for (let j = 0; j < q.length; j++) {
          squares += (q[j]! - entry.query[j]!) ** 2;
          product += q[j]! * entry.query[j]!;
        }
        // A little more than what was computed: the sums are rounded.
        if (squares === 0 || entry.gap > 2 * Math.sqrt(squares) * longest * (1 + 1e-9)) {
          counts.certified++;
          entries.delete(at);
          entries.set(at, entry);
          return { ids: entry.ids, from: 'certified' };
        }
        const here = product / (norm * entry.norm || 1);
        if (here >= nearest) [similar, nearest] = [at, here];
      }
      if (similar !== undefined) {
        const entry = entries.get(similar)!;
        entries.delete(similar);
        entries.set(similar, entry);
        if (counts.similar++ % audit === 0) {
          const { ids, count } = await searchExactly(query, k);
          const have = new Set(entry.ids);
          const wanted = ids.subarray(0, Math.min(k, count));
          let lacks = 0;
          for (const id of wanted) if (!have.has(id)) lacks++;
          const missing = wanted.length === 0 ? 0 : lacks / wanted.length;
          counts.audited++;
          counts.missing += missing;
          counts.missingMost = Math.max(counts.missingMost, missing);
        }
        return { ids: entry.ids, from: 'similar' };
      }
      const { ids, scores, count } = await searchExactly(query, k);
      counts.searched++;
      const set = ids.slice(0, Math.min(k + spare, count)).sort();
      // Without a word outside, or without one inside, the set is the same for every query.
      const gap =
        k === 0 || count <= k + spare
          ? Infinity
          : scores[k - 1]! - scores[k + spare]! - 2 * index.relativeError * norm * longest;
      entries.set(next++, { query: q, norm, k, ids: set, gap });
      if (entries.size > capacity) entries.delete(entries.keys().next().value!);
      return { ids: set, from: 'searched' };
    },
  };
}
