import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { FormatError } from '../../core/errors.ts';
import type { ListModel } from './listModel.ts';

/** A description is no longer than this. */
export const metaLimit: number = 2 ** 20;

/** What a folder holds by its meta.json: words on disk, vectors for memory, or no index. */
export function kindOfIndex(folder: string): 'words' | 'vectors' | undefined {
  const file = join(folder, 'meta.json');
  const there = fs.statSync(file, { throwIfNoEntry: false });
  if (!there?.isFile() || there.size > metaLimit) return undefined;
  const text = fs.readFileSync(file, 'utf8');
  return text.includes('"subvocab words"')
    ? 'words'
    : text.includes('"subvocab-index"')
      ? 'vectors'
      : undefined;
}

/** The version of the files; others are refused. */
export const wordVersion = 2;

/**
 * meta.json of an index of words. Beside it lie heads.bin (where lists start, their CRC-32, their models) and
 * lists.bin (list after list: codes [m, stride], scales f32 [m], ids i32 [m]).
 */
export interface WordMeta {
  readonly format: 'subvocab words';
  readonly version: number;
  readonly words: number;
  readonly dimensions: number;
  readonly lists: number;
  /** Length of lists.bin. */
  readonly bytes: number;
  /** SHA-256 of heads.bin. */
  readonly heads: string;
  readonly build: Readonly<Record<string, unknown>>;
}

/** The text of meta.json: one line for the SHA-256 of the rest, then the rest. */
export function metaText(meta: WordMeta): string {
  const body = JSON.stringify(meta, null, 1);
  return `${JSON.stringify({ sha256: createHash('sha256').update(body).digest('hex') })}\n${body}\n`;
}

/** Read meta.json. @throws FormatError */
export function parseMeta(text: string, fail: (message: string) => FormatError): WordMeta {
  const end = text.indexOf('\n');
  const body = text.slice(end + 1, -1);
  let meta: Partial<WordMeta>;
  let head: { sha256?: unknown };
  try {
    head = JSON.parse(text.slice(0, Math.max(end, 0)));
    meta = JSON.parse(body);
  } catch (error) {
    throw fail(`it is not the description of an index of words: ${(error as Error).message}`);
  }
  if (meta?.format !== 'subvocab words') throw fail('it is not the description of an index of words');
  if (meta.version !== wordVersion)
    throw fail(`it has version ${JSON.stringify(meta.version)}; this package reads version ${wordVersion}`);
  if (!text.endsWith('\n') || head?.sha256 !== createHash('sha256').update(body).digest('hex'))
    throw fail('its SHA-256 is another; the file is damaged');
  return meta as WordMeta;
}

/** heads.bin: offsets, CRC-32 of each list, numbers of the models, codes of the models. */
export function headBytes(model: ListModel, offsets: Int32Array, sums: Uint32Array): Uint8Array<ArrayBuffer> {
  const parts = [offsets, sums, model.numbers, model.codes];
  const out = new Uint8Array(parts.reduce((size, part) => size + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    out.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
    at += part.byteLength;
  }
  return out;
}

/** Read heads.bin. @throws FormatError */
export function parseHeads(
  bytes: Uint8Array<ArrayBuffer>,
  { dimensions: d, lists, words, heads: sha }: WordMeta,
  fail: (message: string) => FormatError,
): { model: ListModel; offsets: Int32Array; sums: Uint32Array } {
  const stride = Math.ceil(d / 16) * 16;
  const size = 4 * (lists + 1) + 4 * lists + 16 * lists + stride * lists;
  if (bytes.length !== size)
    throw fail(`it has ${bytes.length} bytes, not ${size}; the file is truncated or of another index`);
  if (createHash('sha256').update(bytes).digest('hex') !== sha)
    throw fail('its SHA-256 is not that of the index; the file is damaged');
  let at = bytes.byteOffset;
  const take = <A>(
    make: new (buffer: ArrayBuffer, at: number, length: number) => A,
    length: number,
    width: number,
  ): A => {
    const part = new make(bytes.buffer, at, length);
    at += length * width;
    return part;
  };
  const offsets = take(Int32Array, lists + 1, 4);
  const sums = take(Uint32Array, lists, 4);
  const numbers = take(Float32Array, 4 * lists, 4);
  const codes = take(Int8Array, lists * stride, 1);
  const falls = offsets.findIndex((s, i) => i > 0 && s < offsets[i - 1]!);
  if (offsets[0] !== 0 || offsets.at(-1) !== words || falls >= 0)
    throw fail(`the starts of its lists do not run from 0 to ${words}`);
  return { model: { d, lists, codes, numbers }, offsets, sums };
}
