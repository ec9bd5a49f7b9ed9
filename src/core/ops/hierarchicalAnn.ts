import { ArgumentError, ShapeError } from '../errors.ts';
import { type Key, key, requireKey } from '../key.ts';
import { splitMinSumOf } from '../splitMinSum.ts';
import { type AnyTensor, type Outputs, requireDType, requireInteger, requireShape, show } from '../tensor.ts';
import type { Contract, OptionField, TensorField } from './contract.ts';
import { matrix, requireChoice } from './kMeans.ts';

/**
 * How a query is compared with a vector; higher scores are better. `ip`: the inner product. `l2`: minus the squared
 * distance. `cosine`: the cosine, 0 where a vector or the query is zero.
 */
export type Metric = 'ip' | 'l2' | 'cosine';

/** The tensors of an index. Centroids and offsets come in pairs, one pair per level of the tree that is there. */
export interface AnnTensors<T> {
  /** f32 [n, d], list after list; for `cosine` scaled to length 1. */
  readonly vectors: T;
  /** i32 [n]: which row each of `vectors` is; rows number the vectors by ascending id. */
  readonly order: T;
  /** i32 [n]: the id of each row, ascending. */
  readonly ids: T;
  /** f32 [lists, d]; absent when there is one list only. */
  readonly centroids?: T;
  /** i32 [lists + 1]: where each list starts in `vectors`. */
  readonly offsets?: T;
  /** f32 [mid, d] and i32 [mid + 1], into `centroids`: three levels. */
  readonly midCentroids?: T;
  readonly midOffsets?: T;
  /** f32 [root, d] and i32 [root + 1], into `midCentroids`, or into `centroids` when there are two levels. */
  readonly rootCentroids?: T;
  readonly rootOffsets?: T;
}

/** A tree of centroids over vectors, and the vectors. Disposing it disposes its tensors. */
export interface AnnIndex<T> extends AnnTensors<T>, Disposable {
  readonly metric: Metric;
}

export interface AnnOptions<T> {
  /** @defaultValue 'ip' */
  readonly metric?: Metric;
  /** How many lists the vectors are divided into; 1 makes a flat index. @defaultValue n / 100, at least 1 */
  readonly lists?: number;
  /** Levels of centroids, 1 to 3. @defaultValue 1 up to 256 lists, 2 up to 65,536, 3 above */
  readonly levels?: number;
  /** One list: exact search. @defaultValue false */
  readonly flat?: boolean;
  /** How many vectors the centroids are trained on, drawn at random. @defaultValue 40 per list, at most n or 128 MiB */
  readonly sample?: number;
  /** Lloyd iterations per level. @defaultValue 6 */
  readonly iterations?: number;
  /** Lloyd iterations over all lists after the tree stands. @defaultValue 3 */
  readonly refine?: number;
  /** With how many nodes of a level a vector is tried when its list is looked for. @defaultValue 16 */
  readonly beam?: number;
  /** @defaultValue key(0) */
  readonly key?: Key;
  /** i32 [n], each >= 0, no two equal. @defaultValue 0, 1, 2, ... */
  readonly ids?: T;
}

export interface AnnAddOptions<T> {
  /** i32 [m], each >= 0, none in the index yet. @defaultValue from the largest id + 1 on */
  readonly newIds?: T;
  /** As for building. @defaultValue 16 */
  readonly beam?: number;
  /** Only needed when the index is given as bare tensors. @defaultValue that of the index */
  readonly metric?: Metric;
}

export interface AnnSearchOptions {
  /** How many lists to look into. @defaultValue 8 k lists / n, at least 16 */
  readonly nprobe?: number;
  /**
   * How many nodes of each upper level to open. @defaultValue all, where scoring all lists costs no more than scanning the
   * probed ones; else 4 times the share of lists probed, at least 8
   */
  readonly beam?: number;
  /** Best first; false: the same set, by ascending id. @defaultValue true */
  readonly sorted?: boolean;
  /** When the lists hold fewer than k vectors: probe further ones, refuse, or fill up. @defaultValue 'extend' */
  readonly onShort?: 'extend' | 'error' | 'pad';
  /** Only needed when the index is given as bare tensors. @defaultValue that of the index */
  readonly metric?: Metric;
}

