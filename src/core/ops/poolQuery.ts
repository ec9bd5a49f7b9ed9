import { ArgumentError, ShapeError } from '../errors.ts';
import { type AnyTensor, requireDType, requireShape, type Shape, show, sizeOf } from '../tensor.ts';
import type { Contract } from './contract.ts';

/** What stands for the text up to a position. */
export type Pooling = 'mean' | 'last' | 'cls' | 'own';

export const poolings: readonly Pooling[] = ['mean', 'last', 'cls', 'own'];

export interface PoolQueryOptions<T> {
  /** @defaultValue 'own' */
  readonly pooling?: Pooling;
  /** u32 [..., T], 0 = padding: the position stands for nothing. */
  readonly mask?: T;
}

export interface PoolQueryOps<T extends AnyTensor> {
  /** A query per asked position, from the features up to it. */
  poolQuery(x: T, positions: T, options?: PoolQueryOptions<T>): T;
  /** Gradient of {@link PoolQueryOps.poolQuery}. */
  poolQueryBackward(dQueries: T, x: T, positions: T, options?: PoolQueryOptions<T>): T;
}

const float = ['f32', 'f64'] as const;
const xField = {
  name: 'x',
  dtypes: float,
  shape: '[..., T, D]',
  about: 'features of each position',
} as const;
const shared = [
  {
    name: 'positions',
    dtypes: ['i32'],
    shape: '[..., Q]',
    about: 'positions of each row in [0, T), or -1 for none',
  },
  { name: 'mask', dtypes: ['u32'], shape: '[..., T]', about: '0 = padding', optional: true },
] as const;
const poolingOption = {
  name: 'pooling',
  type: 'string',
  default: 'own',
  choices: ['mean', 'last', 'cls', 'own'],
  about:
    'mean: of the positions up to p, p included; last: the last position before p, p itself where there is none; cls: the first position of the row; own: p itself',
} as const;

export const poolQueryContract: Contract = {
  name: 'poolQuery',
  summary: 'A query per asked position, from the features up to it.',
  formula:
    'queries[..., q, :] = the mean of x[..., t, :] over a set of t <= p = positions[..., q]: all of them (mean), or one (last, cls, own); masked t are left out',
  params: ['x', 'positions'],
  inputs: [xField, ...shared],
  options: [poolingOption],
  outputs: [{ name: 'queries', dtypes: float, shape: '[..., Q, D]', about: 'a query per position' }],
  accuracy: 'last, cls, own: exact; mean: gamma_n * mean |x| over its n positions',
  edge: 'a position of -1, or one before which all is padding: zeros. Nothing after a position is looked at. A position outside of [-1, T): the reference throws, the kernel gives NaN',
  source: 'seed 000 (mean, last, CLS of the encoded context), made causal: one query per [SUBVOCAB]',
};

export const poolQueryBackwardContract: Contract = {
  name: 'poolQueryBackward',
  summary: 'Gradient of poolQuery.',
  formula: 'dx[..., t, :] = sum over q whose set holds t of dQueries[..., q, :] / the size of that set',
  params: ['dQueries', 'x', 'positions'],
  inputs: [
    { name: 'dQueries', dtypes: float, shape: '[..., Q, D]', about: 'the gradient of queries' },
    { ...xField, about: 'as in the forward call; only its shape is used' },
    ...shared,
  ],
  options: [poolingOption],
  outputs: [{ name: 'dx', dtypes: float, shape: 'x', about: 'the gradient of x' }],
  accuracy: 'gamma of the number of queries plus 3, times the sum of the sizes of its terms',
  edge: 'in the order of the queries, so the same bits every time',
  source: 'the transpose of the means',
};

/** Sizes of a call: rows of `length` positions, `queries` asked of each. */
export interface PoolQueryPlan {
  readonly rows: number;
  readonly length: number;
  readonly width: number;
  readonly queries: number;
  readonly pooling: Pooling;
  readonly shape: Shape;
}

/** Check a poolQuery call. @throws ShapeError, DTypeError, ArgumentError */
export function planPoolQuery<T extends AnyTensor>(
  x: T,
  positions: T,
  options: PoolQueryOptions<T> = {},
  op = 'poolQuery',
): PoolQueryPlan {
  requireDType(op, 'x', x, float);
  const [length, width] = x.shape.slice(-2);
  if (length === undefined || width === undefined)
    throw new ShapeError(op, `x has shape ${show(x.shape)}; it must be [..., T, D]`);
  const leading = x.shape.slice(0, -2);
  requireDType(op, 'positions', positions, ['i32']);
  const queries = positions.shape.at(-1);
  if (queries === undefined)
    throw new ShapeError(op, `positions is a scalar; it must have the leading axes of x and one more`);
  requireShape(op, 'positions', positions, [...leading, queries]);
  const { pooling = 'own', mask } = options;
  if (!poolings.includes(pooling))
    throw new ArgumentError(
      op,
      `pooling is ${JSON.stringify(pooling)}; it must be one of ${poolings.join(', ')}`,
    );
  if (mask !== undefined) {
    requireDType(op, 'mask', mask, ['u32']);
    requireShape(op, 'mask', mask, [...leading, length]);
  }
  return { rows: sizeOf(leading), length, width, queries, pooling, shape: [...leading, queries, width] };
}

/** Check a poolQueryBackward call. @throws ShapeError, DTypeError, ArgumentError */
export function planPoolQueryBackward<T extends AnyTensor>(
  dQueries: T,
  x: T,
  positions: T,
  options: PoolQueryOptions<T> = {},
): PoolQueryPlan {
  const op = 'poolQueryBackward';
  const plan = planPoolQuery(x, positions, options, op);
  requireDType(op, 'dQueries', dQueries, [x.dtype]);
  requireShape(op, 'dQueries', dQueries, plan.shape);
  return plan;
}
