import { ShapeError } from '../errors.ts';
import {
  type AnyTensor,
  normalizeAxis,
  type Outputs,
  requireDType,
  requireShape,
  type Shape,
  sameShape,
  show,
} from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface CummaxOptions<T> {
  /** The axis to run along, in [-rank, rank). @defaultValue -1 */
  readonly axis?: number;
  /** The running maximum of what came before; the shape of x without the axis. */
  readonly carryIn?: T;
  /** u32, nonzero = the position takes part; the shape of x, or of x up to and including the axis. */
  readonly mask?: T;
}

export interface CummaxBackwardOptions<T> {
  /** @defaultValue -1 */
  readonly axis?: number;
  /** The gradient of `carryOut`; the shape of x without the axis. */
  readonly dCarryOut?: T;
}

export interface CummaxOps<T extends AnyTensor> {
  /** Running maximum along an axis, with the index where it was reached. */
  cummax(x: T, options?: CummaxOptions<T>): Outputs<{ values: T; indices: T; carryOut: T }>;
  /** Gradient of {@link CummaxOps.cummax}: each position gets the gradients of all outputs that it owns. */
  cummaxBackward(dValues: T, indices: T, options?: CummaxBackwardOptions<T>): Outputs<{ dx: T; dCarryIn: T }>;
}

export const cummaxContract: Contract = {
  name: 'cummax',
  summary: 'Running maximum along one axis, and the index where it was reached.',
  formula:
    'values[t] = max(carryIn, x[0..t]); indices[t] = the latest s <= t with x[s] = values[t], or -1 for the carry',
  params: ['x'],
  inputs: [
    { name: 'x', dtypes: ['f32', 'f64'], shape: '[..., T, ...]', about: 'the values' },
    {
      name: 'carryIn',
      dtypes: ['f32', 'f64'],
      shape: 'x without the axis',
      about: 'the running maximum of what came before',
      optional: true,
    },
    {
      name: 'mask',
      dtypes: ['u32'],
      shape: 'x, or x up to and including the axis',
      about: 'nonzero = the position takes part; 0 = it is passed over',
      optional: true,
    },
  ],
  options: [{ name: 'axis', type: 'integer', default: -1, about: 'the axis to run along, in [-rank, rank)' }],
  outputs: [
    { name: 'values', dtypes: ['f32', 'f64'], shape: 'x', about: 'the running maximum' },
    {
      name: 'indices',
      dtypes: ['i32'],
      shape: 'x',
      about: 'position along the axis, -1 = the carry or nothing yet',
    },
    {
      name: 'carryOut',
      dtypes: ['f32', 'f64'],
      shape: 'x without the axis',
      about: 'the state after the last position',
    },
  ],
  accuracy: 'exact, bit for bit: values are copies of elements of x or carryIn',
  edge: 'ties: the latest index; NaN: sticky, every later NaN takes the index; -0 equals +0, the bits follow the index; nothing seen yet: -Infinity with index -1; T = 0: empty outputs and carryOut = carryIn',
  source: 'torch.cummax (ATen ReduceOps.cpp, cummax_cummin_helper)',
};

export const cummaxBackwardContract: Contract = {
  name: 'cummaxBackward',
  summary: 'Gradient of cummax.',
  formula: 'dx[t] = sum of dValues[u] over u with indices[u] = t; dCarryIn = the same for index -1',
  params: ['dValues', 'indices'],
  inputs: [
    { name: 'dValues', dtypes: ['f32', 'f64'], shape: '[..., T, ...]', about: 'the gradient of values' },
    { name: 'indices', dtypes: ['i32'], shape: 'dValues', about: 'the indices that cummax returned' },
    {
      name: 'dCarryOut',
      dtypes: ['f32', 'f64'],
      shape: 'dValues without the axis',
      about: 'the gradient of carryOut',
      optional: true,
    },
  ],
  options: [{ name: 'axis', type: 'integer', default: -1, about: 'the axis of the forward call' }],
  outputs: [
    { name: 'dx', dtypes: ['f32', 'f64'], shape: 'dValues', about: 'the gradient of x' },
    {
      name: 'dCarryIn',
      dtypes: ['f32', 'f64'],
      shape: 'dValues without the axis',
      about: 'the gradient of carryIn',
    },
  ],
  accuracy: 'each sum within gamma_m * sum |dValues| over its m terms',
  edge: 'the whole gradient of a tie goes to the latest index (it is not split); indices must come from cummax: along the axis they never fall',
  source: 'Reverse of the segmented running maximum: a suffix sum over runs of equal indices',
};

/** Sizes of a cummax call: x seen as [outer, length, inner]. */
export interface CummaxPlan {
  readonly axis: number;
  readonly outer: number;
  readonly length: number;
  readonly inner: number;
  /** The shape of x without the axis. */
  readonly carryShape: Shape;
  /** `inner` when the mask has the shape of x, 1 when it stops at the axis, 0 without a mask. */
  readonly maskInner: number;
}

/** Check a cummax call and work out its sizes. @throws ShapeError, DTypeError */
export function planCummax<T extends AnyTensor>(x: T, options: CummaxOptions<T> = {}): CummaxPlan {
  const op = 'cummax';
  requireDType(op, 'x', x, ['f32', 'f64']);
  const plan = along(op, x.shape, options.axis ?? -1);
  const { carryIn, mask } = options;
  if (carryIn !== undefined) {
    requireDType(op, 'carryIn', carryIn, [x.dtype]);
    requireShape(op, 'carryIn', carryIn, plan.carryShape);
  }
  if (mask === undefined) return { ...plan, maskInner: 0 };
  requireDType(op, 'mask', mask, ['u32']);
  if (sameShape(mask.shape, x.shape)) return { ...plan, maskInner: plan.inner };
  const prefix = x.shape.slice(0, plan.axis + 1);
  if (sameShape(mask.shape, prefix)) return { ...plan, maskInner: 1 };
  throw new ShapeError(
    op,
    `mask has shape ${show(mask.shape)}; it must be ${show(x.shape)} or ${show(prefix)}`,
  );
}

/** Check a cummaxBackward call and work out its sizes. @throws ShapeError, DTypeError */
export function planCummaxBackward<T extends AnyTensor>(
  dValues: T,
  indices: T,
  options: CummaxBackwardOptions<T> = {},
): CummaxPlan {
  const op = 'cummaxBackward';
  requireDType(op, 'dValues', dValues, ['f32', 'f64']);
  requireDType(op, 'indices', indices, ['i32']);
  requireShape(op, 'indices', indices, dValues.shape);
  const plan = along(op, dValues.shape, options.axis ?? -1);
  if (options.dCarryOut !== undefined) {
    requireDType(op, 'dCarryOut', options.dCarryOut, [dValues.dtype]);
    requireShape(op, 'dCarryOut', options.dCarryOut, plan.carryShape);
  }
  return { ...plan, maskInner: 0 };
}

function along(op: string, shape: Shape, wanted: number): Omit<CummaxPlan, 'maskInner'> {
  // A scalar has no axis; like torch it is its own running maximum, so it is seen as [1].
  const axis = shape.length === 0 && (wanted === 0 || wanted === -1) ? 0 : normalizeAxis(op, wanted, shape);
  const before = shape.slice(0, axis);
  const after = shape.slice(axis + 1);
  return {
    axis,
    outer: before.reduce((n, s) => n * s, 1),
    length: shape[axis] ?? 1,
    inner: after.reduce((n, s) => n * s, 1),
    carryShape: [...before, ...after],
  };
}
