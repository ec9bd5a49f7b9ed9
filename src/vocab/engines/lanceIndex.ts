import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import type * as LanceModule from '@lancedb/lancedb';
import type * as ArrowModule from 'apache-arrow';
import { gamma, unitNearest } from '../../core/bounds.ts';
import { ArgumentError, EngineError } from '../../core/errors.ts';
import { Best } from '../../ref/lib/best.ts';
import { checkQueries } from '../checkQueries.ts';
import type { RowSource } from '../rowSource.ts';
import type { Found } from '../vocabIndex.ts';
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
  pieces,
  probesFor,
  sumOfWords,
} from './engineIndex.ts';
import { optionalPackage } from './optionalPackage.ts';

const who = 'lancedb';
/** Names the version of the table that a finished build left. */
const tag = 'subvocab';
/** Key in the metadata of the table's schema. */
const key = 'subvocab';

/** What a build writes beside the words. */
interface LanceMeta {
  readonly format: 1;
  readonly build: string;
  readonly size: number;
  readonly dim: number;
  readonly lists: number;
  /** No word is longer. */
  readonly longest: number;
  /** `sumOfWords`; builds of before have none. */
  readonly sum?: number;
}

/** Options of `openLance`. */
export interface LanceOptions {
  /** Default `subvocab_words`. */
  readonly table?: string;
  /**
   * Default true: the vectors of the candidates are read and scored here. False takes the engine's f32 scores, several times
   * faster: right within `relativeError` for words that are not a million times shorter than the longest.
   */
  readonly rescore?: boolean;
  /** For object storage: keys, regions, endpoints, as LanceDB names them. */
  readonly storageOptions?: Readonly<Record<string, string>>;
  /** Milliseconds that one question to the storage may take when reading; then the call fails. Default 120,000. */
  readonly timeout?: number;
}

/**
 * Open a vocabulary in a LanceDB database: a folder, or a URI such as `s3://bucket/path`.
 *
 * The version that the last finished build left is read, whatever is written later. LanceDB finds candidates; their vectors come
 * back and are scored here in f64, so scores and the order are those of the reference. With an index (`lists` > 1) the words
 * outside of the probed lists are not looked at; without one a search is exact: candidates are asked for until the last one
 * of them is below the k-th score by more than the engine's rounding.
 * @throws EngineError, also where the storage does not answer in time; ArgumentError; UnsupportedError without the package
 */
