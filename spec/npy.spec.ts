/**
 * Plan: files of NumPy (every version, order and byte order) are read bit for bit, plain ones are written byte for
 * byte; tensors survive a round trip; broken headers and wrong lengths are refused with the reason; a changed or cut
 * file is refused or is another valid file.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../src/core/errors.ts';
import { npyChunks, readNpy } from '../src/core/formats/npy.ts';
import { toBytes } from '../src/core/formats/source.ts';
import { tensor } from '../src/core/tensor.ts';
import { anyTensor, hexOf, vectorFiles, vectors } from './support/formats.ts';

/** A version 1 file with this header text. */
function file(text: string, data = 0, version = [1, 0]): Uint8Array {
  const wide = version[0]! > 1 ? 2 : 0;
  const bytes = new Uint8Array(10 + wide + text.length + data);
  bytes.set([0x93, ...Buffer.from('NUMPY'), ...version, text.length & 255, text.length >> 8]);
  bytes.set(Buffer.from(text, 'latin1'), 10 + wide);
  return bytes;
}

const header = (descr: string, shape: string, order = 'False'): string =>
  `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }\n`;

const refusal = (bytes: Uint8Array): string => {
  try {
    readNpy(bytes);
  } catch (error) {
    if (error instanceof FormatError) return error.message;
    throw error;
  }
  return 'accepted';
};

describe('files of NumPy', () => {
  it.each(vectorFiles('npy'))('%s is read bit for bit', (name) => {
    const t = readNpy(vectors.bytes(name));
    expect({ dtype: t.dtype, shape: t.shape, hex: hexOf(t) }).toEqual(vectors.files[name]?.tensors.x);
  });

  it.each(vectorFiles('npy').filter((name) => vectors.files[name]?.rewrites))(
    '%s is written byte for byte',
    (name) => {
      const bytes = vectors.bytes(name);
      expect(Buffer.from(toBytes(npyChunks(readNpy(bytes)))).equals(bytes)).toBe(true);
    },
  );

  it('takes the spellings of other writers: double quotes, any order, no trailing comma, sizes of Python 2', () => {
    expect(readNpy(file(`{"shape":(2L,),"fortran_order":False,"descr":"|u1"}`, 2)).shape).toEqual([2]);
    expect(readNpy(file(header("'=f4'", '(1, 1)'), 4)).dtype).toBe('f32');
    expect(readNpy(file(header("'<f4'", '()'), 4)).shape).toEqual([]);
  });
});

describe('round trip', () => {
  it('keeps shape, dtype and every bit', () => {
    fc.assert(
      fc.property(anyTensor, (t) => {
        const bytes = toBytes(npyChunks(t));
        expect((bytes.length - t.data.byteLength) % 64).toBe(0);
        const back = readNpy(bytes);
        expect([back.dtype, back.shape, hexOf(back)]).toEqual([t.dtype, t.shape, hexOf(t)]);
      }),
    );
  });

  it('Fortran order is the transpose', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), (rows, columns) => {
        const bytes = file(header("'<f4'", `(${rows}, ${columns})`, 'True'), rows * columns * 4);
        const columnMajor = Float32Array.from({ length: rows * columns }, (_, i) => i);
        bytes.set(new Uint8Array(columnMajor.buffer), bytes.length - columnMajor.byteLength);
        const t = readNpy(bytes);
        for (let r = 0; r < rows; r++) {
          for (let c = 0; c < columns; c++) expect(t.data[r * columns + c]).toBe(c * rows + r);
        }
      }),
    );
  });

  it('refuses a rank whose header would not fit', () => {
    expect(() => npyChunks(tensor(Array(30_000).fill(1), [1]))).toThrow('rank 30000 is too large');
  });
});

