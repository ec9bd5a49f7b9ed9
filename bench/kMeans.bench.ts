import { failure, pass, type Verdict } from '../src/core/bounds.ts';
import { tensor } from '../src/core/tensor.ts';
import type { Gpu, GpuTensor } from '../src/gpu/index.ts';
import { type Benchmark, naiveFolder, type PeerWork, type Tier } from './support/benchmark.ts';
import { clustered, type Result, transposed, type Work } from './support/work.ts';

/** Assignment of points to given centroids, and whole iterations. */
export function benchmarks(tier: Tier): Benchmark[] {
  const n = tier === 'full' ? 50_000 : 5_000;
  const k = tier === 'full' ? 256 : 64;
  return [
    cluster('assign to given centroids', n, k, { iterations: 0 }, 1),
    cluster('two iterations from given centroids', n, k, { iterations: 2 }, 3),
    cluster('the same, directions', n, k, { iterations: 2, metric: 'spherical' }, 3),
  ];
}

const d = 64;

/** `passes` assignments, each a product of all points with all centroids (l2: a subtraction more). */
function cluster(label: string, n: number, k: number, options: Options, passes: number): Benchmark {
  const { iterations, metric } = options;
  return {
    op: 'kMeans',
    label,
    shape: `[${n}, ${d}] k ${k}`,
    inputs: () => ({
      points: tensor([n, d], clustered(n, d, 1000, 0.5, 21)),
      initialCentroids: tensor([k, d], clustered(k, d, 1000, 0.25, 21)),
    }),
    options: { k, ...options },
    bytes: passes * 4 * (n * d + k * d + n),
    flops: passes * (metric === undefined ? 3 : 2) * n * k * d,
    ...(iterations === 0 ? { naive: (gpu, inputs) => naive(gpu, inputs, n, k, 0) } : {}),
    ...(iterations === 0 ? { peers: [nearest(n, k)] } : {}),
  };
}

/** Peers have no k-means; its inner step is a product, a subtraction and an argmax: x.c - |c|^2 / 2 is greatest. */
function nearest(n: number, k: number): PeerWork {
  const points = clustered(n, d, 1000, 0.5, 21);
  const centroids = clustered(k, d, 1000, 0.25, 21);
  const half = new Float32Array(k);
  for (let i = 0; i < centroids.length; i++) half[Math.floor(i / d)]! += centroids[i]! ** 2 / 2;
  return {
    standIn: 'argmax of x.c - |c|^2 / 2',
    work: (): Work => ({ kind: 'nearest', n, dim: d, k, x: points, cT: transposed(centroids, k, d), half }),
    check([chosen], want): Verdict {
      return checkNearest(chosen, want.assignments!.data, points, centroids);
    },
  };
}

/** Another centroid than the wanted one must be as near, within the error of the expanded square. */
function checkNearest(
  chosen: Result[number] | undefined,
  want: ArrayLike<number>,
  points: Float32Array,
  centroids: Float32Array,
): Verdict {
  if (chosen?.length !== want.length) return failure(`${chosen?.length} assignments, wanted ${want.length}`);
  const distance = (i: number, c: number): number => {
    let sum = 0;
    for (let j = 0; j < d; j++) sum += (points[i * d + j]! - centroids[c * d + j]!) ** 2;
    return sum;
  };
  const most = 2 * (d + 2) * 2 ** -23 * 4 * d;
  for (let i = 0; i < want.length; i++) {
    if (chosen[i] === want[i]) continue;
    const excess = distance(i, chosen[i]!) - distance(i, want[i]!);
    if (!(excess <= most))
      return failure(`point ${i} is assigned to ${chosen[i]}, which is ${excess} farther`);
  }
  return pass();
}

function naive(
  gpu: Gpu,
  { points, initialCentroids }: Readonly<Record<string, GpuTensor>>,
  n: number,
  k: number,
  iterations: number,
): Record<string, GpuTensor> {
  const file = `${naiveFolder}/kMeans.wgsl`;
  const centroids = gpu.empty('f32', [k, d]);
  gpu.copy(initialCentroids!, centroids);
  const assignments = gpu.empty('i32', [n]);
  const counts = gpu.empty('i32', [k]);
  const inertia = gpu.empty('f32', [iterations + 1]);
  using distances = gpu.empty('f32', [n]);
  for (let step = 0; step <= iterations; step++) {
    const common = { file, params: [n, d, k, step] };
    if (step > 0) {
      const means = { reads: [points!, assignments], writes: [centroids] };
      gpu.dispatch({ ...common, ...means, entry: 'means', groups: [Math.ceil((k * d) / 64)] });
    }
    const nearest = { reads: [points!, centroids], writes: [assignments, distances] };
    gpu.dispatch({ ...common, ...nearest, entry: 'nearest', groups: [Math.ceil(n / 64)] });
    gpu.dispatch({ ...common, entry: 'addUp', reads: [distances], writes: [inertia], groups: [1] });
  }
  const count = { reads: [assignments], writes: [counts] };
  gpu.dispatch({ file, entry: 'count', params: [n, d, k, 0], ...count, groups: [Math.ceil(k / 64)] });
  return { centroids, assignments, counts, inertia };
}

interface Options {
  readonly iterations: number;
  readonly metric?: 'spherical';
}
