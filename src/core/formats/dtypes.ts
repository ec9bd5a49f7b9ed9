import { FormatError } from '../errors.ts';
import {
  allocate,
  byteSize,
  type DType,
  type Shape,
  show,
  sizeOf,
  Tensor,
  type TypedArray,
} from '../tensor.ts';

/** The name of an element type in a file. */
export type StoredDType =
  | 'F64'
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'I64'
  | 'I32'
  | 'I16'
  | 'I8'
  | 'U64'
  | 'U32'
  | 'U16'
  | 'U8'
  | 'BOOL';

/**
 * Element types that files hold, by the names of the safetensors format. `f32`, `f64`, `i32` and `u32` are kept;
 * the others widen without rounding, but for 64-bit integers, which are refused when a value does not fit.
 */
const stored: Readonly<Record<StoredDType, { bytes: number; becomes: DType }>> = {
  F64: { bytes: 8, becomes: 'f64' },
  F32: { bytes: 4, becomes: 'f32' },
  F16: { bytes: 2, becomes: 'f32' },
  BF16: { bytes: 2, becomes: 'f32' },
  I64: { bytes: 8, becomes: 'i32' },
  I32: { bytes: 4, becomes: 'i32' },
  I16: { bytes: 2, becomes: 'i32' },
  I8: { bytes: 1, becomes: 'i32' },
  U64: { bytes: 8, becomes: 'u32' },
  U32: { bytes: 4, becomes: 'u32' },
  U16: { bytes: 2, becomes: 'u32' },
  U8: { bytes: 1, becomes: 'u32' },
  BOOL: { bytes: 1, becomes: 'u32' },
};

/** True for the element types that can be read. */
export function isStoredDType(name: string): name is StoredDType {
  return Object.hasOwn(stored, name);
}

/** All readable element types, for messages. */
export const storedDTypes: string = Object.keys(stored).join(', ');

/** The rank NumPy can hold; a file that claims more is after the reader's time. */
const RANK_LIMIT = 64;

/**
 * Bytes that a tensor takes in a file.
 * @returns a number, or what is wrong with the shape: a rank beyond 64, or sizes whose product leaves 2^53
 */
export function storedSize(dtype: StoredDType, shape: Shape): number | string {
  if (shape.length > RANK_LIMIT) return `the shape has rank ${shape.length}; ${RANK_LIMIT} is the most`;
  let product = stored[dtype].bytes;
  for (const size of shape) product *= Math.max(size, 1);
  if (product > Number.MAX_SAFE_INTEGER) return `shape ${show(shape)} is larger than any file`;
  return shape.includes(0) ? 0 : product;
}

/** The element type that a stored one becomes when it is read. */
export function readsAs(dtype: StoredDType): DType {
  return stored[dtype].becomes;
}

const hostIsLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * Make a tensor from the bytes of a file.
 * @param label what messages call it, such as `a.safetensors: tensor "x"`
 * @param fill writes the stored bytes into the array it is given; the array is a tensor's own memory where possible
 * @throws FormatError naming the first value that does not fit
 * @accuracy exact: F16 and BF16 keep every value, NaN payloads and the sign of zero included
 */
export function decode(
  op: string,
  label: string,
  dtype: StoredDType,
  shape: Shape,
  fill: (target: Uint8Array) => void,
  bigEndian = false,
): Tensor {
  const { bytes, becomes } = stored[dtype];
  const size = sizeOf(shape, op);
  const data = reserve(op, label, becomes, size);
  const kept = bytes === byteSize(becomes);
  const raw = kept ? bytesOf(data) : new Uint8Array(size * bytes);
  fill(raw);
  if (bigEndian === hostIsLittleEndian) swapBytes(raw, bytes);
  if (!kept) convert(op, label, dtype, raw, data);
  return new Tensor(becomes, shape, data);
}

/** A tensor's bytes as files store them: little-endian. Copies only on a big-endian machine. */
export function encode(data: TypedArray): Uint8Array {
  if (hostIsLittleEndian) return bytesOf(data);
  const copy = bytesOf(data).slice();
  swapBytes(copy, data.BYTES_PER_ELEMENT);
  return copy;
}

function bytesOf(data: TypedArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function reserve(op: string, label: string, dtype: DType, size: number): TypedArray {
  try {
    return allocate(dtype, size);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const bytes = size * byteSize(dtype);
    throw new FormatError(op, `${label}: this machine has no memory for its ${bytes} bytes`, {
      cause: error,
    });
  }
}

/** Reverse the bytes of each element in place. */
function swapBytes(bytes: Uint8Array, width: number): void {
  for (let at = 0; at < bytes.length; at += width) {
    for (let low = at, high = at + width - 1; low < high; low++, high--) {
      const byte = bytes[low]!;
      bytes[low] = bytes[high]!;
      bytes[high] = byte;
    }
  }
}

function convert(op: string, label: string, dtype: StoredDType, raw: Uint8Array, data: TypedArray): void {
  const { buffer } = raw;
  if (dtype === 'F16') {
    const bits = new Uint32Array(data.buffer);
    new Uint16Array(buffer).forEach((half, i) => {
      bits[i] = halfToFloatBits(half);
    });
  } else if (dtype === 'BF16') {
    // bfloat16 is the upper half of an f32.
    const bits = new Uint32Array(data.buffer);
    new Uint16Array(buffer).forEach((half, i) => {
      bits[i] = half << 16;
    });
  } else if (dtype === 'I64') {
    narrow(op, label, new BigInt64Array(buffer), data);
  } else if (dtype === 'U64') {
    narrow(op, label, new BigUint64Array(buffer), data);
  } else if (dtype === 'BOOL') {
    const odd = raw.findIndex((byte) => byte > 1);
    if (odd >= 0) {
      throw new FormatError(op, `${label}: BOOL byte ${raw[odd]} at position ${odd} is neither 0 nor 1`);
    }
    data.set(raw);
  } else {
    data.set(new small[dtype as keyof typeof small](buffer as ArrayBuffer));
  }
}

const small = { I16: Int16Array, I8: Int8Array, U16: Uint16Array, U8: Uint8Array } as const;

/** Copy 64-bit integers into 32 bits; refuse the first that does not fit. */
function narrow(op: string, label: string, from: BigInt64Array | BigUint64Array, data: TypedArray): void {
  const words = new Uint32Array(from.buffer);
  const [low, high] = hostIsLittleEndian ? [0, 1] : [1, 0];
  const signed = from instanceof BigInt64Array;
  for (let i = 0; i < data.length; i++) {
    // The upper word may only repeat the sign (i32), or be zero (u32). Words, since BigInt is slow by the million.
    const value = words[2 * i + low]!;
    if (words[2 * i + high] !== (signed ? ((value | 0) >> 31) >>> 0 : 0)) {
      const [has, want] = signed ? ['I64', 'i32'] : ['U64', 'u32'];
      throw new FormatError(op, `${label}: ${has} value ${from[i]} at position ${i} does not fit in ${want}`);
    }
    data[i] = value;
  }
}

/** Bits of the f32 with the value of an IEEE half; a NaN keeps its sign and payload. */
function halfToFloatBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 31;
  let fraction = half & 0x3ff;
  if (exponent === 31) return sign | 0x7f800000 | (fraction << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  // Subnormal: shift the leading one up to the hidden bit, one exponent down each time.
  let shift = 113;
  while ((fraction & 0x400) === 0) {
    fraction <<= 1;
    shift--;
  }
  return sign | (shift << 23) | ((fraction & 0x3ff) << 13);
}
