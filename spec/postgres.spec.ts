import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { EngineError } from '../src/core/errors.ts';
import { binChunks, openBin } from '../src/core/formats/fbin.ts';
import { tensor } from '../src/core/tensor.ts';
import { noiseArray } from '../src/verify/case.ts';
import { sumOfWords } from '../src/vocab/engines/engineIndex.ts';
import { buildPostgres, openPostgres } from '../src/vocab/engines/postgresIndex.ts';
import { type ShardAnswer, ShardMerge, shardOf } from '../src/vocab/engines/shards.ts';
import { flatIndex } from '../src/vocab/memoryIndex.ts';
import { memorySource } from '../src/vocab/rowSource.ts';
import { inProcess } from './support/cli.ts';
import { type LiteShard, liteShards } from './support/pglite.ts';

// Plan: the merge is the search over all words, whatever lies on which shard, and never asks without need; PostgreSQL (PGlite, in
// this process) gives what a flat table gives: bit for bit for whole numbers, whose sums are exact, ties included; with an index it
// is never short, and exact when all lists are probed; a shard that goes away is asked again, then named; a build that fails on
// one shard leaves all; shards that do not belong together are refused; no message has a password. With SUBVOCAB_POSTGRES set to
// addresses of servers, the same on them.

const [n, d] = [1200, 8];
/** Whole numbers: every sum is exact in f32, and many are equal. */
const words = (noiseArray(n * d, 1) as Float32Array).map((v) => Math.round(2 * v) + 0);
const queries = (noiseArray(2 * d, 2) as Float32Array).map((v) => Math.round(2 * v) + 0);
const flat = (vectors = words) => flatIndex(tensor([vectors.length / d, d], vectors));

describe('the merge', () => {
  /** Words with few different scores, on shards that need not be even. */
  const arbitrary = fc.record({
    parts: fc.array(fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 60 }), {
      minLength: 1,
      maxLength: 5,
    }),
    k: fc.integer({ min: 0, max: 120 }),
    lowestIds: fc.boolean(),
  });
  interface Word {
    readonly id: number;
    readonly score: number;
  }
  const best = (all: readonly Word[]): Word[] => all.toSorted((a, b) => b.score - a.score || a.id - b.id);

  test('is the search over all words', () => {
    fc.assert(
      fc.property(arbitrary, ({ parts, k, lowestIds }) => {
        let next = 0;
        const shards = parts.map((scores) => scores.map((score): Word => ({ id: next++, score })));
        const wanted = best(shards.flat()).slice(0, k);
        const merge = new ShardMerge(
          parts.map((p) => p.length),
          wanted.length,
        );
        let rounds = 0;
        for (let asks = merge.next(); asks.length > 0; asks = merge.next()) {
          expect(++rounds).toBeLessThan(9);
          for (const { shard, k: ask } of asks) {
            // A shard that does not promise the lowest ids gives the highest.
            const own = lowestIds
              ? best(shards[shard]!)
              : shards[shard]!.toSorted((a, b) => b.score - a.score || b.id - a.id);
            const given = own.slice(0, ask);
            const answer: ShardAnswer = {
              ids: Int32Array.from(given, (w) => w.id),
              scores: Float32Array.from(given, (w) => w.score),
              lowestIds,
            };
            merge.put(shard, answer);
          }
        }
        expect([...merge.result().ids]).toEqual(wanted.map((w) => w.id));
        expect([...merge.result().scores]).toEqual(wanted.map((w) => w.score));
      }),
      { numRuns: 500 },
    );
  });

  test('asks each of four shards for 2320 of 8192, and again only where that was too few', () => {
    const sizes = [50_000, 50_000, 50_000, 50_000];
    const even = new ShardMerge(sizes, 8192);
    expect(even.next().map((ask) => ask.k)).toEqual(Array(4).fill(Math.ceil(2048 + 6 * Math.sqrt(2048))));
    // All of the best lie on shard 0.
    const give = (shard: number, k: number): ShardAnswer => ({
      ids: Int32Array.from({ length: k }, (_, r) => 4 * r + shard),
      scores: Float32Array.from({ length: k }, (_, r) => (shard === 0 ? 1e6 : 1e3) - r),
      lowestIds: true,
    });
    for (let s = 0; s < 4; s++) even.put(s, give(s, 2320));
    const again = even.next();
    expect(again).toEqual([{ shard: 0, k: 4640 }]);
    even.put(0, give(0, 4640));
    expect(even.next()).toEqual([{ shard: 0, k: 9280 }]);
    even.put(0, give(0, 9280));
    expect(even.next()).toEqual([]);
    expect([...even.result().ids]).toEqual(Array.from({ length: 8192 }, (_, r) => 4 * r));
  });

  test('places ids evenly, whatever their pattern', () => {
    for (const step of [1, 2, 4, 1000, 2 ** 20]) {
      const counts = new Float64Array(4);
      for (let i = 0; i < 2000; i++) counts[shardOf(i * step, 4)]!++;
      // Five standard deviations of 500.
      for (const count of counts) expect(Math.abs(count - 500)).toBeLessThan(100);
    }
  });
});

