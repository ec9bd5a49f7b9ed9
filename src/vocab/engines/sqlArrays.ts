/**
 * int4[] as PostgreSQL's protocol sends it in binary.
 * Source: array_recv and array_send in PostgreSQL's src/backend/utils/adt/arrayfuncs.c.
 */
export function int4Array(values: Int32Array): Buffer {
  return binaryArray(23, values.length, (bytes, at, i) => bytes.setInt32(at, values[i]!));
}

/** float4[] as PostgreSQL's protocol sends it in binary; -0 becomes 0. */
export function float4Array(values: Float32Array): Buffer {
  return binaryArray(700, values.length, (bytes, at, i) => bytes.setFloat32(at, values[i]! + 0));
}

/** One dimension that counts from 1, no NULL, and elements of 4 bytes of the type with this oid; all numbers big-endian. */
function binaryArray(
  oid: number,
  length: number,
  set: (bytes: DataView, at: number, i: number) => void,
): Buffer {
  const buffer = Buffer.allocUnsafe(20 + 8 * length);
  const bytes = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  for (const [i, v] of [1, 0, oid, length, 1].entries()) bytes.setInt32(4 * i, v);
  for (let i = 0; i < length; i++) {
    bytes.setInt32(20 + 8 * i, 4);
    set(bytes, 24 + 8 * i, i);
  }
  return buffer;
}
