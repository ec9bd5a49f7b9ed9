import { ArgumentError, ShapeError } from '../errors.ts';
import { type AnyTensor, requireDType, requireShape, type Shape, sizeOf } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface GatherRowsOps<T extends AnyTensor> {
  /** Rows of a matrix by their numbers; -1 gives a row of zeros. */
  gatherRows(table: T, ids: T): T;
  /** Gradient of {@link GatherRowsOps.gatherRows} with respect to the table. */
  gatherRowsBackward(dy: T, table: T, ids: T): T;
}

const float = ['f32', 'f64'] as const;
const tableField = {
  name: 'table',
  dtypes: float,
  shape: '[..., D]',
  about: 'the rows; all axes but the last count them, N in all',
} as const;
const idsField = {
  name: 'ids',
  dtypes: ['i32'],
  shape: '[...]',
  about: 'rows in [0, N), or -1 for none',
} as const;

export const gatherRowsContract: Contract = {
  name: 'gatherRows',
  summary: 'Rows of a matrix by their numbers; -1 gives a row of zeros.',
  formula: 'y[..., d] = table[ids[...], d], 0 where ids[...] = -1',
  params: ['table', 'ids'],
  inputs: [tableField, idsField],
  options: [],
  outputs: [{ name: 'y', dtypes: float, shape: 'ids, D', about: 'a row per id' }],
  accuracy: 'exact: copies, bit for bit',
  edge: 'an id outside of [-1, N): the reference throws; the kernel, which cannot wait to look, gives a row of NaN',
  source: 'torch.index_select; -1 for "none" as in the results of the searches here',
};

export const gatherRowsBackwardContract: Contract = {
  name: 'gatherRowsBackward',
  summary: 'Gradient of gatherRows: the rows of dy are added up by their ids.',
  formula: 'dTable[v, d] = sum of dy[t, d] over t with ids[t] = v',
  params: ['dy', 'table', 'ids'],
  inputs: [
    { name: 'dy', dtypes: float, shape: 'ids, D', about: 'the gradient of y' },
    { ...tableField, about: 'as in the forward call; only its shape is used' },
    idsField,
  ],
  options: [],
  outputs: [{ name: 'dTable', dtypes: float, shape: 'table', about: 'the gradient of the table' }],
  accuracy: 'each sum of m rows within gamma_m * sum |dy|; in the order of ids, so the same bits every time',
  edge: 'ids of -1 add nothing, nor does the kernel for ids outside of [-1, N), where the reference throws; rows that no id names are 0',
  source: 'the transpose of the selection of rows',
};

/** Sizes of a gatherRows call. */
export interface GatherRowsPlan {
  /** How many rows are asked for. */
  readonly count: number;
  /** How many there are. */
  readonly rows: number;
  readonly width: number;
  readonly shape: Shape;
}

/** Check a gatherRows call. @throws DTypeError, ShapeError */
export function planGatherRows(table: AnyTensor, ids: AnyTensor): GatherRowsPlan {
  return check('gatherRows', table, ids);
}

/** Check a gatherRowsBackward call. @throws DTypeError, ShapeError */
export function planGatherRowsBackward(dy: AnyTensor, table: AnyTensor, ids: AnyTensor): GatherRowsPlan {
  const op = 'gatherRowsBackward';
  const plan = check(op, table, ids);
  requireDType(op, 'dy', dy, [table.dtype]);
  requireShape(op, 'dy', dy, plan.shape);
  return plan;
}

/** Refuse ids outside of [-1, rows), on the host. */
export function requireRows(op: string, name: string, ids: ArrayLike<number>, rows: number): void {
  for (let i = 0; i < ids.length; i++) {
    if (ids[i]! < -1 || ids[i]! >= rows) {
      throw new ArgumentError(
        op,
        `${name} has ${ids[i]} at element ${i}; there are ${rows} rows, and -1 stands for none`,
      );
    }
  }
}

function check(op: string, table: AnyTensor, ids: AnyTensor): GatherRowsPlan {
  requireDType(op, 'table', table, float);
  requireDType(op, 'ids', ids, ['i32']);
  const width = table.shape.at(-1);
  if (width === undefined) throw new ShapeError(op, 'table is a scalar; it must be [..., D]');
  const rows = sizeOf(table.shape.slice(0, -1));
  return { count: ids.size, rows, width, shape: [...ids.shape, width] };
}
