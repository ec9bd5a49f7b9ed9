/**
 * Plan: rows survive a round trip bit for bit and can be read in windows; a header that does not fit the length, a
 * cut file and an impossible tensor are refused with the reason.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { binChunks, openBin } from '../src/core/formats/fbin.ts';
import { toBytes } from '../src/core/formats/source.ts';
import { Tensor, tensor } from '../src/core/tensor.ts';
import { hexOf } from './support/formats.ts';

/** Any bits as f32 or i32, up to 9 x 9 and with empty sides. */
const table = fc
  .tuple(fc.constantFrom('fbin', 'ibin'), fc.nat(9), fc.nat(9), fc.infiniteStream(fc.nat(2 ** 32 - 1)))
  .map(([kind, rows, columns, stream]) => {
    const words = Uint32Array.from(stream.take(rows * columns));
    const shape = [rows, columns];
    return kind === 'fbin'
      ? ([kind, new Tensor('f32', shape, new Float32Array(words.buffer))] as const)
      : (['ibin', new Tensor('i32', shape, new Int32Array(words.buffer))] as const);
  });

describe('rows', () => {
  it('survive a round trip, whole and in windows', () => {
    fc.assert(
      fc.property(table, fc.nat(9), fc.nat(9), ([kind, t], a, b) => {
        const file = openBin(toBytes(binChunks(t, kind)), kind);
        const whole = file.read();
        expect([whole.dtype, whole.shape, hexOf(whole)]).toEqual([t.dtype, t.shape, hexOf(t)]);
        const [begin, end] = [Math.min(a, b, file.rows), Math.min(Math.max(a, b), file.rows)];
        const window = file.read(begin, end);
        expect(window.shape).toEqual([end - begin, file.columns]);
        expect(hexOf(window)).toBe(hexOf(t).slice(begin * file.columns * 8, end * file.columns * 8));
      }),
    );
  });

  it('are laid out as the format says', () => {
    const bytes = toBytes(binChunks(tensor([1, 2], [1, -2], 'i32'), 'ibin'));
    expect([...bytes]).toEqual([1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 254, 255, 255, 255]);
  });
});

describe('refusals', () => {
  const good = toBytes(binChunks(tensor([2, 3], [1, 2, 3, 4, 5, 6]), 'fbin'));
  const change = (at: number, value: number): Uint8Array => {
    const bytes = good.slice();
    bytes[at] = value;
    return bytes;
  };

  it('every cut, and every change of one byte in the header but a swap', () => {
    for (let n = 0; n < good.length; n++) expect(() => openBin(good.subarray(0, n), 'fbin')).toThrow('bytes');
    for (let at = 0; at < 8; at++) {
      for (let value = 0; value < 256; value++) {
        if (value !== good[at]) expect(() => openBin(change(at, value), 'fbin')).toThrow('not a .fbin file?');
      }
    }
  });

  it.each<[() => unknown, string]>([
    [() => openBin(new Uint8Array(7), 'ibin'), '7 bytes are too few for a .ibin file'],
    [() => openBin(change(7, 255), 'fbin'), '2 rows of 4278190083 take 34225520672 bytes, but it has 32'],
    [() => openBin(new Uint8Array(12).fill(255), 'fbin'), 'take 73786976'],
    [() => openBin(good, 'fbin').read(1, 3), 'rows 1 to 3 are not within the 2 rows'],
    [() => openBin(good, 'fbin').read(2, 1), 'rows 2 to 1 are not within'],
    [() => openBin(good, 'fbin').read(0.5), 'rows 0.5 to 2 are not within'],
    [() => binChunks(tensor([1, 1], [1], 'u32'), 'ibin'), 'a .ibin file holds i32, not u32'],
    [() => binChunks(tensor([1, 1], [1], 'i32'), 'fbin'), 'a .fbin file holds f32, not i32'],
    [() => binChunks(tensor([1], [1]), 'fbin'), 'not a tensor of shape [1]'],
    [() => binChunks(tensor([1, 1, 1], [1]), 'fbin'), 'not a tensor of shape [1, 1, 1]'],
    [() => binChunks(tensor([2 ** 32, 0], []), 'fbin'), 'does not fit in u32 sizes'],
  ])('%#', (call, reason) => {
    expect(call).toThrow(reason);
  });
});
