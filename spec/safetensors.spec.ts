/**
 * Plan: files of the Python package are read bit for bit and written back byte for byte; any tensors survive a
 * round trip; every rule of the format is checked and refused by name; a changed or cut file is refused or is
 * another valid file, and nothing but a FormatError ever comes out.
 */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../src/core/errors.ts';
import { openFile } from '../src/core/formats/files.ts';
import { openSafetensors, readSafetensors, safetensorsChunks } from '../src/core/formats/safetensors.ts';
import { toBytes } from '../src/core/formats/source.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { hexOf, namedTensors, vectorFiles, vectors } from './support/formats.ts';

/** A file from the JSON of its header and a number of data bytes. */
function file(header: unknown, data = 0, length?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + data);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const refusal = (bytes: Uint8Array): string => {
  try {
    readSafetensors(bytes);
  } catch (error) {
    if (error instanceof FormatError) return error.message;
    throw error;
  }
  return 'accepted';
};

const one = (fields: object) => ({ x: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...fields } });

describe('files of the Python package', () => {
  it.each(vectorFiles('safetensors'))('%s is read bit for bit', (name) => {
    const { tensors, metadata } = readSafetensors(vectors.bytes(name));
    const want = vectors.files[name]!;
    expect([...tensors.keys()].sort()).toEqual(Object.keys(want.tensors).sort());
    for (const [key, t] of tensors) {
      const found = { dtype: t.dtype, shape: t.shape, hex: hexOf(t) };
      expect(found, key).toEqual(Object.entries(want.tensors).find(([k]) => k === key)?.[1]);
    }
    expect(Object.fromEntries(metadata)).toEqual(want.metadata ?? {});
  });

  it.each(vectorFiles('safetensors').filter((name) => vectors.files[name]?.rewrites))(
    '%s is written byte for byte',
    (name) => {
      const bytes = vectors.bytes(name);
      const { tensors, metadata } = readSafetensors(bytes);
      // Any order in gives the same file out.
      const shuffled = [...tensors].reverse();
      expect(Buffer.from(toBytes(safetensorsChunks(shuffled, metadata))).equals(bytes)).toBe(true);
    },
  );
});

describe('round trip', () => {
  it('keeps names, shapes, dtypes and every bit', () => {
    fc.assert(
      fc.property(
        namedTensors,
        fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string()),
        (tensors, texts) => {
          const metadata = Object.entries(texts);
          const back = readSafetensors(toBytes(safetensorsChunks(tensors, metadata)));
          const plain = (all: Iterable<[string, Tensor]>) =>
            [...all].map(([k, t]) => [k, t.dtype, t.shape, hexOf(t)]).sort();
          expect(plain(back.tensors)).toEqual(plain(tensors));
          expect([...back.metadata].sort()).toEqual(metadata.sort());
        },
      ),
    );
  });

  it('aligns every tensor to its element', () => {
    fc.assert(
      fc.property(namedTensors, (tensors) => {
        for (const { begin, dtype } of openSafetensors(
          toBytes(safetensorsChunks(tensors)),
        ).entries.values()) {
          expect(begin % (dtype === 'F64' ? 8 : 4)).toBe(0);
        }
      }),
    );
  });

  it('refuses to write what cannot be read back', () => {
    const x = tensor([1], [1]);
    expect(() => safetensorsChunks([['__metadata__', x]])).toThrow('cannot be named __metadata__');
    expect(() => safetensorsChunks([['\ud800', x]])).toThrow('half a surrogate pair');
    expect(() => safetensorsChunks([['x', x], ['x', x]])).toThrow('two tensors are named "x"'); // biome-ignore format: one line
    expect(() => safetensorsChunks([], [['k', '\udc00']])).toThrow('half a surrogate pair');
  });
});

