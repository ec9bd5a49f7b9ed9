import { foldIn } from '../../core/key.ts';
import type { AnnPlan, Metric } from '../../core/ops/hierarchicalAnn.ts';
import type { ClusterMetric } from '../../core/ops/kMeans.ts';
import { randomBits } from '../randomBits.ts';
import { randomRows } from './firstCentroids.ts';
import { indexOfBest, means, scoresOf } from './lloyd.ts';
import { inverseNorms } from './scores.ts';

/** One level of centroids, and where the children of each start one level below (at the lists: in the vectors). */
export interface Level {
  readonly centroids: Float32Array;
  offsets: Int32Array;
  readonly size: number;
}

/** Inner products and cosines ask for a direction, distances for a place. */
export function clusterMetric(metric: Metric): ClusterMetric {
  return metric === 'l2' ? 'l2' : 'spherical';
}

/**
 * Train the centroids of every level on a random sample of the rows of x.
 *
 * Level after level, the points of each node are clustered by Lloyd's algorithm into as many children as the node's
 * share of the points: child c of the level starts with the c-th point of its node; empty children move to a random
 * point of the node. Then `refine` Lloyd iterations run over all lists at once, each point looking below its `beam` best
 * nodes; empty lists stay where they are.
 */
export function trainTree(x: Float32Array, plan: AnnPlan): Level[] {
  const { n, d, levels, sample, beam } = plan;
  if (levels.length === 0) return [];
  const metric = clusterMetric(plan.metric);
  const points = gather(x, randomRows(plan.key, n, sample), d);
  const weights = metric === 'spherical' ? inverseNorms(points, sample, d) : new Float64Array(sample).fill(1);
  const tree: Level[] = [];
  // The points by node of the level above, and where each node's points start.
  let members: Int32Array = Int32Array.from({ length: sample }, (_, i) => i);
  let starts: Int32Array = Int32Array.of(0, sample);
  for (const [depth, size] of levels.entries()) {
    const kids = shares(starts, size);
    const above = tree.at(-1)?.centroids;
    const centroids = new Float32Array(size * d);
    const assignments = new Int32Array(sample);
    for (let g = 0; g + 1 < starts.length; g++) {
      const own = members.subarray(starts[g], starts[g + 1]);
      for (let c = kids[g]!; c < kids[g + 1]!; c++) {
        const i = own[(c - kids[g]!) % Math.max(own.length, 1)];
        for (let j = 0; j < d; j++) {
          centroids[c * d + j] = i === undefined ? above![g * d + j]! : weights[i]! * points[i * d + j]!;
        }
      }
    }
    const point = new Float64Array(d);
    const scores = new Float64Array(size);
    for (let t = 0; t <= plan.iterations; t++) {
      const random = randomBits(foldIn(foldIn(plan.key, depth + 1), t), [size]).data;
      const parentOf = new Int32Array(size);
      for (let g = 0; g + 1 < starts.length; g++) {
        for (let c = kids[g]!; c < kids[g + 1]!; c++) parentOf[c] = g;
        for (let m = starts[g]!; m < starts[g + 1]!; m++) {
          const i = members[m]!;
          for (let j = 0; j < d; j++) point[j] = points[i * d + j]!;
          scoresOf(metric, centroids, d, kids[g]!, kids[g + 1]!, point, scores);
          assignments[i] = kids[g]! + indexOfBest(scores, 0, kids[g + 1]! - kids[g]!);
        }
      }
      if (t === plan.iterations) break;
      means(points, d, weights, assignments, centroids, metric, (c) => {
        const g = parentOf[c]!;
        const count = starts[g + 1]! - starts[g]!;
        return count === 0 ? -1 : members[starts[g]! + (random[c]! % count)]!;
      });
    }
    if (tree.length > 0) tree.at(-1)!.offsets = kids;
    tree.push({ centroids, offsets: kids, size });
    starts = startsOf(assignments, size);
    members = sortedBy(assignments, starts);
  }
  const lists = tree.at(-1)!;
  for (let t = 0; t < plan.refine; t++) {
    const assignments = listsFor(points, tree, metric, beam);
    means(points, d, weights, assignments, lists.centroids, metric, () => -1);
  }
  return tree;
}

/** Where the children of each node start when `size` of them are shared out by numbers of points, at least one each. */
export function shares(starts: Int32Array, size: number): Int32Array {
  const nodes = starts.length - 1;
  const total = starts[nodes]!;
  return starts.map((before, g) => g + Math.floor(((size - nodes) * before) / total));
}

/** The list of each row of x: the best centroid below the `beam` best nodes of each upper level. */
export function listsFor(
  x: Float32Array,
  tree: readonly Level[],
  metric: ClusterMetric,
  beam: number,
): Int32Array {
  const d = tree[0]!.centroids.length / tree[0]!.size;
  const out = new Int32Array(x.length / d);
  const point = new Float64Array(d);
  const widest = Math.max(...tree.map((level) => level.size));
  const scores = new Float64Array(widest);
  const nodes = new Int32Array(widest);
  for (let i = 0; i < out.length; i++) {
    for (let j = 0; j < d; j++) point[j] = x[i * d + j]!;
    let open = [0];
    for (const [depth, { centroids, size }] of tree.entries()) {
      let count = 0;
      for (const parent of open) {
        const first = depth === 0 ? 0 : tree[depth - 1]!.offsets[parent]!;
        const last = depth === 0 ? size : tree[depth - 1]!.offsets[parent + 1]!;
        scoresOf(metric, centroids, d, first, last, point, scores, count);
        for (let c = first; c < last; c++) nodes[count++] = c;
      }
      const width = depth === tree.length - 1 ? 1 : Math.min(beam, count);
      open = [];
      for (let b = 0; b < width; b++) {
        const best = indexOfBest(scores, 0, count);
        open.push(nodes[best]!);
        scores[best] = Number.NEGATIVE_INFINITY;
      }
      // Children are looked at in ascending order, so that equal scores go to the lowest.
      open.sort((a, b) => a - b);
    }
    out[i] = open[0]!;
  }
  return out;
}

/** Where each of `size` groups starts when things are sorted by group. */
export function startsOf(groups: Int32Array, size: number): Int32Array {
  const starts = new Int32Array(size + 1);
  for (const g of groups) starts[g + 1]!++;
  for (let g = 0; g < size; g++) starts[g + 1]! += starts[g]!;
  return starts;
}

/** The numbers of things, group after group, ascending within a group. */
export function sortedBy(groups: Int32Array, starts: Int32Array): Int32Array {
  const next = starts.slice();
  const out = new Int32Array(groups.length);
  for (let i = 0; i < groups.length; i++) out[next[groups[i]!]!++] = i;
  return out;
}

/** Copy rows of x. */
export function gather(x: Float32Array, rows: Int32Array, d: number): Float32Array {
  const out = new Float32Array(rows.length * d);
  for (let i = 0; i < rows.length; i++) {
    for (let j = 0; j < d; j++) out[i * d + j] = x[rows[i]! * d + j]!;
  }
  return out;
}
