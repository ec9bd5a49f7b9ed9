import { requireFinite } from '../core/finite.ts';
import { foldIn } from '../core/key.ts';
import { type KMeansOptions, type KMeansPlan, planKMeans } from '../core/ops/kMeans.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';
import { admit } from './lib/admission.ts';
import { firstCentroids } from './lib/firstCentroids.ts';
import { type Assignment, assign, means } from './lib/lloyd.ts';
import { type Floats, inverseNorms } from './lib/scores.ts';
import { randomBits } from './randomBits.ts';

/**
 * Cluster points around k centroids.
 *
 * Each iteration gives every point to its best centroid (least D, then lowest index) and moves every centroid to the
 * mean of its points. l2: D(x, c) = |x - c|^2. spherical: D(x, c) = 1 - x.c / |x|, and the new centroid is the sum of
 * x / |x| scaled to length 1. Centroids are rounded to the dtype of the points after every iteration.
 *
 * @param points f32 or f64 [n, d]
 * @param k 1 to n
 * @param options.iterations default 10; 0 assigns only
 * @param options.init 'kmeans++' (default) or 'sample', or `initialCentroids` [k, d], which are used as they are
 * @param options.metric 'l2' (default) or 'spherical'
 * @param options.balanced at most ceil(capacity n / k) points per cluster: see `admit`
 * @param options.key decides the first centroids and where empty clusters go; default key(0)
 * @returns centroids [k, d]; assignments i32 [n] and counts i32 [k] for these centroids; inertia [iterations + 1], the sum
 * of D before each iteration and at the end
 * @throws ShapeError, DTypeError, ArgumentError (also for NaN and infinities)
 * @accuracy f64 inside, rounded once per iteration
 * @edge An empty cluster moves to the point with number `bits % n` at the end of the iteration, where bits come from the
 * key, the iteration and the cluster: large clusters are hit most often, and the inertia cannot rise, since the centroid
 * had no points to lose. Spherical: a zero point has D = 1 to all centroids and joins the first; a cluster whose
 * directions cancel to zero keeps its centroid.
 * @source Lloyd (1982); Arthur and Vassilvitskii (2007)
 */
export function kMeans(
  points: Tensor,
  k: number,
  options: KMeansOptions<Tensor> = {},
): Outputs<{ centroids: Tensor; assignments: Tensor; counts: Tensor; inertia: Tensor }> {
  const plan = planKMeans(points, k, options);
  requireFinite('kMeans', 'points', points);
  if (options.initialCentroids) requireFinite('kMeans', 'initialCentroids', options.initialCentroids);
  const { n, d } = plan;
  const x = points.data as Floats;
  // The weight of a point in its mean; also what turns x.c into the cosine.
  const weights = plan.metric === 'spherical' ? inverseNorms(x, n, d) : new Float64Array(n).fill(1);
  const centroids = allocate(points.dtype, k * d) as Floats;
  centroids.set(options.initialCentroids?.data ?? firstCentroids(x, weights, plan));
  const inertia = allocate(points.dtype, plan.iterations + 1);

  let now = assignAll(x, centroids, weights, plan);
  inertia[0] = now.inertia;
  for (let t = 0; t < plan.iterations; t++) {
    const random = randomBits(foldIn(plan.key, t + 1), [k]).data;
    means(x, d, weights, now.assignments, centroids, plan.metric, (c) => random[c]! % n);
    now = assignAll(x, centroids, weights, plan);
    inertia[t + 1] = now.inertia;
  }
  const counts = new Int32Array(k);
  for (const c of now.assignments) counts[c]!++;
  return outputs({
    centroids: new Tensor(points.dtype, [k, d], centroids),
    assignments: new Tensor('i32', [n], now.assignments),
    counts: new Tensor('i32', [k], counts),
    inertia: new Tensor(points.dtype, [plan.iterations + 1], inertia),
  });
}

function assignAll(x: Floats, centroids: Floats, weights: Float64Array, plan: KMeansPlan): Assignment {
  return plan.capacity > 0 ? admit(x, centroids, weights, plan) : assign(x, centroids, weights, plan);
}
