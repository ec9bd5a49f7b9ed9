import { FormatError } from '../errors.ts';
import type { Shape, Tensor } from '../tensor.ts';
import { decode, type StoredDType } from './dtypes.ts';
import { type ByteSource, fromBytes, readBytes } from './source.ts';

const who = 'arrow';
/** Numbers of the format: what a message holds, and types of columns. */
const schemaMessage = 1;
const batchMessage = 3;
const [nullType, int, float, structType, fixedList] = [1, 2, 3, 13, 16];
/** Buffers of a column of each type, without those of its children; other types are not passed over. */
const buffersOf: Readonly<Record<number, number>> = {
  [nullType]: 0,
  [int]: 2,
  [float]: 2,
  4: 3, // binary
  5: 3, // text
  6: 2, // bits
  7: 2, // decimal
  8: 2, // date
  9: 2, // time
  10: 2, // timestamp
  11: 2, // interval
  12: 2, // list
  [structType]: 1,
  15: 2, // fixed-size binary
  [fixedList]: 1,
  17: 2, // map
  18: 2, // duration
  19: 3, // large binary
  20: 3, // large text
  21: 2, // large list
};

/** A column, its children below it. */
interface Field {
  readonly name: string;
  readonly type: number;
  readonly children: readonly Field[];
  /** Elements of a fixed-size list. */
  readonly size: number;
  /** What its values are, for integers and floats. */
  readonly stored: StoredDType | undefined;
  readonly encoded: boolean;
}

/**
 * One column of an Arrow IPC file or stream (Feather version 2 is such a file): `vectors`, the only column of fixed-size lists of
 * floats, as f32 or f64 [rows, columns]; `ids`, the only column of integers, as i32 or u32 [rows].
 *
 * Only that column is read. Other columns may have any of the types above; unions and views before it are refused, as are
 * missing values, compressed bodies and big-endian files.
 * @throws FormatError
 * @source https://arrow.apache.org/docs/format/Columnar.html, serialization and interprocess communication
 */
export function readArrow(file: Uint8Array | ByteSource, what: 'vectors' | 'ids'): Tensor {
  const source = file instanceof Uint8Array ? fromBytes(file) : file;
  const fail = (text: string): FormatError => new FormatError(who, `${source.name}: ${text}`);
  try {
    return read(source, what, fail);
  } catch (error) {
    // A DataView ends where the bytes end.
    if (error instanceof RangeError) throw fail('it is damaged: an offset points outside of it');
    throw error;
  }
}

function read(source: ByteSource, what: 'vectors' | 'ids', fail: (text: string) => FormatError): Tensor {
  const { size } = source;
  const text = (from: number, length: number): string =>
    from >= 0 && from + length <= size ? Buffer.from(readBytes(source, from, length)).toString('latin1') : '';
  if (text(0, 4) === 'FEA1') throw fail('it is of the first version of Feather; write version 2');
  const schema = (table: Table | undefined): Column => {
    if (table === undefined) throw fail('it has no schema');
    if (table.i16(0) !== 0) throw fail('it is big-endian; write it little-endian');
    return choose(fieldsOf(table.tables(1), { left: 10_000 }, fail), what, fail);
  };
  const ranges: Range[] = [];
  let column: Column | undefined;
  if (text(0, 6) === 'ARROW1') {
    // A file: schema and places of the batches are in the footer.
    const length = text(size - 6, 6) === 'ARROW1' && size >= 22 ? i32(source, size - 10) : -1;
    if (length < 4 || length > size - 18) throw fail('it is cut: the end of an Arrow file is not there');
    const footer = new Table(new DataView(readBytes(source, size - 10 - length, length).buffer), -1);
    column = schema(footer.table(1));
    const blocks = footer.count(3);
    // Each takes 24 bytes of the footer, so a damaged count ends with a RangeError.
    for (let i = 0; i < blocks; i++) {
      const message = messageAt(source, footer.struct(3, i, 3)[0]!, fail);
      if (message?.kind !== batchMessage) throw fail(`batch ${i} is not where the footer says`);
      ranges.push(rangeOf(message, column, fail));
    }
  } else {
    for (let at = 0; ; ) {
      const message = messageAt(source, at, fail);
      if (message === undefined) break;
      if (message.kind === schemaMessage) {
        if (column !== undefined) throw fail('it has two schemas');
        column = schema(message.header);
      } else if (message.kind === batchMessage) {
        if (column === undefined) throw fail('not an Arrow file: a record batch stands before the schema');
        ranges.push(rangeOf(message, column, fail));
      }
      at = message.body + message.length;
    }
    if (column === undefined) throw fail('not an Arrow file: it has no schema');
  }
  const rows = ranges.reduce((sum, { count }) => sum + count, 0);
  const bytes = ranges.reduce((sum, range) => sum + range.length, 0);
  if (bytes > size) throw fail('its batches lie upon each other');
  const shape: Shape = what === 'vectors' ? [rows, column.size] : [rows];
  return decode(who, source.name, column.stored, shape, (to) => {
    let filled = 0;
    for (const { at, length } of ranges) {
      source.readInto(at, to.subarray(filled, filled + length));
      filled += length;
    }
  });
}