export async function openLance(uri: string, options: LanceOptions = {}): Promise<EngineIndex> {
  const name = checkTable(who, options.table ?? defaultTable);
  const where = `${redact(uri)}, table ${name}`;
  const { timeout = 120_000 } = options;
  if (!(timeout >= 1 && timeout < 2 ** 31))
    throw new ArgumentError(who, `timeout is ${timeout} ms; it must be from 1 to ${2 ** 31 - 1}`);
  /** What `work` gives, or an error that names the table. */
  const guard = async <R>(work: () => Promise<R>, remedy = ''): Promise<R> => {
    try {
      return await within(timeout, work());
    } catch (error) {
      throw error instanceof EngineError ? error : failure(where, error, remedy);
    }
  };
  const db = await guard(() => connect(uri, options));
  const table = await guard(
    () => db.openTable(name),
    '; build it with subvocab index build --engine lancedb:...',
  );
  const version = await guard(
    async () => (await table.tags()).getVersion(tag),
    '; it holds no finished build of subvocab: repeat index build',
  );
  const meta = await guard(async () => {
    await table.checkout(version);
    return parseMeta(where, (await table.schema()).metadata.get(key), await table.countRows());
  });
  const { size, dim: d, lists, longest } = meta;
  const { rescore = true } = options;

  /** The `ask` rows that LanceDB finds nearest; all lists and no index where `probes` is undefined. */
  const nearest = async (
    query: Float32Array,
    ask: number,
    probes: number | undefined,
  ): Promise<LanceRows> => {
    let search = table.query().nearestTo(query).column('vector').distanceType('dot').limit(ask);
    search = probes === undefined ? search.bypassVectorIndex() : search.nprobes(probes);
    const columns = rescore ? ['id', 'vector', '_distance'] : ['id', '_distance'];
    const found = await guard(() => search.select(columns).toArrow());
    return rowsOf(where, found, d, rescore);
  };

  const searchOne = async (query: Float32Array, k: number, first: number, cost: Cost): Promise<Best> => {
    const { scaled, scale } = scaleQuery(query, longest);
    // |distance - (1 - q . e)| for any word, in the engine's f32 arithmetic, with the query as it is sent.
    const off = rescore
      ? gamma(d + 2, unitNearest) * norm(scaled) * longest + 2 * unitNearest + d * 2 ** -126
      : 0;
    let probes: number | undefined = lists > 1 ? first : undefined;
    let ask = Math.min(k + 64 + (k >> 5), size);
    for (;;) {
      let now = performance.now();
      const { ids, vectors, distances } = await nearest(scaled, ask, probes);
      const count = ids.length;
      cost.probed += probes ?? lists;
      cost.rows += count;
      cost.read += performance.now() - now;
      if (probes === undefined && count < ask)
        throw new EngineError(who, `${where}: ${count} rows came, ${ask} exist`);
      if (count < k && probes !== undefined) {
        // Too few words in these lists: more of them, then the whole table.
        probes = probes < lists ? Math.min(4 * probes, lists) : undefined;
        continue;
      }
      now = performance.now();
      const scores = new Float64Array(count);
      for (let i = 0; i < count; i++) {
        let sum = rescore ? 0 : (1 - distances[i]!) * scale;
        if (rescore) for (let j = 0; j < d; j++) sum += query[j]! * vectors[i * d + j]!;
        if (!Number.isFinite(sum))
          throw new EngineError(who, `${where}: the score of word ${ids[i]} is ${sum}`);
        // A zero has no sign here.
        scores[i] = sum + 0;
      }
      if (new Set(ids).size < count) throw new EngineError(who, `${where}: an id occurs twice in the table`);
      const best = new Best(k, count);
      best.add(scores, 1, ids, 0, count);
      cost.scan += performance.now() - now;
      // Every word that did not come is at least as far as the last one that did.
      const above = Math.fround((1 - distances[count - 1]! + off) * scale);
      const least = Math.fround(scores.toSorted()[count - k]!);
      if (count < ask || ask === size || least > above) return best;
      ask = Math.min(2 * ask, size);
    }
  };

  return {
    kind: 'lancedb',
    size,
    dim: d,
    version,
    exact: lists === 1,
    relativeError: rescore ? gamma(2) : gamma(d + 4),
    lists,
    parts: [{ name: where, size }],
    sum: meta.sum,
    async search(queries, k, search = {}): Promise<Found> {
      const count = checkQueries(queries, d, k);
      const wanted = Math.min(k, size);
      const first = probesFor(search, k, lists, size);
      const cost: Cost = { probed: 0, rows: 0, read: 0, scan: 0 };
      const ids = new Int32Array(count * k).fill(-1);
      const scores = new Float32Array(count * k).fill(Number.NEGATIVE_INFINITY);
      let select = 0;
      for (let q = 0; wanted > 0 && q < count; q++) {
        const best = await searchOne(queries.slice(q * d, (q + 1) * d), wanted, first, cost);
        const now = performance.now();
        const { rows, scores: own } = best.take(true);
        ids.set(rows, q * k);
        scores.set(own, q * k);
        select += performance.now() - now;
      }
      return {
        ids,
        scores,
        counts: new Int32Array(count).fill(wanted),
        stats: {
          listsProbed: cost.probed,
          scanned: cost.rows,
          bytesRead: cost.rows * (rescore ? 4 * d + 8 : 8),
          ms: { choose: 0, read: cost.read, scan: cost.scan, select },
        },
      };
    },
    async *rows(): AsyncIterable<EngineRows> {
      let seen = 0;
      const stream = table.query().select(['id', 'vector'])[Symbol.asyncIterator]();
      for (;;) {
        const { value: batch, done } = await guard(() => stream.next());
        if (done) break;
        const piece = rowsOf(where, { batches: [batch] }, d, true);
        seen += piece.ids.length;
        yield piece;
      }
      if (seen !== size) throw new EngineError(who, `${where}: ${seen} rows came, ${size} exist`);
    },
    async embeddings(ids) {
      const wanted = [...new Set(ids)];
      const found: EngineRows[] = [];
      for (let i = 0; i < wanted.length; i += 8192) {
        const some = wanted.slice(i, i + 8192);
        const piece = await guard(() =>
          table
            .query()
            .where(`id IN (${some.join(', ')})`)
            .select(['id', 'vector'])
            .toArrow(),
        );
        found.push(rowsOf(where, piece, d, true));
      }
      return inAskedOrder(who, where, ids, found, d);
    },
    async [Symbol.asyncDispose]() {
      table.close();
      db.close();
    },
  };
}

/**
 * Put a vocabulary into a LanceDB database, in place of one of the same name. Readers see the old one until the new one is
 * complete: the last step moves the tag `subvocab` to it, and a build that was stopped leaves the tag where it was.
 * @throws ArgumentError, FormatError before anything is written; EngineError
 */
