import { ArgumentError, FormatError } from '../errors.ts';
import { byteSize, type Shape, show, sizeOf, Tensor, type TypedArray } from '../tensor.ts';
import { decode, encode, type StoredDType, storedSize } from './dtypes.ts';
import { type ByteSource, fromBytes, readBytes } from './source.ts';

const who = 'npy';
/** NumPy itself writes a few hundred bytes; structured types, which we refuse, may take thousands. */
const HEADER_LIMIT = 65536;

/** NumPy's codes for the element types we read. */
const descriptions: Readonly<Record<string, StoredDType>> = {
  f8: 'F64',
  f4: 'F32',
  f2: 'F16',
  i8: 'I64',
  i4: 'I32',
  i2: 'I16',
  i1: 'I8',
  u8: 'U64',
  u4: 'U32',
  u2: 'U16',
  u1: 'U8',
  b1: 'BOOL',
};

/**
 * Read a NumPy `.npy` file, versions 1, 2 and 3, little- or big-endian, C or Fortran order.
 * Layout: magic, version, length, a Python dict as text, then the elements and nothing else.
 * @param source bytes in memory, or an open file
 * @returns a tensor; widened from small types as for safetensors (`decode`)
 * @throws FormatError naming the file and the reason
 * @source https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
export function readNpy(source: Uint8Array | ByteSource): Tensor {
  const file = source instanceof Uint8Array ? fromBytes(source) : source;
  const fail = (message: string): FormatError => new FormatError(who, `${file.name}: ${message}`);
  const { text, start } = readHeader(file, fail);
  const { descr, fortran, shape } = parseHeader(text, fail);
  const [, order, code] = /^([<>|=]?)(.*)$/s.exec(descr) as unknown as [string, string, string];
  const dtype = Object.hasOwn(descriptions, code) ? descriptions[code] : undefined;
  if (dtype === undefined) {
    throw fail(`dtype '${descr}' is not supported; use one of ${Object.keys(descriptions).join(', ')}`);
  }
  const bytes = storedSize(dtype, shape);
  if (typeof bytes === 'string') throw fail(bytes);
  const have = file.size - start;
  if (have !== bytes) {
    throw fail(`shape ${show(shape)} of ${dtype} takes ${bytes} bytes, but ${have} follow the header`);
  }
  const tensor = decode(who, file.name, dtype, shape, (to) => file.readInto(start, to), order === '>');
  return fortran ? new Tensor(tensor.dtype, shape, rowMajor(tensor.data, shape)) : tensor;
}

/**
 * The bytes of a `.npy` file, in chunks for `writeFiles` or `toBytes`: version 1, C order, little-endian,
 * and the same bytes as `numpy.save` gives.
 */
export function npyChunks(tensor: Tensor): Uint8Array[] {
  const { dtype, shape } = tensor;
  const code = `<${dtype[0]}${byteSize(dtype)}`;
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  let text = `{'descr': '${code}', 'fortran_order': False, 'shape': ${tuple}, }`;
  // NumPy leaves room for the first size to grow to 21 digits, then ends the header on the next
  // multiple of 64 bytes, a full 64 further on when it stands on one.
  if (shape.length > 0) text += ' '.repeat(21 - String(shape[0]).length);
  text += `${' '.repeat(64 - ((11 + text.length) % 64))}\n`;
  if (text.length > 0xffff) throw new ArgumentError(who, `rank ${shape.length} is too large for a .npy file`);
  const head = new Uint8Array(10 + text.length);
  head.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, text.length & 255, text.length >> 8]);
  head.set(new TextEncoder().encode(text), 10);
  return [head, encode(tensor.data)];
}