/** The values of a batch. */
interface Range {
  readonly at: number;
  readonly length: number;
  readonly count: number;
}

interface Message {
  readonly kind: number;
  readonly header: Table | undefined;
  /** Where its body begins, and its bytes. */
  readonly body: number;
  readonly length: number;
}

/** The message that begins at a byte; undefined at the end of a stream. */
function messageAt(
  source: ByteSource,
  start: number,
  fail: (text: string) => FormatError,
): Message | undefined {
  let at = start;
  if (at === source.size) return undefined;
  const word = (): number => {
    if (!(at >= 0 && at + 4 <= source.size)) throw fail(`it is cut at byte ${at}`);
    at += 4;
    return i32(source, at - 4);
  };
  let length = word();
  // Since version 0.15 a mark stands before the length.
  if (length === -1) length = word();
  if (length === 0) return undefined;
  if (length < 0 || at + length > source.size)
    throw fail(`a message of ${length} bytes at byte ${at} does not fit; not an Arrow file?`);
  const table = new Table(new DataView(readBytes(source, at, length).buffer), -1);
  const [body, bytes] = [at + length, table.i64(3)];
  if (bytes < 0 || body + bytes > source.size)
    throw fail(`a body of ${bytes} bytes at byte ${body} does not fit`);
  return { kind: table.u8(1), header: table.table(2), body, length: bytes };
}

function rangeOf(
  { header, body, length }: Message,
  column: Column,
  fail: (text: string) => FormatError,
): Range {
  if (header === undefined) throw fail('a record batch is empty');
  if (header.table(3) !== undefined) throw fail('it is compressed; write it without compression');
  const count = header.i64(0);
  const [own, values] = [header.struct(1, column.node, 2), header.struct(1, column.valueNode, 2)];
  if (own[1] !== 0 || values[1] !== 0) throw fail(`the column ${column.name} has missing values`);
  if (own[0] !== count || values[0] !== count * column.size || count < 0)
    throw fail(`a batch of ${count} rows has ${own[0]} rows and ${values[0]} values of ${column.name}`);
  const [offset, bytes] = header.struct(2, column.buffer, 2) as [number, number];
  const needed = count * column.size * column.bytes;
  if (offset < 0 || bytes < needed || offset + needed > length)
    throw fail(`${needed} bytes of the column ${column.name} are not within its batch`);
  return { at: body + offset, length: needed, count };
}

/** Where the values of the chosen column are in each batch. */
interface Column {
  readonly name: string;
  readonly size: number;
  readonly stored: StoredDType;
  readonly bytes: number;
  readonly node: number;
  readonly valueNode: number;
  readonly buffer: number;
}

/** Nodes and buffers of a batch stand in the order of the columns, children after their parents. */
function choose(
  fields: readonly Field[],
  what: 'vectors' | 'ids',
  fail: (text: string) => FormatError,
): Column {
  const isWanted = (f: Field): boolean =>
    !f.encoded &&
    (what === 'ids'
      ? f.type === int
      : f.type === fixedList && f.children[0]?.type === float && f.children[0].stored !== undefined);
  const wanted = fields.filter(isWanted);
  const [chosen] = wanted;
  if (chosen === undefined || wanted.length > 1) {
    const must = what === 'ids' ? 'one column of integers' : 'one column of fixed-size lists of floats';
    const names = fields.map((f) => f.name).join(', ') || 'none';
    throw fail(`${wanted.length} of its columns (${names}) will do; it must have ${must}`);
  }
  let [node, buffer] = [0, 0];
  const pass = (field: Field): void => {
    const buffers = field.encoded ? 2 : buffersOf[field.type];
    if (buffers === undefined)
      throw fail(`the column ${field.name} has type ${field.type}, which is not passed over; leave it out`);
    node++;
    buffer += buffers;
    if (!field.encoded) field.children.forEach(pass);
  };
  for (const field of fields) {
    if (field === chosen) break;
    pass(field);
  }
  const { name, size } = chosen;
  const values = what === 'ids' ? chosen : chosen.children[0]!;
  const stored = values.stored!;
  const bytes = Number(/\d+/.exec(stored)![0]) / 8;
  if (what === 'vectors' && size < 1) throw fail(`the lists of ${name} have ${size} elements`);
  // Validity comes first; that of a list stands before that of its values.
  return what === 'ids'
    ? { name, size: 1, stored, bytes, node, valueNode: node, buffer: buffer + 1 }
    : { name, size, stored, bytes, node, valueNode: node + 1, buffer: buffer + 2 };
}

