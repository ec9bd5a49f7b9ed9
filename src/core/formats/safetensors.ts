import { ArgumentError, FormatError } from '../errors.ts';
import { byteSize, type DType, type Shape, show, type Tensor } from '../tensor.ts';
import { decode, encode, isStoredDType, type StoredDType, storedDTypes, storedSize } from './dtypes.ts';
import { scanHeader } from './safetensorsHeader.ts';
import { type ByteSource, fromBytes, readBytes } from './source.ts';

/** One tensor of an open file: what the header says about it. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: Shape;
  /** Position of its bytes, counted from the start of the file. */
  readonly begin: number;
  readonly end: number;
}

/** A checked safetensors file whose tensors are read when asked for. */
export interface Safetensors {
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: ReadonlyMap<string, string>;
  /** Read one tensor. @throws FormatError when the file has none of that name, or a value does not fit */
  read(name: string): Tensor;
}

/** The limit of the format's own library. */
const HEADER_LIMIT = 100_000_000;
const who = 'safetensors';

/**
 * Read the header of a safetensors file and check all of it: tensors are read later, one at a time.
 * Layout: u64 length N, N bytes of JSON, then the data; offsets count from its start and cover it without a gap.
 * @param source bytes in memory, or an open file
 * @throws FormatError naming the file, the tensor and the reason
 * @edge F16, BF16, small and 64-bit integers and BOOL are read as the type `readsAs` tells
 * @source https://github.com/huggingface/safetensors#format
 */
export function openSafetensors(source: Uint8Array | ByteSource): Safetensors {
  const file = source instanceof Uint8Array ? fromBytes(source) : source;
  const fail = (message: string): FormatError => new FormatError(who, `${file.name}: ${message}`);
  if (file.size < 8) throw fail(`${file.size} bytes are too few for a safetensors file`);
  const length = new DataView(readBytes(file, 0, 8).buffer).getBigUint64(0, true);
  if (length > BigInt(HEADER_LIMIT)) {
    throw fail(`the header would be ${length} bytes, more than ${HEADER_LIMIT}; not a safetensors file?`);
  }
  const start = 8 + Number(length);
  if (start > file.size) throw fail(`the header would be ${length} bytes, but only ${file.size - 8} follow`);

  const header = scanHeader(readBytes(file, 8, Number(length)), fail);
  const entries = new Map<string, SafetensorsEntry>();
  for (const [name, { dtype, shape, begin, end }] of header.tensors) {
    const bad = (message: string): FormatError => fail(`tensor ${JSON.stringify(name)}: ${message}`);
    if (!isStoredDType(dtype)) {
      throw bad(`dtype ${JSON.stringify(dtype)} is not supported; use one of ${storedDTypes}`);
    }
    if (begin > end) throw bad(`data_offsets [${begin}, ${end}] run backwards`);
    if (start + end > file.size) {
      throw bad(`data_offsets [${begin}, ${end}] end behind the file's ${file.size - start} bytes of data`);
    }
    const bytes = storedSize(dtype, shape);
    if (typeof bytes === 'string') throw bad(bytes);
    if (bytes !== end - begin) {
      throw bad(
        `shape ${show(shape)} of ${dtype} takes ${bytes} bytes, but data_offsets give ${end - begin}`,
      );
    }
    entries.set(name, { name, dtype, shape, begin: start + begin, end: start + end });
  }
  checkCoverage([...entries.values()], start, file.size, fail);

  return {
    entries,
    metadata: header.metadata,
    read(name) {
      const entry = entries.get(name);
      if (entry === undefined) throw fail(`there is no tensor ${JSON.stringify(name)}`);
      const label = `${file.name}: tensor ${JSON.stringify(name)}`;
      return decode(who, label, entry.dtype, entry.shape, (target) => file.readInto(entry.begin, target));
    },
  };
}

