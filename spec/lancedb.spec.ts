import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EngineError, UnsupportedError } from '../src/core/errors.ts';
import { binChunks, openBin } from '../src/core/formats/fbin.ts';
import { npyChunks } from '../src/core/formats/npy.ts';
import { key } from '../src/core/key.ts';
import { tensor } from '../src/core/tensor.ts';
import { hierarchicalAnn } from '../src/ref/hierarchicalAnn.ts';
import { noiseArray } from '../src/verify/case.ts';
import type { EngineBuildOptions, EngineIndex } from '../src/vocab/engines/engineIndex.ts';
import { buildLance, openLance } from '../src/vocab/engines/lanceIndex.ts';
import { optionalPackage } from '../src/vocab/engines/optionalPackage.ts';
import { flatIndex, memoryIndex } from '../src/vocab/memoryIndex.ts';
import { memorySource } from '../src/vocab/rowSource.ts';
import { engineRows } from '../src/vocab/rowStore.ts';
import { inProcess } from './support/cli.ts';

// Plan: what LanceDB gives through the interface is bit for bit what a flat table in memory gives: scores, ties, order, counts;
// with lists as well once all are probed, and never short with few; very small and very large numbers; a build that fails, is
// stopped or meets another leaves the old words; faults are one line that names the table; the commands.

