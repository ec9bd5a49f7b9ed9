import { ShapeError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType, requireInteger, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface CosineTopKOps<T extends AnyTensor> {
  /** The k rows of a table with the largest cosine to each query. */
  cosineTopK(q: T, table: T, k: number): Outputs<{ values: T; indices: T }>;
}

export const cosineTopKContract: Contract = {
  name: 'cosineTopK',
  summary: 'The k rows of a table with the largest cosine to each query.',
  formula:
    'indices[m] = the first k rows n by (cosine descending, n ascending); values = their q[m] . table[n] / (|q[m]| |table[n]|)',
  params: ['q', 'table', 'k'],
  inputs: [
    { name: 'q', dtypes: ['f32', 'f64'], shape: '[M, D]', about: 'the queries' },
    { name: 'table', dtypes: ['f32', 'f64'], shape: '[N, D]', about: 'the rows to choose from' },
  ],
  options: [{ name: 'k', type: 'integer', about: 'how many to select, from 0 to N' }],
  outputs: [
    { name: 'values', dtypes: ['f32', 'f64'], shape: '[M, k]', about: 'cosines, the largest first' },
    { name: 'indices', dtypes: ['i32'], shape: '[M, k]', about: 'row numbers' },
  ],
  accuracy:
    'values within 3 gamma_D and 30 ulp of sum |q||t| / |q||t|; rows whose cosines are nearer than that may change places',
  edge: 'a row of zeros, or shorter than 2^-50, has cosine 0 with everything; q and table are finite, and |row|^2 does not overflow',
  source:
    'Dobler and de Melo, FOCUS (2023); Minixhofer, Paischer and Rekabsaz, WECHSEL (2022): neighbours of a token among the old ones',
};

export interface CosineTopKPlan {
  readonly queries: number;
  readonly rows: number;
  readonly width: number;
  readonly k: number;
}

/** Check a cosineTopK call. @throws ShapeError, DTypeError, ArgumentError */
export function planCosineTopK(q: AnyTensor, table: AnyTensor, k: number): CosineTopKPlan {
  const op = 'cosineTopK';
  requireDType(op, 'q', q, ['f32', 'f64']);
  requireDType(op, 'table', table, [q.dtype]);
  if (q.shape.length !== 2) throw new ShapeError(op, `q has shape ${show(q.shape)}; it must be [M, D]`);
  const [queries, width] = q.shape as readonly [number, number];
  if (table.shape.length !== 2 || table.shape[1] !== width) {
    throw new ShapeError(op, `table has shape ${show(table.shape)}; it must be [N, ${width}]`);
  }
  const rows = table.shape[0]!;
  requireInteger(op, 'k', k, 0, rows);
  return { queries, rows, width, k };
}
