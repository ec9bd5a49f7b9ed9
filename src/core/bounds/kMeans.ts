import {
  type Bound,
  compareBound,
  compareExact,
  failure,
  gamma,
  minNormal,
  pass,
  unitWgsl,
  type Verdict,
} from '../bounds.ts';
import { type ClusterMetric, type KMeansOptions, type KMeansPlan, planKMeans } from '../ops/kMeans.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';
import { exactInF32 } from './selection.ts';
import { scoreWithSlack } from './tree.ts';

type Numbers = ArrayLike<number>;
type Named = Readonly<Record<string, Tensor>>;

/**
 * k-means: assignments must be best for the centroids that were returned, within the bounds of two scores; counts must
 * be those of the assignments; the inertia must be the sum for them and must not rise. Where the first centroids are
 * given, the first inertia and, after one iteration, the means of all clusters without a doubtful point are compared with
 * the reference; after none, nothing may have moved.
 */
export const judgeKMeans: Judge = ({ inputs, options, want, got }) => {
  const points = inputs.points!;
  const { k, ...rest } = options as unknown as KMeansOptions<Tensor> & { k: number };
  const initial = inputs.initialCentroids;
  const plan = planKMeans(points, k, { ...rest, ...(initial ? { initialCentroids: initial } : {}) });
  const x = points.data;
  const weights = plan.metric === 'spherical' ? inverseNorms(x, plan) : undefined;
  const verdicts: Record<string, Verdict> = {
    assignments: bothAssignments(x, want, got, plan),
    counts: checkCounts(got.assignments!.data, got.counts!.data, plan),
    inertia: checkInertia(x, weights, got, want, plan),
    centroids: pass(),
  };
  if (plan.iterations === 0 && plan.init !== 'kmeans++') {
    // Copies of points or of what was given; directions are scaled.
    const copied = plan.metric === 'l2' || initial !== undefined;
    verdicts.centroids = copied
      ? compareExact(want.centroids!, got.centroids!)
      : compareBound(want.centroids!, got.centroids!, elementwise(want.centroids!.data, plan.d));
  } else if (plan.iterations === 1 && initial !== undefined && plan.capacity === 0) {
    verdicts.centroids = compareBound(
      want.centroids!,
      got.centroids!,
      meansBound(x, weights, initial.data, plan),
    );
  }
  return verdicts;
};

/** What was wanted is held to the same rule: it may come from an oracle. */
function bothAssignments(x: Numbers, want: Named, got: Named, plan: KMeansPlan): Verdict {
  const wanted = checkAssignments(x, want.centroids!.data, want.assignments!.data, plan);
  if (wanted.verdict === 'FAIL') return { ...wanted, message: `wanted: ${wanted.message}` };
  return checkAssignments(x, got.centroids!.data, got.assignments!.data, plan);
}

/** Every point is at a centroid that no other one beats beyond the bounds of both scores. */
function checkAssignments(x: Numbers, centroids: Numbers, assigned: Numbers, plan: KMeansPlan): Verdict {
  const { n, d, k, metric, capacity } = plan;
  const exact = exactInF32(x, centroids, d);
  for (let i = 0; i < n; i++) {
    const own = assigned[i]!;
    if (!(Number.isInteger(own) && own >= 0 && own < k)) return failure(`point ${i} is assigned to ${own}`);
    // With a limit, who is where depends on all other points: the sizes are checked, and whole runs by the specs.
    if (capacity > 0) continue;
    const [score, slack] = score1(metric, x, i, centroids, own, d, exact);
    for (let c = 0; c < k; c++) {
      const [other, doubt] = score1(metric, x, i, centroids, c, d, exact);
      if (other - doubt > score + slack || (exact && other === score && c < own)) {
        return failure(
          `point ${i} is assigned to ${own} with score ${score}, but ${c} has ${other}; their slacks are ${slack} and ${doubt}`,
        );
      }
    }
  }
  return pass(0, 'each point is at its best centroid, or within the bounds of two scores of it');
}

function checkCounts(assigned: Numbers, counts: Numbers, { n, k, capacity }: KMeansPlan): Verdict {
  const want = new Int32Array(k);
  for (let i = 0; i < n; i++) want[assigned[i]!]!++;
  for (let c = 0; c < k; c++) {
    if (counts[c] !== want[c])
      return failure(`cluster ${c} counts ${counts[c]}, but ${want[c]} points are assigned to it`);
    if (capacity > 0 && want[c]! > capacity)
      return failure(`cluster ${c} holds ${want[c]}, and ${capacity} is the most`);
  }
  return pass(0, 'counts are those of the assignments');
}

