import { ArgumentError } from '../core/errors.ts';
import { requireFinite } from '../core/finite.ts';
import {
  type AnnSearchOptions,
  type AnnSearchPlan,
  type AnnTensors,
  planAnnSearch,
} from '../core/ops/hierarchicalAnn.ts';
import { type Outputs, outputs, Tensor } from '../core/tensor.ts';
import { Best, bestOf, inOrder, keysOf } from './lib/best.ts';
import { innerProducts, innerProductsOfTwo, inverseNorms, minusDistances } from './lib/scores.ts';

/** Queries that share one walk through the lists; each holds the places of its results. */
const atOnce = 32;

/**
 * The k best vectors of the probed lists, for each query.
 *
 * At each level of the tree the centroids below the opened nodes are scored, and nodes are opened in order of (score
 * descending, index ascending) until `beam` of them are open that hold at least nprobe lists and, with onShort 'extend',
 * at least min(k, n) vectors; at the lists: until nprobe are open and hold that many. All vectors of these lists are
 * scored, and the first k in order of (score descending, id ascending) are the result.
 *
 * @param queries f32 [q, d], finite
 * @param k any number; what cannot be found is filled up with id -1 and score -Infinity, and `counts` tells
 * @returns ids i32 and scores f32 [q, k]; counts, listsProbed and scanned i32 [q]
 * @throws ShapeError, DTypeError, ArgumentError (NaN, infinities; too few vectors with onShort 'error')
 * @accuracy scores: f64 inside, rounded once
 * @edge A zero vector has cosine 0 to everything. Equal scores: the lower id first.
 */
export function hierarchicalAnnSearch(
  index: AnnTensors<Tensor>,
  queries: Tensor,
  k: number,
  options: AnnSearchOptions = {},
): Outputs<{ ids: Tensor; scores: Tensor; counts: Tensor; listsProbed: Tensor; scanned: Tensor }> {
  const plan = planAnnSearch(index, queries, k, options);
  requireFinite('hierarchicalAnnSearch', 'queries', queries);
  const { queries: count, d, metric } = plan;
  const ids = new Int32Array(count * k).fill(-1);
  const scores = new Float32Array(count * k).fill(Number.NEGATIVE_INFINITY);
  const counts = new Int32Array(count);
  const listsProbed = new Int32Array(count);
  const scanned = new Int32Array(count);
  const idOf = index.ids.data as Int32Array;
  const inverse = inverseNorms(queries.data as Float32Array, count, d);
  const asked = Array.from({ length: count }, (_, q) => {
    const vector = Float64Array.from(queries.data.subarray(q * d, (q + 1) * d) as Float32Array);
    const { nodes, total } = openLists(plan, vector);
    const found = Math.min(k, total);
    if (plan.onShort === 'error' && found < k) {
      throw new ArgumentError(
        'hierarchicalAnnSearch',
        `query ${q} finds ${found} vectors in ${nodes.length} lists, and k is ${k}; raise nprobe, or set onShort to "extend" or "pad"`,
      );
    }
    counts[q] = found;
    listsProbed[q] = nodes.length;
    scanned[q] = total;
    return { vector, nodes, total, scale: metric === 'cosine' ? inverse[q]! : 1 };
  });
  for (let first = 0; first < count; first += atOnce) {
    const batch = asked.slice(first, first + atOnce);
    for (const [i, best] of scan(plan, index, batch).entries()) {
      const { rows, scores: found } = best.take(plan.sorted);
      const q = first + i;
      scores.set(found, q * k);
      for (let r = 0; r < rows.length; r++) ids[q * k + r] = idOf[rows[r]!]!;
    }
  }
  return outputs({
    ids: new Tensor('i32', [count, k], ids),
    scores: new Tensor('f32', [count, k], scores),
    counts: new Tensor('i32', [count], counts),
    listsProbed: new Tensor('i32', [count], listsProbed),
    scanned: new Tensor('i32', [count], scanned),
  });
}

/** A query, the lists it looks into, and how many vectors they hold. */
interface Asked {
  readonly vector: Float64Array;
  readonly nodes: Int32Array;
  readonly total: number;
  /** What its scores are multiplied with. */
  readonly scale: number;
}

