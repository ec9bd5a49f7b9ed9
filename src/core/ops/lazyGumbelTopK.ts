import { ArgumentError } from '../errors.ts';
import { type Key, requireKey } from '../key.ts';
import { type AnyTensor, type Outputs, requireDType, requireInteger, requireShape } from '../tensor.ts';
import type { Contract } from './contract.ts';
import { type AnnShape, type AnnTensors, annFields, annRecord, shapeOfIndex } from './hierarchicalAnn.ts';
import { matrix } from './kMeans.ts';

/** A ball around the vectors of each list: what bounds their scores. */
export interface ListBalls<T> {
  /** f32 [lists, d] */
  readonly centres: T;
  /** f32 [lists]: at least the distance from the centre to every vector of the list. */
  readonly radii: T;
}

export interface LazyGumbelTopKOptions {
  /** Decides the sample; use a key once. */
  readonly key: Key;
  /** Divides the scores. @defaultValue 1 */
  readonly temperature?: number;
}

/** What `lazyGumbelTopK` returns. */
export type LazyGumbelTopKOutputs<T extends AnyTensor> = Outputs<{
  ids: T;
  perturbed: T;
  threshold: T;
  scored: T;
}>;

export interface LazyGumbelTopKOps<T extends AnyTensor> {
  /** An exact sample of k words without replacement from a whole index, of which a part is scored. */
  lazyGumbelTopK(
    index: AnnTensors<T>,
    balls: ListBalls<T>,
    queries: T,
    k: number,
    options: LazyGumbelTopKOptions,
  ): LazyGumbelTopKOutputs<T>;
  /** A ball around the vectors of each list. */
  lazyGumbelTopKBalls(index: AnnTensors<T>): Outputs<{ centres: T; radii: T }>;
}

const f32 = ['f32'] as const;
const i32 = ['i32'] as const;

const ballFields = [
  {
    name: 'centres',
    dtypes: f32,
    shape: '[lists, d]',
    about: 'the mean of each list; zeros for an empty one',
  },
  {
    name: 'radii',
    dtypes: f32,
    shape: '[lists]',
    about: 'at least the distance from the centre to every vector of the list',
  },
] as const;

export const lazyGumbelTopKContract: Contract = {
  name: 'lazyGumbelTopK',
  summary: 'An exact sample of k words without replacement from a whole index, of which a part is scored.',
  formula:
    'perturbed = q . x / temperature + G, with G the noise of the word; ids = its k first by (perturbed descending, id ascending); threshold = the (k+1)-th; only words with (q . centre + |q| radius) / temperature + G >= a threshold found so far are scored',
  params: [annRecord, { record: 'balls', of: ['centres', 'radii'] }, 'queries', 'k'],
  inputs: [
    ...annFields,
    ...ballFields,
    {
      name: 'queries',
      dtypes: f32,
      shape: '[q, d]',
      about: 'one query per row; finite',
      refuses: ['NaN', 'Infinity', '-Infinity'],
    },
  ],
  options: [
    { name: 'k', type: 'integer', about: 'how many words, from 0 to n' },
    { name: 'key', type: 'key', about: 'two u32 words, used once' },
    { name: 'temperature', type: 'number', default: 1, about: 'divides the scores, above 0' },
  ],
  outputs: [
    { name: 'ids', dtypes: i32, shape: '[q, k]', about: 'the words, in the order in which they were drawn' },
    { name: 'perturbed', dtypes: f32, shape: '[q, k]', about: 'score / temperature + noise, falling' },
    {
      name: 'threshold',
      dtypes: f32,
      shape: '[q]',
      about: 'the (k+1)-th of them, for log-inclusion; -Infinity when k = n',
    },
    { name: 'scored', dtypes: i32, shape: '[q]', about: 'words whose score was computed' },
  ],
  accuracy:
    'the noise is exact, bit for bit, between the twins; other words only where two perturbed scores are closer than their rounding; the density of the noise is that of a Gumbel within a relative 4e-6',
  edge: 'balls do not change the sum of a word, only whether it is made, as long as they hold; equal sums: the lower id first; another index, other noise; a query that is not finite: the reference throws, the kernel gives id -1 and NaN',
  source:
    'Mussmann, Levy, Ermon (2017), lazy Gumbel noise for k = 1; Maddison, Tarlow, Minka (2014), A* sampling; arrivals in place of binomial counts: design of this package',
};