describe('refusals name the tensor and the reason', () => {
  const cases: [string, Uint8Array, string][] = [
    ['an empty file', new Uint8Array(0), '0 bytes are too few'],
    ['seven bytes', new Uint8Array(7), '7 bytes are too few'],
    ['a header longer than the file', file({}, 0, 99n), 'the header would be 99 bytes, but only 2 follow'],
    ['a header of 100 MB and one', file({}, 0, 100_000_001n), 'more than 100000000; not a safetensors file?'],
    ['a header of 2^64 - 1', file({}, 0, 2n ** 64n - 1n), 'the header would be 18446744073709551615 bytes'],
    ['a header of length zero', file('', 4), 'does not begin with {'],
    ['space before the header', file(' {}'), 'does not begin with {'],
    ['a byte order mark', file('\ufeff{}'), 'does not begin with {'],
    ['an array', file([]), 'does not begin with {'],
    ['bad UTF-8', file('{"x\u00e9').fill(0xff, 11), 'not valid UTF-8'],
    ['a cut header', file('{"x":'), 'tensor "x": the end of the header stands where { should'],
    ['text after the header', file('{} x'), 'goes on after its end: "x"'],
    ['a NUL after the header', file('{}\0'), 'goes on after its end: "\\u0000"'],
    ['a trailing comma', file('{"x":{},}'), 'tensor "x": dtype is missing'],
    [
      'nesting',
      file(`{"x":${'['.repeat(1000)}`),
      'tensor "x": "[[[[[[[[[[[[[[[[[[[["... stands where { should',
    ],
    ['a name twice', file('{"x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'), 'tensor "x": the name appears twice'], // biome-ignore format: one line
    ['a name twice in other spelling', file('{"x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"\\u0078":0}'), 'tensor "x": the name appears twice'], // biome-ignore format: one line
    ['a field twice', file('{"x":{"dtype":"F32","dtype":"F32"}}'), 'tensor "x": dtype appears twice'],
    ['an unknown field', file(one({ strides: [1] }), 8), 'tensor "x": unknown field "strides"'],
    ['__proto__ as a field', file('{"x":{"__proto__":{}}}'), 'tensor "x": unknown field "__proto__"'],
    ['no shape', file({ x: { dtype: 'F32', data_offsets: [0, 8] } }, 8), 'tensor "x": shape is missing'],
    ['no offsets', file({ x: { dtype: 'F32', shape: [2] } }, 8), 'tensor "x": data_offsets is missing'],
    ['three offsets', file(one({ data_offsets: [0, 8, 8] }), 8), 'data_offsets has 3 numbers; it takes two'],
    ['an unknown dtype', file(one({ dtype: 'F8_E4M3' }), 8), 'tensor "x": dtype "F8_E4M3" is not supported'],
    ['a dtype of the prototype', file(one({ dtype: 'toString' }), 8), 'dtype "toString" is not supported'],
    ['a dtype that is a number', file('{"x":{"dtype":4}}'), 'tensor "x": dtype: "4}}" stands where " should'],
    ['a fraction', file(one({ shape: [2.5] }), 8), 'tensor "x": shape: "2.5" is not an integer >= 0'],
    ['2.0', file('{"x":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}', 8), '"2.0" is not an integer'],
    ['2e0', file('{"x":{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}}', 8), '"2e0" is not an integer'],
    ['02', file('{"x":{"dtype":"F32","shape":[02],"data_offsets":[0,8]}}', 8), '"02" is not an integer'],
    ['a negative size', file(one({ shape: [-2] }), 8), '"-2" is not an integer >= 0'],
    ['null as a size', file(one({ shape: [null] }), 8), '"null" is not an integer'],
    ['a text as a size', file(one({ shape: ['2'] }), 8), 'is not an integer >= 0'],
    ['2^53 as a size', file('{"x":{"dtype":"F32","shape":[9007199254740992],"data_offsets":[0,8]}}', 8), '"9007199254740992" is too large'], // biome-ignore format: one line
    [
      '2^60 elements',
      file(one({ shape: [2 ** 30, 2 ** 30] }), 8),
      'shape [1073741824, 1073741824] is larger than any file',
    ],
    ['a product that wraps at 2^64', file(one({ shape: [2 ** 32, 2 ** 32, 2] }), 8), 'larger than any file'],
    [
      '2^60 times zero',
      file(one({ shape: [2 ** 30, 2 ** 30, 0], data_offsets: [0, 0] })),
      'larger than any file',
    ],
    ['rank 65', file(one({ shape: Array(65).fill(1) }), 8), 'the shape has rank 65; 64 is the most'],
    ['offsets behind the end', file(one({}), 4), "data_offsets [0, 8] end behind the file's 4 bytes of data"],
    ['offsets of 2^53 - 1', file(one({ data_offsets: [0, 2 ** 53 - 1] }), 8), 'end behind the file'],
    ['offsets backwards', file(one({ data_offsets: [8, 0] }), 8), 'data_offsets [8, 0] run backwards'],
    [
      'a wrong length',
      file(one({ shape: [3] }), 8),
      'shape [3] of F32 takes 12 bytes, but data_offsets give 8',
    ],
    [
      'a gap at the start',
      file(one({ data_offsets: [4, 12] }), 12),
      'tensor "x": data_offsets [4, 12] leave a gap of 4',
    ],
    ['an overlap', file({ ...one({}), y: { dtype: 'F32', shape: [2], data_offsets: [4, 12] } }, 12), 'tensor "y": data_offsets [4, 12] overlap another tensor'], // biome-ignore format: one line
    ['the same bytes twice', file({ ...one({}), y: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } }, 8), 'tensor "y": data_offsets [0, 8] overlap'], // biome-ignore format: one line
    ['bytes after the last tensor', file(one({}), 9), '1 bytes follow the last tensor'],
    ['bytes without tensors', file({}, 1), '1 bytes follow the last tensor'],
    [
      'metadata that is no text',
      file({ __metadata__: { a: 1 } }),
      '__metadata__ "a": "1}}" stands where " should',
    ],
    ['metadata that is nested', file({ __metadata__: { a: {} } }), '__metadata__ "a"'],
    ['metadata twice', file('{"__metadata__":{},"__metadata__":{}}'), '__metadata__ appears twice'],
    ['half a surrogate pair', file('{"\\ud800":{}}'), 'holds half a surrogate pair'],
    ['a bare control character', file('{"a\n":{}}'), 'is not a JSON string'],
    ['an unknown escape', file('{"\\x41":{}}'), 'is not a JSON string'],
    ['a BOOL of 2', file({ b: { dtype: 'BOOL', shape: [2], data_offsets: [0, 2] } }, 2).fill(2, -1), 'tensor "b": BOOL byte 2 at position 1'], // biome-ignore format: one line
  ];
  it.each(cases)('%s', (_, bytes, reason) => {
    expect(refusal(bytes)).toContain(reason);
  });

  it.each([
    ['I64', 2n ** 31n, 'I64 value 2147483648 at position 1 does not fit in i32'],
    ['I64', -(2n ** 31n) - 1n, 'I64 value -2147483649 at position 1 does not fit in i32'],
    ['I64', 2n ** 63n - 1n, 'I64 value 9223372036854775807 at position 1 does not fit in i32'],
    ['U64', 2n ** 32n, 'U64 value 4294967296 at position 1 does not fit in u32'],
    ['U64', 2n ** 64n - 1n, 'U64 value 18446744073709551615 at position 1 does not fit in u32'],
  ])('%s %s', (dtype, value, reason) => {
    const bytes = file({ n: { dtype, shape: [2], data_offsets: [0, 16] } }, 16);
    new DataView(bytes.buffer).setBigUint64(bytes.length - 8, BigInt.asUintN(64, value), true);
    expect(refusal(bytes)).toContain(`tensor "n": ${reason}`);
  });

  it('answers a name of 10 million characters, a number of 10 million digits and 5 million commas', () => {
    const long = 10_000_000;
    expect(refusal(file(`{"${'a'.repeat(long)}`))).toContain('is not a JSON string');
    expect(refusal(file(`{"x":{"shape":[${'1'.repeat(long)}]}}`))).toContain(
      '"11111111111111111111"... is too large',
    );
    expect(refusal(file(`{"x":{"shape":[${'9,'.repeat(long / 2)}9]}}`))).toContain('dtype is missing');
  }, 30_000);
});