function fieldsOf(
  tables: readonly Table[],
  budget: { left: number },
  fail: (text: string) => FormatError,
): Field[] {
  return tables.map((table) => {
    // A damaged file may name itself as its child.
    if (--budget.left < 0) throw fail('it has more than 10,000 columns');
    const type = table.u8(2);
    const detail = table.table(3);
    const bits = detail?.i32(0) ?? 0;
    const integers = [8, 16, 32, 64].includes(bits)
      ? (`${detail?.u8(1) ? 'I' : 'U'}${bits}` as StoredDType)
      : undefined;
    return {
      name: table.text(0),
      type,
      children: fieldsOf(table.tables(5), budget, fail),
      size: type === fixedList ? bits : 0,
      stored:
        type === int
          ? integers
          : type === float
            ? (['F16', 'F32', 'F64'] as const)[detail?.i16(0) ?? 0]
            : undefined,
      encoded: table.table(4) !== undefined,
    };
  });
}

function i32(source: ByteSource, at: number): number {
  return new DataView(readBytes(source, at, 4).buffer).getInt32(0, true);
}

/** A table of the FlatBuffers encoding: fields by number, absent ones 0. Offsets outside of the message are a RangeError. */
class Table {
  private readonly view: DataView;
  private readonly at: number;
  private readonly vtable: number;

  /** @param at where the table begins; -1 for the root of a message */
  constructor(view: DataView, at: number) {
    this.view = view;
    this.at = at === -1 ? view.getUint32(0, true) : at;
    this.vtable = this.at - view.getInt32(this.at, true);
  }

  private field(number: number): number | undefined {
    const slot = 4 + 2 * number;
    if (slot + 2 > this.view.getUint16(this.vtable, true)) return undefined;
    const offset = this.view.getUint16(this.vtable + slot, true);
    return offset === 0 ? undefined : this.at + offset;
  }

  private follow(number: number): number | undefined {
    const at = this.field(number);
    return at === undefined ? undefined : at + this.view.getUint32(at, true);
  }

  u8(number: number): number {
    const at = this.field(number);
    return at === undefined ? 0 : this.view.getUint8(at);
  }

  i16(number: number): number {
    const at = this.field(number);
    return at === undefined ? 0 : this.view.getInt16(at, true);
  }

  i32(number: number): number {
    const at = this.field(number);
    return at === undefined ? 0 : this.view.getInt32(at, true);
  }

  i64(number: number): number {
    const at = this.field(number);
    return at === undefined ? 0 : Number(this.view.getBigInt64(at, true));
  }

  table(number: number): Table | undefined {
    const at = this.follow(number);
    return at === undefined ? undefined : new Table(this.view, at);
  }

  tables(number: number): Table[] {
    const at = this.follow(number);
    if (at === undefined) return [];
    const found: Table[] = [];
    const count = this.view.getUint32(at, true);
    for (let i = 0; i < count; i++) {
      const slot = at + 4 + 4 * i;
      found.push(new Table(this.view, slot + this.view.getUint32(slot, true)));
    }
    return found;
  }

  /** How many elements a vector has. */
  count(number: number): number {
    const at = this.follow(number);
    return at === undefined ? 0 : this.view.getUint32(at, true);
  }

  /** The `index`-th struct of `width` 64-bit integers in a vector of them. */
  struct(number: number, index: number, width: number): number[] {
    const at = this.follow(number);
    if (at === undefined || index >= this.view.getUint32(at, true)) throw new RangeError('no such struct');
    return Array.from({ length: width }, (_, i) =>
      Number(this.view.getBigInt64(at + 4 + 8 * (index * width + i), true)),
    );
  }

  text(number: number): string {
    const at = this.follow(number);
    if (at === undefined) return '';
    const length = this.view.getUint32(at, true);
    return Buffer.from(this.view.buffer, this.view.byteOffset + at + 4, length).toString('utf8');
  }
}
