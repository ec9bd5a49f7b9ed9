import { ArgumentError, ShapeError } from '../errors.ts';
import {
  type AnyTensor,
  normalizeAxis,
  type Outputs,
  requireDType,
  requireInteger,
  requireShape,
  type Shape,
  sameShape,
  show,
  sizeOf,
} from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface TopKOptions<T> {
  /** The axis to select along, in [-rank, rank). @defaultValue -1 */
  readonly axis?: number;
  /** Best first; false: the same set, by ascending index, which takes less work. @defaultValue true */
  readonly sorted?: boolean;
  /** The largest values, or the smallest. @defaultValue true */
  readonly largest?: boolean;
  /** u32, nonzero = the position takes part; the shape of x, or of x up to and including the axis. */
  readonly mask?: T;
  /** When k exceeds the length of the axis: refuse the call, or fill up with index -1. @defaultValue 'error' */
  readonly onShort?: 'error' | 'pad';
}

export interface TopKBackwardOptions {
  /** The axis of the forward call. @defaultValue -1 */
  readonly axis?: number;
}

export interface TopKOps<T extends AnyTensor> {
  /** The k best entries along an axis, with their indices; how many there were is in `counts`. */
  topK(x: T, k: number, options?: TopKOptions<T>): Outputs<{ values: T; indices: T; counts: T }>;
  /** Gradient of {@link TopKOps.topK}: `dValues` put back where the values came from, zero elsewhere. */
  topKBackward(dValues: T, indices: T, length: number, options?: TopKBackwardOptions): T;
}

export const topKContract: Contract = {
  name: 'topK',
  summary: 'The k largest (or smallest) entries along one axis, with their indices.',
  formula:
    'indices[0..k) = the first k positions when all are ordered by (value descending, index ascending); values[j] = x[indices[j]]',
  params: ['x', 'k'],
  inputs: [
    { name: 'x', dtypes: ['f32', 'f64'], shape: '[..., N, ...]', about: 'the scores' },
    {
      name: 'mask',
      dtypes: ['u32'],
      shape: 'x, or x up to and including the axis',
      about: 'nonzero = the position takes part; 0 = it cannot be selected',
      optional: true,
    },
  ],
  options: [
    { name: 'k', type: 'integer', about: 'how many to select, from 0 to N (or more with onShort "pad")' },
    { name: 'axis', type: 'integer', default: -1, about: 'the axis to select along, in [-rank, rank)' },
    {
      name: 'sorted',
      type: 'boolean',
      default: true,
      about: 'best first; false: the same set, by ascending index',
    },
    { name: 'largest', type: 'boolean', default: true, about: 'the largest values, or the smallest' },
    {
      name: 'onShort',
      type: 'string',
      default: 'error',
      choices: ['error', 'pad'],
      about: 'when k > N: refuse the call, or fill up with index -1',
    },
  ],
  outputs: [
    {
      name: 'values',
      dtypes: ['f32', 'f64'],
      shape: 'x with k in place of N',
      about: 'the selected values; -Infinity where a row is short',
    },
    {
      name: 'indices',
      dtypes: ['i32'],
      shape: 'x with k in place of N',
      about: 'their positions along the axis; -1 where a row is short',
    },
    {
      name: 'counts',
      dtypes: ['i32'],
      shape: 'x without the axis',
      about: 'how many entries were selected: k, or less where the mask or N leaves fewer',
    },
  ],
  accuracy: 'exact, bit for bit: values are copies of elements of x',
  edge: 'ties: the smaller index first; -0 equals +0, the bits follow the index; NaN ranks last, after every number, whether largest or smallest is asked for; rows with fewer than k candidates are filled up with index -1 and value -Infinity (after the selected ones); k = 0: empty outputs',
  source: 'the order of a stable sort, as in jax.lax.top_k; torch.topk leaves ties open',
};

export const topKBackwardContract: Contract = {
  name: 'topKBackward',
  summary: 'Gradient of topK.',
  formula: 'dx[indices[j]] = dValues[j]; zero elsewhere; an index of -1 is passed over',
  params: ['dValues', 'indices', 'length'],
  inputs: [
    { name: 'dValues', dtypes: ['f32', 'f64'], shape: '[..., k, ...]', about: 'the gradient of values' },
    { name: 'indices', dtypes: ['i32'], shape: 'dValues', about: 'the indices that topK returned' },
  ],
  options: [
    { name: 'length', type: 'integer', about: 'N, the length of the axis that topK selected from' },
    { name: 'axis', type: 'integer', default: -1, about: 'the axis of the forward call' },
  ],
  outputs: [
    {
      name: 'dx',
      dtypes: ['f32', 'f64'],
      shape: 'dValues with N in place of k',
      about: 'the gradient of x',
    },
  ],
  accuracy: 'exact, bit for bit: each gradient is copied',
  edge: 'indices must come from topK: within a row each occurs once, and none is N or more',
  source: 'the transpose of the selection that topK makes',
};

