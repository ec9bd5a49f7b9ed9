import { crc32 } from 'node:zlib';
import { ArgumentError } from '../../core/errors.ts';
import { nprobeOf } from '../checkQueries.ts';
import type { RowSource } from '../rowSource.ts';
import type { VocabIndex, VocabSearchOptions } from '../vocabIndex.ts';

/** Words as an engine holds them. */
export interface EngineRows {
  readonly ids: Int32Array;
  /** [ids.length, dim] */
  readonly vectors: Float32Array;
}

/** A vocabulary in a database. */
export interface EngineIndex extends VocabIndex {
  readonly kind: 'lancedb' | 'postgres';
  /** Lists of the engine's own index in each part; 1 where it has none and every search is exact. */
  readonly lists: number;
  /** Where the words are: one table, or a table per shard. */
  readonly parts: readonly { readonly name: string; readonly size: number }[];
  /** `sumOfWords` over all words as they were built; undefined where an older build did not store it. */
  readonly sum: number | undefined;
  /** All words, piece by piece. */
  rows(): AsyncIterable<EngineRows>;
  /**
   * The embeddings of some words, f32 [ids.length, dim], in the order of the ids, which may repeat.
   * @throws ArgumentError for a word that is not there; EngineError
   */
  embeddings(ids: Int32Array): Promise<Float32Array>;
}

/** How a vocabulary is put into an engine. */
export interface EngineBuildOptions {
  /** Default `subvocab_words`. */
  readonly table?: string;
  /** Lists of the engine's index, in each part; 1 makes none: every search is then exact. Default: one per 250 words, none below 10,000. */
  readonly lists?: number;
  /** An id per word, 0 to 2^31 - 1, all different; default 0, 1, 2, ... */
  readonly ids?: Int32Array;
  /** Words that are read and sent at a time. Default: 65,536, or fewer that hold 2^22 numbers. */
  readonly piece?: number;
  readonly onProgress?: (stage: 'check' | 'words' | 'index', done: number, of: number) => void;
}

/** What a build put there. */
export interface EngineBuildReport {
  readonly vectors: number;
  readonly dimensions: number;
  readonly lists: number;
}

export const defaultTable = 'subvocab_words';

/** Names of tables are identifiers in every engine, and are never quoted out of. @throws ArgumentError */
export function checkTable(op: string, table: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,39}$/.test(table))
    throw new ArgumentError(
      op,
      `the table is ${JSON.stringify(table)}; use up to 40 letters, digits and _, no digit first`,
    );
  return table;
}

/** Rows in the order in which they were asked for. @throws ArgumentError for a word that did not come */
export function inAskedOrder(
  op: string,
  where: string,
  asked: Int32Array,
  found: readonly EngineRows[],
  d: number,
): Float32Array {
  const place = new Map<number, Float32Array>();
  for (const { ids, vectors } of found)
    for (const [i, id] of ids.entries()) place.set(id, vectors.subarray(i * d, (i + 1) * d));
  const out = new Float32Array(asked.length * d);
  for (const [i, id] of asked.entries()) {
    const row = place.get(id);
    if (row === undefined) throw new ArgumentError(op, `${where}: there is no word ${id}`);
    out.set(row, i * d);
  }
  return out;
}

/** How many words are read from a source, and sent, at a time. */
export function pieceOf(d: number): number {
  return Math.max(1, Math.min(65536, Math.floor(2 ** 22 / d)));
}

/** The source in pieces. */
export function* pieces(
  source: RowSource,
  piece: number = pieceOf(source.d),
): Iterable<{ first: number; count: number; vectors: Float32Array }> {
  const { n, d } = source;
  for (let first = 0; first < n; ) {
    const count = Math.min(piece, n - first);
    const vectors = new Float32Array(count * d);
    source.fill(first, count, vectors);
    yield { first, count, vectors };
    first += count;
  }
}

/**
 * Check all that is to be stored before an engine is touched.
 * @returns the length of the longest word
 * @throws ArgumentError, and FormatError for NaN or Infinity
 */
export function checkBuild(
  op: string,
  source: RowSource,
  { ids, piece = 1, onProgress }: EngineBuildOptions,
): { longest: number } {
  const { n, d } = source;
  if (n === 0 || d === 0) throw new ArgumentError(op, `there are no vectors: ${n} of ${d} elements`);
  if (!Number.isInteger(piece) || piece < 1)
    throw new ArgumentError(op, `piece is ${piece}; it must be an integer from 1 on`);
  if (ids !== undefined) {
    if (ids.length !== n) throw new ArgumentError(op, `there are ${ids.length} ids for ${n} vectors`);
    const sorted = ids.slice().sort();
    if (sorted[0]! < 0)
      throw new ArgumentError(op, `there is an id ${sorted[0]}; ids are integers from 0 to 2^31 - 1`);
    const twice = sorted.findIndex((id, i) => i > 0 && id === sorted[i - 1]);
    if (twice >= 0)
      throw new ArgumentError(op, `the id ${sorted[twice]} occurs twice; every vector needs its own`);
  } else if (n > 2 ** 31) throw new ArgumentError(op, `${n} vectors have no ids below 2^31`);
  let longest = 0;
  for (const { first, count, vectors } of pieces(source)) {
    for (let i = 0; i < count; i++) {
      let squares = 0;
      for (let j = i * d; j < (i + 1) * d; j++) squares += vectors[j]! * vectors[j]!;
      longest = Math.max(longest, squares);
    }
    onProgress?.('check', first + count, n);
  }
  return { longest: Math.sqrt(longest) };
}

/** The sum of the CRC-32 of each word's id and vector, modulo 2^52: engines give words in any order, and keep no sums of their own. */
export function sumOfWords(ids: Int32Array, vectors: Float32Array, before = 0): number {
  const d = vectors.length / ids.length;
  const one = (a: Int32Array | Float32Array, from: number, to: number): Uint8Array =>
    new Uint8Array(a.buffer, a.byteOffset + 4 * from, 4 * (to - from));
  let sum = before;
  for (let i = 0; i < ids.length; i++) {
    sum += crc32(one(vectors, i * d, (i + 1) * d), crc32(one(ids, i, i + 1)));
    if (sum >= 2 ** 52) sum -= 2 ** 52;
  }
  return sum;
}

/** How many lists an index gets. @throws ArgumentError */
export function listsFor(op: string, words: number, lists: number | undefined): number {
  if (lists === undefined) return words < 10_000 ? 1 : Math.ceil(words / 250);
  if (!Number.isInteger(lists) || lists < 1 || lists > Math.max(words, 1))
    throw new ArgumentError(op, `lists is ${lists}; it must be an integer from 1 to ${words}`);
  return lists;
}

/** How many lists a search looks into first. @throws ArgumentError */
export function probesFor(search: VocabSearchOptions, k: number, lists: number, words: number): number {
  const nprobe = nprobeOf(search, lists);
  const probes = nprobe ?? Math.min(Math.max(Math.ceil((64 * k * lists) / Math.max(words, 1)), 16), lists);
  if (!Number.isInteger(probes) || probes < 1 || (probes > lists && lists > 1))
    throw new ArgumentError(
      'search',
      `nprobe is ${nprobe}; it must be from 1 to ${lists}, the number of lists`,
    );
  return probes;
}
