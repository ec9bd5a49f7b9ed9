import { DTypeError, FormatError, ShapeError } from '../errors.ts';
import { show, type Tensor } from '../tensor.ts';
import { decode, encode } from './dtypes.ts';
import { type ByteSource, fromBytes, readBytes } from './source.ts';

const who = 'fbin';

/** What a file holds by its extension: `.fbin` vectors or scores in f32, `.ibin` ids in i32. */
const kinds = { fbin: { stored: 'F32', dtype: 'f32' }, ibin: { stored: 'I32', dtype: 'i32' } } as const;

/** A file of rows of one length, read in windows: these files may be larger than memory. */
export interface BinRows {
  readonly rows: number;
  readonly columns: number;
  /** Rows `begin` to `end` (exclusive) as a tensor [end - begin, columns]. */
  read(begin?: number, end?: number): Tensor;
}

/**
 * Open a `.fbin` or `.ibin` file: u32 rows, u32 columns, then the elements row by row, all little-endian.
 * @param kind `fbin` gives f32, `ibin` i32; the file itself does not tell
 * @throws FormatError when the length does not fit the header; ShapeError for rows outside of the file
 * @source https://docs.rapids.ai/api/cuvs/stable/cuvs_bench, datasets
 */
export function openBin(source: Uint8Array | ByteSource, kind: keyof typeof kinds): BinRows {
  const file = source instanceof Uint8Array ? fromBytes(source) : source;
  if (file.size < 8)
    throw new FormatError(who, `${file.name}: ${file.size} bytes are too few for a .${kind} file`);
  const head = new DataView(readBytes(file, 0, 8).buffer);
  const [rows, columns] = [head.getUint32(0, true), head.getUint32(4, true)];
  // Up to 2^66: not exact beyond 2^53, but then it differs from any length a file can have.
  const bytes = 8 + rows * columns * 4;
  if (file.size !== bytes) {
    const has = `${rows} rows of ${columns} take ${bytes} bytes, but it has ${file.size}`;
    throw new FormatError(who, `${file.name}: ${has}; not a .${kind} file?`);
  }
  return {
    rows,
    columns,
    read(begin = 0, end = rows) {
      if (!Number.isInteger(begin) || !Number.isInteger(end) || begin < 0 || begin > end || end > rows) {
        throw new ShapeError(who, `rows ${begin} to ${end} are not within the ${rows} rows of ${file.name}`);
      }
      const at = 8 + begin * columns * 4;
      return decode(who, file.name, kinds[kind].stored, [end - begin, columns], (to) =>
        file.readInto(at, to),
      );
    },
  };
}

/** The bytes of a `.fbin` (f32) or `.ibin` (i32) file, in chunks for `writeFiles` or `toBytes`. */
export function binChunks(tensor: Tensor, kind: keyof typeof kinds): Uint8Array[] {
  const { dtype, shape, data } = tensor;
  const want = kinds[kind].dtype;
  if (dtype !== want) throw new DTypeError(who, `a .${kind} file holds ${want}, not ${dtype}`);
  const [rows, columns, more] = shape;
  if (rows === undefined || columns === undefined || more !== undefined) {
    throw new ShapeError(who, `a .${kind} file holds rows and columns, not a tensor of shape ${show(shape)}`);
  }
  if (rows >= 2 ** 32 || columns >= 2 ** 32)
    throw new ShapeError(who, `${show(shape)} does not fit in u32 sizes`);
  const head = new DataView(new ArrayBuffer(8));
  head.setUint32(0, rows, true);
  head.setUint32(4, columns, true);
  return [new Uint8Array(head.buffer), encode(data)];
}
