import { randomBytes } from 'node:crypto';
import { gamma } from '../../core/bounds.ts';
import { ArgumentError, EngineError, OpError } from '../../core/errors.ts';
import { checkQueries } from '../checkQueries.ts';
import type { RowSource } from '../rowSource.ts';
import type { Found, VocabSearchOptions } from '../vocabIndex.ts';
import {
  checkBuild,
  checkTable,
  defaultTable,
  type EngineBuildOptions,
  type EngineBuildReport,
  type EngineIndex,
  type EngineRows,
  inAskedOrder,
  listsFor,
  pieceOf,
  pieces,
  probesFor,
  sumOfWords,
} from './engineIndex.ts';
import { type ShardAnswer, ShardMerge, shardOf } from './shards.ts';
import { float4Array, int4Array } from './sqlArrays.ts';
import {
  pgShards,
  ShardConnection,
  type SqlConnection,
  type SqlLimits,
  type SqlShard,
  shardError,
} from './sqlShard.ts';

const who = 'postgres';

/** Options of `openPostgres`. */
export interface PostgresOptions extends SqlLimits {
  /** Default `subvocab_words`. */
  readonly table?: string;
}

/** What a build writes beside the words of each shard. */
interface ShardMeta {
  readonly build: string;
  readonly shard: number;
  readonly shards: number;
  readonly size: number;
  readonly dim: number;
  readonly lists: number;
  /** `sumOfWords`; builds of before have none. */
  readonly sum: number | undefined;
}

/** What is known of an open shard. */
interface OpenShard extends ShardMeta {
  readonly connection: ShardConnection;
  /** The index of pgvector over the words, if there is one. */
  readonly method: 'ivfflat' | 'hnsw' | undefined;
  /** Whether an HNSW index can go on where `ef_search`, at most 1000, ends: pgvector 0.8. */
  readonly iterative: boolean;
}

/**
 * Open a vocabulary in PostgreSQL with pgvector, on one server or spread over several.
 *
 * Scores are those of pgvector: f32 sums, of the sign that makes higher better. Each shard is asked for its share of k and some
 * more; the merge knows when that was enough and asks again where it was not (`ShardMerge`). A shard without an index is searched
 * exactly; through an index the words outside of the probed lists are not looked at, `nprobe` counts per shard, and a shard that
 * gives too few is asked with more lists, at last without the index.
 * @param shards addresses, or connections of any kind
 * @throws EngineError that names the shard; UnsupportedError without the package `pg`
 */
