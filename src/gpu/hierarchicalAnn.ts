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
import { gatherRows, inverseNorms, padded, type Rows, unpadded } from './lib/rows.ts';
import { bitsFor, emptyOne, sortKeys, startsOf } from './lib/sort.ts';
import { build, iota, type Level, listsFor, trainTree } from './lib/tree.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.hierarchicalAnn`; the contract is `Ops.hierarchicalAnn`. */
export function hierarchicalAnn(
  gpu: Gpu,
  vectors: GpuTensor,
  options: AnnOptions<GpuTensor> = {},
): AnnIndex<GpuTensor> {
  const plan = planHierarchicalAnn(vectors, options);
  const { n, d, metric, beam } = plan;
  return gpu.run('hierarchicalAnn', [vectors, options.ids], () => {
    const plain = padded(gpu, vectors, n, d);
    if (n === 0)
      return annIndex(metric, { vectors: gpu.empty('f32', [0, d]), order: iota(gpu, 0), ids: iota(gpu, 0) });
    const { ids, rank } = options.ids
      ? ranked(gpu, emptyOne(gpu), 0, n, options.ids)
      : { ids: iota(gpu, n), rank: undefined };
    const x = scaled(gpu, plain, metric, rank);
    const tree = trainTree(gpu, x, plan);
    const lists = tree.length === 0 ? gpu.zeros('u32', [n]) : listsFor(gpu, x, tree, metric, beam);
    return layOut(gpu, metric, d, tree, x, lists, ids);
  });
}

/** The kernel twin of `ref.hierarchicalAnnAdd`; the contract is `Ops.hierarchicalAnnAdd`. */
export function hierarchicalAnnAdd(
  gpu: Gpu,
  index: AnnTensors<GpuTensor>,
  newVectors: GpuTensor,
  options: AnnAddOptions<GpuTensor> = {},
): AnnIndex<GpuTensor> {
  const plan = planAnnAdd(index, newVectors, options);
  const { n, m, d, metric, beam, levels } = plan;
  const all = n + m;
  const inputs = [newVectors, options.newIds, ...Object.values(index).filter((t) => typeof t === 'object')];
  return gpu.run('hierarchicalAnnAdd', inputs as GpuTensor[], () => {
    const { ids, rank } = ranked(gpu, index.ids, n, all, options.newIds);
    const tree = levels.map(({ centroids, offsets, size }) => ({
      centroids: padded(gpu, centroids, size, d),
      offsets,
    }));
    const added = scaled(gpu, padded(gpu, newVectors, m, d), metric, undefined);
    // The old vectors where they lie, then the new ones.
    const { width } = added;
    const x = { tensor: gpu.empty('f32', [all, width * 4]), rows: all, width };
    gpu.copy(padded(gpu, index.vectors, n, d).tensor, x.tensor, n * width * 4);
    gpu.copy(added.tensor, x.tensor, m * width * 4, 0, n * width * 4);
    const listOf = gpu.zeros('u32', [all]);
    const placeOf = iota(gpu, all);
    const starts = levels.at(-1)?.offsets;
    if (starts !== undefined) {
      const p = { old: n, children: plan.lists };
      build(gpu, 'annPlaces', n, p, [starts, index.order], [listOf, placeOf]);
      gpu.copy(listsFor(gpu, added, tree, metric, beam), listOf, m, 0, n);
    } else {
      const p = { old: n, children: 1 };
      build(gpu, 'annPlaces', n, p, [startsOf(gpu, listOf, 1), index.order], [listOf, placeOf]);
    }
    const byRank = (source: GpuTensor): GpuTensor => {
      const out = gpu.empty('u32', [all]);
      build(gpu, 'annRanked', all, { count: all }, [rank, source], [out]);
      return out;
    };
    const copies = tree.map((level) => ({ centroids: copyOf(gpu, level.centroids), offsets: level.offsets }));
    return layOut(gpu, metric, d, copies, x, byRank(listOf), ids, byRank(placeOf));
  });
}

/** Ids in ascending order, and which source (old rows, then new ones) each belongs to. All -1 if any id is refused. */
function ranked(
  gpu: Gpu,
  old: GpuTensor,
  n: number,
  all: number,
  given: GpuTensor | undefined,
): { ids: GpuTensor; rank: GpuTensor } {
  const unsorted = gpu.empty('u32', [all]);
  const p = { count: all, old: n, given: given ? 1 : 0 };
  build(gpu, 'annIds', all, p, [old, given ?? emptyOne(gpu)], [unsorted]);
  const sorted = sortKeys(gpu, unsorted, 32);
  const bad = gpu.zeros('u32', [1]);
  build(gpu, 'annCheckIds', all, { count: all }, [sorted.keys], [bad]);
  const ids = gpu.empty('i32', [all]);
  build(gpu, 'annFinalIds', all, { count: all }, [sorted.keys, bad], [ids]);
  return { ids, rank: sorted.order };
}

/** Rows in the order wanted; for cosine scaled to length 1. */
function scaled(gpu: Gpu, x: Rows, metric: Metric, rank: GpuTensor | undefined): Rows {
  const weights = metric === 'cosine' ? inverseNorms(gpu, x) : undefined;
  if (rank === undefined && weights === undefined) return x;
  return gatherRows(gpu, x, rank ?? iota(gpu, x.rows), weights);
}

function copyOf(gpu: Gpu, { tensor, rows, width }: Rows): Rows {
  const copy = gpu.empty('f32', [rows, width * 4]);
  gpu.copy(tensor, copy);
  return { tensor: copy, rows, width };
}

/** Put vectors list after list. Lists and ids are by row; row r is row places[r] of x. */
function layOut(
  gpu: Gpu,
  metric: Metric,
  d: number,
  tree: readonly Level[],
  x: Rows,
  lists: GpuTensor,
  ids: GpuTensor,
  places?: GpuTensor,
): AnnIndex<GpuTensor> {
  const n = lists.size;
  const count = tree.at(-1)?.centroids.rows ?? 1;
  const sorted = sortKeys(gpu, lists, bitsFor(count));
  const order = gpu.empty('i32', [n]);
  gpu.copy(sorted.order, order);
  let from = sorted.order;
  if (places !== undefined) {
    from = gpu.empty('u32', [n]);
    build(gpu, 'annRanked', n, { count: n }, [sorted.order, places], [from]);
  }
  const levels = tree.map((level, i) => {
    const offsets = gpu.empty('i32', [level.centroids.rows + 1]);
    gpu.copy(i === tree.length - 1 ? startsOf(gpu, sorted.keys, count) : level.offsets, offsets);
    return { centroids: unpadded(gpu, level.centroids, d), offsets };
  });
  return annIndex(metric, {
    vectors: unpadded(gpu, gatherRows(gpu, x, from), d),
    order,
    ids,
    ...levelTensors(levels),
  });
}
