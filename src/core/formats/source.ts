/**
 * Bytes that can be read at any offset: a file, or an array in memory. The format readers take this and nothing
 * else, so they run where there is no file system and never load more of a large file than was asked for.
 */
export interface ByteSource {
  /** What messages call it: a path, or what the caller said. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /** Fill `target` with the bytes from `offset` on. The caller has checked that they exist. */
  readInto(offset: number, target: Uint8Array): void;
}

/** An array in memory as a source. The bytes are not copied until they are read. */
export function fromBytes(bytes: Uint8Array, name = 'bytes'): ByteSource {
  return {
    name,
    size: bytes.length,
    readInto: (offset, target) => target.set(bytes.subarray(offset, offset + target.length)),
  };
}

/** `length` bytes from `offset`, in memory of their own. */
export function readBytes(source: ByteSource, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const target = new Uint8Array(length);
  source.readInto(offset, target);
  return target;
}

/** All chunks in one array: for callers that have no file system. */
export function toBytes(chunks: Iterable<Uint8Array>): Uint8Array<ArrayBuffer> {
  const parts = [...chunks];
  const all = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
