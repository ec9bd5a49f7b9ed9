import type { AnnTensors } from '../core/ops/hierarchicalAnn.ts';
import {
  type LazyGumbelTopKOptions,
  type LazyGumbelTopKOutputs,
  type LazyGumbelTopKPlan,
  type ListBalls,
  lazyRounds,
  planLazyGumbelTopK,
  planLazyGumbelTopKBalls,
} from '../core/ops/lazyGumbelTopK.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { batch, blockSize, blocksOf, fillAbsent, root } from './hierarchicalAnnSearch.ts';
import { padded, type Rows, rowWindows, unpadded } from './lib/rows.ts';
import { emptyOne, groupsFor, lanes, scan } from './lib/sort.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';
import { topK } from './topK.ts';

const file = 'lazyGumbelTopK.wgsl';

/** Words of one segment of noise, and lists of one chunk of the order: constants of the kernel. */
const segment = 64;
const chunk = 64;

/** The uniform struct of lazyGumbelTopK.wgsl; what is left out is 0. */
interface Params {
  lists?: number;
  length?: number;
  width?: number;
  queries?: number;
  base?: number;
  first?: number;
  count?: number;
  round?: number;
  goals?: readonly number[];
  kept?: number;
  k?: number;
  inverse?: number;
  loose?: number;
  key?: readonly [number, number];
  stride?: number;
  last?: number;
}

function paramsOf(p: Params): (number | { f32: number })[] {
  const goals = [0, 1, 2].map((r) => p.goals?.[r] ?? 0);
  return [
    ...[p.lists, p.length, p.width, p.queries, p.base, p.first, p.count, p.round].map((v) => v ?? 0),
    ...goals,
    p.kept ?? 0,
    p.k ?? 0,
    { f32: p.inverse ?? 0 },
    { f32: p.loose ?? 0 },
    ...(p.key ?? [0, 0]),
    p.stride ?? 0,
    p.last ?? 0,
  ];
}

/** The kernel twin of `ref.lazyGumbelTopK`; the contract is `Ops.lazyGumbelTopK`. */
export function lazyGumbelTopK(
  gpu: Gpu,
  index: AnnTensors<GpuTensor>,
  balls: ListBalls<GpuTensor>,
  queries: GpuTensor,
  k: number,
  options: LazyGumbelTopKOptions,
): LazyGumbelTopKOutputs<GpuTensor> {
  const plan = planLazyGumbelTopK(index, balls, queries, k, options);
  const { queries: total, n, d, lists } = plan;
  const inputs = [queries, index.vectors, index.order, index.ids, plan.offsets, balls.centres, balls.radii];
  return gpu.run('lazyGumbelTopK', inputs, () => {
    const made = {
      ids: gpu.empty('i32', [total, k]),
      perturbed: gpu.empty('f32', [total, k]),
      threshold: gpu.empty('f32', [total]),
      scored: gpu.zeros('i32', [total]),
    };
    const starts = plan.offsets ?? root(gpu, n, 1).starts;
    const segments = gpu.empty('u32', [lists + 1]);
    gpu.dispatch({
      file,
      entry: 'lazySegments',
      constants: lanes(gpu).constants,
      params: paramsOf({ lists }),
      reads: [starts],
      writes: [segments],
      groups: groupsFor(gpu, lists + 1),
    });
    scan(gpu, segments);
    const there: There = {
      index,
      starts,
      segments,
      radii: balls.radii,
      centres: padded(gpu, balls.centres, lists, d),
      vectors: padded(gpu, index.vectors, n, d),
      queries: padded(gpu, queries, total, d),
    };
    const fit = Math.floor(gpu.maxBindingBytes / 8 / Math.max(n / 2, lists, 1));
    const atOnce = Math.max(Math.min(batch, fit), 1);
    for (let base = 0; base < total; base += atOnce) {
      const size = Math.min(atOnce, total - base);
      gpu.run('lazyGumbelTopK', [], () => drawFor(gpu, plan, there, made, base, size));
    }
    return outputs(made);
  });
}

/** What every batch of queries reads. */
interface There {
  readonly index: AnnTensors<GpuTensor>;
  readonly starts: GpuTensor;
  readonly segments: GpuTensor;
  readonly radii: GpuTensor;
  readonly centres: Rows;
  readonly vectors: Rows;
  readonly queries: Rows;
}