export async function buildLance(
  uri: string,
  source: RowSource,
  options: EngineBuildOptions & LanceOptions = {},
): Promise<EngineBuildReport> {
  const name = checkTable(who, options.table ?? defaultTable);
  const { n, d } = source;
  const lists = listsFor(who, n, options.lists);
  const { longest } = checkBuild('index build', source, options);
  const where = `${redact(uri)}, table ${name}`;
  const idsOf = (first: number, count: number): Int32Array =>
    options.ids?.slice(first, first + count) ?? Int32Array.from({ length: count }, (_, i) => first + i);
  let sum = 0;
  for (const { first, count, vectors } of pieces(source, options.piece))
    sum = sumOfWords(idsOf(first, count), vectors, sum);
  const meta: LanceMeta = {
    format: 1,
    build: randomBytes(12).toString('hex'),
    size: n,
    dim: d,
    lists,
    longest,
    sum,
  };
  const lance = await lanceModule();
  const arrow = await optionalPackage<typeof ArrowModule>(who, 'apache-arrow', 'LanceDB');
  const db = await connect(uri, options);
  let table: LanceModule.Table | undefined;
  try {
    for (const { first, count, vectors } of pieces(source, options.piece)) {
      const data = arrowTable(arrow, idsOf(first, count), vectors, d, meta);
      if (table === undefined) table = await db.createTable(name, data, { mode: 'overwrite' });
      else await table.add(data);
      options.onProgress?.('words', first + count, n);
    }
    if (table === undefined) return { vectors: 0, dimensions: d, lists };
    if (lists > 1) {
      options.onProgress?.('index', 0, lists);
      const config = lance.Index.ivfFlat({ distanceType: 'dot', numPartitions: lists });
      await table.createIndex('vector', { config });
      options.onProgress?.('index', lists, lists);
    }
    // Embeddings are asked for by id; without this each question reads all ids.
    if (n >= 1000) await table.createIndex('id', { config: lance.Index.btree() });
    // Another builder may have written to the table meanwhile: only what is whole gets the tag.
    const stored = (await table.schema()).metadata.get(key);
    const rows = await table.countRows();
    if (stored !== JSON.stringify(meta) || rows !== n)
      throw new EngineError(who, `${where}: another build wrote to the table at the same time; build again`);
    const tags = await table.tags();
    const version = await table.version();
    if (tag in (await tags.list())) await tags.update(tag, version);
    else await tags.create(tag, version);
  } catch (error) {
    throw error instanceof EngineError ? error : failure(where, error);
  } finally {
    table?.close();
    db.close();
  }
  return { vectors: n, dimensions: d, lists };
}

interface Cost {
  probed: number;
  rows: number;
  read: number;
  scan: number;
}

interface LanceRows extends EngineRows {
  /** 1 - q . e, in f32; empty where no query was asked. */
  readonly distances: Float32Array;
}

async function lanceModule(): Promise<typeof LanceModule> {
  // Its log warns of every empty list.
  process.env.LANCEDB_LOG ??= 'error';
  return await optionalPackage<typeof LanceModule>(who, '@lancedb/lancedb', 'LanceDB');
}

async function connect(uri: string, { storageOptions }: LanceOptions): Promise<LanceModule.Connection> {
  const lance = await lanceModule();
  // A folder whose name begins like one of LanceDB's own schemes is a folder.
  const place = /^[a-z0-9+.-]+:\/\//i.test(uri) ? uri : resolve(uri);
  try {
    return await lance.connect(place, storageOptions ? { storageOptions: { ...storageOptions } } : {});
  } catch (error) {
    throw failure(redact(uri), error);
  }
}

function arrowTable(
  arrow: typeof ArrowModule,
  ids: Int32Array,
  vectors: Float32Array,
  d: number,
  meta: LanceMeta,
): ArrowModule.Table {
  const { Field, FixedSizeList, Float32, Int32, makeData, Struct } = arrow;
  const list = new FixedSizeList(d, new Field('item', new Float32(), true));
  const fields = [new Field('id', new Int32(), false), new Field('vector', list, false)];
  const schema = new arrow.Schema(fields, new Map([[key, JSON.stringify(meta)]]));
  const children = [
    makeData({ type: new Int32(), data: ids }),
    makeData({
      type: list,
      length: ids.length,
      nullCount: 0,
      child: makeData({ type: new Float32(), data: vectors }),
    }),
  ];
  const rows = makeData({ type: new Struct(fields), length: ids.length, nullCount: 0, children });
  return new arrow.Table(schema, [new arrow.RecordBatch(schema, rows as never)]);
}