export interface HierarchicalAnnOps<T extends AnyTensor> {
  /** Build a tree of centroids over vectors. */
  hierarchicalAnn(vectors: T, options?: AnnOptions<T>): AnnIndex<T>;
  /** A new index with more vectors in the lists of an old one, which stays as it is. */
  hierarchicalAnnAdd(index: AnnTensors<T>, newVectors: T, options?: AnnAddOptions<T>): AnnIndex<T>;
  /** The k best vectors of the probed lists, for each query. */
  hierarchicalAnnSearch(
    index: AnnTensors<T>,
    queries: T,
    k: number,
    options?: AnnSearchOptions,
  ): Outputs<{ ids: T; scores: T; counts: T; listsProbed: T; scanned: T }>;
}

const f32 = ['f32'] as const;
const i32 = ['i32'] as const;

/** The tensors of an index, as inputs of whoever searches it. */
export const annFields: readonly TensorField[] = [
  { name: 'vectors', dtypes: f32, shape: '[n, d]', about: 'list after list; cosine: scaled to length 1' },
  { name: 'order', dtypes: i32, shape: '[n]', about: 'the row of each vector; rows count by ascending id' },
  { name: 'ids', dtypes: i32, shape: '[n]', about: 'the id of each row, ascending' },
  { name: 'centroids', dtypes: f32, shape: '[lists, d]', about: 'absent with one list', optional: true },
  { name: 'offsets', dtypes: i32, shape: '[lists + 1]', about: 'where each list starts', optional: true },
  { name: 'midCentroids', dtypes: f32, shape: '[mid, d]', about: 'three levels only', optional: true },
  { name: 'midOffsets', dtypes: i32, shape: '[mid + 1]', about: 'their lists', optional: true },
  { name: 'rootCentroids', dtypes: f32, shape: '[root, d]', about: 'two levels or three', optional: true },
  {
    name: 'rootOffsets',
    dtypes: i32,
    shape: '[root + 1]',
    about: 'their nodes one level below',
    optional: true,
  },
];
const indexNames: readonly string[] = annFields.map((f) => f.name);
/** They travel together in one record. */
export const annRecord: { readonly record: string; readonly of: readonly string[] } = {
  record: 'index',
  of: indexNames,
};

const metricOption: OptionField = {
  name: 'metric',
  type: 'string',
  default: 'ip',
  choices: ['ip', 'l2', 'cosine'],
  about:
    'ip: inner product; l2: minus the squared distance; cosine: 0 where a vector is zero (or shorter than 2^-50)',
};
const beamOption: OptionField = {
  name: 'beam',
  type: 'integer',
  default: 16,
  about: 'with how many nodes of an upper level a vector is tried when its list is looked for, 1 to 16',
};

