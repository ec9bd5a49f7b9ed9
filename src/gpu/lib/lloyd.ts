import type { ClusterMetric } from '../../core/ops/kMeans.ts';
import type { Gpu } from '../runtime/gpu.ts';
import type { GpuTensor } from '../runtime/gpuTensor.ts';
import { type Rows, rowWindows, sumInto } from './rows.ts';
import { bitsFor, emptyOne, groupsFor, lanes, sortKeys, startsOf } from './sort.ts';

const file = 'kMeans.wgsl';

/** Points to cluster. */
export interface Cluster {
  readonly x: Rows;
  /** 1 / |x| per point; spherical only. */
  readonly weights: GpuTensor | undefined;
  readonly metric: ClusterMetric;
}

/** Points in groups: each point looks only at the centroids of its group. */
export interface Groups {
  /** The points by group: u32 [n]. */
  readonly order: GpuTensor;
  /** Per group and once more for the end: first block of points, first point, first centroid, 0. */
  readonly info: GpuTensor;
  readonly count: number;
}

/** The uniform struct of kMeans.wgsl: what is not given is 0. */
export function paramsOf(...first: number[]): number[] {
  return Array.from({ length: 8 }, (_, i) => first[i] ?? 0);
}

/** How many points of one group a workgroup takes. */
export function blockSize(gpu: Gpu): number {
  return gpu.family === 'gpu' ? 64 : 16;
}

/** The best centroid of each point, and its score: i32 and f32 [n]. */
export function assign(
  gpu: Gpu,
  { x, metric }: Cluster,
  centroids: GpuTensor,
  k: number,
  { admission, groups }: { admission?: GpuTensor; groups?: Groups } = {},
): { nearest: GpuTensor; scores: GpuTensor } {
  const nearest = gpu.empty('i32', [x.rows]);
  const scores = gpu.empty('f32', [x.rows]);
  const block = blockSize(gpu);
  const tiles = gpu.family === 'gpu';
  const one = emptyOne(gpu);
  const constants = { BLOCK: block, SPHERICAL: metric === 'spherical' ? 1 : 0 };
  const windows = groups || admission ? [{ first: 0, count: x.rows, binding: x.tensor }] : rowWindows(gpu, x);
  for (const { first, count, binding } of windows) {
    const part = windows.length > 1;
    gpu.dispatch({
      file,
      entry: tiles ? 'kMeansAssignTiles' : 'kMeansAssign',
      constants: tiles ? constants : { ...constants, WORKGROUP_SIZE: lanes(gpu).workgroup },
      params: paramsOf(count, k, x.width, groups?.count ?? 0, admission ? 1 : 0),
      reads: [binding, centroids, groups?.order ?? one, groups?.info ?? one, admission ?? one],
      writes: part
        ? [nearest, scores].map((tensor) => ({ tensor, offset: first, length: count }))
        : [nearest, scores],
      groups: gpu.grid(Math.ceil(count / block) + (groups?.count ?? 0)),
    });
  }
  return { nearest, scores };
}

/** Move centroids to the means of their points; an empty one to the point in `restarts`, unless that is 2^32 - 1. */
export function move(
  gpu: Gpu,
  { x, weights, metric }: Cluster,
  centroids: GpuTensor,
  k: number,
  assignments: GpuTensor,
  restarts: GpuTensor,
): void {
  const sorted = sortKeys(gpu, assignments, bitsFor(k));
  const starts = startsOf(gpu, sorted.keys, k);
  // Few clusters are cut into parts, so that the machine has enough to do at once.
  const enough = Math.ceil((gpu.family === 'gpu' ? 4096 : 64) / k);
  const parts = Math.max(Math.min(enough, Math.floor(gpu.maxBindingBytes / (k * x.width * 16))), 1);
  const partial = gpu.empty('f32', [k * parts, x.width * 4]);
  const constants = { ...lanes(gpu).constants, SPHERICAL: metric === 'spherical' ? 1 : 0 };
  const params = paramsOf(x.rows, k, x.width, 0, 0, parts);
  const one = emptyOne(gpu);
  gpu.dispatch({
    file,
    entry: 'kMeansSums',
    constants,
    params,
    reads: [x.tensor, weights ?? one, sorted.order, starts],
    writes: [partial],
    groups: groupsFor(gpu, k * parts * x.width),
  });
  gpu.dispatch({
    file,
    entry: 'kMeansMeans',
    constants,
    params,
    reads: [x.tensor, weights ?? one, partial, starts, restarts],
    writes: [centroids],
    groups: groupsFor(gpu, k),
  });
  for (const t of [sorted.keys, sorted.order, starts, partial]) t[Symbol.dispose]();
}

/** Write the sum of the points' D to their centroids to element `at` of `to`. */
export function distancesInto(
  gpu: Gpu,
  { x, weights, metric }: Cluster,
  centroids: GpuTensor,
  k: number,
  assignments: GpuTensor,
  to: GpuTensor,
  at: number,
): void {
  const distances = gpu.empty('f32', [x.rows]);
  gpu.dispatch({
    file,
    entry: 'kMeansDistances',
    constants: { ...lanes(gpu).constants, SPHERICAL: metric === 'spherical' ? 1 : 0 },
    params: paramsOf(x.rows, k, x.width),
    reads: [x.tensor, centroids, assignments, weights ?? emptyOne(gpu)],
    writes: [distances],
    groups: groupsFor(gpu, x.rows),
  });
  sumInto(gpu, distances, to, at);
  distances[Symbol.dispose]();
}
