import { tensor } from '../src/core/tensor.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';
import { clustered } from './support/work.ts';

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
function cluster(label: string, n: number, k: number, options: object, passes: number): Benchmark {
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
    flops: passes * ('metric' in options ? 2 : 3) * n * k * d,
  };
}