export const hierarchicalAnnContract: Contract = {
  name: 'hierarchicalAnn',
  summary: 'Build a tree of centroids over vectors, for approximate search.',
  formula:
    'the sample is clustered into root nodes, the points of each node into its share of the next level, and so on; each vector goes to the list with the best centroid among those below its beam best nodes',
  params: ['vectors'],
  inputs: [
    { name: 'vectors', dtypes: f32, shape: '[n, d]', about: 'one vector per row; finite' },
    {
      name: 'ids',
      dtypes: i32,
      shape: '[n]',
      about: 'each >= 0, no two equal; absent: 0, 1, 2, ...',
      optional: true,
    },
  ],
  options: [
    metricOption,
    { name: 'lists', type: 'integer', about: 'how many lists; default about n / 100, at least 1' },
    {
      name: 'levels',
      type: 'integer',
      about: 'levels of centroids, 1 to 3; default 1 up to 256 lists, 2 up to 65,536, 3 above',
    },
    { name: 'flat', type: 'boolean', default: false, about: 'one list: exact search' },
    {
      name: 'sample',
      type: 'integer',
      about: 'vectors to train on; default 40 per list, at most n or 128 MiB',
    },
    { name: 'iterations', type: 'integer', default: 6, about: 'Lloyd iterations per level' },
    {
      name: 'refine',
      type: 'integer',
      default: 3,
      about: 'Lloyd iterations over all lists after the tree stands',
    },
    beamOption,
    { name: 'key', type: 'key', about: 'decides every random choice; default key(0)' },
  ],
  outputs: annFields,
  accuracy: 'each vector is in its best list, or in one within the error bound of two scores of it',
  edge: 'ties take the lowest list; ip and cosine cluster directions, l2 clusters points; n = 0: an empty flat index',
  source:
    'Jegou, Douze, Schmid, Product quantization (2011), the inverted file; Nister and Stewenius, Vocabulary tree (2006)',
};

export const hierarchicalAnnAddContract: Contract = {
  name: 'hierarchicalAnnAdd',
  summary: 'Add vectors to the lists of an index; the result is a new index.',
  formula: 'each new vector goes to the list with the best centroid among those below its beam best nodes',
  params: [annRecord, 'newVectors'],
  inputs: [
    ...annFields,
    { name: 'newVectors', dtypes: f32, shape: '[m, d]', about: 'one vector per row; finite' },
    {
      name: 'newIds',
      dtypes: i32,
      shape: '[m]',
      about: 'each >= 0 and not in the index; absent: from the largest id + 1 on',
      optional: true,
    },
  ],
  options: [metricOption, beamOption],
  outputs: annFields,
  accuracy: 'each vector is in its best list, or in one within the error bound of two scores of it',
  edge: 'the centroids stay as they are, also when the new vectors lie elsewhere',
  source: 'see hierarchicalAnn',
};

export const hierarchicalAnnSearchContract: Contract = {
  name: 'hierarchicalAnnSearch',
  summary: 'The k best vectors of the probed lists, for each query.',
  formula:
    'scores = q . x, -|q - x|^2 or cos(q, x); the first k by (score descending, id ascending) among the vectors of the nprobe lists whose centroids score best',
  params: [annRecord, 'queries', 'k'],
  inputs: [
    ...annFields,
    { name: 'queries', dtypes: f32, shape: '[q, d]', about: 'one query per row; finite' },
  ],
  options: [
    { name: 'k', type: 'integer', about: 'how many, at least 0; more than n is filled up' },
    metricOption,
    {
      name: 'nprobe',
      type: 'integer',
      about: 'lists to look into, 1 to lists; default 8 k lists / n, at least 16',
    },
    {
      name: 'beam',
      type: 'integer',
      about:
        'nodes of each upper level to open; default all, or 4 times the share of lists probed where lists are many',
    },
    {
      name: 'sorted',
      type: 'boolean',
      default: true,
      about: 'best first; false: the same set, by ascending id',
    },
    {
      name: 'onShort',
      type: 'string',
      default: 'extend',
      choices: ['extend', 'error', 'pad'],
      about: 'when the lists hold fewer than k: probe further ones, refuse, or fill up',
    },
  ],
  outputs: [
    { name: 'ids', dtypes: i32, shape: '[q, k]', about: 'ids, -1 where there are fewer than k' },
    {
      name: 'scores',
      dtypes: f32,
      shape: '[q, k]',
      about: 'higher is better; -Infinity where there are fewer',
    },
    { name: 'counts', dtypes: i32, shape: '[q]', about: 'how many were found' },
    { name: 'listsProbed', dtypes: i32, shape: '[q]', about: 'lists looked into' },
    { name: 'scanned', dtypes: i32, shape: '[q]', about: 'vectors compared with the query' },
  ],
  accuracy:
    'scores: gamma_d * sum |q||x|; ids: those of the best scores, or within the error bounds of two scores of them',
  edge: 'k > n: n results and padding; the first m of k results are the m results, if the same lists are probed; a result does not depend on the other queries',
  source: 'see hierarchicalAnn; order and padding: design of this package',
};