/** Sizes of a topK call: x seen as [outer, length, inner], the outputs as [outer, slots, inner]. */
export interface TopKPlan {
  readonly axis: number;
  readonly outer: number;
  readonly length: number;
  readonly inner: number;
  /** Output slots per row: the k that was asked for. */
  readonly slots: number;
  /** How many of them can be filled: min(k, length). */
  readonly k: number;
  /** The shape of values and indices. */
  readonly shape: Shape;
  /** The shape of counts: x without the axis. */
  readonly countShape: Shape;
  readonly sorted: boolean;
  readonly largest: boolean;
  /** `inner` when the mask has the shape of x, 1 when it stops at the axis, 0 without a mask. */
  readonly maskInner: number;
}

/** Check a topK call and work out its sizes. @throws ShapeError, DTypeError, ArgumentError */
export function planTopK<T extends AnyTensor>(x: T, k: number, options: TopKOptions<T> = {}): TopKPlan {
  const op = 'topK';
  requireDType(op, 'x', x, ['f32', 'f64']);
  const axis = normalizeAxis(op, options.axis ?? -1, x.shape);
  const { mask, sorted = true, largest = true, onShort = 'error' } = options;
  requireBoolean(op, 'sorted', sorted);
  requireBoolean(op, 'largest', largest);
  const length = x.shape[axis]!;
  if (onShort !== 'error' && onShort !== 'pad') {
    throw new ArgumentError(op, `onShort is ${JSON.stringify(onShort)}; it must be "error" or "pad"`);
  }
  // Indices are i32, and so is every size that a kernel computes with.
  requireInteger(op, 'k', k, 0, 2 ** 31 - 1);
  if (k > length && onShort === 'error') {
    throw new ArgumentError(
      op,
      `k is ${k}, and axis ${axis} of shape ${show(x.shape)} has ${length}; ask for at most ${length}, or set onShort to "pad"`,
    );
  }
  const before = x.shape.slice(0, axis);
  const after = x.shape.slice(axis + 1);
  const shape = [...before, k, ...after];
  sizeOf(shape, op);
  const sizes = {
    axis,
    outer: sizeOf(before, op),
    length,
    inner: sizeOf(after, op),
    slots: k,
    k: Math.min(k, length),
    shape,
    countShape: [...before, ...after],
    sorted,
    largest,
  };
  if (mask === undefined) return { ...sizes, maskInner: 0 };
  requireDType(op, 'mask', mask, ['u32']);
  if (sameShape(mask.shape, x.shape)) return { ...sizes, maskInner: sizes.inner };
  const prefix = x.shape.slice(0, axis + 1);
  if (sameShape(mask.shape, prefix)) return { ...sizes, maskInner: 1 };
  throw new ShapeError(
    op,
    `mask has shape ${show(mask.shape)}; it must be ${show(x.shape)} or ${show(prefix)}`,
  );
}

/** Sizes of a topKBackward call: dValues seen as [outer, slots, inner], dx as [outer, length, inner]. */
export interface TopKBackwardPlan {
  readonly outer: number;
  readonly slots: number;
  readonly inner: number;
  readonly length: number;
  /** The shape of dx. */
  readonly shape: Shape;
}

/** Check a topKBackward call and work out its sizes. @throws ShapeError, DTypeError, ArgumentError */
export function planTopKBackward<T extends AnyTensor>(
  dValues: T,
  indices: T,
  length: number,
  options: TopKBackwardOptions = {},
): TopKBackwardPlan {
  const op = 'topKBackward';
  requireDType(op, 'dValues', dValues, ['f32', 'f64']);
  requireDType(op, 'indices', indices, ['i32']);
  requireShape(op, 'indices', indices, dValues.shape);
  const axis = normalizeAxis(op, options.axis ?? -1, dValues.shape);
  requireInteger(op, 'length', length, 0, 2 ** 31 - 1);
  const before = dValues.shape.slice(0, axis);
  const after = dValues.shape.slice(axis + 1);
  const shape = [...before, length, ...after];
  sizeOf(shape, op);
  return {
    outer: sizeOf(before, op),
    slots: dValues.shape[axis]!,
    inner: sizeOf(after, op),
    length,
    shape,
  };
}

function requireBoolean(op: string, name: string, value: unknown): void {
  if (typeof value !== 'boolean') {
    throw new ArgumentError(op, `${name} is ${JSON.stringify(value)}; it must be true or false`);
  }
}