export async function openPostgres(
  shards: readonly (string | SqlShard)[],
  options: PostgresOptions = {},
): Promise<EngineIndex> {
  const table = checkTable(who, options.table ?? defaultTable);
  const connections = (await resolve(shards, options)).map((shard) => new ShardConnection(shard));
  const close = async (): Promise<void> => {
    await Promise.all(connections.map((connection) => connection.close()));
  };
  let open: OpenShard[];
  try {
    open = await together(connections.map((connection) => openShard(connection, table)));
    checkTogether(open);
  } catch (error) {
    await close();
    throw error;
  }
  const { dim: d } = open[0]!;
  const lists = Math.max(...open.map((shard) => (shard.method === undefined ? 1 : shard.lists)));
  const size = open.reduce((sum, shard) => sum + shard.size, 0);
  return {
    kind: 'postgres',
    size,
    dim: d,
    version: 0,
    exact: open.every((shard) => shard.method === undefined),
    relativeError: gamma(d + 1),
    lists,
    parts: open.map(({ connection, size: own }) => ({
      name: `${connection.name}, table ${table}`,
      size: own,
    })),
    sum: open.every((shard) => shard.sum !== undefined)
      ? open.reduce((sum, shard) => (sum + shard.sum!) % 2 ** 52, 0)
      : undefined,
    async search(queries, k, search = {}): Promise<Found> {
      const count = checkQueries(queries, d, k);
      const wanted = Math.min(k, size);
      probesFor(search, k, lists, size);
      const before = performance.now();
      const cost: Cost = { probed: 0, rows: 0 };
      const texts = Array.from({ length: count }, (_, q) => textOf(queries.subarray(q * d, (q + 1) * d)));
      const sizes = open.map((shard) => shard.size);
      const merges = texts.map(() => new ShardMerge(sizes, wanted));
      for (;;) {
        const asks = open.map((): { q: number; k: number }[] => []);
        for (const [q, merge] of merges.entries())
          for (const { shard, k: own } of merge.next()) asks[shard]!.push({ q, k: own });
        if (asks.every((own) => own.length === 0)) break;
        // A transaction per shard; a search fails as a whole if one of them does.
        await together(
          open.map(async (shard, s) => {
            const own = asks[s]!;
            if (own.length === 0) return;
            const answers = await shard.connection.read(async (connection) => {
              const found: ShardAnswer[] = [];
              for (const { q, k: ask } of own)
                found.push(await askShard(connection, shard, table, texts[q]!, ask, search, cost));
              // The words were locked by the first statement: if they were of this build then, they all were.
              await checkSame(connection, shard, table);
              return found;
            });
            for (const [i, { q }] of own.entries()) merges[q]!.put(s, answers[i]!);
          }),
        );
      }
      const read = performance.now() - before;
      const ids = new Int32Array(count * k).fill(-1);
      const scores = new Float32Array(count * k).fill(Number.NEGATIVE_INFINITY);
      for (const [q, merge] of merges.entries()) {
        const best = merge.result();
        if (best.ids.length !== wanted)
          throw new EngineError(who, `${best.ids.length} words came of ${wanted}; build the index again`);
        if (new Set(best.ids).size < wanted)
          throw new EngineError(who, 'a word is on two shards; build the index again');
        ids.set(best.ids, q * k);
        scores.set(best.scores, q * k);
      }
      return {
        ids,
        scores,
        counts: new Int32Array(count).fill(wanted),
        stats: {
          listsProbed: cost.probed,
          scanned: cost.rows,
          bytesRead: cost.rows * 12,
          ms: { choose: 0, read, scan: 0, select: 0 },
        },
      };
    },
    async *rows(): AsyncIterable<EngineRows> {
      for (const shard of open) {
        let [last, seen] = [-1, 0];
        for (;;) {
          const rows = await shard.connection.read(async (connection) => {
            const page = await connection.query(
              `SELECT id, embedding::text FROM ${quoted(table)} WHERE id > $1::int ORDER BY id LIMIT $2::int`,
              [last, pieceOf(d)],
            );
            await checkSame(connection, shard, table);
            return page.rows;
          });
          if (rows.length === 0) break;
          const ids = Int32Array.from(rows, ([id]) => id as number);
          const vectors = new Float32Array(rows.length * d);
          for (const [i, [id, text]] of rows.entries()) {
            const vector = JSON.parse(text as string) as number[];
            if (vector.length !== d || shardOf(id as number, open.length) !== shard.shard)
              throw new EngineError(
                who,
                `shard ${shard.connection.name}: the word ${id} does not belong there; build the index again`,
              );
            vectors.set(vector, i * d);
          }
          last = ids[ids.length - 1]!;
          seen += ids.length;
          yield { ids, vectors };
        }
        if (seen !== shard.size)
          throw new EngineError(
            who,
            `shard ${shard.connection.name}: ${seen} words, not ${shard.size}; build it again`,
          );
      }
    },
    async embeddings(ids) {
      const parts = open.map((): Set<number> => new Set());
      for (const id of ids) parts[shardOf(id, open.length)]!.add(id);
      const found = await together(
        open.map(async (shard): Promise<EngineRows> => {
          const own = Int32Array.from(parts[shard.shard]!);
          if (own.length === 0) return { ids: own, vectors: new Float32Array(0) };
          const rows = await shard.connection.read(async (connection) => {
            const answer = await connection.query(
              `SELECT id, embedding::text FROM ${quoted(table)} WHERE id = ANY($1::int4[])`,
              [int4Array(own)],
            );
            await checkSame(connection, shard, table);
            return answer.rows;
          });
          const vectors = new Float32Array(rows.length * d);
          for (const [i, [, text]] of rows.entries())
            vectors.set(JSON.parse(text as string) as number[], i * d);
          return { ids: Int32Array.from(rows, ([id]) => id as number), vectors };
        }),
      );
      return inAskedOrder(who, `table ${table}`, ids, found, d);
    },
    [Symbol.asyncDispose]: close,
  };
}

/**
 * Put a vocabulary into PostgreSQL, in place of one of the same name: a table `id, embedding` on each shard, an IVFFlat index
 * where `lists` > 1, and a row that describes the shard. Each shard is written in one transaction, and all of them are committed
 * at the end: readers see the old words until then, and a build that fails leaves them.
 * @throws ArgumentError, FormatError before anything is written; EngineError that names the shard
 */