const maxBeam = 16;

/** Settled options of a build. */
export interface AnnPlan {
  readonly n: number;
  readonly d: number;
  readonly metric: Metric;
  /** Centroids per level, root first; the last is the number of lists. Empty: one list without a centroid. */
  readonly levels: readonly number[];
  readonly sample: number;
  readonly iterations: number;
  readonly refine: number;
  readonly beam: number;
  readonly key: Key;
}

/** Check a build and settle its options. @throws ShapeError, DTypeError, ArgumentError */
export function planHierarchicalAnn<T extends AnyTensor>(vectors: T, options: AnnOptions<T> = {}): AnnPlan {
  const op = 'hierarchicalAnn';
  requireDType(op, 'vectors', vectors, f32);
  const [n, d] = matrix(op, 'vectors', vectors);
  if (d === 0)
    throw new ShapeError(op, `vectors has shape ${show(vectors.shape)}; a vector needs a dimension`);
  const { metric = 'ip', flat = false, iterations = 6, refine = 3, beam = 16, ids } = options;
  requireChoice(op, 'metric', metric, ['ip', 'l2', 'cosine']);
  if (typeof flat !== 'boolean')
    throw new ArgumentError(op, `flat is ${String(flat)}; it must be true or false`);
  if (flat && options.lists !== undefined && options.lists !== 1) {
    throw new ArgumentError(op, `flat means one list, but lists is ${options.lists}; give one of them`);
  }
  const wanted = flat ? 1 : (options.lists ?? Math.max(Math.round(n / 100), 1));
  requireInteger(op, 'lists', wanted, 1, Math.max(n, 1));
  const depth = options.levels ?? (wanted <= 256 ? 1 : wanted <= 65536 ? 2 : 3);
  requireInteger(op, 'levels', depth, 1, 3);
  const levels = levelSizes(wanted, depth, options.lists === undefined);
  const lists = levels.at(-1) ?? 1;
  // The sample is clustered in one piece: as many rows, padded to whole vec4, as the least binding of WebGPU holds.
  const most = Math.floor(2 ** 27 / (16 * Math.ceil(d / 4)));
  const sample = options.sample ?? Math.min(Math.max(Math.min(40 * lists, most), lists), n);
  if (lists > 1) requireInteger(op, 'sample', sample, lists, n);
  requireInteger(op, 'iterations', iterations, 0, 1_000_000);
  requireInteger(op, 'refine', refine, 0, 1_000_000);
  requireInteger(op, 'beam', beam, 1, maxBeam);
  const random = options.key ?? key(0);
  requireKey(op, random);
  if (ids !== undefined) {
    requireDType(op, 'ids', ids, i32);
    requireShape(op, 'ids', ids, [n]);
  }
  return { n, d, metric, levels, sample, iterations, refine, beam, key: random };
}

/**
 * Centroids per level, root first. Two levels: `lists` = ab + c with the least a + b + c, and a nodes of b lists each on
 * average. Where the number of lists is free, it is ab; else the c others are shared among the nodes. The smaller factor are
 * the nodes: a vector tries the lists below a fixed number of them, and finds its best list more often where nodes are large.
 */
function levelSizes(lists: number, depth: number, free: boolean): number[] {
  if (lists === 1) return [];
  if (depth !== 2) {
    return Array.from({ length: depth }, (_, i) => Math.ceil(lists ** ((i + 1) / depth) - 1e-9));
  }
  const { a, b } = splitMinSumOf(lists);
  return a === 0 ? [1, lists] : [a, free ? a * b : lists];
}

