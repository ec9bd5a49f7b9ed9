import { createHash, type Hash } from 'node:crypto';
import { FormatError } from '../errors.ts';
import {
  type AnnIndex,
  type AnnShape,
  type AnnTensors,
  annIndex,
  annTensorNames,
  levelTensors,
  type Metric,
  shapeOfIndex,
} from '../ops/hierarchicalAnn.ts';
import type { Shape, Tensor } from '../tensor.ts';
import { decode, encode } from './dtypes.ts';
import { type ByteSource, fromBytes, readBytes, toBytes } from './source.ts';

const who = 'index';
const metrics: readonly Metric[] = ['ip', 'l2', 'cosine'];
/** `subvIDX` and a line end, which a transfer as text would change. */
const magic: Uint8Array = Uint8Array.of(0x73, 0x75, 0x62, 0x76, 0x49, 0x44, 0x58, 0x0a);
const version = 1;
const headerBytes = 64;
const hashBytes = 32;

/** A tensor of an index: its name, type and shape follow from the sizes of the index. */
export interface AnnField {
  readonly name: keyof AnnTensors<Tensor>;
  readonly stored: 'F32' | 'I32';
  readonly shape: Shape;
}

/** What an index holds, in the order in which it is stored. */
export function annFields(n: number, d: number, levels: readonly number[]): AnnField[] {
  const slots = levelTensors(
    levels.map((size) => ({ centroids: [size, d] as Shape, offsets: [size + 1] as Shape })),
  );
  const shapes: Partial<Record<string, Shape>> = { vectors: [n, d], order: [n], ids: [n], ...slots };
  return annTensorNames.flatMap((name) => {
    const shape = shapes[name];
    return shape === undefined
      ? []
      : [{ name, stored: shape.length === 2 ? ('F32' as const) : ('I32' as const), shape }];
  });
}

/**
 * An index as one array of bytes: a header of 64 bytes (magic, version, metric, dimension, levels, number of vectors, sizes
 * of the levels), the tensors in the order of `annFields`, little-endian, and the SHA-256 of all before it.
 */
export function annToBytes(index: AnnIndex<Tensor>): Uint8Array<ArrayBuffer> {
  const { n, d, metric, levels } = shapeOfIndex(who, index);
  const head = new DataView(new ArrayBuffer(headerBytes));
  magic.forEach((byte, i) => {
    head.setUint8(i, byte);
  });
  head.setUint32(8, version, true);
  head.setUint32(12, metrics.indexOf(metric), true);
  head.setUint32(16, d, true);
  head.setUint32(20, levels.length, true);
  head.setBigUint64(24, BigInt(n), true);
  for (const [i, { size }] of levels.entries()) head.setUint32(32 + 4 * i, size, true);
  const fields = annFields(
    n,
    d,
    levels.map((l) => l.size),
  );
  const chunks = [new Uint8Array(head.buffer), ...fields.map(({ name }) => encode(index[name]!.data))];
  const hash = createHash('sha256');
  for (const chunk of chunks) hash.update(chunk);
  return toBytes([...chunks, hash.digest()]);
}

/**
 * The index in an array of bytes, or in a file that holds one.
 * @throws FormatError when anything is not as it must be: magic, version, sizes, hash, and what `checkIndex` checks
 */