function readHeader(
  file: ByteSource,
  fail: (message: string) => FormatError,
): { text: string; start: number } {
  if (file.size < 12) throw fail(`${file.size} bytes are too few for a .npy file`);
  const head = new DataView(readBytes(file, 0, 12).buffer);
  // "\x93NUMPY"
  if (head.getUint32(0) !== 0x934e554d || head.getUint16(4) !== 0x5059) throw fail('not a .npy file');
  const version = `${head.getUint8(6)}.${head.getUint8(7)}`;
  if (!['1.0', '2.0', '3.0'].includes(version)) throw fail(`.npy version ${version} is not supported`);
  const [length, at] = version === '1.0' ? [head.getUint16(8, true), 10] : [head.getUint32(8, true), 12];
  if (length > HEADER_LIMIT) throw fail(`the header would be ${length} bytes, more than ${HEADER_LIMIT}`);
  if (at + length > file.size) {
    throw fail(`the header would be ${length} bytes, but only ${file.size - at} follow`);
  }
  // Names of fields could be in UTF-8 in version 3; an array without fields is ASCII in all of them.
  return { text: String.fromCharCode(...readBytes(file, at, length)), start: at + length };
}

interface Header {
  readonly descr: string;
  readonly fortran: boolean;
  readonly shape: number[];
}

/** The three entries of the dict, in any order, each once. Python's own text forms and nothing more. */
function parseHeader(text: string, fail: (message: string) => FormatError): Header {
  const dict = /^\{(.*)\}\s*$/s.exec(text)?.[1];
  if (dict === undefined) throw fail('the header is not a Python dict');
  const seen = new Map<string, string>();
  const entry = /\s*(['"])(\w*)\1\s*:\s*('[^']*'|"[^"]*"|True|False|\([\d\sL,]*\)|\[.*\])\s*(,|$)/sy;
  for (let at = 0; at < dict.length && dict.slice(at).trim() !== ''; at = entry.lastIndex) {
    entry.lastIndex = at;
    const found = entry.exec(dict);
    if (found === null) throw fail(`the header cannot be read at ${JSON.stringify(dict.slice(at, at + 20))}`);
    const [, , name = '', value = ''] = found;
    if (seen.has(name)) throw fail(`the header has ${name} twice`);
    seen.set(name, value);
    if (!['descr', 'fortran_order', 'shape'].includes(name))
      throw fail(`the header has an unknown key '${name}'`);
  }
  const take = (name: string): string => {
    const value = seen.get(name);
    if (value === undefined) throw fail(`the header has no ${name}`);
    return value;
  };
  const descr = take('descr');
  if (descr.startsWith('[')) throw fail('structured arrays are not supported');
  if (!/^['"]/.test(descr)) throw fail(`descr ${descr} is not a string`);
  const order = take('fortran_order');
  if (order !== 'True' && order !== 'False') throw fail(`fortran_order ${order} is neither True nor False`);
  return { descr: descr.slice(1, -1), fortran: order === 'True', shape: parseShape(take('shape'), fail) };
}

function parseShape(text: string, fail: (message: string) => FormatError): number[] {
  // "(2)" is a number in Python, not a tuple; Python 2 wrote "2L".
  const tuple = /^\(\s*(?:\d+L?\s*,\s*)*(?:\d+L?\s*)?\)$/.test(text) && !/^\(\s*\d+L?\s*\)$/.test(text);
  const sizes = (text.match(/\d+/g) ?? []).map(Number);
  if (!tuple || !sizes.every(Number.isSafeInteger))
    throw fail(`shape ${text.slice(0, 80)} is not a tuple of sizes`);
  return sizes;
}

/** Column-major elements in row-major order. */
function rowMajor(data: TypedArray, shape: Shape): TypedArray {
  const result = data.slice();
  // As 32-bit words: a float that passes through a number may lose the payload of a NaN.
  const words = data.BYTES_PER_ELEMENT / 4;
  const from = new Uint32Array(data.buffer);
  const to = new Uint32Array(result.buffer);
  // Walk the result in order; the source position moves by the strides 1, shape[0], shape[0] * shape[1], ...
  const strides = shape.map((_, axis) => sizeOf(shape.slice(0, axis)));
  const index = new Array<number>(shape.length).fill(0);
  let at = 0;
  for (let i = 0; i < data.length; i++) {
    for (let word = 0; word < words; word++) to[i * words + word] = from[at * words + word]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      index[axis]!++;
      if (index[axis]! < shape[axis]!) break;
      at -= index[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
  return result;
}
