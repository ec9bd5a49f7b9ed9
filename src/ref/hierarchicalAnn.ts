import { ArgumentError } from '../core/errors.ts';
import { requireFinite } from '../core/finite.ts';
import {
  type AnnAddOptions,
  type AnnIndex,
  type AnnOptions,
  type AnnTensors,
  annIndex,
  levelTensors,
  type Metric,
  planAnnAdd,
  planHierarchicalAnn,
} from '../core/ops/hierarchicalAnn.ts';
import { Tensor } from '../core/tensor.ts';
import { inverseNorms } from './lib/scores.ts';
import { clusterMetric, gather, type Level, listsFor, sortedBy, startsOf, trainTree } from './lib/tree.ts';

/**
 * Build a tree of centroids over vectors, for approximate search.
 *
 * Centroids are trained on a sample (`trainTree`); then every vector goes to a list (`listsFor`). Vectors are stored list
 * after list, within a list by ascending id. `ip` and `cosine` cluster directions, `l2` clusters points.
 *
 * @param vectors f32 [n, d], finite
 * @param options see `AnnOptions`
 * @throws ShapeError, DTypeError, ArgumentError (NaN, infinities, negative or repeated ids)
 * @accuracy centroids: f64 inside, rounded after each iteration
 * @edge Ties take the lowest node. n = 0 or one list: no centroids, and every search is exact.
 * @source the inverted file of Jegou, Douze, Schmid (2011) under a vocabulary tree (Nister and Stewenius, 2006)
 */
export function hierarchicalAnn(vectors: Tensor, options: AnnOptions<Tensor> = {}): AnnIndex<Tensor> {
  const op = 'hierarchicalAnn';
  const plan = planHierarchicalAnn(vectors, options);
  requireFinite(op, 'vectors', vectors);
  const { n, d, metric, beam } = plan;
  const given = options.ids?.data as Int32Array | undefined;
  const ids = given ?? Int32Array.from({ length: n }, (_, i) => i);
  const rank = ranksOf(op, 'ids', ids);
  const x = scaled(gather(vectors.data as Float32Array, rank, d), d, metric);
  const tree = trainTree(x, plan);
  const lists = tree.length === 0 ? new Int32Array(n) : listsFor(x, tree, clusterMetric(metric), beam);
  return layOut(
    metric,
    d,
    tree,
    x,
    lists,
    Int32Array.from(rank, (i) => ids[i]!),
  );
}

/**
 * A new index with more vectors in the lists of an old one. The old one stays as it is, and so do the centroids.
 *
 * @param newVectors f32 [m, d], finite
 * @param options.newIds i32 [m], none of them in the index; default: from the largest id + 1 on
 * @throws ShapeError, DTypeError, ArgumentError (NaN, infinities; negative, repeated or known ids)
 */
export function hierarchicalAnnAdd(
  index: AnnTensors<Tensor>,
  newVectors: Tensor,
  options: AnnAddOptions<Tensor> = {},
): AnnIndex<Tensor> {
  const op = 'hierarchicalAnnAdd';
  const plan = planAnnAdd(index, newVectors, options);
  requireFinite(op, 'newVectors', newVectors);
  const { n, m, d, metric, beam } = plan;
  const old = index.ids.data as Int32Array;
  const next = n === 0 ? 0 : old[n - 1]! + 1;
  if (options.newIds === undefined && next + m > 2 ** 31) {
    throw new ArgumentError(op, `ids would pass 2^31 - 1 after ${next - 1}; give newIds`);
  }
  const newIds =
    (options.newIds?.data as Int32Array | undefined) ?? Int32Array.from({ length: m }, (_, i) => next + i);
  const ids = new Int32Array(n + m);
  ids.set(old);
  ids.set(newIds, n);
  const rank = ranksOf(op, 'newIds', ids);
  const tree: Level[] = plan.levels.map(({ centroids, offsets, size }) => ({
    centroids: centroids.data as Float32Array,
    offsets: offsets.data as Int32Array,
    size,
  }));
  // The old vectors by row, then the new ones.
  const x = new Float32Array((n + m) * d);
  const lists = new Int32Array(n + m);
  const bounds = plan.levels.at(-1)?.offsets.data ?? [0, n];
  for (let list = 0; list + 1 < bounds.length; list++) {
    for (let at = bounds[list]!; at < bounds[list + 1]!; at++) {
      const row = index.order.data[at]!;
      lists[row] = list;
      x.set((index.vectors.data as Float32Array).subarray(at * d, (at + 1) * d), row * d);
    }
  }
  const added = scaled((newVectors.data as Float32Array).slice(), d, metric);
  x.set(added, n * d);
  if (tree.length > 0) lists.set(listsFor(added, tree, clusterMetric(metric), beam), n);
  return layOut(
    metric,
    d,
    tree,
    gather(x, rank, d),
    Int32Array.from(rank, (i) => lists[i]!),
    Int32Array.from(rank, (i) => ids[i]!),
  );
}

/** The numbers of the ids in ascending order of id. @throws ArgumentError */
function ranksOf(op: string, name: string, ids: Int32Array): Int32Array {
  const rank = Int32Array.from({ length: ids.length }, (_, i) => i);
  if (!ids.every((id, i) => i === 0 || id > ids[i - 1]!)) rank.sort((a, b) => ids[a]! - ids[b]!);
  for (let i = 0; i < rank.length; i++) {
    const id = ids[rank[i]!]!;
    if (id < 0) throw new ArgumentError(op, `${name} holds ${id}; ids are integers from 0 to 2^31 - 1`);
    if (i > 0 && id === ids[rank[i - 1]!]) {
      throw new ArgumentError(op, `${name} repeats the id ${id}; every vector needs its own`);
    }
  }
  return rank;
}

/** For cosine: rows scaled to length 1, in place. Rows of zeros stay. */
function scaled(x: Float32Array, d: number, metric: Metric): Float32Array {
  if (metric !== 'cosine') return x;
  const inverse = inverseNorms(x, x.length / d, d);
  for (let i = 0; i < x.length; i++) x[i]! *= inverse[Math.floor(i / d)]!;
  return x;
}

/** Put vectors list after list. x, lists and ids are by row. */
function layOut(
  metric: Metric,
  d: number,
  tree: readonly Level[],
  x: Float32Array,
  lists: Int32Array,
  ids: Int32Array,
): AnnIndex<Tensor> {
  const n = ids.length;
  const bottom = tree.at(-1);
  const starts = startsOf(lists, bottom?.size ?? 1);
  const order = sortedBy(lists, starts);
  const levels = tree.map((level) => ({
    centroids: new Tensor('f32', [level.size, d], level.centroids),
    offsets: new Tensor('i32', [level.size + 1], level === bottom ? starts : level.offsets),
  }));
  return annIndex(metric, {
    vectors: new Tensor('f32', [n, d], gather(x, order, d)),
    order: new Tensor('i32', [n], order),
    ids: new Tensor('i32', [n], ids),
    ...levelTensors(levels),
  });
}