describe('changed files', () => {
  const whole = toBytes(
    safetensorsChunks(
      [
        ['x', tensor([2, 3], [1, 2, 3, 4, 5, 6])],
        ['indices', tensor([2], [3, 4], 'i32')],
        ['d', tensor([], [0.5], 'f64')],
      ],
      [['origin', 'spec']],
    ),
  );

  it('every cut is refused', () => {
    for (let n = 0; n < whole.length; n++) expect(refusal(whole.subarray(0, n)), `${n}`).not.toBe('accepted');
  });

  it('every change of one byte in the header is refused or gives another valid file', () => {
    const length = whole.length - 40;
    let accepted = 0;
    for (let at = 0; at < length; at++) {
      for (let value = 0; value < 256; value++) {
        if (value === whole[at]) continue;
        const bytes = whole.slice();
        bytes[at] = value;
        if (refusal(bytes) !== 'accepted') continue;
        accepted++;
        // What was accepted must itself be writable and come back equal.
        const { tensors, metadata } = readSafetensors(bytes);
        const again = readSafetensors(toBytes(safetensorsChunks(tensors, metadata)));
        expect([...again.tensors].map(([k, t]) => [k, hexOf(t)]).sort()).toEqual(
          [...tensors].map(([k, t]) => [k, hexOf(t)]).sort(),
        );
      }
    }
    expect(accepted).toBeGreaterThan(0);
  }, 60_000);

  it('random changes give a FormatError or a file', () => {
    const change = fc.record({ at: fc.nat(whole.length - 1), value: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.nat(whole.length), (changes, cut) => {
        const bytes = whole.slice(0, cut === 0 ? undefined : cut);
        for (const { at, value } of changes) if (at < bytes.length) bytes[at] = value;
        refusal(bytes);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('files on disk', () => {
  it('reads a tensor behind 4 GiB without reading the rest', () => {
    const folder = mkdtempSync(join(tmpdir(), 'safetensors-'));
    try {
      const path = join(folder, 'large.safetensors');
      const hole = 2 ** 32 + 8;
      const header = { a: { dtype: 'U8', shape: [hole], data_offsets: [0, hole] }, b: { dtype: 'F32', shape: [2], data_offsets: [hole, hole + 8] } }; // biome-ignore format: one line
      const bytes = file(header);
      writeFileSync(path, bytes);
      truncateSync(path, bytes.length + hole + 8);
      using source = openFile('spec', path);
      const large = openSafetensors(source);
      expect([...large.read('b').data]).toEqual([0, 0]);
      expect(large.entries.get('b')?.end).toBe(bytes.length + hole + 8);
      expect(() => large.read('c')).toThrow('there is no tensor "c"');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('gives the same tensors from a file and from its bytes', () => {
    const path = vectors.path('native.safetensors');
    using source = openFile('spec', path);
    const fromFile = readSafetensors(source).tensors;
    expect([...fromFile]).toEqual([...readSafetensors(readFileSync(path)).tensors]);
  });
});
