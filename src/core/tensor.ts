import { ArgumentError, DTypeError, ShapeError } from './errors.ts';

/** Element types. `f64` exists on the host only: the references take it, so that gradients can be checked finely. */
export type DType = 'f32' | 'f64' | 'i32' | 'u32';

/** Sizes per axis, outermost first (row-major). `[]` is a scalar. */
export type Shape = readonly number[];

/** The typed array that holds a dtype's elements on the host. */
export type TypedArrayOf<D extends DType> = D extends 'f32'
  ? Float32Array
  : D extends 'f64'
    ? Float64Array
    : D extends 'i32'
      ? Int32Array
      : Uint32Array;

/** Any of the typed arrays above. */
export type TypedArray = Float32Array | Float64Array | Int32Array | Uint32Array;

const constructors = { f32: Float32Array, f64: Float64Array, i32: Int32Array, u32: Uint32Array } as const;

/** What host and device tensors share; contracts check only this. */
export interface AnyTensor extends Disposable {
  readonly dtype: DType;
  readonly shape: Shape;
  /** Number of elements: the product of `shape`. */
  readonly size: number;
}

/**
 * A host tensor: a typed array with a shape, row-major and dense. Operators never change their inputs.
 * Disposing does nothing; it exists so that the same model code runs on host and device tensors.
 */
export class Tensor implements AnyTensor {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly size: number;
  readonly data: TypedArray;

  constructor(dtype: DType, shape: Shape, data: TypedArray) {
    const Want = constructors[dtype];
    if (Want === undefined)
      throw new DTypeError('tensor', `unknown dtype ${String(dtype)}; use f32, f64, i32 or u32`);
    if (!(data instanceof Want)) {
      throw new DTypeError('tensor', `dtype ${dtype} needs a ${Want.name}, got ${data?.constructor?.name}`);
    }
    const size = sizeOf(shape, 'tensor');
    if (data.length !== size) {
      throw new ShapeError(
        'tensor',
        `shape ${show(shape)} holds ${size} elements, but ${data.length} were given`,
      );
    }
    this.dtype = dtype;
    this.shape = Object.freeze([...shape]);
    this.size = size;
    this.data = data;
  }

  [Symbol.dispose](): void {}
}

/**
 * Make a host tensor.
 * @param shape sizes per axis
 * @param values numbers, copied; or a typed array of the dtype, which is kept without a copy
 * @param dtype default: that of a typed array, else `f32`
 */
export function tensor(shape: Shape, values: ArrayLike<number>, dtype?: DType): Tensor {
  const d = dtype ?? dtypeOf(values) ?? 'f32';
  const Elements = constructors[d];
  if (Elements === undefined)
    throw new DTypeError('tensor', `unknown dtype ${String(d)}; use f32, f64, i32 or u32`);
  return new Tensor(d, shape, values instanceof Elements ? values : Elements.from(values));
}

/** A host tensor of zeros. */
export function zeros(shape: Shape, dtype: DType = 'f32'): Tensor {
  return new Tensor(dtype, shape, allocate(dtype, sizeOf(shape, 'zeros')));
}

/** A typed array of `length` zeros for `dtype`. */
export function allocate<D extends DType>(dtype: D, length: number): TypedArrayOf<D> {
  return new constructors[dtype](length) as TypedArrayOf<D>;
}

/** Product of the sizes; refuses what is not a shape. */
export function sizeOf(shape: Shape, op = 'shape'): number {
  let n = 1;
  for (const s of shape) {
    if (!Number.isSafeInteger(s) || s < 0) {
      throw new ShapeError(op, `shape ${show(shape)} has the size ${s}; sizes are integers >= 0`);
    }
    n *= s;
  }
  if (!Number.isSafeInteger(n))
    throw new ShapeError(op, `shape ${show(shape)} holds more than 2^53 elements`);
  return n;
}

/** Bytes of one element. */
export function byteSize(dtype: DType): number {
  return dtype === 'f64' ? 8 : 4;
}

/** `[2, 3]`, for messages. */
export function show(shape: Shape): string {
  return `[${[...shape].join(', ')}]`;
}

/** True when two shapes are equal. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((s, i) => s === b[i]);
}

/** An axis counted from the front; negative ones count from the back, as in PyTorch. */
export function normalizeAxis(op: string, axis: number, shape: Shape): number {
  const rank = shape.length;
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    throw new ShapeError(op, `axis ${axis} is outside [${-rank}, ${rank}) for shape ${show(shape)}`);
  }
  return axis < 0 ? axis + rank : axis;
}

/** Refuse a tensor whose dtype is not among `allowed`. */
export function requireDType(op: string, name: string, t: AnyTensor, allowed: readonly DType[]): void {
  if (!allowed.includes(t.dtype)) {
    throw new DTypeError(op, `${name} has dtype ${t.dtype}; it takes ${allowed.join(' or ')}`);
  }
}

/** Refuse a tensor whose shape is not `want`. */
export function requireShape(op: string, name: string, t: AnyTensor, want: Shape): void {
  if (!sameShape(t.shape, want)) {
    throw new ShapeError(op, `${name} has shape ${show(t.shape)}; it must be ${show(want)}`);
  }
}

/** Refuse a number that is not an integer in `[low, high]`. */
export function requireInteger(op: string, name: string, value: number, low: number, high: number): void {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new ArgumentError(op, `${name} is ${value}; it must be an integer from ${low} to ${high}`);
  }
}

function dtypeOf(values: ArrayLike<number>): DType | undefined {
  if (values instanceof Float32Array) return 'f32';
  if (values instanceof Float64Array) return 'f64';
  if (values instanceof Int32Array) return 'i32';
  if (values instanceof Uint32Array) return 'u32';
  return undefined;
}

/** What a record of results may hold under one name. */
export type Output = AnyTensor | readonly AnyTensor[] | undefined;

/** Several tensors that an operator returns together; disposing the record disposes each. */
export type Outputs<R extends Record<string, Output>> = Readonly<R> & Disposable;

/** Bind several results into one disposable record. The disposer is not enumerable. */
export function outputs<R extends Record<string, Output>>(record: R): Outputs<R> {
  return Object.defineProperty(record, Symbol.dispose, {
    value: () => {
      for (const t of Object.values(record).flat() as (AnyTensor | undefined)[]) t?.[Symbol.dispose]();
    },
    enumerable: false,
  }) as Outputs<R>;
}