export async function buildPostgres(
  shards: readonly (string | SqlShard)[],
  source: RowSource,
  options: EngineBuildOptions & PostgresOptions = {},
): Promise<EngineBuildReport> {
  const table = checkTable(who, options.table ?? defaultTable);
  const { n, d } = source;
  const count = shards.length;
  const total = listsFor(who, n, options.lists);
  // Asked for per part; the default is for all words.
  const lists = options.lists ?? Math.max(1, Math.ceil(total / Math.max(count, 1)));
  if (d > 16_000) throw new ArgumentError(who, `vectors have ${d} elements; pgvector takes up to 16000`);
  if (lists > 1 && (d > 2000 || lists > 32_768))
    throw new ArgumentError(
      who,
      `${lists} lists of ${d} elements; an index takes up to 32768 lists of 2000 elements: lists 1 makes none`,
    );
  const resolved = await resolve(shards, options);
  checkBuild('index build', source, options);
  const build = randomBytes(12).toString('hex');
  const [own, next, meta] = [table, `${table}_new`, `${table}_shard`].map(quoted) as [string, string, string];
  const open: { readonly name: string; readonly connection: SqlConnection; size: number; sum: number }[] = [];
  /** Run on every shard; an error names the one that failed. */
  const all = (work: (connection: SqlConnection, shard: number) => Promise<void>): Promise<unknown> =>
    together(
      open.map(async ({ name, connection }, s) => {
        try {
          await work(connection, s);
        } catch (error) {
          throw error instanceof OpError ? error : shardError(name, error);
        }
      }),
    );
  try {
    for (const shard of resolved) {
      const connection = await shard.connect().catch((error) => {
        throw shardError(shard.name, error);
      });
      open.push({ name: shard.name, connection, size: 0, sum: 0 });
    }
    await all(async (connection) => {
      const there = await connection.query("SELECT 1 FROM pg_extension WHERE extname = 'vector'");
      if (there.rows.length === 0) await connection.query('CREATE EXTENSION IF NOT EXISTS vector');
    });
    await all(async (connection, s) => {
      await connection.query('BEGIN');
      const lock = 'SELECT pg_try_advisory_xact_lock(hashtext($1::text))';
      const { rows } = await connection.query(lock, [`subvocab ${table}`]);
      if (rows[0]![0] !== true)
        throw new EngineError(who, `shard ${open[s]!.name}: another build of ${table} is under way there`);
      // Without it an index of many lists is refused.
      await connection.query("SELECT set_config('maintenance_work_mem', '1GB', true)");
      await connection.query(`CREATE TABLE ${next} (id int PRIMARY KEY, embedding vector(${d}) NOT NULL)`);
    });
    for (const { first, count: many, vectors } of pieces(source, options.piece)) {
      const rows = open.map((): number[] => []);
      const idOf = (i: number): number => options.ids?.[first + i] ?? first + i;
      for (let i = 0; i < many; i++) rows[shardOf(idOf(i), count)]!.push(i);
      await all(async (connection, s) => {
        const own = rows[s]!;
        if (own.length === 0) return;
        open[s]!.size += own.length;
        const embeddings = new Float32Array(own.length * d);
        for (const [r, i] of own.entries()) embeddings.set(vectors.subarray(i * d, (i + 1) * d), r * d);
        const ids = Int32Array.from(own, idOf);
        open[s]!.sum = sumOfWords(ids, embeddings, open[s]!.sum);
        // As text the same numbers take several times as long, half of it here.
        await connection.query(
          `INSERT INTO ${next} SELECT w.id, ($2::float4[])[(w.r::int - 1) * $3::int + 1 : w.r::int * $3::int]::vector FROM unnest($1::int4[]) WITH ORDINALITY AS w(id, r)`,
          [int4Array(ids), float4Array(embeddings), d],
        );
      });
      options.onProgress?.('words', first + many, n);
    }
    if (lists > 1) options.onProgress?.('index', 0, lists);
    await all(async (connection, s) => {
      if (lists > 1)
        await connection.query(
          `CREATE INDEX ON ${next} USING ivfflat (embedding vector_ip_ops) WITH (lists = ${lists})`,
        );
      await connection.query(`ANALYZE ${next}`);
      await connection.query(`DROP TABLE IF EXISTS ${own}`);
      await connection.query(`ALTER TABLE ${next} RENAME TO ${quoted(table)}`);
      await connection.query(
        `CREATE TABLE IF NOT EXISTS ${meta} (build text NOT NULL, shard int NOT NULL, shards int NOT NULL, size int NOT NULL, dim int NOT NULL, lists int NOT NULL)`,
      );
      // float8 holds the integers up to 2^53. A table of an older build has no such column.
      await connection.query(`ALTER TABLE ${meta} ADD COLUMN IF NOT EXISTS sum float8`);
      await connection.query(`DELETE FROM ${meta}`);
      await connection.query(
        `INSERT INTO ${meta} VALUES ($1::text, $2::int, $3::int, $4::int, $5::int, $6::int, $7::float8)`,
        [build, s, count, open[s]!.size, d, lists, open[s]!.sum],
      );
    });
    // Between the first and the last of these the shards are of two builds, which `openPostgres` refuses.
    await all(async (connection) => {
      await connection.query('COMMIT');
    });
    return { vectors: n, dimensions: d, lists };
  } finally {
    // A connection that ends takes a transaction that was not committed with it.
    await Promise.all(
      open.map(async ({ connection }) => {
        await connection.query('ROLLBACK').catch(() => {});
        await connection.close();
      }),
    );
  }
}

