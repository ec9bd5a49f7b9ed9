import { ArgumentError } from './errors.ts';
import { Tensor } from './tensor.ts';

/**
 * A list of byte strings as two tensors: `bytes` u32 [ceil(total / 4)], four bytes per element, the first in the lowest
 * bits; and `offsets` u32 [count + 1], in bytes: string i is bytes [offsets[i], offsets[i + 1]).
 */
export interface ByteStrings<T = Tensor> {
  readonly bytes: T;
  readonly offsets: T;
}

/** Pack byte strings into tensors. @throws ArgumentError above 2^32 - 4 bytes */
export function packByteStrings(strings: readonly Uint8Array[]): ByteStrings {
  const total = strings.reduce((n, s) => n + s.length, 0);
  if (total > 2 ** 32 - 4)
    throw new ArgumentError('packByteStrings', `the strings hold ${total} bytes; at most 2^32 - 4 fit`);
  const joined = new Uint8Array(total);
  const offsets = new Uint32Array(strings.length + 1);
  let at = 0;
  for (const [i, s] of strings.entries()) {
    joined.set(s, at);
    at += s.length;
    offsets[i + 1] = at;
  }
  return { bytes: packBytes(joined), offsets: new Tensor('u32', [offsets.length], offsets) };
}

/** Bytes as u32 [ceil(n / 4)], the first of four in the lowest bits, zeros at the end. */
export function packBytes(bytes: Uint8Array): Tensor {
  const elements = new Uint32Array(Math.ceil(bytes.length / 4));
  for (let i = 0; i < bytes.length; i++) elements[i >> 2]! |= bytes[i]! << (8 * (i & 3));
  return new Tensor('u32', [elements.length], elements);
}

/** Bytewise order; of two strings of which one begins with the other, the shorter comes first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}
