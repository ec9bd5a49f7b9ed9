import { ArgumentError, ShapeError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface DriftLossOptions {
  /** Marks the unused places of a form. @defaultValue -1 */
  readonly padding?: number;
  /** Factor of the loss. @defaultValue 1 */
  readonly weight?: number;
}

export interface DriftLossOps<T extends AnyTensor> {
  /** How far predicted rows are from the source rows, over the tokens that the source knows as one piece. */
  driftLoss(x: T, table: T, forms: T, options?: DriftLossOptions): Outputs<{ loss: T; count: T; norm: T }>;
  /** Gradient of {@link DriftLossOps.driftLoss}. */
  driftLossBackward(dLoss: T, x: T, table: T, forms: T, count: T, norm: T, options?: DriftLossOptions): T;
}

const floats = ['f32', 'f64'] as const;
const fields = [
  { name: 'x', dtypes: floats, shape: '[N, D]', about: 'predicted rows' },
  { name: 'table', dtypes: floats, shape: '[V, D]', about: 'the source rows; constant' },
  {
    name: 'forms',
    dtypes: ['i32'],
    shape: '[N, L]',
    about: 'the source pieces of each token; ids from V on are extra',
  },
] as const;
const options: Contract['options'] = [
  { name: 'padding', type: 'integer', default: -1, about: 'marks the unused places of a form' },
  { name: 'weight', type: 'number', default: 1, about: 'factor of the loss' },
];
const edge =
  'a token counts if its first piece is below V and all further places are padding; extra tokens never count; none counts, or all their source rows are zero: loss 0';
const source = "ZeTT's auxiliary loss (arXiv 2405.07883, section 3.3), normalised as its code does";

export const driftLossContract: Contract = {
  name: 'driftLoss',
  summary: 'How far predicted embeddings are from those of tokens that both vocabularies have.',
  formula:
    'loss = weight * sum over counted n of |x[n] - table[id n]|^2 / count / norm, norm = mean |table[id n]|',
  params: ['x', 'table', 'forms'],
  inputs: fields,
  options,
  outputs: [
    { name: 'loss', dtypes: floats, shape: '[]', about: 'the loss' },
    { name: 'count', dtypes: ['i32'], shape: '[]', about: 'how many tokens count' },
    { name: 'norm', dtypes: floats, shape: '[]', about: 'mean length of their source rows' },
  ],
  accuracy: 'gamma_(2 N + 2 D) of loss and norm themselves: all terms are positive',
  edge,
  source,
};

export const driftLossBackwardContract: Contract = {
  name: 'driftLossBackward',
  summary: 'Gradient of driftLoss.',
  formula: 'dx[n] = dLoss * 2 weight / (count norm) * (x[n] - table[id n]) for counted n, else 0',
  params: ['dLoss', 'x', 'table', 'forms', 'count', 'norm'],
  inputs: [
    { name: 'dLoss', dtypes: floats, shape: '[]', about: 'the gradient of loss' },
    ...fields,
    { name: 'count', dtypes: ['i32'], shape: '[]', about: 'of the forward call' },
    { name: 'norm', dtypes: floats, shape: '[]', about: 'of the forward call' },
  ],
  options,
  outputs: [{ name: 'dx', dtypes: floats, shape: 'x', about: 'the gradient of x' }],
  accuracy: 'nine roundings',
  edge,
  source: 'the chain rule; the table is constant',
};

export interface DriftLossPlan {
  readonly rows: number;
  readonly width: number;
  readonly source: number;
  readonly length: number;
  readonly padding: number;
  readonly weight: number;
}

/** Check a driftLoss call. @throws ShapeError, DTypeError, ArgumentError */
export function planDriftLoss(
  x: AnyTensor,
  table: AnyTensor,
  forms: AnyTensor,
  options: DriftLossOptions = {},
): DriftLossPlan {
  return plan('driftLoss', x, table, forms, options);
}

/** Check a driftLossBackward call. @throws ShapeError, DTypeError, ArgumentError */
export function planDriftLossBackward(
  dLoss: AnyTensor,
  x: AnyTensor,
  table: AnyTensor,
  forms: AnyTensor,
  count: AnyTensor,
  norm: AnyTensor,
  options: DriftLossOptions = {},
): DriftLossPlan {
  const op = 'driftLossBackward';
  const sizes = plan(op, x, table, forms, options);
  requireDType(op, 'dLoss', dLoss, [x.dtype]);
  requireDType(op, 'count', count, ['i32']);
  requireDType(op, 'norm', norm, [x.dtype]);
  for (const [name, t] of [
    ['dLoss', dLoss],
    ['count', count],
    ['norm', norm],
  ] as const) {
    if (t.size !== 1)
      throw new ShapeError(op, `${name} has shape ${show(t.shape)}; it must hold one element`);
  }
  return sizes;
}

function plan(
  op: string,
  x: AnyTensor,
  table: AnyTensor,
  forms: AnyTensor,
  { padding = -1, weight = 1 }: DriftLossOptions,
): DriftLossPlan {
  requireDType(op, 'x', x, floats);
  if (x.shape.length !== 2) throw new ShapeError(op, `x has shape ${show(x.shape)}; it must be [N, D]`);
  const [rows, width] = x.shape as readonly [number, number];
  requireDType(op, 'table', table, [x.dtype]);
  if (table.shape.length !== 2 || table.shape[1] !== width) {
    throw new ShapeError(op, `table has shape ${show(table.shape)}; it must be [V, ${width}]`);
  }
  requireDType(op, 'forms', forms, ['i32']);
  const length = forms.shape[1] ?? 0;
  if (forms.shape.length !== 2 || forms.shape[0] !== rows || length < 1) {
    throw new ShapeError(op, `forms has shape ${show(forms.shape)}; it must be [${rows}, L >= 1]`);
  }
  if (!Number.isInteger(padding) || padding < -(2 ** 31) || padding >= 2 ** 31) {
    throw new ArgumentError(op, `padding is ${padding}; it must be an i32`);
  }
  if (!Number.isFinite(weight))
    throw new ArgumentError(op, `weight is ${weight}; it must be a finite number`);
  return { rows, width, source: table.shape[0]!, length, padding, weight };
}
