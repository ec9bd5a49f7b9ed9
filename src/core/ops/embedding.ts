import { ArgumentError, ShapeError } from '../errors.ts';
import { type AnyTensor, requireDType, requireInteger, requireShape, type Shape, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface EmbeddingOptions {
  /** The row that stays as it is: it gets no gradient. Absent: every row learns. */
  readonly paddingIndex?: number;
}

export interface EmbeddingOps<T extends AnyTensor> {
  /** Rows of a table by their ids. */
  embedding(table: T, ids: T, options?: EmbeddingOptions): T;
  /** Gradient of {@link EmbeddingOps.embedding} with respect to the table. */
  embeddingBackward(dy: T, table: T, ids: T, options?: EmbeddingOptions): T;
}

const tableField = {
  name: 'table',
  dtypes: ['f32', 'f64'],
  shape: '[V, D]',
  about: 'one row per id',
} as const;
const idsField = { name: 'ids', dtypes: ['i32', 'u32'], shape: '[...]', about: 'ids in [0, V)' } as const;
const paddingOption = {
  name: 'paddingIndex',
  type: 'integer',
  about: 'the row that gets no gradient; absent: every row learns',
} as const;

export const embeddingContract: Contract = {
  name: 'embedding',
  summary: 'Rows of a table by their ids.',
  formula: 'y[..., d] = table[ids[...], d]',
  params: ['table', 'ids'],
  inputs: [tableField, idsField],
  options: [paddingOption],
  outputs: [{ name: 'y', dtypes: ['f32', 'f64'], shape: '[..., D]', about: 'a row per id' }],
  accuracy: 'exact: copies',
  edge: 'an id outside of [0, V): the reference throws; the kernel, which cannot wait to look, gives a row of NaN. paddingIndex changes nothing in the forward: its row is copied as it is',
  source: 'torch.nn.functional.embedding',
};

export const embeddingBackwardContract: Contract = {
  name: 'embeddingBackward',
  summary: 'Gradient of embedding with respect to the table.',
  formula: 'dTable[v, d] = sum of dy[t, d] over t with ids[t] = v; 0 for v = paddingIndex',
  params: ['dy', 'table', 'ids'],
  inputs: [
    { name: 'dy', dtypes: ['f32', 'f64'], shape: '[..., D]', about: 'the gradient of y' },
    { ...tableField, about: 'as in the forward call; only its shape is used' },
    idsField,
  ],
  options: [paddingOption],
  outputs: [{ name: 'dTable', dtypes: ['f32', 'f64'], shape: '[V, D]', about: 'the gradient of the table' }],
  accuracy: 'each sum of m rows within gamma_m * sum |dy|; one fixed order, so the same bits every time',
  edge: 'ids outside of [0, V): the reference throws, the kernel leaves them out; rows that no id names are 0',
  source: 'the transpose of the selection of rows',
};

/** Sizes of an embedding call. */
export interface EmbeddingPlan {
  readonly tokens: number;
  readonly rows: number;
  readonly width: number;
  readonly shape: Shape;
}

/** Check an embedding call. @throws DTypeError, ShapeError, ArgumentError */
export function planEmbedding(
  table: AnyTensor,
  ids: AnyTensor,
  options: EmbeddingOptions = {},
): EmbeddingPlan {
  return check('embedding', table, ids, options);
}

/** Check an embeddingBackward call. @throws DTypeError, ShapeError, ArgumentError */
export function planEmbeddingBackward(
  dy: AnyTensor,
  table: AnyTensor,
  ids: AnyTensor,
  options: EmbeddingOptions = {},
): EmbeddingPlan {
  const plan = check('embeddingBackward', table, ids, options);
  requireDType('embeddingBackward', 'dy', dy, [table.dtype]);
  requireShape('embeddingBackward', 'dy', dy, plan.shape);
  return plan;
}

/** Refuse ids outside of the table, on the host. */
export function requireIds(op: string, ids: ArrayLike<number>, rows: number): void {
  for (let i = 0; i < ids.length; i++) {
    if (ids[i]! < 0 || ids[i]! >= rows) {
      throw new ArgumentError(
        op,
        `id ${ids[i]} at element ${i} is outside of [0, ${rows}), the rows of the table`,
      );
    }
  }
}

function check(
  op: string,
  table: AnyTensor,
  ids: AnyTensor,
  { paddingIndex }: EmbeddingOptions,
): EmbeddingPlan {
  requireDType(op, 'table', table, ['f32', 'f64']);
  requireDType(op, 'ids', ids, ['i32', 'u32']);
  const [rows, width] = table.shape;
  if (rows === undefined || width === undefined || table.shape.length !== 2) {
    throw new ShapeError(op, `table has shape ${show(table.shape)}; it must be [V, D]`);
  }
  if (paddingIndex !== undefined) requireInteger(op, 'paddingIndex', paddingIndex, 0, rows - 1);
  return { tokens: ids.size, rows, width, shape: [...ids.shape, width] };
}