describe('refusals give the reason', () => {
  const good = header("'<f4'", '(2,)');
  const cases: [string, Uint8Array, string][] = [
    ['an empty file', new Uint8Array(0), '0 bytes are too few'],
    ['another format', new Uint8Array(64).fill(1), 'not a .npy file'],
    ['version 4', file(good, 8, [4, 0]), 'version 4.0 is not supported'],
    ['version 0', file(good, 8, [0, 1]), 'version 0.1 is not supported'],
    ['a header longer than the file', file(good, 8).subarray(0, 30), 'the header would be'],
    [
      'a header of 4 GB',
      file(good, 8, [2, 0]).fill(255, 8, 12),
      'the header would be 4294967295 bytes, more than 65536',
    ],
    ['a list', file('[]\n', 8), 'not a Python dict'],
    ['an empty dict', file('{}\n   ', 8), 'the header has no descr'],
    ['code', file(header("__import__('os')", '(2,)'), 8), 'cannot be read at "\'descr\': __import__("'],
    ['arithmetic in the shape', file(header("'<f4'", '(1+1,)'), 8), 'cannot be read at'],
    ['a key twice', file("{'shape': (2,), 'shape': (2,)}", 8), 'the header has shape twice'],
    ['an unknown key', file("{'shape': (2,), 'strides': (4,)}", 8), "an unknown key 'strides'"],
    ['__proto__', file("{'__proto__': (2,)}", 8), "an unknown key '__proto__'"],
    ['no shape', file("{'descr': '<f4', 'fortran_order': False}", 8), 'the header has no shape'],
    ['a number as shape', file(header("'<f4'", '(2)'), 8), 'shape (2) is not a tuple of sizes'],
    ['commas as shape', file(header("'<f4'", '(,)'), 8), 'shape (,) is not a tuple of sizes'],
    ['a negative size', file(header("'<f4'", '(-2,)'), 8), 'cannot be read at'],
    ['2^53', file(header("'<f4'", '(9007199254740993,)'), 8), 'is not a tuple of sizes'],
    ['2^60 elements', file(header("'<f4'", '(1073741824, 1073741824)'), 8), 'larger than any file'],
    ['rank 65', file(header("'<f4'", `(${'1,'.repeat(65)})`), 4), 'rank 65; 64 is the most'],
    [
      'an order that is no truth value',
      file(header("'<f4'", '(2,)', "'True'"), 8),
      "fortran_order 'True' is neither",
    ],
    ['a descr that is no text', file(header('(2,)', '(2,)'), 8), 'descr (2,) is not a string'],
    ['objects', file(header("'|O'", '(2,)'), 16), "dtype '|O' is not supported"],
    ['text', file(header("'<U3'", '(2,)'), 24), "dtype '<U3' is not supported"],
    ['complex numbers', file(header("'<c8'", '(1,)'), 8), "dtype '<c8' is not supported"],
    ['long double', file(header("'<f16'", '(1,)'), 16), "dtype '<f16' is not supported"],
    ['dates', file(header("'<M8[ns]'", '(1,)'), 8), "dtype '<M8[ns]' is not supported"],
    ['a name of the prototype', file(header("'toString'", '(1,)'), 8), "dtype 'toString' is not supported"],
    [
      'structures',
      file(header("[('a', '<f4'), ('b', '<f4')]", '(1,)'), 8),
      'structured arrays are not supported',
    ],
    ['too few bytes', file(good, 7), 'shape [2] of F32 takes 8 bytes, but 7 follow the header'],
    ['too many bytes', file(good, 9), 'shape [2] of F32 takes 8 bytes, but 9 follow the header'],
    [
      'a byte that is no truth value',
      file(header("'|b1'", '(2,)'), 2).fill(3, -1),
      'BOOL byte 3 at position 1',
    ],
    [
      'an integer beyond i32',
      file(header("'<i8'", '(1,)'), 8).fill(1, -8),
      'I64 value 72340172838076673 at position 0',
    ],
  ];
  it.each(cases)('%s', (_, bytes, reason) => {
    expect(refusal(bytes)).toContain(reason);
  });
});

describe('changed files', () => {
  const whole = toBytes(npyChunks(tensor([2, 3], [1, 2, 3, 4, 5, 6])));

  it('every cut is refused', () => {
    for (let n = 0; n < whole.length; n++) expect(refusal(whole.subarray(0, n)), `${n}`).not.toBe('accepted');
  });

  it('every change of one byte in the header is refused or gives another valid file', () => {
    let accepted = 0;
    for (let at = 0; at < whole.length - 24; at++) {
      for (let value = 0; value < 256; value++) {
        if (value === whole[at]) continue;
        const bytes = whole.slice();
        bytes[at] = value;
        if (refusal(bytes) === 'accepted') accepted++;
      }
    }
    // Padding may be any space, quotes come in two kinds, and f4 may become i4 or u4; little else.
    expect(accepted).toBeGreaterThan(0);
    expect(accepted).toBeLessThan(600);
  });

  it('random changes give a FormatError or a tensor', () => {
    const change = fc.record({ at: fc.nat(whole.length - 1), value: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
        const bytes = whole.slice();
        for (const { at, value } of changes) bytes[at] = value;
        refusal(bytes);
      }),
      { numRuns: 3000 },
    );
  });
});