/** One level of a tree: centroids, and where the children of each start one level below. */
export interface AnnLevel<T> {
  readonly centroids: T;
  readonly offsets: T;
  readonly size: number;
}

/** Sizes of an index. */
export interface AnnShape<T> {
  readonly n: number;
  readonly d: number;
  readonly metric: Metric;
  /** Root first; empty when there is one list. */
  readonly levels: readonly AnnLevel<T>[];
  readonly lists: number;
}

/** Check that the tensors of an index fit together; their contents are not looked at. @throws ShapeError, DTypeError, ArgumentError */
export function shapeOfIndex<T extends AnyTensor>(
  op: string,
  given: AnnTensors<T>,
  wanted?: Metric,
): AnnShape<T> {
  const own = (given as Partial<AnnIndex<T>>).metric;
  const metric = wanted ?? own ?? 'ip';
  requireChoice(op, 'metric', metric, ['ip', 'l2', 'cosine']);
  if (own !== undefined && metric !== own) {
    throw new ArgumentError(
      op,
      `metric is ${metric}, but the index was built for ${own}; leave the option out`,
    );
  }
  for (const name of ['vectors', 'order', 'ids'] as const) {
    if (given[name] === undefined) throw new ArgumentError(op, `the index has no tensor "${name}"`);
  }
  const [n, d] = matrix(op, 'vectors', given.vectors);
  requireDType(op, 'vectors', given.vectors, f32);
  for (const name of ['order', 'ids'] as const) {
    requireDType(op, name, given[name], i32);
    requireShape(op, name, given[name], [n]);
  }
  const levels: AnnLevel<T>[] = [];
  for (const [c, o] of [
    ['rootCentroids', 'rootOffsets'],
    ['midCentroids', 'midOffsets'],
    ['centroids', 'offsets'],
  ] as const) {
    const centroids = given[c];
    const offsets = given[o];
    if (centroids === undefined && offsets === undefined) continue;
    if (centroids === undefined || offsets === undefined) {
      throw new ArgumentError(op, `the index has only one of ${c} and ${o}; they come in pairs`);
    }
    requireDType(op, c, centroids, f32);
    requireDType(op, o, offsets, i32);
    const [size] = matrix(op, c, centroids);
    requireShape(op, c, centroids, [size, d]);
    requireShape(op, o, offsets, [size + 1]);
    if (size === 0) throw new ShapeError(op, `${c} has shape ${show(centroids.shape)}; a level needs a node`);
    levels.push({ centroids, offsets, size });
  }
  if (levels.length > 0 && given.centroids === undefined) {
    throw new ArgumentError(op, 'the index has upper levels but no centroids of lists');
  }
  if (given.midCentroids !== undefined && given.rootCentroids === undefined) {
    throw new ArgumentError(op, 'the index has midCentroids but no rootCentroids');
  }
  return { n, d, metric, levels, lists: levels.at(-1)?.size ?? 1 };
}

/** Bind tensors into an index. */
export function annIndex<T extends AnyTensor>(metric: Metric, tensors: AnnTensors<T>): AnnIndex<T> {
  const made = { ...tensors, metric } as AnnIndex<T>;
  for (const name of indexNames)
    if (made[name as keyof AnnTensors<T>] === undefined) delete (made as never)[name];
  return Object.defineProperty(made, Symbol.dispose, {
    value: () => {
      for (const name of indexNames) made[name as keyof AnnTensors<T>]?.[Symbol.dispose]();
    },
    enumerable: false,
  });
}

/** The names of the tensors of an index, in the order in which they are stored. */
export const annTensorNames: readonly (keyof AnnTensors<unknown>)[] =
  indexNames as readonly (keyof AnnTensors<unknown>)[];

