import { gamma } from '../core/bounds.ts';
import { ArgumentError } from '../core/errors.ts';
import { type AnnIndex, shapeOfIndex } from '../core/ops/hierarchicalAnn.ts';
import { Tensor } from '../core/tensor.ts';
import { hierarchicalAnn } from '../ref/hierarchicalAnn.ts';
import { hierarchicalAnnSearch } from '../ref/hierarchicalAnnSearch.ts';
import { checkQueries, nprobeOf } from './checkQueries.ts';
import type { VocabIndex } from './vocabIndex.ts';

/** A vocabulary in memory whose embeddings may change. */
export interface MemoryIndex extends VocabIndex {
  /** Search other embeddings from now on: the same number of elements each. Raises `version`. */
  replace(index: AnnIndex<Tensor>): void;
}

/**
 * An index of `hierarchicalAnn` (inner product), flat or in lists, as a vocabulary.
 * @throws ArgumentError for another metric
 */
export function memoryIndex(first: AnnIndex<Tensor>): MemoryIndex {
  let index = first;
  let shape = checked(first);
  const { d } = shape;
  let version = 0;
  return {
    get kind() {
      return shape.lists === 1 ? ('flat' as const) : ('lists' as const);
    },
    get size() {
      return shape.n;
    },
    dim: d,
    get version() {
      return version;
    },
    get exact() {
      return shape.lists === 1;
    },
    relativeError: gamma(2),
    replace(next) {
      const now = checked(next);
      if (now.d !== d)
        throw new ArgumentError('memoryIndex', `the new embeddings have ${now.d} elements, not ${d}`);
      [index, shape] = [next, now];
      version++;
    },
    async search(queries, k, options = {}) {
      const count = checkQueries(queries, d, k);
      const before = performance.now();
      const nprobe = nprobeOf(options, shape.lists);
      const found = hierarchicalAnnSearch(
        index,
        new Tensor('f32', [count, d], queries.slice()),
        k,
        nprobe === undefined ? {} : { nprobe },
      );
      const total = (t: Tensor): number => (t.data as Int32Array).reduce((sum, v) => sum + v, 0);
      return {
        ids: found.ids.data as Int32Array,
        scores: found.scores.data as Float32Array,
        counts: found.counts.data as Int32Array,
        stats: {
          listsProbed: total(found.listsProbed),
          scanned: total(found.scanned),
          bytesRead: 0,
          // One operator does all of it.
          ms: { choose: 0, read: 0, scan: performance.now() - before, select: 0 },
        },
      };
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** A flat vocabulary of embeddings [n, d]: exact search. */
export function flatIndex(embeddings: Tensor): MemoryIndex {
  return memoryIndex(hierarchicalAnn(embeddings, { flat: true }));
}

function checked(index: AnnIndex<Tensor>): { n: number; d: number; lists: number } {
  const { n, d, lists, metric } = shapeOfIndex('memoryIndex', index);
  if (metric !== 'ip')
    throw new ArgumentError(
      'memoryIndex',
      `the index is for ${metric}; a vocabulary is searched by inner product`,
    );
  return { n, d, lists };
}