export function annFromBytes(bytes: Uint8Array | ByteSource): AnnIndex<Tensor> {
  const file = bytes instanceof Uint8Array ? fromBytes(bytes, 'index') : bytes;
  const fail = (message: string): FormatError => new FormatError(who, `${file.name}: ${message}`);
  if (file.size < headerBytes + hashBytes) throw fail(`${file.size} bytes are too few for an index`);
  const header = readBytes(file, 0, headerBytes);
  const head = new DataView(header.buffer);
  if (!magic.every((byte, i) => header[i] === byte)) throw fail('it does not begin like an index');
  const found = head.getUint32(8, true);
  if (found !== version) throw fail(`it has version ${found}; this package reads version ${version}`);
  const metric = metrics[head.getUint32(12, true)];
  if (metric === undefined) throw fail(`metric number ${head.getUint32(12, true)} is unknown`);
  const n = Number(head.getBigUint64(24, true));
  const levels = Array.from({ length: Math.min(head.getUint32(20, true), 4) }, (_, i) =>
    head.getUint32(32 + 4 * i, true),
  );
  const d = head.getUint32(16, true);
  checkSizes(fail, n, d, levels);
  const fields = annFields(n, d, levels);
  const total = headerBytes + fields.reduce((sum, { shape }) => sum + 4 * count(shape), 0) + hashBytes;
  if (file.size !== total) throw fail(`its sizes ask for ${total} bytes, but it has ${file.size}`);
  const hash = createHash('sha256').update(header);
  const tensors: Record<string, Tensor> = {};
  let at = headerBytes;
  for (const { name, stored, shape } of fields) {
    tensors[name] = decode(who, file.name, stored, shape, (to) => {
      file.readInto(at, to);
      hash.update(to);
    });
    at += 4 * count(shape);
  }
  checkHash(fail, hash, readBytes(file, at, hashBytes), 'its contents');
  const index = annIndex(metric, tensors as unknown as AnnTensors<Tensor>);
  checkIndex(fail, index);
  return index;
}

/** Refuse sizes that no index can have, before anything of that size is made. */
export function checkSizes(
  fail: (message: string) => FormatError,
  n: number,
  d: number,
  levels: readonly number[],
): void {
  if (!(n < 2 ** 31)) throw fail(`${n} vectors are more than an index holds`);
  if (!(d >= 1 && d < 2 ** 31)) throw fail(`the dimension is ${d}; it must be at least 1`);
  if (levels.length > 3) throw fail('it has more than three levels');
  if (levels.some((size) => !(size >= 1 && size < 2 ** 31)))
    throw fail(`levels of ${levels.join(', ')} nodes`);
}

/** Refuse contents whose SHA-256 is another. */
export function checkHash(
  fail: (message: string) => FormatError,
  hash: Hash,
  want: Uint8Array,
  what: string,
): void {
  const got = hash.digest();
  if (!got.equals(want)) {
    throw fail(
      `${what} have the SHA-256 ${got.toString('hex').slice(0, 16)}..., not that of the index; the file is damaged`,
    );
  }
}

/**
 * Refuse an index whose tensors contradict each other: offsets that do not run from 0 to the end of the level below, an order
 * that is no permutation, ids that do not rise, numbers that are not finite.
 */
export function checkIndex(fail: (message: string) => FormatError, index: AnnIndex<Tensor>): void {
  const { n, levels }: AnnShape<Tensor> = shapeOfIndex(who, index);
  for (const [i, { offsets, centroids, size }] of levels.entries()) {
    const end = levels[i + 1]?.size ?? n;
    const o = offsets.data;
    if (o[0] !== 0 || o[size] !== end)
      throw fail(`the offsets of level ${i} run from ${o[0]} to ${o[size]}, not from 0 to ${end}`);
    for (let c = 0; c < size; c++) {
      if (o[c]! > o[c + 1]!) throw fail(`the offsets of level ${i} fall at node ${c}`);
    }
    if (!centroids.data.every(Number.isFinite)) throw fail(`a centroid of level ${i} is not finite`);
  }
  const seen = new Uint8Array(n);
  for (const row of index.order.data) {
    if (!(row >= 0 && row < n) || seen[row] !== 0)
      throw fail(`the order holds row ${row} twice, or there is no such row`);
    seen[row] = 1;
  }
  const ids = index.ids.data;
  for (let i = 0; i < n; i++) {
    if (!(ids[i]! >= 0) || (i > 0 && ids[i]! <= ids[i - 1]!)) throw fail(`the ids do not rise at row ${i}`);
  }
  if (!index.vectors.data.every(Number.isFinite)) throw fail('a vector is not finite');
}

function count(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}