/** Score the vectors of the lists, list by list, for two of the queries that opened it at a time. */
function scan(plan: AnnSearchPlan<Tensor>, index: AnnTensors<Tensor>, batch: readonly Asked[]): Best[] {
  const { n, d, metric, levels, lists } = plan;
  const x = index.vectors.data as Float32Array;
  const order = index.order.data as Int32Array;
  const offsets = levels.at(-1)?.offsets.data ?? Int32Array.of(0, n);
  const best = batch.map(({ total }) => new Best(plan.k, total));
  // Bit i: query i of the batch looks into the list.
  const askers = new Uint32Array(lists);
  let longest = 0;
  for (const [i, { nodes }] of batch.entries()) {
    for (const list of nodes) {
      askers[list]! |= 1 << i;
      longest = Math.max(longest, offsets[list + 1]! - offsets[list]!);
    }
  }
  const [one, other] = [new Float64Array(longest), new Float64Array(longest)];
  for (let list = 0; list < lists; list++) {
    const first = offsets[list]!;
    const last = offsets[list + 1]!;
    const take = (i: number, from: Float64Array): void =>
      best[i]!.add(from, batch[i]!.scale, order, first, last - first);
    for (let left = askers[list]!; left !== 0; ) {
      const i = 31 - Math.clz32(left);
      left ^= 1 << i;
      const j = 31 - Math.clz32(left); // -1: query i is the last one
      if (metric === 'l2') {
        minusDistances(x, d, first, last, batch[i]!.vector, one);
      } else if (j < 0) {
        innerProducts(x, d, first, last, batch[i]!.vector, one);
      } else {
        innerProductsOfTwo(x, d, first, last, [batch[i]!.vector, batch[j]!.vector], [one, other]);
        take(j, other);
        left ^= 1 << j;
      }
      take(i, one);
    }
  }
  return best;
}

/** The lists to look into for a query, ascending, and how many vectors they hold. */
function openLists(plan: AnnSearchPlan<Tensor>, query: Float64Array): { nodes: Int32Array; total: number } {
  const { levels, n, d, metric, nprobe, beams, atLeast } = plan;
  let nodes = Int32Array.of(0);
  let starts = Int32Array.of(0);
  let ends = Int32Array.of(levels[0]?.size ?? n);
  let total = n;
  for (const [depth, level] of levels.entries()) {
    const below = ends.reduce((sum, end, i) => sum + end - starts[i]!, 0);
    const children = new Int32Array(below);
    const exact = new Float64Array(below);
    const centroids = level.centroids.data as Float32Array;
    let count = 0;
    for (let i = 0; i < nodes.length; i++) {
      if (metric === 'l2') minusDistances(centroids, d, starts[i]!, ends[i]!, query, exact, count);
      else innerProducts(centroids, d, starts[i]!, ends[i]!, query, exact, count);
      for (let c = starts[i]!; c < ends[i]!; c++) children[count++] = c;
    }
    const keys = keysOf(new Float32Array(exact), count);
    const isLists = depth === levels.length - 1;
    const width = isLists ? Math.min(nprobe, count) : beams[depth]!;
    // Usually the `width` best are enough; where not, more of the order is needed.
    for (let take = Math.min(width, count); ; take = Math.min(2 * take, count)) {
      const best = inOrder(keys, children, bestOf(keys, children, count, take));
      let lists = 0;
      let opened = 0;
      total = 0;
      while (opened < take && (opened < width || lists < Math.min(nprobe, plan.lists) || total < atLeast)) {
        const node = children[best[opened]!]!;
        lists += listsBelow(plan, depth, node);
        total += vectorsBelow(plan, depth, node);
        opened++;
      }
      const enough = opened < take || (lists >= nprobe && total >= atLeast);
      if (!enough && take < count) continue;
      // Ascending, so that ties of children go to the lowest, and memory is read in order.
      nodes = Int32Array.from(best.subarray(0, opened), (position) => children[position]!).sort();
      break;
    }
    const offsets = level.offsets.data;
    starts = nodes.map((node) => offsets[node]!);
    ends = nodes.map((node) => offsets[node + 1]!);
  }
  return { nodes, total };
}

/** How many lists a node holds. */
function listsBelow({ levels }: AnnSearchPlan<Tensor>, depth: number, node: number): number {
  let [first, last] = [node, node + 1];
  for (let level = depth; level < levels.length - 1; level++) {
    first = levels[level]!.offsets.data[first]!;
    last = levels[level]!.offsets.data[last]!;
  }
  return last - first;
}

/** How many vectors a node holds. */
function vectorsBelow({ levels }: AnnSearchPlan<Tensor>, depth: number, node: number): number {
  let [first, last] = [node, node + 1];
  for (let level = depth; level < levels.length; level++) {
    first = levels[level]!.offsets.data[first]!;
    last = levels[level]!.offsets.data[last]!;
  }
  return last - first;
}