describe('PostgreSQL in this process', () => {
  let shards: LiteShard[] = [];
  beforeAll(async () => {
    shards = await liteShards(['one', 'two']);
    await buildPostgres(shards, memorySource('words', words, d));
    // A server has to be set up: some seconds, on a busy machine more.
  }, 180_000);
  beforeEach(() => {
    for (const shard of shards) shard.before = () => {};
  });
  afterAll(async () => {
    for (const shard of shards) await shard.db.close();
  });

  async function expectSame(table: string | undefined, k: number, nprobe?: number): Promise<void> {
    await using index = await openPostgres(shards, table === undefined ? {} : { table });
    const want = await flat().search(queries, k);
    const got = await index.search(queries, k, nprobe === undefined ? {} : { nprobe });
    expect(got.counts).toEqual(want.counts);
    expect(got.scores).toEqual(want.scores);
    expect(got.ids).toEqual(want.ids);
  }

  test('is the flat table, for every k', async () => {
    await using index = await openPostgres(shards);
    expect(index).toMatchObject({ kind: 'postgres', size: n, dim: d, exact: true, lists: 1 });
    expect(index.parts.map((p) => p.name)).toEqual([
      'one, table subvocab_words',
      'two, table subvocab_words',
    ]);
    for (const k of [0, 1, 30, 400, n, n + 5]) await expectSame(undefined, k);
  });

  test('embeddings come in the order that was asked for, from all shards', async () => {
    await using index = await openPostgres(shards);
    const asked = Int32Array.from({ length: n }, (_, i) => n - 1 - i);
    const rows = [...asked].flatMap((i) => [...words.subarray(i * d, (i + 1) * d)]);
    expect([...(await index.embeddings(asked))]).toEqual(rows);
    expect(await index.embeddings(Int32Array.of(5, 5))).toHaveLength(2 * d);
    await expect(index.embeddings(Int32Array.of(0, n))).rejects.toThrow(`there is no word ${n}`);
  });

  test('scores of other numbers are within the bound it names', async () => {
    const noise = noiseArray(200 * d, 5) as Float32Array;
    await buildPostgres(shards, memorySource('noise', noise, d), { table: 'noise' });
    await using index = await openPostgres(shards, { table: 'noise' });
    const query = noiseArray(d, 6) as Float32Array;
    const { ids, scores } = await index.search(query, 200);
    for (let r = 0; r < 200; r++) {
      const word = noise.subarray(ids[r]! * d, (ids[r]! + 1) * d);
      const want = word.reduce((sum, v, j) => sum + v * query[j]!, 0);
      const bound = index.relativeError * Math.hypot(...word) * Math.hypot(...query);
      expect(Math.abs(scores[r]! - want)).toBeLessThanOrEqual(bound);
    }
  });

  test.each(['ivfflat', 'hnsw'])('through %s it is never short', async (method) => {
    const table = `by_${method}`;
    await buildPostgres(shards, memorySource('words', words, d), {
      table,
      lists: method === 'ivfflat' ? 12 : 1,
    });
    if (method === 'hnsw')
      for (const { db } of shards)
        await db.exec(
          `CREATE INDEX ON ${table} USING hnsw (embedding vector_ip_ops) WITH (m = 8, ef_construction = 16)`,
        );
    await using index = await openPostgres(shards, { table });
    expect(index.exact).toBe(false);
    const all = await flat().search(queries, n);
    const scoreOf = [0, 1].map(
      (q) => new Map(Array.from({ length: n }, (_, r) => [all.ids[q * n + r]!, all.scores[q * n + r]!])),
    );
    for (const [k, nprobe] of [
      [5, 1],
      [500, 1],
      [n, 2],
    ] as const) {
      const { ids, scores, counts } = await index.search(queries, k, method === 'ivfflat' ? { nprobe } : {});
      expect([...counts]).toEqual([k, k]);
      for (let q = 0; q < 2; q++) {
        const own = ids.subarray(q * k, (q + 1) * k);
        expect(new Set(own).size).toBe(k);
        expect([...scores.subarray(q * k, (q + 1) * k)]).toEqual(
          Array.from(own, (id) => scoreOf[q]!.get(id)!),
        );
        for (let r = q * k + 1; r < (q + 1) * k; r++)
          expect(scores[r - 1]! > scores[r]! || (scores[r - 1] === scores[r] && ids[r - 1]! < ids[r]!)).toBe(
            true,
          );
      }
    }
    if (method === 'ivfflat') {
      // One list holds the words that are asked for: fewer are compared than there are.
      expect((await index.search(queries, 5, { nprobe: 1 })).ids).not.toEqual(
        (await flat().search(queries, 5)).ids,
      );
      await expectSame(table, 300, 12);
      await expect(index.search(queries, 5, { nprobe: 13 })).rejects.toThrow(
        'nprobe is 13; it must be from 1 to 12',
      );
      await expect(index.search(queries, 5, { recall: 0.9 })).rejects.toThrow(
        /recall is 0\.9; .* give nprobe/,
      );
    } else {
      const all = await index.search(queries, 300, { recall: 0.9 });
      expect(all.ids).toEqual((await flat().search(queries, 300)).ids);
    }
  });

  const gone = (code: string): Error => Object.assign(new Error('the server went away'), { code });

  test('a shard that goes away in the middle is asked again, and the answer is whole', async () => {
    await using index = await openPostgres(shards);
    let left = 2;
    shards[1]!.before = (sql) => {
      if (sql.includes('ORDER BY') && left-- > 0) throw gone('57P01');
    };
    const before = shards[1]!.connections;
    const got = await index.search(queries, 100);
    expect(shards[1]!.connections).toBe(before + 2);
    expect(got.ids).toEqual((await flat().search(queries, 100)).ids);
  });

  test('a shard that stays away is named; no part of an answer comes', async () => {
    await using index = await openPostgres(shards);
    let attempts = 0;
    shards[1]!.before = (sql) => {
      if (sql.includes('ORDER BY') && ++attempts > 0) throw gone('ECONNRESET');
    };
    const search = index.search(queries, 100);
    await expect(search).rejects.toThrow(EngineError);
    await expect(search).rejects.toThrow('postgres: shard two: the server went away (4 attempts)');
    expect(attempts).toBe(4);
    // An error that will not pass is not tried again.
    attempts = 0;
    shards[1]!.before = (sql) => {
      if (sql.includes('ORDER BY') && ++attempts > 0) throw gone('42501');
    };
    await expect(index.search(queries, 100)).rejects.toThrow('shard two: the server went away');
    expect(attempts).toBe(1);
    shards[1]!.before = () => {};
    expect((await index.search(queries, 7)).ids).toEqual((await flat().search(queries, 7)).ids);
  });

  test('a build that fails on one shard leaves all of them', async () => {
    const half = memorySource('half', words.subarray(0, 600 * d), d);
    for (const step of ['INSERT INTO "subvocab_words_new"', 'ANALYZE', 'ALTER TABLE']) {
      shards[1]!.before = (sql) => {
        if (sql.startsWith(step)) throw gone('53100');
      };
      await expect(buildPostgres(shards, half)).rejects.toThrow('shard two: the server went away');
    }
    shards[1]!.before = () => {};
    await expectSame(undefined, 50);
    const bad = words.slice();
    bad[8 * 77] = Number.POSITIVE_INFINITY;
    await expect(buildPostgres(shards, memorySource('bad', bad, d))).rejects.toThrow(
      'bad: row 77 holds Infinity',
    );
    const twice = { ids: new Int32Array(n).fill(3) };
    await expect(buildPostgres(shards, memorySource('words', words, d), twice)).rejects.toThrow(
      'the id 3 occurs twice',
    );
  });

  test('shards that are not of one build, or not all, are refused', async () => {
    await expect(openPostgres([shards[0]!])).rejects.toThrow(
      'shard one: it is one of 2 shards, and 1 are given',
    );
    await expect(openPostgres([shards[0]!, shards[0]!])).rejects.toThrow('it holds the same part as one');
    await expect(openPostgres(shards, { table: 'none' })).rejects.toThrow(
      /shard one: there is no table none .* build it/,
    );
    await expect(openPostgres(shards, { table: 'x"; drop table y' })).rejects.toThrow(
      'the table is "x\\"; drop table y"',
    );
    await expect(openPostgres([])).rejects.toThrow('there are no shards');
    const source = () => memorySource('words', words, d);
    await buildPostgres(shards, source(), { table: 'mixed' });
    await using reader = await openPostgres(shards, { table: 'mixed' });
    // The second shard did not come to its COMMIT.
    shards[1]!.before = (sql) => {
      if (sql === 'COMMIT') throw gone('08006');
    };
    await expect(buildPostgres(shards, source(), { table: 'mixed' })).rejects.toThrow('shard two');
    shards[1]!.before = () => {};
    await expect(openPostgres(shards, { table: 'mixed' })).rejects.toThrow(
      'shard two: it is of another build than one',
    );
    await expect(reader.search(queries, 5)).rejects.toThrow(
      'shard one: mixed was built anew; open the index again',
    );
  });

  test('rows that were changed behind its back', async () => {
    const table = 'changed';
    await buildPostgres(shards, memorySource('words', words, d), { table });
    const mine = Array.from({ length: n }, (_, id) => id).filter((id) => shardOf(id, 2) === 0);
    await using index = await openPostgres(shards, { table });
    const all = async () => {
      let sum = 0;
      for await (const { ids, vectors } of index.rows()) sum = sumOfWords(ids, vectors, sum);
      return sum;
    };
    expect(await all()).toBe(index.sum);
    const flipped = words.slice();
    flipped[d + 1]! += 2 ** -20;
    expect(
      sumOfWords(
        Int32Array.from({ length: n }, (_, id) => id),
        words,
      ),
    ).toBe(index.sum);
    expect(
      sumOfWords(
        Int32Array.from({ length: n }, (_, id) => id),
        flipped,
      ),
    ).not.toBe(index.sum);
    await shards[1]!.db.exec(`INSERT INTO ${table} VALUES (${mine[0]}, '[9,9,9,9,9,9,9,9]')`);
    await expect(all()).rejects.toThrow(`shard two: the word ${mine[0]} does not belong there`);
    await shards[0]!.db.exec(`UPDATE ${table} SET embedding = '[9,9,9,9,9,9,9,9]' WHERE id = ${mine[0]}`);
    await expect(index.search(new Float32Array(d).fill(1), 50)).rejects.toThrow('a word is on two shards');
    await shards[0]!.db.exec(
      `UPDATE ${table} SET embedding = '[3e38,3e38,0,0,0,0,0,0]' WHERE id = ${mine[1]}`,
    );
    await expect(index.search(new Float32Array(d).fill(1), 50)).rejects.toThrow(
      `the score of the word ${mine[1]} is Infinity`,
    );
    await shards[0]!.db.exec(`DELETE FROM ${table} WHERE id = ${mine[1]}`);
    await expect(index.search(queries, n)).rejects.toThrow(
      /shard one: \d+ words came of \d+, and it was built with/,
    );
    await shards[0]!.db.exec(`ALTER TABLE ${table} ALTER embedding TYPE halfvec(8)`);
    await expect(openPostgres(shards, { table })).rejects.toThrow(
      'the column embedding of changed is halfvec(8), not vector(8)',
    );
  });

  test('a shard may be empty', async () => {
    await buildPostgres(shards, memorySource('one word', words.subarray(0, d), d), { table: 'single' });
    await using index = await openPostgres(shards, { table: 'single' });
    expect([...(await index.search(queries.subarray(0, d), 3)).ids]).toEqual([0, -1, -1]);
    await expect(buildPostgres(shards, memorySource('none', new Float32Array(0), d))).rejects.toThrow(
      'there are no vectors',
    );
  });
});

