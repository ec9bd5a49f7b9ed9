import {
  type AnnSearchOptions,
  type AnnSearchPlan,
  type AnnTensors,
  planAnnSearch,
} from '../core/ops/hierarchicalAnn.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { type EmitPlan, emitBest, emitWords, planEmit } from './lib/annEmit.ts';
import { inverseNorms, padded, type Rows, rowWindows } from './lib/rows.ts';
import { emptyOne, groupsFor, lanes, scan } from './lib/sort.ts';
import type { Binding, Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';
import { topK } from './topK.ts';

const file = 'hierarchicalAnn.wgsl';
/** Queries whose bits fit into one mask. */
export const batch = 32;

type Plan = AnnSearchPlan<GpuTensor>;

/** The uniform struct of hierarchicalAnn.wgsl. */
interface Params {
  parents?: number;
  length?: number;
  width?: number;
  queries?: number;
  first?: number;
  count?: number;
  k?: number;
  base?: number;
  least?: number;
  lists?: number;
  vectors?: number;
  depth?: number;
  found?: number;
}

function paramsOf(gpu: Gpu, p: Params): number[] {
  const { parents, length, width, queries, first, count, k, base, least, lists, vectors, depth, found } = p;
  const all = [
    parents,
    length,
    width,
    queries,
    first,
    count,
    k,
    base,
    least,
    lists,
    vectors,
    depth,
    found,
    gpu.maxGroups,
  ];
  return all.map((v) => v ?? 0);
}

/** Which queries of a batch have opened each parent, and where its children start. */
export interface Open {
  readonly masks: GpuTensor;
  readonly starts: GpuTensor;
  readonly parents: number;
}

/** The kernel twin of `ref.hierarchicalAnnSearch`; the contract is `Ops.hierarchicalAnnSearch`. */
export function hierarchicalAnnSearch(
  gpu: Gpu,
  index: AnnTensors<GpuTensor>,
  queries: GpuTensor,
  k: number,
  options: AnnSearchOptions = {},
): Outputs<{
  ids: GpuTensor;
  scores: GpuTensor;
  counts: GpuTensor;
  listsProbed: GpuTensor;
  scanned: GpuTensor;
}> {
  const plan = planAnnSearch(index, queries, k, options);
  const { queries: total, n, d, metric, levels, found } = plan;
  const inputs = [
    queries,
    index.vectors,
    index.order,
    index.ids,
    ...levels.flatMap((l) => [l.centroids, l.offsets]),
  ];
  return gpu.run('hierarchicalAnnSearch', inputs, () => {
    const ids = gpu.empty('i32', [total, k]);
    const scores = gpu.empty('f32', [total, k]);
    const per = gpu.empty('i32', [total, 2]);
    const counts = gpu.empty('i32', [total]);
    const listsProbed = gpu.empty('i32', [total]);
    const scanned = gpu.empty('i32', [total]);
    const q = padded(gpu, queries, total, d);
    const scales = metric === 'cosine' ? inverseNorms(gpu, q) : undefined;
    const vectors = padded(gpu, index.vectors, n, d);
    const nodes = levels.map((level) => padded(gpu, level.centroids, level.size, d));
    const { constants } = lanes(gpu);
    const widest = Math.max(n, ...levels.map((level) => level.size), 1);
    const maxWords = Math.floor(gpu.maxBindingBytes / 4);
    // Only with onShort 'extend' every query has as many rows as it wants. A software driver takes longer for the atomics of
    // emission than for an array that stays in its cache.
    const emits =
      gpu.family === 'gpu' && plan.onShort === 'extend' ? planEmit(n, found, maxWords) : undefined;
    const each = Math.max(widest, emits ? emitWords(n, emits) : 0);
    const atOnce = Math.max(Math.min(batch, Math.floor(maxWords / each)), 1);
    for (let base = 0; base < total; base += atOnce) {
      const size = Math.min(atOnce, total - base);
      gpu.run('hierarchicalAnnSearch', [], () => {
        let open = root(gpu, levels[0]?.size ?? n, size);
        for (const [depth, rows] of nodes.entries()) {
          const dense = score(gpu, plan, open, rows, q, base, size, {});
          open = openBest(gpu, plan, depth, dense, per, base, size);
        }
        const ranked = { ranks: index.order, scales };
        const selected = emits
          ? emit(gpu, plan, open, vectors, q, base, size, ranked, emits)
          : select(gpu, plan, score(gpu, plan, open, vectors, q, base, size, ranked), size);
        gpu.dispatch({
          file,
          entry: 'annResults',
          constants,
          params: paramsOf(gpu, { queries: size, k, base, found }),
          reads: [selected.indices, selected.values, index.ids],
          writes: [ids, scores],
          groups: groupsFor(gpu, size * k),
        });
      });
    }
    const every = { file, constants, groups: groupsFor(gpu, total) };
    const params = paramsOf(gpu, { queries: total, k, found, length: n });
    if (levels.length === 0) gpu.dispatch({ ...every, entry: 'annWhole', params, writes: [per] });
    const writes = [counts, listsProbed, scanned];
    gpu.dispatch({ ...every, entry: 'annCounts', params, reads: [scores, per], writes });
    return outputs({ ids, scores, counts, listsProbed, scanned });
  });
}

/** The top of a tree, or the only list: one parent of everything, open for every query. */
export function root(gpu: Gpu, length: number, queries: number): Open {
  const starts = gpu.empty('u32', [2]);
  const masks = gpu.empty('u32', [1]);
  const params = paramsOf(gpu, { length, queries });
  gpu.dispatch({ file, entry: 'annRoot', params, writes: [starts, masks], groups: [1] });
  return { masks, starts, parents: 1 };
}

/** Score the rows below the open parents: f32 [queries, rows], NaN where nothing was scored. */
function score(
  gpu: Gpu,
  { metric }: Plan,
  open: Open,
  rows: Rows,
  queries: Rows,
  base: number,
  size: number,
  { ranks, scales }: { ranks?: GpuTensor; scales?: GpuTensor | undefined },
): GpuTensor {
  const { constants } = lanes(gpu);
  const length = rows.rows;
  const dense = gpu.empty('f32', [size, length]);
  fillAbsent(gpu, dense);
  const shared = { parents: open.parents, length, width: rows.width, queries: size, base };
  const { blocks, grid } = blocksOf(gpu, open.starts, open.masks, open.parents);
  const one = emptyOne(gpu);
  for (const { first, count, binding } of rowWindows(gpu, rows)) {
    gpu.dispatch({
      file,
      entry: 'annScores',
      constants: {
        ...constants,
        BLOCK: blockSize,
        DISTANCE: metric === 'l2' ? 1 : 0,
        RANKED: ranks ? 1 : 0,
        SCALED: scales ? 1 : 0,
      },
      params: paramsOf(gpu, { ...shared, first, count }),
      reads: [binding, queries.tensor, open.starts, blocks, open.masks, ranks ?? one, scales ?? one],
      writes: [dense],
      groups: { indirect: grid },
    });
  }
  return dense;
}

/** The best vectors of each query, scored, but not all kept. */
function emit(
  gpu: Gpu,
  { metric, found, sorted }: Plan,
  { masks, starts, parents }: Open,
  rows: Rows,
  queries: Rows,
  base: number,
  size: number,
  { ranks, scales }: { ranks: GpuTensor; scales: GpuTensor | undefined },
  plan: EmitPlan,
): { indices: GpuTensor; values: GpuTensor } {
  const lists = { masks, starts, parents, ...blocksOf(gpu, starts, masks, parents) };
  const given = { ...lists, rows, queries, ranks, scales, blockSize, base, size };
  return emitBest(gpu, { ...given, distance: metric === 'l2' }, found, sorted, plan);
}

/** Write "not scored" everywhere. */
export function fillAbsent(gpu: Gpu, dense: GpuTensor): void {
  // Written four at a time; a buffer is a whole number of vec4.
  const quads = Math.ceil(dense.size / 4);
  const each = gpu.family === 'gpu' ? 1 : 64;
  gpu.dispatch({
    file,
    entry: 'annAbsent',
    constants: { ...lanes(gpu).constants, BLOCK: each },
    params: paramsOf(gpu, { length: quads }),
    writes: [{ tensor: dense, offset: 0, length: quads * 4 }],
    groups: groupsFor(gpu, Math.ceil(quads / each)),
  });
}

/** Rows per block of a list. */
export const blockSize = 64;

/**
 * Where the blocks of rows below each parent with a mask start, u32 [parents + 1], and how many workgroups own one block each, to
 * be dispatched indirectly.
 */
export function blocksOf(
  gpu: Gpu,
  starts: GpuTensor,
  masks: Binding,
  parents: number,
): { blocks: GpuTensor; grid: GpuTensor } {
  const blocks = gpu.empty('u32', [parents + 1]);
  gpu.dispatch({
    file,
    entry: 'annBlocks',
    constants: { ...lanes(gpu).constants, BLOCK: blockSize },
    params: paramsOf(gpu, { parents }),
    reads: [starts, masks],
    writes: [blocks],
    groups: groupsFor(gpu, parents + 1),
  });
  scan(gpu, blocks);
  const grid = gpu.empty('u32', [3]);
  gpu.dispatch({
    file,
    entry: 'annSize',
    params: paramsOf(gpu, { parents }),
    reads: [blocks],
    writes: [grid],
    groups: [1],
  });
  return { blocks, grid };
}

/** Open the best nodes of a level, as many as the plan wants. */
function openBest(
  gpu: Gpu,
  plan: Plan,
  depth: number,
  dense: GpuTensor,
  per: GpuTensor,
  base: number,
  size: number,
): Open {
  const { levels, lists, nprobe, beams, atLeast } = plan;
  const level = levels[depth]!;
  const isLists = depth === levels.length - 1;
  const least = isLists ? nprobe : beams[depth]!;
  // Without a wish for more than `least` nodes, the order beyond them does not matter.
  const enough = atLeast === 0 && isLists ? least : level.size;
  const k = Math.min(enough, level.size);
  const selected = topK(gpu, dense, k);
  const masks = gpu.zeros('u32', [level.size]);
  const below = levels.slice(depth).map((l) => l.offsets);
  const tiles = gpu.family === 'gpu';
  gpu.dispatch({
    file,
    entry: tiles ? 'annOpenTiles' : 'annOpen',
    params: paramsOf(gpu, {
      k,
      base,
      least,
      lists: Math.min(nprobe, lists),
      vectors: atLeast,
      depth: below.length,
    }),
    reads: [selected.indices, selected.values, below[0]!, below[1] ?? below[0]!, below[2] ?? below[0]!],
    writes: [masks, per],
    groups: [size],
  });
  return { masks, starts: level.offsets, parents: level.size };
}

/** The best vectors of each query. */
function select(
  gpu: Gpu,
  { found, sorted, onShort }: Plan,
  dense: GpuTensor,
  size: number,
): { indices: GpuTensor; values: GpuTensor } {
  if (sorted || onShort === 'extend') return topK(gpu, dense, found, { sorted });
  // In ascending order of rows, what is absent would come between the others.
  const mask = gpu.empty('u32', dense.shape);
  gpu.dispatch({
    file,
    entry: 'annPresent',
    constants: lanes(gpu).constants,
    params: paramsOf(gpu, { length: dense.size, queries: size }),
    reads: [dense],
    writes: [mask],
    groups: groupsFor(gpu, dense.size),
  });
  return topK(gpu, dense, found, { sorted: false, mask });
}
