/**
 * Inner products of rows of bytes with one query, exact: a WebAssembly module of some hundred bytes, written by `dotModule`.
 *
 * V8 does not use vector instructions for loops over typed arrays; one `i32x4.dot_i16x8_s` does eight multiplications. The
 * query has 16 bits, since it costs nothing and keeps more of it. Sums are integers, so every machine gets the same ones:
 * |sum| <= d * 128 * 32767 < 2^31 for d <= 511.
 */

/** What is used of the global WebAssembly, which the types of Node and of ES leave out. */
declare const WebAssembly: {
  readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (
    module: object,
    imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  ) => { readonly exports: Readonly<Record<string, unknown>> };
};

/** Most columns for which no sum can leave 32 bits. */
export const mostColumns = 496;

/** Rows of int8, a query of int16, and where the sums go, all in one memory. */
export interface Dots {
  /** Columns, rounded up to whole blocks of 16: rows lie this far apart. */
  readonly stride: number;
  /** [capacity, stride]: fill the first `d` of each row, the rest stays 0. */
  readonly rows: Int8Array;
  /** [stride] */
  readonly query: Int16Array;
  /** [capacity] */
  readonly sums: Int32Array;
  /** sums[i] = rows[first + i] . query, for i from 0 to count - 1. */
  run(first: number, count: number): void;
}

/** Room for `capacity` rows of `d` bytes. @throws RangeError when d is above 496, or memory is short */
export function createDots(d: number, capacity: number): Dots {
  if (!(d >= 1 && d <= mostColumns)) throw new RangeError(`d is ${d}; it must be from 1 to ${mostColumns}`);
  const stride = Math.ceil(d / 16) * 16;
  const rowsAt = stride * 2;
  const sumsAt = rowsAt + capacity * stride;
  const memory = new WebAssembly.Memory({ initial: Math.ceil((sumsAt + capacity * 4) / 65536) });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(dotModule(stride / 16)), {
    js: { memory },
  });
  const dots = instance.exports.dots as (rows: number, count: number, query: number, sums: number) => void;
  return {
    stride,
    query: new Int16Array(memory.buffer, 0, stride),
    rows: new Int8Array(memory.buffer, rowsAt, capacity * stride),
    sums: new Int32Array(memory.buffer, sumsAt, capacity),
    run(first, count) {
      if (!(first >= 0 && count >= 0 && first + count <= capacity))
        throw new RangeError(`rows ${first} to ${first + count} are not within ${capacity}`);
      dots(rowsAt + first * stride, count, 0, sumsAt);
    },
  };
}

/**
 * The module for rows of 16 * blocks bytes. It exports dots(rows, count, query, sums), with addresses in bytes:
 *
 *     query[0 .. 2 blocks) into registers
 *     while count != 0:
 *       acc = sum over blocks of dot(low half of the block, query) + dot(high half, query)
 *       *sums = the sum of the four lanes of acc
 *       rows += 16 * blocks; sums += 4; count -= 1
 */
export function dotModule(blocks: number): Uint8Array<ArrayBuffer> {
  const [rows, count, query, sums] = [0, 1, 2, 3];
  const q = (i: number): number => 4 + i;
  const acc = 4 + 2 * blocks;
  const block = acc + 1;
  const load = (offset: number): number[] => [0xfd, 0x00, 0, ...unsigned(offset)];
  const add = [0xfd, 0xae, 0x01];
  const dot = [0xfd, 0xba, 0x01];
  const halves = [
    [0xfd, 0x87, 0x01],
    [0xfd, 0x88, 0x01],
  ];
  const swapHalves = [0xfd, 0x0d, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7];
  const get = (i: number): number[] => [0x20, ...unsigned(i)];
  const set = (i: number): number[] => [0x21, ...unsigned(i)];
  const step = (i: number, by: number): number[] => [...get(i), 0x41, ...signed(by), 0x6a, ...set(i)];
  const code: number[] = [];
  for (let i = 0; i < 2 * blocks; i++) code.push(...get(query), ...load(16 * i), ...set(q(i)));
  code.push(0x02, 0x40, 0x03, 0x40);
  code.push(...get(count), 0x45, 0x0d, 1);
  for (let b = 0; b < blocks; b++) {
    code.push(...get(rows), ...load(16 * b), ...set(block));
    for (const [h, half] of halves.entries()) {
      code.push(...get(block), ...half, ...get(q(2 * b + h)), ...dot);
      if (b + h > 0) code.push(...get(acc), ...add);
      code.push(...set(acc));
    }
  }
  code.push(...get(acc), ...get(acc), ...get(acc), ...swapHalves, ...add, ...set(acc));
  const lane = (i: number): number[] => [...get(acc), 0xfd, 0x1b, i];
  code.push(...get(sums), ...lane(0), ...lane(1), 0x6a, 0x36, 2, 0);
  code.push(...step(rows, 16 * blocks), ...step(sums, 4), ...step(count, -1));
  code.push(0x0c, 0, 0x0b, 0x0b, 0x0b);
  const locals = [1, ...unsigned(2 * blocks + 2), 0x7b];
  const body = [...locals, ...code];
  const name = (text: string): number[] => [text.length, ...Buffer.from(text)];
  const section = (id: number, content: number[]): number[] => [id, ...unsigned(content.length), ...content];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 0]),
    ...section(2, [1, ...name('js'), ...name('memory'), 2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name('dots'), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]);
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

function signed(value: number): number[] {
  return value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signed(value >> 7)];
}

/** The same sums by a plain loop: what the module must give, bit for bit. */
export function plainDots(
  rows: Int8Array,
  stride: number,
  query: Int16Array,
  first: number,
  count: number,
): Int32Array {
  const out = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    let sum = 0;
    for (let j = 0; j < stride; j++) sum += rows[(first + i) * stride + j]! * query[j]!;
    out[i] = sum;
  }
  return out;
}
