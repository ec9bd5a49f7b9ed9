import { foldIn } from '../../core/key.ts';
import type { KMeansPlan } from '../../core/ops/kMeans.ts';
import { randomBits } from '../randomBits.ts';
import { distanceOf, scoresOf } from './lloyd.ts';
import type { Floats } from './scores.ts';

/** The first centroids, chosen from the points; spherical: their directions. */
export function firstCentroids(x: Floats, weights: Float64Array, plan: KMeansPlan): Float64Array {
  const { n, d, k, init } = plan;
  const chosen = init === 'sample' ? randomRows(plan.key, n, k) : plusPlus(x, weights, plan);
  const out = new Float64Array(k * d);
  for (let c = 0; c < k; c++) {
    for (let j = 0; j < d; j++) out[c * d + j] = weights[chosen[c]!]! * x[chosen[c]! * d + j]!;
  }
  return out;
}

/**
 * `count` different numbers below n, in random order: each number draws 24 bits, and the numbers with the highest draws
 * come first; the lower number first where draws are equal.
 */
export function randomRows(key: KMeansPlan['key'], n: number, count: number): Int32Array {
  const draws = randomBits(foldIn(key, 0), [n]).data.map((bits) => bits >>> 8);
  return Int32Array.from({ length: n }, (_, i) => i)
    .sort((a, b) => draws[b]! - draws[a]! || a - b)
    .subarray(0, count);
}

/**
 * k-means++: the first centroid is any point, and each next one a point drawn in proportion to D to the nearest centroid
 * so far: the first point at which the running sum of D exceeds u times the whole sum, u = 24 random bits / 2^24.
 */
function plusPlus(x: Floats, weights: Float64Array, { n, d, k, key, metric }: KMeansPlan): Int32Array {
  const draws = randomBits(foldIn(key, 0), [k]).data;
  const chosen = new Int32Array(k);
  const nearest = new Float64Array(n).fill(Number.POSITIVE_INFINITY);
  const score = new Float64Array(1);
  const centroid = new Float64Array(d);
  const point = new Float64Array(d);
  chosen[0] = draws[0]! % n;
  for (let c = 1; c < k; c++) {
    const last = chosen[c - 1]!;
    for (let j = 0; j < d; j++) centroid[j] = weights[last]! * x[last * d + j]!;
    let sum = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < d; j++) point[j] = x[i * d + j]!;
      scoresOf(metric, centroid, d, 0, 1, point, score);
      nearest[i] = Math.min(nearest[i]!, Math.max(distanceOf(metric, score[0]!, weights[i]!), 0));
      // A chosen point is at distance 0 from itself, whatever was rounded: it is not drawn again.
      if (i === last) nearest[i] = 0;
      sum += nearest[i]!;
    }
    // All points coincide with centroids: any point will do.
    chosen[c] = draws[c]! % n;
    const target = ((draws[c]! >>> 8) / 2 ** 24) * sum;
    let running = 0;
    for (let i = 0; i < n && sum > 0; i++) {
      running += nearest[i]!;
      // The last point with D > 0 stands in, should rounding keep the running sum below the target.
      if (nearest[i]! > 0) chosen[c] = i;
      if (running > target) break;
    }
  }
  return chosen;
}
