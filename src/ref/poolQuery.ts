import { ArgumentError } from '../core/errors.ts';
import {
  type PoolQueryOptions,
  type PoolQueryPlan,
  planPoolQuery,
  planPoolQueryBackward,
} from '../core/ops/poolQuery.ts';
import { allocate, Tensor } from '../core/tensor.ts';

/**
 * A query per asked position p: the mean of x over a set of positions up to p, of those that are not masked. `mean`: all of
 * them; `last`: the last before p, or p where there is none; `cls`: the first of the row; `own`: p.
 * @param x f32 or f64 [..., T, D]
 * @param positions i32 [..., Q], in [-1, T); -1 gives zeros
 * @param options.mask u32 [..., T], 0 = padding
 * @returns [..., Q, D]
 * @throws ArgumentError for a position outside of [-1, T); ShapeError, DTypeError
 * @accuracy f64 sums, rounded once
 * @edge an empty set gives zeros
 */
export function poolQuery(x: Tensor, positions: Tensor, options: PoolQueryOptions<Tensor> = {}): Tensor {
  const plan = planPoolQuery(x, positions, options);
  requirePositions('poolQuery', plan, positions);
  const { width, queries, length, shape } = plan;
  const made = allocate(x.dtype, positions.size * width);
  for (let i = 0; i < positions.size; i++) {
    const row = Math.floor(i / queries);
    const set = setOf(plan, row, positions.data[i]!, options.mask);
    for (let d = 0; d < width; d++) {
      let sum = 0;
      for (const t of set) sum += x.data[(row * length + t) * width + d]!;
      made[i * width + d] = set.length > 0 ? sum / set.length : 0;
    }
  }
  return new Tensor(x.dtype, shape, made);
}

/**
 * Gradient of {@link poolQuery}: each query's gradient, divided by the size of its set, goes to the positions of the set.
 * @throws ArgumentError for a position outside of [-1, T); ShapeError, DTypeError
 * @accuracy f64 sums, rounded once
 */
export function poolQueryBackward(
  dQueries: Tensor,
  x: Tensor,
  positions: Tensor,
  options: PoolQueryOptions<Tensor> = {},
): Tensor {
  const plan = planPoolQueryBackward(dQueries, x, positions, options);
  requirePositions('poolQueryBackward', plan, positions);
  const { width, queries, length } = plan;
  const sums = new Float64Array(x.size);
  for (let i = 0; i < positions.size; i++) {
    const row = Math.floor(i / queries);
    const set = setOf(plan, row, positions.data[i]!, options.mask);
    for (const t of set) {
      for (let d = 0; d < width; d++)
        sums[(row * length + t) * width + d]! += dQueries.data[i * width + d]! / set.length;
    }
  }
  const dx = allocate(x.dtype, x.size);
  dx.set(sums);
  return new Tensor(x.dtype, x.shape, dx);
}

/** The positions that a query is the mean of. */
function setOf(
  { pooling, length }: PoolQueryPlan,
  row: number,
  p: number,
  mask: Tensor | undefined,
): number[] {
  const counts = (t: number): boolean => mask === undefined || mask.data[row * length + t] !== 0;
  const all: number[] = [];
  for (let t = 0; t <= p; t++) if (counts(t)) all.push(t);
  if (pooling === 'mean') return all;
  if (pooling === 'cls') return all.slice(0, 1);
  if (pooling === 'own') return all.at(-1) === p ? [p] : [];
  const before = all.filter((t) => t < p);
  return before.length > 0 ? before.slice(-1) : all;
}

function requirePositions(op: string, { length }: PoolQueryPlan, positions: Tensor): void {
  const at = positions.data.findIndex((p) => p < -1 || p >= length);
  if (at >= 0) {
    throw new ArgumentError(
      op,
      `positions has ${positions.data[at]} at element ${at}; there are ${length} positions, and -1 stands for none`,
    );
  }
}
