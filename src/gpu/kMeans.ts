import { foldIn } from '../core/key.ts';
import { type KMeansOptions, type KMeansPlan, planKMeans } from '../core/ops/kMeans.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { assign, type Cluster, distancesInto, move, paramsOf } from './lib/lloyd.ts';
import { randomRows } from './lib/randomRows.ts';
import { gatherRows, inverseNorms, padded, unpadded } from './lib/rows.ts';
import { bitsFor, groupsFor, lanes, scan, sortKeys, startsOf } from './lib/sort.ts';
import { randomBits } from './randomBits.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'kMeans.wgsl';

/** The kernel twin of `ref.kMeans`; the contract is `Ops.kMeans`. */
export function kMeans(
  gpu: Gpu,
  points: GpuTensor,
  k: number,
  options: KMeansOptions<GpuTensor> = {},
): Outputs<{ centroids: GpuTensor; assignments: GpuTensor; counts: GpuTensor; inertia: GpuTensor }> {
  const plan = planKMeans(points, k, options);
  const { n, d, iterations, metric } = plan;
  const { initialCentroids } = options;
  return gpu.run('kMeans', [points, initialCentroids], () => {
    const x = padded(gpu, points, n, d);
    const weights = metric === 'spherical' ? inverseNorms(gpu, x) : undefined;
    const cluster: Cluster = { x, weights, metric };
    const inertia = gpu.empty('f32', [iterations + 1]);
    let centroids = gpu.empty('f32', [k, x.width * 4]);
    if (initialCentroids === undefined) {
      const chosen = plan.init === 'sample' ? randomRows(gpu, plan.key, n, k) : plusPlus(gpu, cluster, plan);
      centroids = gatherRows(gpu, x, chosen, weights).tensor;
    } else {
      gpu.copy(padded(gpu, initialCentroids, k, d).tensor, centroids);
    }
    const assignAll = (): GpuTensor =>
      plan.capacity > 0 ? admit(gpu, cluster, centroids, plan) : assign(gpu, cluster, centroids, k).nearest;

    let assignments = assignAll();
    distancesInto(gpu, cluster, centroids, k, assignments, inertia, 0);
    for (let t = 0; t < iterations; t++) {
      const restarts = gpu.empty('u32', [k]);
      gpu.dispatch({
        file,
        entry: 'kMeansRestart',
        constants: lanes(gpu).constants,
        params: paramsOf(n, k),
        reads: [randomBits(gpu, foldIn(plan.key, t + 1), [k])],
        writes: [restarts],
        groups: groupsFor(gpu, k),
      });
      move(gpu, cluster, centroids, k, assignments, restarts);
      assignments = assignAll();
      distancesInto(gpu, cluster, centroids, k, assignments, inertia, t + 1);
    }
    const starts = startsOf(gpu, sortKeys(gpu, assignments, bitsFor(k)).keys, k);
    const counts = gpu.empty('i32', [k]);
    gpu.dispatch({
      file,
      entry: 'kMeansCounts',
      constants: lanes(gpu).constants,
      params: paramsOf(n, k),
      reads: [starts],
      writes: [counts],
      groups: groupsFor(gpu, k),
    });
    return outputs({
      centroids: unpadded(gpu, { tensor: centroids, rows: k, width: x.width }, d),
      assignments,
      counts,
      inertia,
    });
  });
}

/** The points that k-means++ chooses: u32 [k]. */
function plusPlus(gpu: Gpu, { x, weights, metric }: Cluster, { n, k, key }: KMeansPlan): GpuTensor {
  const draws = randomBits(gpu, foldIn(key, 0), [k]);
  const picks = gpu.empty('u32', [k]);
  const nearest = gpu.empty('f32', [n]);
  // The walk to the drawn point is serial: as many chunks as there are points in one.
  const parts = Math.ceil(Math.sqrt(n));
  const sums = gpu.empty('f32', [parts]);
  const constants = { ...lanes(gpu).constants, SPHERICAL: metric === 'spherical' ? 1 : 0 };
  for (let step = 0; step < k; step++) {
    const params = paramsOf(n, k, x.width, 0, 0, parts, 0, step);
    if (step > 0) {
      const groups = groupsFor(gpu, parts);
      const reads = [x.tensor, weights ?? draws, picks];
      gpu.dispatch({ file, entry: 'kMeansNear', constants, params, reads, writes: [nearest, sums], groups });
    }
    gpu.dispatch({
      file,
      entry: 'kMeansPick',
      params,
      reads: [draws, nearest, sums],
      writes: [picks],
      groups: [1],
    });
  }
  return picks;
}

/** Give every point to a centroid, none more than `capacity`: i32 [n]. */
function admit(
  gpu: Gpu,
  cluster: Cluster,
  centroids: GpuTensor,
  { n, k, capacity, rounds }: KMeansPlan,
): GpuTensor {
  const { constants } = lanes(gpu);
  const params = paramsOf(n, k, cluster.x.width, 0, 1, 0, capacity);
  const admission = gpu.empty('u32', [k, 2]);
  gpu.dispatch({
    file,
    entry: 'kMeansOpen',
    constants,
    params,
    writes: [admission],
    groups: groupsFor(gpu, k),
  });
  for (let round = 0; ; round++) {
    const { nearest, scores } = assign(gpu, cluster, centroids, k, { admission });
    const sorted = sortKeys(gpu, nearest, bitsFor(k));
    const starts = startsOf(gpu, sorted.keys, k);
    const reads = [scores, sorted.order, starts];
    gpu.dispatch(
      gpu.family === 'gpu'
        ? { file, entry: 'kMeansAdmitTiles', params, reads, writes: [admission], groups: gpu.grid(k) }
        : {
            file,
            entry: 'kMeansAdmit',
            constants,
            params,
            reads,
            writes: [admission],
            groups: groupsFor(gpu, k),
          },
    );
    if (round < rounds - 1) {
      for (const t of [nearest, scores, sorted.keys, sorted.order, starts]) t[Symbol.dispose]();
      continue;
    }
    const homeless = gpu.empty('u32', [n]);
    const before = gpu.empty('u32', [n]);
    const free = gpu.empty('u32', [k]);
    const perPoint = { file, constants, params, groups: groupsFor(gpu, n) };
    gpu.dispatch({
      ...perPoint,
      entry: 'kMeansEvict',
      reads: [scores, nearest, admission],
      writes: [homeless],
    });
    gpu.copy(homeless, before);
    scan(gpu, before);
    gpu.dispatch({
      file,
      entry: 'kMeansCounts',
      constants,
      params,
      reads: [starts],
      writes: [free],
      groups: groupsFor(gpu, k),
    });
    scan(gpu, free);
    gpu.dispatch({ ...perPoint, entry: 'kMeansFill', reads: [homeless, before, free], writes: [nearest] });
    return nearest;
  }
}