interface Cost {
  probed: number;
  rows: number;
}

async function resolve(shards: readonly (string | SqlShard)[], limits: SqlLimits): Promise<SqlShard[]> {
  if (shards.length === 0) throw new ArgumentError(who, 'there are no shards; give at least one address');
  const urls = shards.filter((shard) => typeof shard === 'string');
  const made = urls.length > 0 ? await pgShards(urls, limits) : [];
  return shards.map((shard) => (typeof shard === 'string' ? made[urls.indexOf(shard)]! : shard));
}

/** All of them, or the first error once every one has ended: nothing goes on behind the caller's back. */
async function together<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const ends = await Promise.allSettled(promises);
  return ends.map((end) => {
    if (end.status === 'rejected') throw end.reason;
    return end.value;
  });
}

async function openShard(connection: ShardConnection, table: string): Promise<OpenShard> {
  const { name } = connection;
  const fail = (text: string): EngineError => new EngineError(who, `shard ${name}: ${text}`);
  return await connection.read(async (sql) => {
    const there = await sql.query(
      'SELECT to_regclass($1::text) IS NOT NULL, to_regclass($2::text) IS NOT NULL',
      [quoted(table), quoted(`${table}_shard`)],
    );
    if (there.rows[0]![0] !== true || there.rows[0]![1] !== true)
      throw fail(
        `there is no table ${table} of subvocab; build it with subvocab index build --engine postgres:...`,
      );
    const { rows } = await sql.query(
      `SELECT build, shard, shards, size, dim, lists, (to_jsonb(m) ->> 'sum')::float8 FROM ${quoted(`${table}_shard`)} m`,
    );
    if (rows.length !== 1) throw fail(`${table}_shard has ${rows.length} rows, not one; build it again`);
    const [build, shard, shards, size, dim, lists, sum] = rows[0] as [
      string,
      number,
      number,
      number,
      number,
      number,
      number | null,
    ];
    const column = await sql.query(
      "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass($1::text) AND attname = 'embedding'",
      [quoted(table)],
    );
    if (column.rows[0]?.[0] !== `vector(${dim})`)
      throw fail(`the column embedding of ${table} is ${column.rows[0]?.[0]}, not vector(${dim})`);
    const indexes = await sql.query(
      "SELECT m.amname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam WHERE i.indrelid = to_regclass($1::text) AND i.indisvalid AND m.amname IN ('ivfflat', 'hnsw') ORDER BY m.amname DESC",
      [quoted(table)],
    );
    const version = await sql.query("SELECT extversion FROM pg_extension WHERE extname = 'vector'");
    const [major = 0, minor = 0] = String(version.rows[0]?.[0]).split('.').map(Number);
    return {
      connection,
      build,
      shard,
      shards,
      size,
      dim,
      lists,
      sum: sum ?? undefined,
      method: indexes.rows[0]?.[0] as 'ivfflat' | 'hnsw' | undefined,
      iterative: major > 0 || minor >= 8,
    };
  });
}

