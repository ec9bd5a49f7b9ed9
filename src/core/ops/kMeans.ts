import { ArgumentError, ShapeError } from '../errors.ts';
import { type Key, key, requireKey } from '../key.ts';
import { type AnyTensor, type Outputs, requireDType, requireInteger, requireShape, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

/** How points and centroids are compared: by squared distance, or by direction alone. */
export type ClusterMetric = 'l2' | 'spherical';

export interface KMeansOptions<T> {
  /** Decides every random choice. @defaultValue key(0) */
  readonly key?: Key;
  /** Lloyd iterations; 0 assigns the points to the first centroids and changes nothing. @defaultValue 10 */
  readonly iterations?: number;
  /** How the first centroids are chosen from the points. @defaultValue 'kmeans++' */
  readonly init?: 'kmeans++' | 'sample';
  /** @defaultValue 'l2' */
  readonly metric?: ClusterMetric;
  /** Let no cluster hold more than `capacity` times the mean. @defaultValue false */
  readonly balanced?: boolean;
  /** The largest cluster in units of n / k, at least 1; rounded up to whole points. @defaultValue 1.5 */
  readonly capacity?: number;
  /** Rounds of admission per balanced assignment; what is homeless after them fills free places. @defaultValue 8 */
  readonly rounds?: number;
  /** The first centroids [k, d]; `init` is then not used. */
  readonly initialCentroids?: T;
}

export interface KMeansOps<T extends AnyTensor> {
  /** Cluster points around k centroids (Lloyd). */
  kMeans(
    points: T,
    k: number,
    options?: KMeansOptions<T>,
  ): Outputs<{ centroids: T; assignments: T; counts: T; inertia: T }>;
}

export const kMeansContract: Contract = {
  name: 'kMeans',
  summary: "Lloyd's algorithm: cluster points around k centroids.",
  formula:
    'repeat: assignments[i] = the c with the least D(points[i], centroids[c]); centroids[c] = the mean of its points. l2: D = |x - c|^2; spherical: D = 1 - cos(x, c), and the mean of the directions is scaled to length 1',
  params: ['points', 'k'],
  inputs: [
    { name: 'points', dtypes: ['f32', 'f64'], shape: '[n, d]', about: 'one point per row; finite' },
    {
      name: 'initialCentroids',
      dtypes: ['f32', 'f64'],
      shape: '[k, d]',
      about:
        'the first centroids, used as they are (spherical: length 1 makes D a distance); absent: chosen by init',
      optional: true,
    },
  ],
  options: [
    { name: 'k', type: 'integer', about: 'how many clusters, from 1 to n' },
    { name: 'key', type: 'key', about: 'decides every random choice; default key(0)' },
    {
      name: 'iterations',
      type: 'integer',
      default: 10,
      about: 'Lloyd iterations; 0 only assigns the points to the first centroids',
    },
    {
      name: 'init',
      type: 'string',
      default: 'kmeans++',
      choices: ['kmeans++', 'sample'],
      about: 'the first centroids: each next point drawn in proportion to D, or k different points at random',
    },
    {
      name: 'metric',
      type: 'string',
      default: 'l2',
      choices: ['l2', 'spherical'],
      about: 'squared distance, or direction alone',
    },
    { name: 'balanced', type: 'boolean', default: false, about: 'limit the size of every cluster' },
    {
      name: 'capacity',
      type: 'number',
      default: 1.5,
      about: 'balanced: the largest cluster, in units of n / k, rounded up to whole points; at least 1',
    },
    { name: 'rounds', type: 'integer', default: 8, about: 'balanced: rounds of admission per assignment' },
  ],
  outputs: [
    { name: 'centroids', dtypes: ['f32', 'f64'], shape: '[k, d]', about: 'after the last iteration' },
    {
      name: 'assignments',
      dtypes: ['i32'],
      shape: '[n]',
      about: 'the cluster of each point, for these centroids',
    },
    { name: 'counts', dtypes: ['i32'], shape: '[k]', about: 'how many points each cluster holds' },
    {
      name: 'inertia',
      dtypes: ['f32', 'f64'],
      shape: '[iterations + 1]',
      about: 'the sum of D over the points, before each iteration and at the end',
    },
  ],
  accuracy:
    'assignments: the best centroid, or one within the error bound of two scores of the best; centroids and inertia: sums within gamma_m * sum |terms|',
  edge: 'ties take the lowest centroid; a centroid without points moves to a point drawn at random (at the end of the iteration, decided by the key); spherical: a zero point (or one shorter than 2^-50) has D = 1 to every centroid, and a cluster whose directions cancel keeps its centroid; balanced: see capacity and rounds',
  source: 'Lloyd, Least squares quantization in PCM (1982); Arthur and Vassilvitskii, k-means++ (2007)',
};

/** Sizes and settled options of a kMeans call. */
export interface KMeansPlan {
  readonly n: number;
  readonly d: number;
  readonly k: number;
  readonly key: Key;
  readonly iterations: number;
  readonly init: 'kmeans++' | 'sample' | 'given';
  readonly metric: ClusterMetric;
  /** Most points per cluster, or 0 without a limit. */
  readonly capacity: number;
  readonly rounds: number;
}

/** Check a kMeans call and settle its options. @throws ShapeError, DTypeError, ArgumentError */
export function planKMeans<T extends AnyTensor>(
  points: T,
  k: number,
  options: KMeansOptions<T> = {},
): KMeansPlan {
  const op = 'kMeans';
  requireDType(op, 'points', points, ['f32', 'f64']);
  const [n, d] = matrix(op, 'points', points);
  if (n === 0 || d === 0) {
    throw new ShapeError(
      op,
      `points has shape ${show(points.shape)}; it needs at least one row and one column`,
    );
  }
  requireInteger(op, 'k', k, 1, n);
  const { iterations = 10, init = 'kmeans++', metric = 'l2', rounds = 8, initialCentroids } = options;
  const { balanced = false, capacity = 1.5 } = options;
  const random = options.key ?? key(0);
  requireKey(op, random);
  requireInteger(op, 'iterations', iterations, 0, 1_000_000);
  requireInteger(op, 'rounds', rounds, 1, 1_000_000);
  requireChoice(op, 'init', init, ['kmeans++', 'sample']);
  requireChoice(op, 'metric', metric, ['l2', 'spherical']);
  if (typeof balanced !== 'boolean') {
    throw new ArgumentError(op, `balanced is ${String(balanced)}; it must be true or false`);
  }
  if (!(capacity >= 1 && capacity < Infinity)) {
    throw new ArgumentError(
      op,
      `capacity is ${capacity}; it must be at least 1, for all points to find a place`,
    );
  }
  if (initialCentroids !== undefined) {
    requireDType(op, 'initialCentroids', initialCentroids, [points.dtype]);
    requireShape(op, 'initialCentroids', initialCentroids, [k, d]);
  }
  return {
    n,
    d,
    k,
    key: random,
    iterations,
    init: initialCentroids === undefined ? init : 'given',
    metric,
    capacity: balanced ? Math.min(Math.ceil((capacity * n) / k), n) : 0,
    rounds,
  };
}

/** Rows and columns of a tensor of rank 2. @throws ShapeError */
export function matrix(op: string, name: string, t: AnyTensor): [number, number] {
  const [rows, columns, ...more] = t.shape;
  if (rows === undefined || columns === undefined || more.length > 0) {
    throw new ShapeError(op, `${name} has shape ${show(t.shape)}; it must have two axes, [rows, dimensions]`);
  }
  return [rows, columns];
}

/** Refuse a string that is not among the choices. @throws ArgumentError */
export function requireChoice(op: string, name: string, value: string, choices: readonly string[]): void {
  if (!choices.includes(value)) {
    throw new ArgumentError(
      op,
      `${name} is ${JSON.stringify(value)}; it must be one of ${choices.join(', ')}`,
    );
  }
}
