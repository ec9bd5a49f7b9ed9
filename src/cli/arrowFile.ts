import type * as ArrowModule from 'apache-arrow';
import { FormatError } from '../core/errors.ts';
import { Tensor } from '../core/tensor.ts';
import { optionalPackage } from '../vocab/optionalPackage.ts';

/** Whether a path names an Arrow IPC file or stream; Feather files of version 2 are that, too. */
export function isArrow(path: string): boolean {
  return /\.(arrow|feather|ipc)$/i.test(path);
}

/**
 * The vectors of an Arrow file, its one column of fixed-size lists of float32 or float64, as [rows, columns]; or its ids, its one
 * column of int32, as [rows].
 * @throws FormatError; UnsupportedError without the package `apache-arrow`
 */
export async function readArrow(
  op: string,
  path: string,
  bytes: Uint8Array,
  kind: 'fbin' | 'ibin',
): Promise<Tensor> {
  const arrow = await optionalPackage<typeof ArrowModule>(op, 'apache-arrow', path);
  const { DataType, tableFromIPC } = arrow;
  const refuse = (text: string): FormatError => new FormatError('arrow', `${path}: ${text}`);
  let table: ArrowModule.Table;
  try {
    table = tableFromIPC(bytes);
  } catch (error) {
    const { message } = error as Error;
    const hint = /compression/i.test(message) ? '; write it without compression' : '';
    throw refuse(`not an Arrow file that can be read: ${message.split('\n', 1)[0]}${hint}`);
  }
  const isFloats = (type: ArrowModule.DataType): boolean =>
    DataType.isFloat(type) && type.precision !== arrow.Precision.HALF;
  const wanted = (type: ArrowModule.DataType): boolean =>
    kind === 'ibin'
      ? DataType.isInt(type) && type.isSigned && type.bitWidth === 32
      : DataType.isFixedSizeList(type) && isFloats(type.children[0]!.type);
  const fields = table.schema.fields.filter(({ type }) => wanted(type));
  const [field] = fields;
  if (field === undefined || fields.length > 1) {
    const has = table.schema.fields.map(({ name, type }) => `${name}: ${type}`).join(', ') || 'no columns';
    const must =
      kind === 'ibin' ? 'one column of int32' : 'one column of fixed-size lists of float32 or float64';
    throw refuse(`it has ${has}; it must have ${must}`);
  }
  const d = DataType.isFixedSizeList(field.type) ? field.type.listSize : 1;
  const double = DataType.isFixedSizeList(field.type) && String(field.type.children[0]!.type) === 'Float64';
  const rows = table.numRows;
  const data =
    kind === 'ibin' ? new Int32Array(rows) : double ? new Float64Array(rows * d) : new Float32Array(rows * d);
  let at = 0;
  for (const part of table.getChild(field.name)?.data ?? []) {
    const elements = kind === 'ibin' ? part : part.children[0];
    if (part.nullCount > 0 || (elements?.nullCount ?? 0) > 0)
      throw refuse(`the column ${field.name} has missing values`);
    const { values } = elements ?? {};
    const count = part.length * d;
    if (values === undefined || values.length < count || values.constructor !== data.constructor)
      throw refuse(`the column ${field.name} is cut: ${part.length} rows of ${d} elements are promised`);
    data.set(values.subarray(0, count), at);
    at += count;
  }
  if (at !== data.length) throw refuse(`${at} elements came of ${data.length}`);
  return kind === 'ibin'
    ? new Tensor('i32', [rows], data as Int32Array)
    : new Tensor(double ? 'f64' : 'f32', [rows, d], data);
}