/** The shards are all parts of one build, each part once. */
function checkTogether(open: readonly OpenShard[]): void {
  const [first] = open;
  const seen = new Map<number, string>();
  for (const { connection, build, shard, shards } of open) {
    const fail = (text: string): EngineError => new EngineError(who, `shard ${connection.name}: ${text}`);
    if (shards !== open.length) throw fail(`it is one of ${shards} shards, and ${open.length} are given`);
    if (build !== first!.build)
      throw fail(`it is of another build than ${first!.connection.name}; build the index again`);
    if (seen.has(shard)) throw fail(`it holds the same part as ${seen.get(shard)}; give each shard once`);
    seen.set(shard, connection.name);
  }
}

async function checkSame(sql: SqlConnection, { build, connection }: OpenShard, table: string): Promise<void> {
  const { rows } = await sql.query(`SELECT build FROM ${quoted(`${table}_shard`)}`);
  if (rows[0]?.[0] !== build)
    throw new EngineError(who, `shard ${connection.name}: ${table} was built anew; open the index again`);
}

/** The k best of one shard: through its index if there is one and it gives enough, else by comparing all words. */
async function askShard(
  sql: SqlConnection,
  shard: OpenShard,
  table: string,
  query: string,
  k: number,
  search: VocabSearchOptions,
  cost: Cost,
): Promise<ShardAnswer> {
  const { connection, method, lists, size, iterative } = shard;
  // The index gives no second order: a query by (score, id) would not use it.
  const select = `SELECT id, embedding <#> $1::vector FROM ${quoted(table)} ORDER BY`;
  const run = async (order: string, settings: Readonly<Record<string, string>>): Promise<ShardAnswer> => {
    // Compiling a plan takes longer than running it.
    for (const [name, value] of Object.entries({ jit: 'off', ...settings }))
      await sql.query('SELECT set_config($1::text, $2::text, true)', [name, value]);
    const { rows } = await sql.query(`${select} ${order} LIMIT $2::int`, [query, k]);
    cost.rows += rows.length;
    const ids = Int32Array.from(rows, ([id]) => id as number);
    // The operator is the negative inner product, so that its smallest is the best; 0 - x knows no -0.
    const scores = Float32Array.from(rows, ([, distance]) => 0 - (distance as number));
    const bad = scores.findIndex((score) => !Number.isFinite(score));
    if (bad >= 0)
      throw new EngineError(
        who,
        `shard ${connection.name}: the score of the word ${ids[bad]} is ${scores[bad]}`,
      );
    return { ids, scores, lowestIds: order.includes(', id') };
  };
  const byIndex = 'embedding <#> $1::vector';
  const use = { enable_seqscan: 'off', enable_indexscan: 'on' };
  if (method === 'ivfflat') {
    for (let probes = probesFor(search, k, lists, size); ; probes = Math.min(4 * probes, lists)) {
      const found = await run(byIndex, { ...use, 'ivfflat.probes': String(probes) });
      cost.probed += probes;
      if (found.ids.length === k) return inOrder(found);
      if (probes === lists) break;
    }
  } else if (method === 'hnsw' && search.recall === undefined) {
    // A graph cannot be told a recall; all words are compared then.
    const ef = String(Math.min(Math.max(k, 40), 1000));
    const more = iterative
      ? { 'hnsw.iterative_scan': 'relaxed_order', 'hnsw.max_scan_tuples': String(2 ** 31 - 1) }
      : {};
    const found = await run(byIndex, { ...use, 'hnsw.ef_search': ef, ...more });
    if (found.ids.length === k) return inOrder(found);
  }
  const found = await run('2, id', { enable_seqscan: 'on', enable_indexscan: 'off' });
  cost.probed++;
  if (found.ids.length !== k)
    throw new EngineError(
      who,
      `shard ${connection.name}: ${found.ids.length} words came of ${k}, and it was built with ${size}; build the index again`,
    );
  return found;
}

/** Best first: an index may give them in another order. */
function inOrder({ ids, scores, lowestIds }: ShardAnswer): ShardAnswer {
  const order = Array.from(ids, (_, i) => i).sort((a, b) => scores[b]! - scores[a]! || ids[a]! - ids[b]!);
  return {
    ids: Int32Array.from(order, (i) => ids[i]!),
    scores: Float32Array.from(order, (i) => scores[i]!),
    lowestIds,
  };
}

/** A checked name as an identifier. */
function quoted(table: string): string {
  return `"${table}"`;
}

/** A vector as pgvector reads it; the decimals of an f64 come back as the same f32. */
function textOf(vector: Float32Array): string {
  return `[${vector.join(',')}]`;
}
