import type { AnnIndex } from '../core/ops/hierarchicalAnn.ts';
import { type ListBalls, planLazyGumbelTopKBalls } from '../core/ops/lazyGumbelTopK.ts';
import type { Tensor } from '../core/tensor.ts';
import { checkQueries } from './checkQueries.ts';
import type { Found } from './vocabIndex.ts';

/** A word on its way into the result. */
interface Candidate {
  readonly id: number;
  readonly score: number;
}

/**
 * Exact search in an index with lists, best list first.
 *
 * No word of a list scores more than its ball allows, b = q . centre + |q| radius. Lists are opened by falling b, and the search ends
 * when k words are found whose k-th score is above every b that is left: no other word can come in, not even by a tie. In few
 * dimensions, or where clusters are far apart, that is early; in many dimensions most balls reach as high as the best words do, and
 * nearly everything is read.
 *
 * @param index of metric 'ip'
 * @param balls from `lazyGumbelTopKBalls`, for this index
 * @param queries f32 [q, d], row by row
 * @returns what exact search gives: the same ids and the same bits of the scores as a flat index
 * @throws ArgumentError (k, queries)
 * @accuracy scores: f64 inside, rounded once; bounds are raised by a relative 1e-5, which covers that
 * @source branch and bound over balls: Ram and Gray, Maximum Inner-Product Search using Cone Trees (2012)
 */
export function bestFirstSearch(
  index: AnnIndex<Tensor>,
  balls: ListBalls<Tensor>,
  queries: Float32Array,
  k: number,
): Found {
  const before = performance.now();
  const plan = planLazyGumbelTopKBalls(index);
  const { n, d, lists } = plan;
  const count = checkQueries(queries, d, k);
  const offsets = plan.levels.at(-1)?.offsets.data ?? Int32Array.of(0, n);
  const ids = new Int32Array(count * k).fill(-1);
  const scores = new Float32Array(count * k).fill(Number.NEGATIVE_INFINITY);
  const wanted = Math.min(k, n);
  let [listsProbed, scanned] = [0, 0];
  for (let q = 0; q < count; q++) {
    const query = queries.subarray(q * d, (q + 1) * d);
    const bounds = boundsOf(balls, query, lists);
    const order = Int32Array.from(bounds, (_, list) => list).sort((a, b) => bounds[b]! - bounds[a]! || a - b);
    let best: Candidate[] = [];
    let least = Number.NEGATIVE_INFINITY;
    for (const list of order) {
      if (best.length === wanted && (wanted === 0 || bounds[list]! < best.at(-1)!.score)) break;
      for (let at = offsets[list]!; at < offsets[list + 1]!; at++) {
        let score = 0;
        for (let j = 0; j < d; j++) score += query[j]! * index.vectors.data[at * d + j]!;
        score = Math.fround(score);
        // What is below the k-th so far stays out; it is sorted in below.
        if (score >= least) best.push({ id: index.ids.data[index.order.data[at]!]!, score });
      }
      scanned += offsets[list + 1]! - offsets[list]!;
      listsProbed++;
      best.sort((a, b) => b.score - a.score || a.id - b.id);
      best = best.slice(0, wanted);
      if (best.length === wanted) least = best.at(-1)?.score ?? Number.POSITIVE_INFINITY;
    }
    ids.set(
      best.map((c) => c.id),
      q * k,
    );
    scores.set(
      best.map((c) => c.score),
      q * k,
    );
  }
  const ms = { choose: 0, read: 0, scan: performance.now() - before, select: 0 };
  return {
    ids,
    scores,
    counts: new Int32Array(count).fill(wanted),
    stats: { listsProbed, scanned, bytesRead: 0, ms },
  };
}

/** What the words of each list can score at most, also when rounded. */
function boundsOf({ centres, radii }: ListBalls<Tensor>, query: Float32Array, lists: number): Float64Array {
  const d = query.length;
  const length = Math.hypot(...query);
  return Float64Array.from({ length: lists }, (_, list) => {
    let product = 0;
    let absolute = 0;
    for (let j = 0; j < d; j++) {
      const term = query[j]! * centres.data[list * d + j]!;
      product += term;
      absolute += Math.abs(term);
    }
    const reach = length * radii.data[list]!;
    return product + reach + 1e-5 * (absolute + reach);
  });
}