describe('addresses', () => {
  // Nothing listens on port 1.
  const away = 'postgres://me:geheim%21@127.0.0.1:1/words';
  test.each<[readonly string[], string]>([
    [
      ['info', '--engine', `postgres:${away}`],
      'shard 127.0.0.1:1/words: connect ECONNREFUSED 127.0.0.1:1 (4 attempts)',
    ],
    [['info', '--engine', away], 'shard 127.0.0.1:1/words'],
    [
      ['info', '--engine', `postgres:${away},me:geheim!@host`],
      'address 2 is not of the form postgres://user',
    ],
    [['info', '--engine', 'postgres:'], '--engine is none that is known'],
  ])('%s', async (args, message) => {
    const { code, stdout, stderr } = await inProcess(['index', ...args], tmpdir());
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('geheim');
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});

const servers = process.env.SUBVOCAB_POSTGRES;
describe.skipIf(!servers)('servers', () => {
  const folder = mkdtempSync(join(tmpdir(), 'subvocab-postgres-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('build, search, info, verify, export', async () => {
    const table = 'subvocab_spec';
    const at = ['--engine', `postgres:${servers}`, '--table', table];
    const run = (...args: string[]) => inProcess(['index', ...args], folder);
    writeFileSync(join(folder, 'base.fbin'), Buffer.concat(binChunks(tensor([n, d], words), 'fbin')));
    writeFileSync(join(folder, 'query.fbin'), Buffer.concat(binChunks(tensor([2, d], queries), 'fbin')));
    const read = (name: string, kind: 'fbin' | 'ibin') =>
      openBin(readFileSync(join(folder, name)), kind).read().data;
    for (const lists of ['1', '7']) {
      const built = await run('build', '--vectors', 'base.fbin', ...at, '--lists', lists);
      expect(built).toMatchObject({ code: 0, stdout: '' });
      const found = await run(
        'search',
        '--queries',
        'query.fbin',
        '--k',
        '200',
        '--nprobe',
        lists,
        '--out',
        'r',
        ...at,
      );
      expect(found).toMatchObject({ code: 0, stderr: '' });
      const want = await flat().search(queries, 200);
      expect(read('r.ibin', 'ibin')).toEqual(want.ids);
      expect(read('r.fbin', 'fbin')).toEqual(want.scores);
      expect((await run('verify', ...at)).stdout).toContain('everything is as it was written');
      expect(await run('export', ...at, '--out', 'copy')).toMatchObject({ code: 0, stderr: '' });
      const [ids, rows] = [read('copy.ibin', 'ibin'), read('copy.fbin', 'fbin')];
      for (const [i, id] of ids.entries())
        expect(rows.slice(i * d, (i + 1) * d)).toEqual(words.slice(id * d, (id + 1) * d));
    }
  });

  test('two builds at once leave one of them whole, or what was there', async () => {
    const urls = servers!.split(',');
    const table = 'subvocab_race';
    const source = (times: number) =>
      memorySource(
        'words',
        words.map((v) => v * times),
        d,
      );
    await buildPostgres(urls, source(1), { table });
    const ends = await Promise.allSettled(
      [2, 3].map((times) => buildPostgres(urls, source(times), { table })),
    );
    for (const end of ends)
      if (end.status === 'rejected')
        expect(String(end.reason)).toMatch(/another build of subvocab_race is under way/);
    await using index = await openPostgres(urls, { table });
    const [want, got] = [await flat().search(queries, 50), await index.search(queries, 50)];
    const times = got.scores[0]! / want.scores[0]!;
    expect(ends[times - 2]?.status ?? 'fulfilled').toBe('fulfilled');
    expect(got.ids).toEqual(want.ids);
    expect(got.scores).toEqual(want.scores.map((v) => v * times));
  });
});
