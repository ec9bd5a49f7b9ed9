import { ArgumentError, ShapeError } from './errors.ts';
import { show, type Tensor } from './tensor.ts';

/** A share per query, and over all queries. The minimum matters: one query without its neighbours is one broken answer. */
export interface Shares {
  readonly mean: number;
  readonly min: number;
  readonly max: number;
  readonly perQuery: Float64Array;
}

/**
 * The share of the exact ids that were found: |found and exact| / |exact|, per query.
 * @param found i32 [q, k'], -1 = nothing
 * @param exact i32 [q, k], -1 = nothing
 * @edge An id that misses by a tie at rank k counts as missed; `recallThreshold` forgives it.
 */
export function recallIds(found: Tensor, exact: Tensor): Shares {
  return containment(found, exact, columnsOf('recallIds', found, exact)[1]);
}

/**
 * The share of the first m exact ids that were found, per query: m = 1, 10, 100 tell whether the best are there, which the
 * recall of a large set hides.
 * @param exact i32 [q, k], best first
 */
export function containment(found: Tensor, exact: Tensor, m: number): Shares {
  const [k, n] = columnsOf('containment', found, exact);
  if (!Number.isInteger(m) || m < 0 || m > n)
    throw new ArgumentError('containment', `m is ${m}; it must be from 0 to ${n}`);
  return shares(found.shape[0]!, (q) => {
    const have = new Set<number>();
    for (let r = 0; r < k; r++) have.add(found.data[q * k + r]!);
    let wanted = 0;
    let hits = 0;
    for (let r = 0; r < m; r++) {
      const id = exact.data[q * n + r]!;
      if (id < 0) continue;
      wanted++;
      if (have.has(id)) hits++;
    }
    return wanted === 0 ? 1 : hits / wanted;
  });
}

/**
 * The share of found scores that are as good as the k-th exact score, give or take epsilon: min(1, hits / k) per query.
 * @param found f32 [q, k'], higher is better; -Infinity = nothing
 * @param exact f32 [q, k], best first
 * @source ann-benchmarks: recall by distance, so that ties at rank k are no misses
 */
export function recallThreshold(found: Tensor, exact: Tensor, epsilon = 0): Shares {
  const [k, n] = columnsOf('recallThreshold', found, exact);
  return shares(found.shape[0]!, (q) => {
    let wanted = n;
    while (wanted > 0 && exact.data[q * n + wanted - 1] === Number.NEGATIVE_INFINITY) wanted--;
    if (wanted === 0) return 1;
    const limit = exact.data[q * n + wanted - 1]! - epsilon;
    let hits = 0;
    for (let r = 0; r < k; r++) {
      const score = found.data[q * k + r]!;
      if (score !== Number.NEGATIVE_INFINITY && score >= limit) hits++;
    }
    return Math.min(1, hits / wanted);
  });
}

/**
 * The share of the softmax mass that the found scores carry: sum exp(s / t) over the found / the same over all, per query.
 * @param found [q, k], -Infinity = nothing
 * @param all [q, n]: the scores of everything
 * @param temperature t, above 0
 */
export function massCoverage(found: Tensor, all: Tensor, temperature = 1): Shares {
  const [k, n] = columnsOf('massCoverage', found, all);
  if (!(temperature > 0))
    throw new ArgumentError('massCoverage', `temperature is ${temperature}; it must be above 0`);
  return shares(found.shape[0]!, (q) => {
    let top = Number.NEGATIVE_INFINITY;
    for (let i = q * n; i < (q + 1) * n; i++) top = Math.max(top, all.data[i]!);
    const mass = (t: Tensor, columns: number): number => {
      let sum = 0;
      for (let i = q * columns; i < (q + 1) * columns; i++) sum += Math.exp((t.data[i]! - top) / temperature);
      return sum;
    };
    return n === 0 ? 1 : mass(found, k) / mass(all, n);
  });
}

function shares(queries: number, of: (q: number) => number): Shares {
  const perQuery = Float64Array.from({ length: queries }, (_, q) => of(q));
  const mean = queries === 0 ? 1 : perQuery.reduce((a, b) => a + b, 0) / queries;
  return { mean, min: Math.min(...perQuery, 1), max: queries === 0 ? 1 : Math.max(...perQuery), perQuery };
}

function columnsOf(op: string, a: Tensor, b: Tensor): [number, number] {
  const [rows, k, ...more] = a.shape;
  const [others, n, ...rest] = b.shape;
  if (
    rows === undefined ||
    k === undefined ||
    n === undefined ||
    rows !== others ||
    more.length + rest.length > 0
  ) {
    throw new ShapeError(
      op,
      `shapes ${show(a.shape)} and ${show(b.shape)}; both must have one row per query`,
    );
  }
  return [k, n];
}