function drawFor(
  gpu: Gpu,
  plan: LazyGumbelTopKPlan<GpuTensor>,
  there: There,
  made: { ids: GpuTensor; perturbed: GpuTensor; threshold: GpuTensor; scored: GpuTensor },
  base: number,
  size: number,
): void {
  const { n, d, k, kept, lists, goals, key } = plan;
  const { index, starts, segments, vectors, queries } = there;
  const { constants } = lanes(gpu);
  // Masks of a round are bound from a multiple of 256 bytes on.
  const stride = Math.ceil(lists / 64) * 64;
  const shared: Params = {
    lists,
    length: n,
    width: vectors.width,
    queries: size,
    base,
    goals,
    kept,
    k,
    inverse: 1 / plan.temperature,
    loose: 1e-5 + d * 2 ** -22,
    key,
    stride,
  };
  let found = { indices: emptyOne(gpu), values: emptyOne(gpu) };
  if (n > 0) {
    const plans = roundsOf(gpu, shared, there, size);
    const dense = gpu.empty('f32', [size, n]);
    fillAbsent(gpu, dense);
    const marks = gpu.zeros('u32', [lazyRounds * stride]);
    for (let round = 0; round < lazyRounds; round++) {
      gpu.dispatch({
        file,
        entry: 'lazyNoise',
        constants,
        params: paramsOf({ ...shared, round }),
        reads: [segments, starts, index.order, plans, found.values],
        writes: [dense, marks, made.scored],
        groups: groupsFor(gpu, size * (Math.floor(n / segment) + lists)),
      });
      const masks = { tensor: marks, offset: round * stride, length: stride };
      const { blocks, grid } = blocksOf(gpu, starts, masks, lists);
      for (const { first, count, binding } of rowWindows(gpu, vectors)) {
        gpu.dispatch({
          file,
          entry: 'lazyScores',
          constants: { ...constants, BLOCK: blockSize },
          params: paramsOf({ ...shared, round, first, count }),
          reads: [binding, queries.tensor, starts, blocks, marks, index.order],
          writes: [dense],
          groups: { indirect: grid },
        });
      }
      found = topK(gpu, dense, kept);
    }
  }
  gpu.dispatch({
    file,
    entry: 'lazyResults',
    constants,
    params: paramsOf(shared),
    reads: [found.indices, found.values, n > 0 ? index.ids : emptyOne(gpu)],
    writes: [made.ids, made.perturbed, made.threshold],
    groups: groupsFor(gpu, size * (k + 1)),
  });
}

/** The bound of each list, and the round in which it is taken: u32 [queries, lists, 2]. */
function roundsOf(
  gpu: Gpu,
  shared: Params,
  { centres, radii, queries, starts }: There,
  size: number,
): GpuTensor {
  const { constants } = lanes(gpu);
  const lists = shared.lists!;
  const params = paramsOf(shared);
  const bounds = gpu.empty('f32', [size, lists]);
  gpu.dispatch({
    file,
    entry: 'lazyBounds',
    constants,
    params,
    reads: [queries.tensor, centres.tensor, radii],
    writes: [bounds],
    groups: groupsFor(gpu, lists),
  });
  const order = topK(gpu, bounds, lists);
  const chunks = size * Math.ceil(lists / chunk);
  const held = gpu.empty('u32', [chunks]);
  gpu.dispatch({
    file,
    entry: 'lazyHeld',
    constants,
    params,
    reads: [order.indices, starts],
    writes: [held],
    groups: groupsFor(gpu, chunks),
  });
  const plans = gpu.empty('u32', [size, lists, 2]);
  gpu.dispatch({
    file,
    entry: 'lazyRounds',
    constants,
    params,
    reads: [order.indices, starts, held, order.values],
    writes: [plans],
    groups: groupsFor(gpu, chunks),
  });
  return plans;
}

/** The kernel twin of `ref.lazyGumbelTopKBalls`; the contract is `Ops.lazyGumbelTopKBalls`. */
export function lazyGumbelTopKBalls(
  gpu: Gpu,
  index: AnnTensors<GpuTensor>,
): Outputs<{ centres: GpuTensor; radii: GpuTensor }> {
  const { n, d, lists, levels } = planLazyGumbelTopKBalls(index);
  const offsets = levels.at(-1)?.offsets;
  return gpu.run('lazyGumbelTopKBalls', [index.vectors, offsets], () => {
    const { constants } = lanes(gpu);
    const starts = offsets ?? root(gpu, n, 1).starts;
    const vectors = padded(gpu, index.vectors, n, d);
    const { width } = vectors;
    const shared: Params = { lists, length: n, width, loose: 1e-5 + d * 2 ** -22 };
    const centres = { tensor: gpu.zeros('f32', [lists, width * 4]), rows: lists, width };
    const squares = gpu.zeros('f32', [lists]);
    const radii = gpu.empty('f32', [lists]);
    const windows = n > 0 ? rowWindows(gpu, vectors) : [];
    for (const { first, count, binding } of windows) {
      const last = first + count === n ? 1 : 0;
      gpu.dispatch({
        file,
        entry: 'lazyCentres',
        constants,
        params: paramsOf({ ...shared, first, count, last }),
        reads: [binding, starts],
        writes: [centres.tensor],
        groups: groupsFor(gpu, lists * width),
      });
    }
    for (const { first, count, binding } of windows) {
      gpu.dispatch({
        file,
        entry: 'lazyReach',
        constants,
        params: paramsOf({ ...shared, first, count }),
        reads: [binding, starts, centres.tensor],
        writes: [squares],
        groups: groupsFor(gpu, count),
      });
    }
    gpu.dispatch({
      file,
      entry: 'lazyRadii',
      constants,
      params: paramsOf(shared),
      reads: [squares],
      writes: [radii],
      groups: groupsFor(gpu, lists),
    });
    return outputs({ centres: unpadded(gpu, centres, d), radii });
  });
}
