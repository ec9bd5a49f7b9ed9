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
  /** The place of the largest of the first `count` sums, the lowest of equal ones; 0 when there is none. */
  largest(count: number): number;
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
  const largest = instance.exports.largest as (sums: number, count: number) => number;
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
    largest(count) {
      if (!(count >= 0 && count <= capacity))
        throw new RangeError(`${count} sums are not within ${capacity}`);
      return largest(sumsAt, count);
    },
  };
}

/**
 * The module for rows of 16 * blocks bytes. It exports, with addresses in bytes, dots(rows, count, query, sums):
 *
 *     query[0 .. 2 blocks) into registers
 *     while count >= 4:
 *       acc[r] = sum over blocks of dot(low half of the block, query) + dot(high half, query), for four rows r
 *       sums[0 .. 3] = the sums of the lanes of acc[0 .. 3], by two rounds of shuffles and additions
 *       rows += 64 * blocks; sums += 16; count -= 4
 *     while count != 0: the same for one row
 *
 * and largest(sums, count), the place of the first largest sum.
 */
export function dotModule(blocks: number): Uint8Array<ArrayBuffer> {
  const [rows, count, query, sums] = [0, 1, 2, 3];
  const q = (i: number): number => 4 + i;
  const acc = (r: number): number => 4 + 2 * blocks + r;
  const block = acc(4);
  const load = (offset: number): number[] => [0xfd, 0x00, 0, ...unsigned(offset)];
  const add = [0xfd, 0xae, 0x01];
  const dot = [0xfd, 0xba, 0x01];
  const halves = [
    [0xfd, 0x87, 0x01],
    [0xfd, 0x88, 0x01],
  ];
  /** Lanes of 32 bits: 0 to 3 of the first operand, 4 to 7 of the second. */
  const shuffle = (...lanes: number[]): number[] => [
    0xfd,
    0x0d,
    ...lanes.flatMap((lane) => [4 * lane, 4 * lane + 1, 4 * lane + 2, 4 * lane + 3]),
  ];
  const get = (i: number): number[] => [0x20, ...unsigned(i)];
  const set = (i: number): number[] => [0x21, ...unsigned(i)];
  const step = (i: number, by: number): number[] => [...get(i), 0x41, ...signed(by), 0x6a, ...set(i)];
  const code: number[] = [];
  for (let i = 0; i < 2 * blocks; i++) code.push(...get(query), ...load(16 * i), ...set(q(i)));
  const row = (r: number): void => {
    for (let b = 0; b < blocks; b++) {
      code.push(...get(rows), ...load(16 * (r * blocks + b)), ...set(block));
      for (const [h, half] of halves.entries()) {
        code.push(...get(block), ...half, ...get(q(2 * b + h)), ...dot);
        if (b + h > 0) code.push(...get(acc(r)), ...add);
        code.push(...set(acc(r)));
      }
    }
  };
  code.push(0x02, 0x40, 0x03, 0x40);
  code.push(...get(count), 0x41, 4, 0x48, 0x0d, 1);
  for (let r = 0; r < 4; r++) row(r);
  // [a0 + a2, b0 + b2, a1 + a3, b1 + b3] of two accumulators a, b.
  const pair = (a: number, b: number): number[] => [
    ...[...get(a), ...get(b), ...shuffle(0, 4, 1, 5)],
    ...[...get(a), ...get(b), ...shuffle(2, 6, 3, 7), ...add],
  ];
  code.push(...pair(acc(0), acc(1)), ...set(acc(0)), ...pair(acc(2), acc(3)), ...set(acc(1)));
  code.push(...get(sums));
  code.push(...get(acc(0)), ...get(acc(1)), ...shuffle(0, 1, 4, 5));
  code.push(...get(acc(0)), ...get(acc(1)), ...shuffle(2, 3, 6, 7), ...add);
  code.push(0xfd, 0x0b, 2, 0);
  code.push(...step(rows, 64 * blocks), ...step(sums, 16), ...step(count, -4));
  code.push(0x0c, 0, 0x0b, 0x0b);
  code.push(0x02, 0x40, 0x03, 0x40);
  code.push(...get(count), 0x45, 0x0d, 1);
  row(0);
  code.push(...get(acc(0)), ...get(acc(0)), ...get(acc(0)), ...shuffle(2, 3, 0, 1), ...add, ...set(acc(0)));
  const lane = (i: number): number[] => [...get(acc(0)), 0xfd, 0x1b, i];
  code.push(...get(sums), ...lane(0), ...lane(1), 0x6a, 0x36, 2, 0);
  code.push(...step(rows, 16 * blocks), ...step(sums, 4), ...step(count, -1));
  code.push(0x0c, 0, 0x0b, 0x0b, 0x0b);
  const body = [1, ...unsigned(2 * blocks + 5), 0x7b, ...code];
  const name = (text: string): number[] => [text.length, ...Buffer.from(text)];
  const section = (id: number, content: number[]): number[] => [id, ...unsigned(content.length), ...content];
  const sized = (content: number[]): number[] => [...unsigned(content.length), ...content];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [2, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 0, 0x60, 2, 0x7f, 0x7f, 1, 0x7f]),
    ...section(2, [1, ...name('js'), ...name('memory'), 2, 0, 1]),
    ...section(3, [2, 0, 1]),
    ...section(7, [2, ...name('dots'), 0, 0, ...name('largest'), 0, 1]),
    ...section(10, [2, ...sized(body), ...sized(largestBody())]),
  ]);
}

/**
 * The code of largest(sums, count):
 *
 *     best = 0; most = -2^31
 *     for i from 0 to count - 1: if sums[i] > most: best = i, most = sums[i]
 */
function largestBody(): number[] {
  const [sums, count, best, most, i, own] = [0, 1, 2, 3, 4, 5];
  const get = (local: number): number[] => [0x20, local];
  const set = (local: number): number[] => [0x21, local];
  const step = (local: number, by: number): number[] => [...get(local), 0x41, by, 0x6a, ...set(local)];
  const above = [...get(own), ...get(most), 0x4a];
  return [
    ...[1, 4, 0x7f],
    ...[0x41, 0x80, 0x80, 0x80, 0x80, 0x78, ...set(most)],
    ...[0x02, 0x40, 0x03, 0x40],
    ...[...get(i), ...get(count), 0x4e, 0x0d, 1],
    ...[...get(sums), 0x28, 2, 0, ...set(own)],
    ...[...get(i), ...get(best), ...above, 0x1b, ...set(best)],
    ...[...get(own), ...get(most), ...above, 0x1b, ...set(most)],
    ...[...step(sums, 4), ...step(i, 1)],
    ...[0x0c, 0, 0x0b, 0x0b],
    ...[...get(best), 0x0b],
  ];
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
