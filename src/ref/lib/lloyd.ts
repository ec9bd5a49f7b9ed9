import type { ClusterMetric } from '../../core/ops/kMeans.ts';
import { type Floats, innerProducts, minusDistances } from './scores.ts';

/** Which centroid each point belongs to, and the sum of D over the points. */
export interface Assignment {
  readonly assignments: Int32Array;
  readonly inertia: number;
}

/** What `assign` needs to know of a plan. */
export interface Clustering {
  readonly n: number;
  readonly d: number;
  readonly k: number;
  readonly metric: ClusterMetric;
}

/** Scores of one point against centroids first..last-1, higher is better: x.c, or -|x - c|^2. */
export function scoresOf(
  metric: ClusterMetric,
  centroids: Floats,
  d: number,
  first: number,
  last: number,
  point: Float64Array,
  out: Float64Array,
  at = 0,
): void {
  if (metric === 'spherical') innerProducts(centroids, d, first, last, point, out, at);
  else minusDistances(centroids, d, first, last, point, out, at);
}

/** D from a score; `weight` is 1 / |x| for spherical. */
export function distanceOf(metric: ClusterMetric, score: number, weight: number): number {
  return metric === 'spherical' ? 1 - score * weight : -score;
}

/** Give every point to its best centroid: the highest score, then the lowest index. */
export function assign(
  x: Floats,
  centroids: Floats,
  weights: Float64Array,
  { n, d, k, metric }: Clustering,
): Assignment {
  const assignments = new Int32Array(n);
  const point = new Float64Array(d);
  const scores = new Float64Array(k);
  let inertia = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < d; j++) point[j] = x[i * d + j]!;
    scoresOf(metric, centroids, d, 0, k, point, scores);
    const best = indexOfBest(scores, 0, k);
    assignments[i] = best;
    inertia += distanceOf(metric, scores[best]!, weights[i]!);
  }
  return { assignments, inertia };
}

/** The position of the highest of scores[first..last-1]; the lowest position among equals. */
export function indexOfBest(scores: Float64Array, first: number, last: number): number {
  let best = first;
  for (let c = first + 1; c < last; c++) if (scores[c]! > scores[best]!) best = c;
  return best;
}

/**
 * Move every centroid to the mean of its points; spherical: to the direction of the sum of the points' directions.
 * @param restart the point that an empty centroid moves to, or -1 to leave it where it is
 */
export function means(
  x: Floats,
  d: number,
  weights: Float64Array,
  assignments: Int32Array,
  centroids: Floats,
  metric: ClusterMetric,
  restart: (c: number) => number,
): void {
  const k = centroids.length / d;
  const sums = new Float64Array(k * d);
  const counts = new Int32Array(k);
  for (let i = 0; i < assignments.length; i++) {
    const c = assignments[i]!;
    counts[c]!++;
    for (let j = 0; j < d; j++) sums[c * d + j]! += weights[i]! * x[i * d + j]!;
  }
  for (let c = 0; c < k; c++) {
    let scale = 1 / counts[c]!;
    if (counts[c] === 0) {
      const i = restart(c);
      if (i < 0) continue;
      for (let j = 0; j < d; j++) sums[c * d + j] = weights[i]! * x[i * d + j]!;
      scale = 1;
    }
    if (metric === 'spherical') {
      let squares = 0;
      for (let j = 0; j < d; j++) squares += sums[c * d + j]! ** 2;
      if (squares === 0) continue;
      scale = 1 / Math.sqrt(squares);
    }
    for (let j = 0; j < d; j++) centroids[c * d + j] = sums[c * d + j]! * scale;
  }
}
