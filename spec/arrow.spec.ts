import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as arrow from 'apache-arrow';
import { afterAll, describe, expect, test } from 'vitest';
import { FormatError, OpError } from '../src/core/errors.ts';
import { readArrow } from '../src/core/formats/arrow.ts';
import { openBin } from '../src/core/formats/fbin.ts';
import { tensor } from '../src/core/tensor.ts';
import { noiseArray } from '../src/verify/case.ts';
import { flatIndex } from '../src/vocab/memoryIndex.ts';
import { inProcess } from './support/cli.ts';

// Plan: vectors and ids from Arrow files and streams, in one batch or several, are those that were written; other columns, missing
// values, cut and changed files are refused or harmless; the commands take them.

const folder = mkdtempSync(join(tmpdir(), 'subvocab-arrow-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const [n, d] = [40, 3];
const vectors = noiseArray(n * d, 1) as Float32Array;
const ids = Int32Array.from({ length: n }, (_, i) => 900 - 7 * i);

/** A table of ids and vectors, cut into batches of at most `rows`. */
function table(rows = n, float: arrow.Float = new arrow.Float32()): arrow.Table {
  const list = new arrow.FixedSizeList(d, new arrow.Field('item', float, true));
  const fields = [new arrow.Field('id', new arrow.Int32()), new arrow.Field('vector', list)];
  const schema = new arrow.Schema(fields);
  const batches: arrow.RecordBatch[] = [];
  for (let first = 0; first < n; first += rows) {
    const length = Math.min(rows, n - first);
    const part = vectors.slice(first * d, (first + length) * d);
    const data = float.precision === arrow.Precision.DOUBLE ? Float64Array.from(part) : part;
    const child = arrow.makeData({ type: float, data: data as never });
    const children = [
      arrow.makeData({ type: new arrow.Int32(), data: ids.slice(first, first + length) }),
      arrow.makeData({ type: list, length, nullCount: 0, child }),
    ];
    const type = new arrow.Struct(fields);
    batches.push(
      new arrow.RecordBatch(schema, arrow.makeData({ type, length, nullCount: 0, children }) as never),
    );
  }
  return new arrow.Table(schema, batches);
}
const read = readArrow;

describe('what was written is read', () => {
  test.each(['file', 'stream'] as const)('as a %s', (form) => {
    for (const rows of [n, 7]) {
      const bytes = arrow.tableToIPC(table(rows), form);
      expect(read(bytes, 'vectors')).toMatchObject({ dtype: 'f32', shape: [n, d], data: vectors });
      expect(read(bytes, 'ids')).toMatchObject({ dtype: 'i32', shape: [n], data: ids });
    }
    const wide = read(arrow.tableToIPC(table(9, new arrow.Float64()), form), 'vectors');
    expect(wide).toMatchObject({ dtype: 'f64', data: Float64Array.from(vectors) });
  });

  test('among other columns', () => {
    const list = new arrow.FixedSizeList(2, new arrow.Field('item', new arrow.Float32()));
    const struct = new arrow.Struct([
      new arrow.Field('a', new arrow.Int8()),
      new arrow.Field('b', new arrow.Utf8()),
    ]);
    const mixed = new arrow.Table({
      word: arrow.vectorFromArray(['one', null, 'three'], new arrow.Utf8()),
      kind: arrow.vectorFromArray(['x', 'y', 'x']),
      parts: arrow.vectorFromArray(
        [[1, 2], [], [3]],
        new arrow.List(new arrow.Field('item', new arrow.Float64())),
      ),
      pair: arrow.vectorFromArray([{ a: 1, b: 'p' }, { a: 2, b: 'q' }, null], struct),
      seen: arrow.vectorFromArray([true, false, null]),
      v: arrow.vectorFromArray(
        [
          [1, 2],
          [3, 4],
          [5, 6],
        ],
        list,
      ),
      score: arrow.vectorFromArray([0.5, 1, 2], new arrow.Float32()),
    });
    for (const form of ['file', 'stream'] as const) {
      const { shape, data } = read(arrow.tableToIPC(mixed, form), 'vectors');
      expect([shape, [...data]]).toEqual([
        [3, 2],
        [1, 2, 3, 4, 5, 6],
      ]);
    }
  });

  test('by the commands', async () => {
    writeFileSync(join(folder, 'base.arrow'), arrow.tableToIPC(table(), 'file'));
    const build = ['build', '--vectors', 'base.arrow', '--ids', 'base.arrow', '--out', 'index', '--flat'];
    expect(await inProcess(['index', ...build], folder)).toMatchObject({ code: 0, stderr: '' });
    const search = ['search', '--index', 'index', '--queries', 'base.arrow', '--k', '5', '--out', 'r'];
    expect(await inProcess(['index', ...search], folder)).toMatchObject({ code: 0, stderr: '' });
    const want = await flatIndex(tensor([n, d], vectors)).search(vectors, 5);
    const got = openBin(readFileSync(join(folder, 'r.fbin')), 'fbin').read();
    expect(got.data).toEqual(want.scores);
    writeFileSync(join(folder, 'bad.arrow'), 'no arrow here');
    const bad = await inProcess(['index', 'build', '--vectors', 'bad.arrow', '--out', 'none'], folder);
    expect(bad.code).toBe(2);
    expect(bad.stderr).toMatch(/^subvocab index build: .*bad\.arrow: .*\n$/);
  });
});

describe('what cannot be read is refused', () => {
  test.each<[string, () => arrow.Table, string]>([
    [
      'no vectors',
      () => arrow.tableFromArrays({ id: ids }),
      '0 of its columns (id) will do; it must have one column of fixed-size lists',
    ],
    [
      'lists of any length',
      () => new arrow.Table({ v: arrow.vectorFromArray([[1, 2], [3]]) }),
      'it must have one column',
    ],
    [
      'a missing row',
      () => {
        const list = new arrow.FixedSizeList(2, new arrow.Field('item', new arrow.Float32()));
        return new arrow.Table({ v: arrow.vectorFromArray([[1, 2], null], list) });
      },
      'the column v has missing values',
    ],
  ])('%s', (_, make, message) => {
    const bytes = arrow.tableToIPC(make(), 'file');
    expect(() => read(bytes, 'vectors')).toThrow(FormatError);
    expect(() => read(bytes, 'vectors')).toThrow(message);
  });

  test('a file that is cut or changed gives an error of ours, or n whole rows', () => {
    const whole = arrow.tableToIPC(table(7), 'file');
    const tries: Uint8Array[] = [];
    for (let length = 0; length < whole.length; length += 13) tries.push(whole.slice(0, length));
    for (let at = 0; at < whole.length; at += 5) {
      const changed = whole.slice();
      changed[at]! ^= 1 << (at % 8);
      tries.push(changed);
    }
    let refused = 0;
    for (const bytes of tries) {
      try {
        const { shape, data } = read(bytes, 'vectors');
        expect(data.length).toBe(shape[0]! * shape[1]!);
      } catch (error) {
        if (!(error instanceof OpError)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(tries.length / 4);
  });
});