/** The level tensors of an index from a list of levels, root first. */
export function levelTensors<T>(levels: readonly { centroids: T; offsets: T }[]): Partial<AnnTensors<T>> {
  const names = [
    ['centroids', 'offsets'],
    ['rootCentroids', 'rootOffsets'],
    ['midCentroids', 'midOffsets'],
  ] as const;
  const out: Record<string, T> = {};
  levels.forEach(({ centroids, offsets }, i) => {
    const [c, o] = i === levels.length - 1 ? names[0] : i === 0 ? names[1] : names[2];
    out[c] = centroids;
    out[o] = offsets;
  });
  return out;
}

/** Settled options of a search. */
export interface AnnSearchPlan<T> extends AnnShape<T> {
  readonly queries: number;
  readonly k: number;
  /** How many results there can be: min(k, n). */
  readonly found: number;
  readonly nprobe: number;
  /** Nodes to open per upper level, root first. */
  readonly beams: readonly number[];
  /** Open lists until they hold this many vectors, beyond nprobe if need be. */
  readonly atLeast: number;
  readonly sorted: boolean;
  readonly onShort: 'extend' | 'error' | 'pad';
}

/** Check a search and settle its options. @throws ShapeError, DTypeError, ArgumentError */
export function planAnnSearch<T extends AnyTensor>(
  given: AnnTensors<T>,
  queries: T,
  k: number,
  options: AnnSearchOptions = {},
): AnnSearchPlan<T> {
  const op = 'hierarchicalAnnSearch';
  const shape = shapeOfIndex(op, given, options.metric);
  const { n, d, lists, levels } = shape;
  requireDType(op, 'queries', queries, f32);
  const [rows] = matrix(op, 'queries', queries);
  requireShape(op, 'queries', queries, [rows, d]);
  requireInteger(op, 'k', k, 0, 2 ** 31 - 1);
  const { sorted = true, onShort = 'extend' } = options;
  requireChoice(op, 'onShort', onShort, ['extend', 'error', 'pad']);
  if (typeof sorted !== 'boolean')
    throw new ArgumentError(op, `sorted is ${String(sorted)}; it must be true or false`);
  const usual = Math.min(Math.max(Math.ceil((8 * k * lists) / Math.max(n, 1)), 16), lists);
  const nprobe = options.nprobe ?? usual;
  requireInteger(op, 'nprobe', nprobe, 1, lists);
  if (options.beam !== undefined) requireInteger(op, 'beam', options.beam, 1, 2 ** 31 - 1);
  const found = Math.min(k, n);
  // Scoring all lists costs lists * d, scanning the probed ones about nprobe * n / lists * d.
  const cheap = lists * lists <= nprobe * n;
  const share = (4 * nprobe) / lists;
  const beams = levels
    .slice(0, -1)
    .map(({ size }) => Math.min(options.beam ?? (cheap ? size : Math.max(Math.ceil(share * size), 8)), size));
  return {
    ...shape,
    queries: rows,
    k,
    found,
    nprobe,
    beams,
    atLeast: onShort === 'extend' ? found : 0,
    sorted,
    onShort,
  };
}

/** Check an addition. @throws ShapeError, DTypeError, ArgumentError */
export function planAnnAdd<T extends AnyTensor>(
  given: AnnTensors<T>,
  vectors: T,
  options: AnnAddOptions<T> = {},
): AnnShape<T> & { readonly m: number; readonly beam: number } {
  const op = 'hierarchicalAnnAdd';
  const shape = shapeOfIndex(op, given, options.metric);
  requireDType(op, 'newVectors', vectors, f32);
  const [m] = matrix(op, 'newVectors', vectors);
  requireShape(op, 'newVectors', vectors, [m, shape.d]);
  const { beam = 16, newIds } = options;
  requireInteger(op, 'beam', beam, 1, maxBeam);
  if (newIds !== undefined) {
    requireDType(op, 'newIds', newIds, i32);
    requireShape(op, 'newIds', newIds, [m]);
  }
  return { ...shape, m, beam };
}