/** The last inertia is the sum for what was returned; none is above the one before; the first is that of the reference. */
function checkInertia(
  x: Numbers,
  weights: Float64Array | undefined,
  got: Readonly<Record<string, Tensor>>,
  want: Readonly<Record<string, Tensor>>,
  plan: KMeansPlan,
): Verdict {
  const { n, d, metric, capacity } = plan;
  const centroids = got.centroids!.data;
  let sum = 0;
  let slack = 0;
  for (let i = 0; i < n; i++) {
    const [score, doubt] = scoreWithSlack(
      metric === 'l2' ? 'l2' : 'ip',
      x,
      i * d,
      centroids,
      got.assignments!.data[i]! * d,
      d,
      false,
    );
    const weight = weights?.[i] ?? 1;
    const distance = metric === 'l2' ? -score : 1 - score * weight;
    sum += distance;
    // Spherical: the weight is a rounded function of a sum, and 1 - cos is one more rounding of at most 2.
    slack +=
      metric === 'l2' ? doubt : doubt * weight + (gamma(d) + 18 * unitWgsl) * (1 + Math.abs(score * weight));
  }
  // Chunks of 64 terms, summed in turn: the chain of additions is short.
  slack += gamma(64 * Math.max(Math.ceil(Math.log(n) / Math.log(64)), 1) + 1) * Math.abs(sum) + n * minNormal;
  // A mean of m numbers is rounded by gamma_m of their size, which costs each of its points the square of that.
  let largest = 0;
  for (let i = 0; i < n * d; i++) largest = Math.max(largest, Math.abs(x[i]!));
  let crowd = 0;
  for (const c of got.counts!.data) crowd = Math.max(crowd, c);
  const rounded = metric === 'l2' ? n * d * (gamma(crowd + 8) * largest) ** 2 : 0;
  const values = got.inertia!.data;
  const last = values[plan.iterations]!;
  if (!(Math.abs(last - sum) <= slack))
    return failure(`the last inertia is ${last}, wanted ${sum} within ${slack}`);
  // Directions that were given may have any length, and D is what it is for them; from the first means on it falls.
  const begin = metric === 'spherical' && plan.init === 'given' ? 2 : 1;
  for (let t = begin; t <= plan.iterations && capacity === 0; t++) {
    if (!(values[t]! <= values[t - 1]! + 2 * slack + rounded))
      return failure(`the inertia rises from ${values[t - 1]} to ${values[t]}`);
  }
  const first = Math.abs(values[0]! - want.inertia!.data[0]!);
  const allowed = 2 * slack * Math.max(1, want.inertia!.data[0]! / Math.max(sum, minNormal));
  if (plan.init === 'given' && capacity === 0 && !(first <= allowed)) {
    return failure(`the first inertia is ${values[0]}, wanted ${want.inertia!.data[0]} within ${allowed}`);
  }
  return pass(slack > 0 ? Math.abs(last - sum) / slack : 0, 'sum of D, gamma of a chain of chunks');
}

/** How far the means after one iteration may be from the reference: no bound where a point might belong elsewhere. */
function meansBound(x: Numbers, weights: Float64Array | undefined, first: Numbers, plan: KMeansPlan): Bound {
  const { n, d, k, metric } = plan;
  const exact = exactInF32(x, first, d);
  const counts = new Int32Array(k);
  const doubtful = new Uint8Array(k);
  const sums = new Float64Array(k * d);
  const absolute = new Float64Array(k * d);
  for (let i = 0; i < n; i++) {
    const scores = Array.from({ length: k }, (_, c) => score1(metric, x, i, first, c, d, exact));
    let best = 0;
    for (let c = 1; c < k; c++) if (scores[c]![0] > scores[best]![0]) best = c;
    const rivals = scores.flatMap(([s, e], c) =>
      !exact && c !== best && s + e >= scores[best]![0] - scores[best]![1] ? [c] : [],
    );
    for (const c of rivals.length > 0 ? [best, ...rivals] : []) doubtful[c] = 1;
    counts[best]!++;
    for (let j = 0; j < d; j++) {
      const v = (weights?.[i] ?? 1) * x[i * d + j]!;
      sums[best * d + j]! += v;
      absolute[best * d + j]! += Math.abs(v);
    }
  }
  const fail = new Float64Array(k * d);
  for (let c = 0; c < k; c++) {
    const terms = counts[c]! + (metric === 'l2' ? 4 : d + 20);
    let squares = 0;
    for (let j = 0; j < d; j++) squares += sums[c * d + j]! ** 2;
    const length = Math.sqrt(squares);
    const scale = metric === 'l2' ? 1 / Math.max(counts[c]!, 1) : 1 / Math.max(length, minNormal);
    let spread = 0;
    for (let j = 0; j < d; j++) spread += (gamma(terms) * absolute[c * d + j]! * scale) ** 2;
    for (let j = 0; j < d; j++) {
      const own = gamma(terms) * absolute[c * d + j]! * scale;
      // Spherical: the length is rounded as well, by at most the error of the whole vector.
      const value = Math.abs(sums[c * d + j]! * scale);
      const more = metric === 'l2' ? 0 : value * (Math.sqrt(spread) + gamma(d + 20));
      // An empty cluster goes to a point: a copy, or its direction.
      const copied = counts[c] === 0 && metric === 'spherical' ? gamma(d) + 18 * unitWgsl : 0;
      fail[c * d + j] = doubtful[c] !== 0 ? Infinity : own + more + copied + 4 * unitWgsl * value + minNormal;
    }
  }
  return {
    fail,
    why: 'gamma_m * sum |terms| over the m points of a cluster; none where a point is within the bounds of two scores',
  };
}

function score1(
  metric: ClusterMetric,
  x: Numbers,
  i: number,
  centroids: Numbers,
  c: number,
  d: number,
  exact: boolean,
): [number, number] {
  return scoreWithSlack(metric === 'l2' ? 'l2' : 'ip', x, i * d, centroids, c * d, d, exact);
}

function elementwise(values: Numbers, d: number): Bound {
  const fail = Float64Array.from(values, (v) => (gamma(d) + 18 * unitWgsl) * Math.abs(v) + minNormal);
  return { fail, why: 'x / |x|: a sum of squares, a root, a quotient, a product' };
}

function inverseNorms(x: Numbers, { n, d }: KMeansPlan): Float64Array {
  return Float64Array.from({ length: n }, (_, i) => {
    let squares = 0;
    for (let j = i * d; j < (i + 1) * d; j++) squares += x[j]! ** 2;
    return squares >= 2 ** -100 ? 1 / Math.sqrt(squares) : 0;
  });
}