process.env.LANCEDB_LOG = 'error';
const { connect } = await import('@lancedb/lancedb');
const folder = mkdtempSync(join(tmpdir(), 'subvocab-lancedb-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let made = 0;
const fresh = (): string => join(folder, `db-${made++}`);

const [n, d] = [2000, 8];
const words = noiseArray(n * d, 1) as Float32Array;
const queries = noiseArray(3 * d, 2) as Float32Array;

async function built(vectors: Float32Array, options: EngineBuildOptions = {}): Promise<EngineIndex> {
  const uri = fresh();
  await buildLance(uri, memorySource('words', vectors, d), options);
  return await openLance(uri);
}

/** The index gives exactly what the flat table gives. */
async function expectSame(
  index: EngineIndex,
  vectors: Float32Array,
  k: number,
  nprobe?: number,
): Promise<void> {
  const flat = flatIndex(tensor([vectors.length / d, d], vectors));
  const want = await flat.search(queries, k);
  const got = await index.search(queries, k, nprobe === undefined ? {} : { nprobe });
  expect(got.counts).toEqual(want.counts);
  expect(got.scores).toEqual(want.scores);
  expect(got.ids).toEqual(want.ids);
}

describe('without lists', () => {
  test('is the flat table, for every k', async () => {
    await using index = await built(words);
    expect(index).toMatchObject({ kind: 'lancedb', size: n, dim: d, exact: true, lists: 1 });
    for (const k of [0, 1, 100, n, n + 5]) await expectSame(index, words, k);
  });

  test('where many words are alike, the lowest ids are found', async () => {
    const alike = words.map((_, i) => [1, -2, 0.5, 0][i % 4]! * (i < 800 * d ? 1 : 2));
    await using index = await built(alike);
    for (const k of [1, 500, 801, 1999]) await expectSame(index, alike, k);
  });

  test.each([2 ** -60, 2 ** 50])('numbers around %d', async (scale) => {
    const scaled = words.map((v) => v * scale);
    await using index = await built(scaled);
    await expectSame(index, scaled, 300);
  });

  test('ids are the given ones', async () => {
    const ids = Int32Array.from({ length: n }, (_, i) => 2 ** 31 - 1 - 3 * i);
    await using index = await built(words, { ids });
    await using plain = await built(words);
    const [got, want] = [await index.search(queries, 50), await plain.search(queries, 50)];
    expect(got.ids).toEqual(want.ids.map((row) => ids[row]!));
    expect(got.scores).toEqual(want.scores);
  });
});

test("the engine's own scores are within the bound it names, in the same order of ties", async () => {
  const uri = fresh();
  const alike = words.map((v, i) => (i < 800 * d ? [1, -2, 0.5, 0][i % 4]! : v));
  await buildLance(uri, memorySource('words', alike, d));
  await using index = await openLance(uri, { rescore: false });
  const want = await flatIndex(tensor([n, d], alike)).search(queries, n);
  const got = await index.search(queries, 1500);
  const length = (x: Float32Array): number => Math.hypot(...x);
  for (let q = 0; q < 3; q++) {
    const exact = new Map(
      Array.from({ length: n }, (_, r) => [want.ids[q * n + r]!, want.scores[q * n + r]!]),
    );
    const reach = length(queries.subarray(q * d, (q + 1) * d));
    for (let r = 0; r < 1500; r++) {
      const [id, score] = [got.ids[q * 1500 + r]!, got.scores[q * 1500 + r]!];
      const own = length(alike.subarray(id * d, (id + 1) * d));
      expect(Math.abs(score - exact.get(id)!)).toBeLessThanOrEqual(index.relativeError * reach * own);
      const before = [got.ids[q * 1500 + r - 1]!, got.scores[q * 1500 + r - 1]!] as const;
      if (r > 0) expect(before[1] > score || (before[1] === score && before[0] < id)).toBe(true);
    }
  }
});

test('embeddings come in the order that was asked for', async () => {
  const ids = Int32Array.from({ length: n }, (_, i) => 3 * i + 1);
  await using index = await built(words, { ids });
  const asked = Int32Array.of(4, 1, 4, 3 * n - 2);
  const rows = [1, 0, 1, n - 1].flatMap((i) => [...words.subarray(i * d, (i + 1) * d)]);
  expect([...(await engineRows(index).rows(asked))]).toEqual(rows);
  expect(await index.embeddings(ids)).toEqual(words);
  expect(await index.embeddings(new Int32Array(0))).toEqual(new Float32Array(0));
  await expect(index.embeddings(Int32Array.of(1, 2))).rejects.toThrow('there is no word 2');
});

describe('with lists', () => {
  test('is never short, and exact when all are probed', async () => {
    await using index = await built(words, { lists: 20 });
    expect(index).toMatchObject({ exact: false, lists: 20 });
    await expectSame(index, words, 700, 20);
    const flat = await flatIndex(tensor([n, d], words)).search(queries, n);
    const rank = new Map(Array.from(flat.ids.subarray(0, n), (id, r) => [id, flat.scores[r]!]));
    for (const [k, nprobe] of [
      [700, 1],
      [n, 2],
      [20, 3],
    ] as const) {
      const { ids, scores, counts, stats } = await index.search(queries.subarray(0, d), k, { nprobe });
      expect([...counts]).toEqual([k]);
      expect(new Set(ids).size).toBe(k);
      expect(scores).toEqual(Float32Array.from(ids, (id) => rank.get(id)!));
      for (let r = 1; r < k; r++)
        expect(scores[r - 1]! > scores[r]! || (scores[r - 1] === scores[r] && ids[r - 1]! < ids[r]!)).toBe(
          true,
        );
      expect(stats.bytesRead).toBeGreaterThanOrEqual(k * (4 * d + 8));
    }
    await expect(index.search(queries, 3, { nprobe: 21 })).rejects.toThrow(
      'nprobe is 21; it must be from 1 to 20',
    );
  });

  test('a recall is refused where nobody knows how many lists it takes; 1 is all lists', async () => {
    const table = tensor([n, d], words);
    const flat = flatIndex(table);
    const want = await flat.search(queries, 50);
    expect((await flat.search(queries, 50, { recall: 0.3 })).ids).toEqual(want.ids);
    const inMemory = memoryIndex(hierarchicalAnn(table, { lists: 20, key: key(1) }));
    await using inTable = await built(words, { lists: 20 });
    for (const index of [inMemory, inTable]) {
      expect((await index.search(queries, 50, { recall: 1 })).ids).toEqual(want.ids);
      await expect(index.search(queries, 50, { recall: 0.9 })).rejects.toThrow(
        /recall is 0\.9; .* give nprobe/,
      );
      await expect(index.search(queries, 50, { recall: Number.NaN })).rejects.toThrow('recall is NaN');
    }
  });
});

describe('a build', () => {
  test('replaces the words; a reader that was there keeps its own', async () => {
    const uri = fresh();
    await buildLance(uri, memorySource('words', words, d));
    await using before = await openLance(uri);
    const half = words.subarray(0, 500 * d);
    await buildLance(uri, memorySource('words', half, d));
    await using after = await openLance(uri);
    expect(after.size).toBe(500);
    expect(after.version).toBeGreaterThan(before.version);
    await expectSame(before, words, 600);
    await expectSame(after, half, 300);
  });

  test('that fails leaves what was there', async () => {
    const uri = fresh();
    await buildLance(uri, memorySource('words', words, d));
    const bad = words.slice();
    bad[5000] = Number.NaN;
    await expect(buildLance(uri, memorySource('bad', bad, d))).rejects.toThrow('bad: row 625 holds NaN');
    // Stopped after its rows were written.
    const stop = new Error('stopped');
    const stopped = buildLance(uri, memorySource('words', words.subarray(0, 80), d), {
      onProgress: (stage) => {
        if (stage === 'words') throw stop;
      },
    });
    await expect(stopped).rejects.toThrow('stopped');
    await using index = await openLance(uri);
    await expectSame(index, words, 40);
  });

  test('at the same time as another one: one of them is read whole, or what was there', async () => {
    const uri = fresh();
    await buildLance(uri, memorySource('words', words, d));
    // Many pieces each, by turns.
    const race = [1, 2].map((times) =>
      buildLance(
        uri,
        memorySource(
          'race',
          words.map((v) => v * times),
          d,
        ),
        { piece: 400 },
      ),
    );
    const ends = await Promise.allSettled(race);
    for (const end of ends) if (end.status === 'rejected') expect(end.reason).toBeInstanceOf(EngineError);
    await using index = await openLance(uri);
    const { scores } = await index.search(queries, 1);
    const flat = await flatIndex(tensor([n, d], words)).search(queries, 1);
    const times = scores[0] === flat.scores[0] ? 1 : 2;
    await expectSame(
      index,
      words.map((v) => v * times),
      300,
    );
    if (times === 2) expect(ends[1]?.status).toBe('fulfilled');
    expect(ends.filter((end) => end.status === 'fulfilled').length).toBeLessThan(2);
  });

  test('what is written to the table later is not read', async () => {
    const uri = fresh();
    await buildLance(uri, memorySource('words', words, d));
    const table = await (await connect(uri)).openTable('subvocab_words');
    await table.delete('id < 500');
    await using index = await openLance(uri);
    await expectSame(index, words, 300);
  });

  test.each<[string, () => Promise<unknown>, string]>([
    ['no words', () => built(new Float32Array(0)), 'there are no vectors'],
    [
      'an id twice',
      () => built(words.subarray(0, 16), { ids: Int32Array.of(4, 4) }),
      'the id 4 occurs twice',
    ],
    ['a negative id', () => built(words.subarray(0, 16), { ids: Int32Array.of(-1, 4) }), 'there is an id -1'],
    ['too few ids', () => built(words.subarray(0, 16), { ids: Int32Array.of(1) }), '1 ids for 2 vectors'],
    ['a name with a quote', () => built(words, { table: 'a"; drop' }), 'the table is "a\\"; drop"'],
    ['more lists than words', () => built(words, { lists: n + 1 }), `lists is ${n + 1}`],
  ])('refuses %s', async (_, call, message) => {
    await expect(call()).rejects.toThrow(message);
  });
});

describe('faults', () => {
  test('no table, another table, another dimension, NaN', async () => {
    const uri = fresh();
    await expect(openLance(uri)).rejects.toThrow(/^lancedb: .*table subvocab_words: .*build it with/);
    const db = await connect(uri);
    await db.createTable('other', [{ id: 1, vector: [1, 2] }]);
    await expect(openLance(uri, { table: 'other' })).rejects.toThrow(
      'it holds no finished build of subvocab',
    );
    await using index = await built(words);
    await expect(index.search(queries.subarray(0, 9), 3)).rejects.toThrow('9 numbers are no queries of 8');
    await expect(
      index.search(
        queries.map(() => Number.NaN),
        3,
      ),
    ).rejects.toThrow('query 0 holds NaN');
    await expect(index.search(queries, -1)).rejects.toThrow('k is -1');
  });

  test('a table that says of itself what is not so', async () => {
    const uri = fresh();
    await buildLance(uri, memorySource('words', words, d));
    const table = await (await connect(uri)).openTable('subvocab_words');
    await table.add([{ id: 3, vector: [...words.subarray(0, d)] }]);
    await (await table.tags()).update('subvocab', await table.version());
    await expect(openLance(uri)).rejects.toThrow(/2001 rows with the description .*build it again/);
    await table.delete('id = 7');
    await (await table.tags()).update('subvocab', await table.version());
    await using index = await openLance(uri);
    await expect(index.search(queries, n)).rejects.toThrow('an id occurs twice in the table');
  });

  test('files that go away in the middle', async () => {
    const uri = fresh();
    await buildLance(uri, memorySource('words', words, d));
    await using index = await openLance(uri);
    rmSync(join(uri, 'subvocab_words.lance', 'data'), { recursive: true });
    const search = index.search(queries, 10);
    await expect(search).rejects.toThrow(EngineError);
    await expect(search).rejects.toThrow(`${uri}, table subvocab_words`);
  });

  describe('of object storage', () => {
    let answer: (to: ServerResponse) => void = () => {};
    const store = createServer((_, to) => answer(to));
    let storageOptions: Record<string, string>;
    beforeAll(async () => {
      await new Promise<void>((listening) => store.listen(0, '127.0.0.1', listening));
      storageOptions = {
        endpoint: `http://127.0.0.1:${(store.address() as AddressInfo).port}`,
        allow_http: 'true',
        region: 'nowhere-1',
        access_key_id: 'me',
        secret_access_key: 'secret',
      };
    });
    afterAll(() => {
      store.closeAllConnections();
      store.close();
    });

    test('are told in its own words, and nothing else of it', async () => {
      answer = (to) => {
        to.statusCode = 403;
        to.end('<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>Not you.</Message></Error>');
      };
      const told = /^lancedb: s3:\/\/bucket\/words: [^{}]*AccessDenied: Not you\. \(http:\/\/127[^{}?]*\)$/;
      const uri = 's3://me:secret@bucket/words';
      await expect(openLance(uri, { storageOptions })).rejects.toThrow(told);
      await expect(buildLance(uri, memorySource('words', words, d), { storageOptions })).rejects.toThrow(
        told,
      );
    });

    test('that does not answer is not waited for', async () => {
      answer = () => {};
      const options = { storageOptions, timeout: 300 };
      await expect(openLance('s3://bucket/words', options)).rejects.toThrow(
        'lancedb: s3://bucket/words, table subvocab_words: no answer within 300 ms',
      );
      await expect(openLance('words', { timeout: Number.POSITIVE_INFINITY })).rejects.toThrow(
        'timeout is Infinity ms',
      );
    });
  });

  test('a package that is not installed is one line', async () => {
    const load = optionalPackage('lancedb', '@subvocab/not-there', 'LanceDB');
    await expect(load).rejects.toThrow(UnsupportedError);
    await expect(load).rejects.toThrow(
      'lancedb: LanceDB needs the package @subvocab/not-there; npm install @subvocab/not-there',
    );
  });
});

describe('the commands', () => {
  const engine = ['--engine', 'lancedb:db'];
  const run = async (...args: string[]) => await inProcess(['index', ...args], folder);
  beforeAll(() => {
    writeFileSync(join(folder, 'base.fbin'), Buffer.concat(binChunks(tensor([n, d], words), 'fbin')));
    writeFileSync(join(folder, 'query.npy'), Buffer.concat(npyChunks(tensor([3, d], queries))));
  });
  const read = (name: string, kind: 'fbin' | 'ibin') =>
    openBin(readFileSync(join(folder, name)), kind).read().data;

  test('build, search, info, verify, export', async () => {
    const builtNow = await run('build', '--vectors', 'base.fbin', ...engine, '--lists', '10', '--json');
    expect(builtNow.code).toBe(0);
    expect(JSON.parse(builtNow.stdout)).toEqual({ vectors: n, dimensions: d, lists: 10 });
    const found = await run(
      'search',
      ...engine,
      '--queries',
      'query.npy',
      '--k',
      '50',
      '--nprobe',
      '10',
      '--out',
      'r',
    );
    expect(found).toMatchObject({ code: 0, stderr: '' });
    const want = await flatIndex(tensor([n, d], words)).search(queries, 50);
    expect(read('r.ibin', 'ibin')).toEqual(want.ids);
    expect(read('r.fbin', 'fbin')).toEqual(want.scores);
    const told = JSON.parse((await run('info', ...engine, '--json')).stdout);
    expect(told).toMatchObject({ kind: 'lancedb', vectors: n, dimensions: d, lists: 10 });
    expect((await run('verify', ...engine)).stdout).toContain('everything is as it was written');
    expect(await run('export', ...engine, '--out', 'copy')).toMatchObject({ code: 0, stderr: '' });
    const [ids, rows] = [read('copy.ibin', 'ibin'), read('copy.fbin', 'fbin')];
    expect(Int32Array.from(ids).sort()).toEqual(Int32Array.from({ length: n }, (_, i) => i));
    for (const [i, id] of ids.entries())
      expect(rows.slice(i * d, (i + 1) * d)).toEqual(words.slice(id * d, (id + 1) * d));
    // Lance keeps no sums of its data: a changed bit of a word is found all the same.
    const vector = Buffer.from(words.buffer, words.byteOffset + 20 * d, 4 * d);
    const data = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => /data.*\.lance$/.test(name))
      .map((name) => join(folder, name))
      .find((name) => readFileSync(name).includes(vector))!;
    const bytes = readFileSync(data);
    bytes[bytes.indexOf(vector) + 1]! ^= 1;
    writeFileSync(data, bytes);
    expect((await run('verify', ...engine)).stderr).toContain('the words are not those that were written');
  });

  test.each<[readonly string[], string]>([
    [['build', '--vectors', 'base.fbin', '--out', 'x', ...engine], 'to --out or to --engine, not to both'],
    [['build', '--vectors', 'base.fbin', ...engine, '--metric', 'l2'], '--engine takes --lists or --flat'],
    [['build', '--vectors', 'base.fbin', '--engine', 'redis://a:secret@b'], '--engine is none that is known'],
    [['build', '--vectors', 'base.fbin', '--out', 'x', '--table', 't'], '--table names a table of --engine'],
    [['info'], "required option '--index <folder>' not specified; or give --engine"],
    [['info', ...engine, '--index', 'x'], 'give --index or --engine, not both'],
    [['info', ...engine, '--table', 'none'], 'build it with subvocab index build'],
    [
      ['search', ...engine, '--queries', 'query.npy', '--k', '5', '--beam', '2', '--out', 'x'],
      'leave --twin',
    ],
  ])('refuse %s', async (args, message) => {
    const { code, stdout, stderr } = await run(...args);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('secret');
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(existsSync(join(folder, 'x'))).toBe(false);
  });
});