/** All tensors of a safetensors file at once, and its metadata. See `openSafetensors`. */
export function readSafetensors(source: Uint8Array | ByteSource): {
  tensors: Map<string, Tensor>;
  metadata: ReadonlyMap<string, string>;
} {
  const file = openSafetensors(source);
  const tensors = new Map([...file.entries.keys()].map((name) => [name, file.read(name)]));
  return { tensors, metadata: file.metadata };
}

/** Written in this order, as the format's own library does: wide types first keep every tensor aligned. */
const written = new Map<DType, StoredDType>([
  ['f64', 'F64'],
  ['f32', 'F32'],
  ['u32', 'U32'],
  ['i32', 'I32'],
]);

/**
 * The bytes of a safetensors file, in chunks for `writeFiles` or `toBytes`. The same tensors give the same bytes,
 * and the bytes that the Python package `safetensors` gives: types by width, then names by code point, data aligned.
 * @throws ArgumentError for the name `__metadata__`, a name or text with half a surrogate pair, or a header over the limit
 */
export function safetensorsChunks(
  tensors: Iterable<readonly [string, Tensor]>,
  metadata: Iterable<readonly [string, string]> = [],
): Uint8Array[] {
  const order = [...written.keys()];
  const sorted = [...tensors].sort(
    ([a, s], [b, t]) => order.indexOf(s.dtype) - order.indexOf(t.dtype) || compareNames(a, b),
  );
  const fields: string[] = [];
  const texts = [...metadata]
    .sort(([a], [b]) => compareNames(a, b))
    .map(([k, v]) => `${quote(k)}:${quote(v)}`);
  if (texts.length > 0) fields.push(`"__metadata__":{${texts.join(',')}}`);
  let end = 0;
  const names = new Set<string>();
  for (const [name, { dtype, shape, size }] of sorted) {
    if (name === '__metadata__') throw new ArgumentError(who, 'a tensor cannot be named __metadata__');
    if (names.has(name)) throw new ArgumentError(who, `two tensors are named ${quote(name)}`);
    names.add(name);
    const begin = end;
    end += size * byteSize(dtype);
    const offsets = `"data_offsets":[${begin},${end}]`;
    fields.push(`${quote(name)}:{"dtype":"${written.get(dtype)}","shape":[${shape.join(',')}],${offsets}}`);
  }
  const json = new TextEncoder().encode(`{${fields.join(',')}}`);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > HEADER_LIMIT) {
    throw new ArgumentError(who, `the header would be ${length} bytes, more than ${HEADER_LIMIT}`);
  }
  const head = new Uint8Array(8 + length).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(json, 8);
  return [head, ...sorted.map(([, t]) => encode(t.data))];
}

function quote(text: string): string {
  if (!text.isWellFormed()) {
    throw new ArgumentError(
      who,
      `${JSON.stringify(text)} holds half a surrogate pair, which no UTF-8 file can`,
    );
  }
  return JSON.stringify(text);
}

/** By code point, as Rust and Python sort; `<` on strings compares UTF-16 units and differs beyond U+FFFF. */
function compareNames(a: string, b: string): number {
  const [p, q] = [[...a], [...b]];
  for (let i = 0; i < p.length && i < q.length; i++) {
    const d = p[i]!.codePointAt(0)! - q[i]!.codePointAt(0)!;
    if (d !== 0) return d;
  }
  return p.length - q.length;
}

/** The tensors must cover the data exactly once: gaps could hide bytes, overlaps could alias tensors. */
function checkCoverage(
  entries: SafetensorsEntry[],
  start: number,
  size: number,
  fail: (message: string) => FormatError,
): void {
  let covered = start;
  for (const { name, begin, end } of entries.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== covered) {
      const what = begin < covered ? 'overlap another tensor' : `leave a gap of ${begin - covered} bytes`;
      throw fail(`tensor ${JSON.stringify(name)}: data_offsets [${begin - start}, ${end - start}] ${what}`);
    }
    covered = end;
  }
  if (covered !== size) throw fail(`${size - covered} bytes follow the last tensor`);
}
