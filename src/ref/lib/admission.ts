import type { KMeansPlan } from '../../core/ops/kMeans.ts';
import { type Assignment, distanceOf, scoresOf } from './lloyd.ts';
import type { Floats } from './scores.ts';

/**
 * Give every point to a centroid such that no centroid has more than `capacity` points.
 *
 * Every point applies to its best centroid; a centroid with too many applicants keeps the best of them (score, then the
 * lower point) and from then on takes only better ones; who was refused applies to the best centroid that would still
 * take it. This is deferred acceptance (Gale and Shapley): it ends in the one stable assignment, where no point and
 * centroid would both gain by leaving theirs. It is stopped after `rounds` rounds; points without a place then fill
 * the free places, the first such point the first free place.
 */
export function admit(
  x: Floats,
  centroids: Floats,
  weights: Float64Array,
  { n, d, k, metric, capacity, rounds }: KMeansPlan,
): Assignment {
  const assignments = new Int32Array(n).fill(-1);
  const held = new Float64Array(n);
  // The worst point that a full centroid keeps: only better ones are taken.
  const worstScore = new Float64Array(k).fill(Number.NEGATIVE_INFINITY);
  const worstPoint = new Int32Array(k).fill(n);
  const point = new Float64Array(d);
  const scores = new Float64Array(k);
  const members: number[][] = Array.from({ length: k }, () => []);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < n; i++) {
      if (assignments[i]! >= 0) continue;
      for (let j = 0; j < d; j++) point[j] = x[i * d + j]!;
      scoresOf(metric, centroids, d, 0, k, point, scores);
      let best = -1;
      for (let c = 0; c < k; c++) {
        const takes = scores[c]! > worstScore[c]! || (scores[c] === worstScore[c] && i < worstPoint[c]!);
        if (takes && (best < 0 || scores[c]! > scores[best]!)) best = c;
      }
      if (best < 0) continue;
      assignments[i] = best;
      held[i] = scores[best]!;
      members[best]!.push(i);
    }
    for (let c = 0; c < k; c++) {
      const all = members[c]!;
      if (all.length <= capacity) continue;
      all.sort((a, b) => held[b]! - held[a]! || a - b);
      for (const i of all.splice(capacity)) assignments[i] = -1;
      worstPoint[c] = all.at(-1)!;
      worstScore[c] = held[worstPoint[c]!]!;
    }
  }
  let free = 0;
  let inertia = 0;
  for (let i = 0; i < n; i++) {
    if (assignments[i]! < 0) {
      while (members[free]!.length >= capacity) free++;
      assignments[i] = free;
      members[free]!.push(i);
      for (let j = 0; j < d; j++) point[j] = x[i * d + j]!;
      scoresOf(metric, centroids, d, free, free + 1, point, scores);
      held[i] = scores[0]!;
    }
    inertia += distanceOf(metric, held[i]!, weights[i]!);
  }
  return { assignments, inertia };
}