export const lazyGumbelTopKBallsContract: Contract = {
  name: 'lazyGumbelTopKBalls',
  summary: 'A ball around the vectors of each list of an index, for lazyGumbelTopK.',
  formula: 'centres = mean of the list; radii = max |x - centre|, rounded up',
  params: [annRecord],
  inputs: annFields,
  options: [],
  outputs: [...ballFields],
  accuracy:
    'centres: gamma_m times the mean of absolute values, m the length of the list; radii: at least the largest distance from the stored centre, and at most 2^-10 of it more',
  edge: 'an empty list has the centre 0 and the radius 0 (or a rounding above it); made once, good until the vectors change',
  source: 'the triangle inequality; a ball around the mean, not the smallest one',
};

/** How many steps the lists are taken in: after each, the threshold is known better. */
export const lazyRounds = 4;

/** Sizes of a lazyGumbelTopK call. */
export interface LazyGumbelTopKPlan<T> extends AnnShape<T> {
  readonly queries: number;
  readonly k: number;
  /** Sums that are kept: one more than k for the threshold, if there are so many words. */
  readonly kept: number;
  readonly temperature: number;
  readonly key: Key;
  /** Where each list starts; undefined: there is one list. */
  readonly offsets: T | undefined;
  /** Lists go to round r if the lists with larger bounds hold fewer than goals[r] words. */
  readonly goals: readonly number[];
}

/** Check a call and settle its options. @throws ShapeError, DTypeError, ArgumentError */
export function planLazyGumbelTopK<T extends AnyTensor>(
  index: AnnTensors<T>,
  balls: ListBalls<T>,
  queries: T,
  k: number,
  options: LazyGumbelTopKOptions,
): LazyGumbelTopKPlan<T> {
  const op = 'lazyGumbelTopK';
  const shape = innerProductIndex(op, index);
  const { n, d, lists, levels } = shape;
  for (const name of ['centres', 'radii'] as const) {
    if (balls?.[name] === undefined) {
      throw new ArgumentError(op, `the balls have no tensor "${name}"; make them with lazyGumbelTopKBalls`);
    }
    requireDType(op, name, balls[name], f32);
    requireShape(op, name, balls[name], name === 'centres' ? [lists, d] : [lists]);
  }
  requireDType(op, 'queries', queries, f32);
  const [rows] = matrix(op, 'queries', queries);
  requireShape(op, 'queries', queries, [rows, d]);
  requireInteger(op, 'k', k, 0, n);
  const { key, temperature = 1 } = options ?? {};
  if (key === undefined) throw new ArgumentError(op, 'there is no key; a sample needs one');
  requireKey(op, key);
  if (!(temperature >= 0.001 && temperature <= 1000)) {
    throw new ArgumentError(op, `temperature is ${temperature}; it must be a number from 0.001 to 1000`);
  }
  const kept = Math.min(k + 1, n);
  // Geometric steps from a few times what is kept to everything.
  const least = Math.min(4 * (k + 1), n);
  const goals = Array.from({ length: lazyRounds }, (_, r) =>
    r === lazyRounds - 1 ? n : Math.ceil(least * (n / Math.max(least, 1)) ** (r / (lazyRounds - 1))),
  );
  return { ...shape, queries: rows, k, kept, temperature, key, offsets: levels.at(-1)?.offsets, goals };
}

/** Check a call of lazyGumbelTopKBalls. @throws ShapeError, DTypeError, ArgumentError */
export function planLazyGumbelTopKBalls<T extends AnyTensor>(index: AnnTensors<T>): AnnShape<T> {
  return innerProductIndex('lazyGumbelTopKBalls', index);
}

function innerProductIndex<T extends AnyTensor>(op: string, index: AnnTensors<T>): AnnShape<T> {
  const shape = shapeOfIndex(op, index);
  if (shape.metric !== 'ip') {
    throw new ArgumentError(
      op,
      `the index was built for ${shape.metric}; words are sampled by inner product, so build it with metric "ip"`,
    );
  }
  return shape;
}