/** The columns of a result, however many batches it came in; no vectors where none were asked for. */
function rowsOf(
  where: string,
  table: { readonly batches: readonly ArrowModule.RecordBatch[] },
  d: number,
  withVectors: boolean,
): LanceRows {
  const count = table.batches.reduce((sum, batch) => sum + batch.numRows, 0);
  const out = {
    ids: new Int32Array(count),
    vectors: new Float32Array(withVectors ? count * d : 0),
    distances: new Float32Array(count),
  };
  let at = 0;
  for (const batch of table.batches) {
    const rows = batch.numRows;
    const data = (column: string): ArrowModule.Data | undefined => batch.getChild(column)?.data[0];
    const [ids, vectors, distances] = [data('id'), data('vector'), data('_distance')];
    const refuse = (): EngineError =>
      new EngineError(who, `${where}: not a table of ids (int32) and vectors of ${d} float32`);
    if (!(ids?.values instanceof Int32Array) || ids.nullCount > 0) throw refuse();
    out.ids.set(ids.values.subarray(0, rows), at);
    if (withVectors) {
      const elements = vectors?.children[0];
      if (
        !(elements?.values instanceof Float32Array) ||
        vectors!.nullCount + elements.nullCount > 0 ||
        elements.length !== rows * d
      )
        throw refuse();
      out.vectors.set(elements.values.subarray(0, rows * d), at * d);
    }
    if (distances !== undefined) out.distances.set(distances.values.subarray(0, rows), at);
    at += rows;
  }
  return out;
}

function parseMeta(where: string, text: string | undefined, rows: number): LanceMeta {
  try {
    const meta = JSON.parse(text ?? '') as LanceMeta;
    const { format, size, dim, lists, longest } = meta;
    if (format === 1 && size === rows && dim >= 1 && lists >= 1 && longest >= 0) return meta;
  } catch {
    // Told below.
  }
  throw new EngineError(who, `${where}: ${rows} rows with the description ${text}; build it again`);
}

/**
 * The query times a power of two, exact: 1 - q . e is rounded as if the 1 were not there once |q| |e| is large. `scale` takes a
 * score back.
 */
function scaleQuery(query: Float32Array, longest: number): { scaled: Float32Array; scale: number } {
  const length = norm(query);
  const reach = length * longest;
  const power = reach > 0 ? Math.round(20 - Math.log2(reach)) : 0;
  // The largest element must stay a normal number.
  const most = length > 0 ? 100 - Math.ceil(Math.log2(length)) : 0;
  const scale = 2 ** -Math.max(Math.min(power, most, 100), 0);
  return { scaled: query.map((v) => v / scale), scale };
}

function norm(x: Float32Array): number {
  let sum = 0;
  for (const v of x) sum += v * v;
  return Math.sqrt(sum);
}

/** A URI without the name and password that it may carry. */
function redact(uri: string): string {
  return uri.replace(/^([a-z0-9+.-]+:\/\/)[^/@]*@/i, '$1');
}

function failure(where: string, error: unknown, remedy = ''): EngineError {
  const reason = reasonOf((error as Error).message);
  return new EngineError(who, `${where}: ${reason}${remedy}`, { cause: error });
}

/** The sentence in a message of LanceDB. Rust adds a chain of causes, the place in its source, and prints errors of a store as values. */
function reasonOf(message: string): string {
  const line = message
    .split('\n', 1)[0]!
    .replace(/\s*Caused by:.*$/, '')
    .replace(/, location: .*$/, '')
    .replace(/, \/\S+\.rs(:\d+)*$/, '');
  const [head = '', value] = line.split(/:? *\b(?:IO|Generic) \{/, 2);
  if (value === undefined) return line;
  const answer = /<Code>([^<]*)<\/Code>(?:\\n|\s)*(?:<Message>([^<]*))?/.exec(line);
  const reason = answer
    ? [answer[1], answer[2]].filter(Boolean).join(': ')
    : (/message: \\?"([^"\\]*)/.exec(line)?.[1] ?? line.slice(head.length));
  const [, place] = /uri: Some\(([^?)]*)/.exec(line) ?? [];
  const cause = `${reason.slice(0, 300)}${place === undefined ? '' : ` (${place})`}`;
  const about = head.replace(/^Invalid input, /, '');
  return about === '' ? cause : `${about}: ${cause}`;
}

/** The result of `work`, or an error once `ms` milliseconds have passed; what was asked for is then left alone. */
async function within<R>(ms: number, work: Promise<R>): Promise<R> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
