import { FormatError } from '../../core/errors.ts';
import { readAnnFolder } from '../../core/formats/annFolder.ts';
import { encode } from '../../core/formats/dtypes.ts';
import { checkOutputs, writeFiles } from '../../core/formats/files.ts';
import { shapeOfIndex } from '../../core/ops/hierarchicalAnn.ts';
import { type EngineIndex, sumOfWords } from '../../vocab/engines/engineIndex.ts';
import { kindOfIndex } from '../../vocab/words/wordFormat.ts';
import { openWords, type WordIndex } from '../../vocab/words/wordIndex.ts';
import { folderOf, type MaybeEngine, onlyEngine, openEngine } from '../engines.ts';
import { print } from '../frame.ts';

interface Given extends MaybeEngine {
  readonly index?: string;
  readonly json?: true;
}

/** What every index has. */
interface Summary {
  readonly kind: 'vectors' | 'words';
  readonly metric: string;
  readonly vectors: number;
  readonly dimensions: number;
  readonly lists: number;
  readonly shortest: number;
  readonly longest: number;
  readonly bytesPerVector: number;
}

/** An index of words has this in its description; the other kind is read by `readAnnFolder`, which says what is wrong. */
export function isWords(path: string): boolean {
  return kindOfIndex(path) === 'words';
}

/** `subvocab index info`. */
export async function info(given: Given): Promise<void> {
  const { json } = given;
  if (given.engine !== undefined) {
    await using index = await openAsked('index info', given);
    showEngine(index, json);
    return;
  }
  const path = folderOf('index info', '--index', given.index, given);
  if (isWords(path)) {
    await using words = openWords(path);
    show(summaryOfWords(words), json);
    return;
  }
  show(summaryOfVectors(path), json);
}

/** `subvocab index verify`. Everything that reading an index checks, and of words also each list and each id. */
export async function verify(given: Given): Promise<void> {
  const { json } = given;
  if (given.engine !== undefined) {
    await using index = await openAsked('index verify', given);
    await checkEngine(index);
    showEngine(index, json, { verified: true });
    return;
  }
  const path = folderOf('index verify', '--index', given.index, given);
  let summary: Summary;
  if (isWords(path)) {
    await using words = openWords(path);
    checkIds(path, words);
    summary = summaryOfWords(words);
  } else {
    summary = summaryOfVectors(path);
  }
  if (json) print(JSON.stringify({ ...summary, verified: true }));
  else {
    show(summary);
    print('everything is as it was written');
  }
}

/** `subvocab index export`. */
export async function exportIndex(given: Given & { readonly out: string }): Promise<void> {
  const { out, json } = given;
  const op = 'index export';
  const files = [`${out}.fbin`, `${out}.ibin`] as const;
  checkOutputs(op, [...files]);
  if (given.engine !== undefined) {
    await using index = await openAsked(op, given);
    await exportEngine(op, index, files);
    if (json) showEngine(index, json, { files });
    return;
  }
  const path = folderOf(op, '--index', given.index, given);
  let summary: Summary;
  if (isWords(path)) {
    await using words = openWords(path);
    summary = summaryOfWords(words);
    await writeFiles(op, [
      { path: files[0], chunks: vectorsOfWords(words) },
      { path: files[1], chunks: idsOfWords(words) },
    ]);
  } else {
    const index = readAnnFolder(path);
    summary = summaryOfVectors(path);
    const ids = Int32Array.from(index.order.data as Int32Array, (row) => index.ids.data[row]!);
    await writeFiles(op, [
      { path: files[0], chunks: [head(summary.vectors, summary.dimensions), encode(index.vectors.data)] },
      { path: files[1], chunks: [head(summary.vectors, 1), encode(ids)] },
    ]);
  }
  if (json) print(JSON.stringify({ ...summary, files }));
}

export { exportIndex as export };

async function openAsked(op: string, given: Given): Promise<EngineIndex> {
  onlyEngine(op, given);
  return await openEngine(op, given.engine!, given.table);
}

function showEngine({ kind, size, dim, lists, parts }: EngineIndex, json?: true, more: object = {}): void {
  if (json)
    print(JSON.stringify({ kind, metric: 'ip', vectors: size, dimensions: dim, lists, parts, ...more }));
  else {
    const how = lists === 1 ? 'no index: every search is exact' : `${lists} lists`;
    print(
      [
        `words in ${kind}, searched by ip`,
        `${size} of ${dim} elements, ${how}`,
        ...parts.map((p) => `${p.size} in ${p.name}`),
        ...('verified' in more ? ['everything is as it was written'] : []),
      ].join('\n'),
    );
  }
}

/** Every word is there once, and is finite. */
async function checkEngine(index: EngineIndex): Promise<void> {
  const all = new Int32Array(index.size);
  let [at, sum] = [0, 0];
  const refuse = (message: string): FormatError => new FormatError('index verify', message);
  for await (const { ids, vectors } of index.rows()) {
    const bad = vectors.findIndex((v) => !Number.isFinite(v));
    if (bad >= 0)
      throw refuse(
        `the word ${ids[Math.floor(bad / index.dim)]} holds ${vectors[bad]}; build the index again`,
      );
    if (at + ids.length > index.size) throw refuse(`there are more than ${index.size} words`);
    all.set(ids, at);
    at += ids.length;
    sum = sumOfWords(ids, vectors, sum);
  }
  if (index.sum !== undefined && sum !== index.sum)
    throw refuse('the words are not those that were written; build the index again');
  all.sort();
  const twice = all.findIndex((id, i) => i > 0 && id === all[i - 1]);
  if (twice >= 0) throw refuse(`the id ${all[twice]} occurs twice; build the index again`);
}

async function exportEngine(op: string, index: EngineIndex, files: readonly [string, string]): Promise<void> {
  const all: Int32Array[] = [];
  const vectors = async function* (): AsyncIterable<Uint8Array> {
    yield head(index.size, index.dim);
    for await (const piece of index.rows()) {
      all.push(piece.ids);
      yield encode(piece.vectors);
    }
  };
  // The files are written one after the other: the ids are known by then.
  const ids = function* (): Iterable<Uint8Array> {
    yield head(index.size, 1);
    for (const piece of all) yield encode(piece);
  };
  await writeFiles(op, [
    { path: files[0], chunks: vectors() },
    { path: files[1], chunks: ids() },
  ]);
}

function summaryOfVectors(path: string): Summary {
  const { n, d, metric, lists, levels } = shapeOfIndex('index info', readAnnFolder(path));
  return {
    kind: 'vectors',
    metric,
    vectors: n,
    dimensions: d,
    lists,
    ...sizes(levels.at(-1)?.offsets.data ?? [0, n]),
    bytesPerVector: 4 * d + 8,
  };
}

function summaryOfWords({ size, dim, meta, offsets }: WordIndex): Summary {
  return {
    kind: 'words',
    metric: 'ip',
    vectors: size,
    dimensions: dim,
    lists: meta.lists,
    ...sizes(offsets),
    bytesPerVector: meta.bytes / size,
  };
}

function sizes(offsets: ArrayLike<number>): { shortest: number; longest: number } {
  let [shortest, longest] = [Infinity, 0];
  for (let l = 0; l + 1 < offsets.length; l++) {
    const size = offsets[l + 1]! - offsets[l]!;
    [shortest, longest] = [Math.min(shortest, size), Math.max(longest, size)];
  }
  return { shortest, longest };
}

function show(s: Summary, json?: true): void {
  if (json) print(JSON.stringify(s));
  else
    print(
      [
        `${s.kind === 'words' ? 'words as bytes, on disk' : 'vectors in f32'}, searched by ${s.metric}`,
        `${s.vectors} of ${s.dimensions} elements, ${s.bytesPerVector} bytes each`,
        `${s.lists} lists of ${s.shortest} to ${s.longest}`,
      ].join('\n'),
    );
}

/** Each id from 0 to size - 1 occurs once, ascending within a list. */
function checkIds(path: string, words: WordIndex): void {
  const seen = new Uint8Array(words.size);
  let list = 0;
  for (const { ids, scales } of words.lists()) {
    for (const [i, id] of ids.entries()) {
      if (!(id >= 0 && id < words.size) || seen[id] !== 0 || (i > 0 && id < ids[i - 1]!))
        throw new FormatError('index verify', `${path}: list ${list} holds the id ${id} out of place`);
      if (!(scales[i]! >= 0 && scales[i]! < Infinity))
        throw new FormatError('index verify', `${path}: list ${list} holds the scale ${scales[i]}`);
      seen[id] = 1;
    }
    list++;
  }
}

function head(rows: number, columns: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(rows, columns).buffer);
}

function* vectorsOfWords(words: WordIndex): Iterable<Uint8Array> {
  const d = words.dim;
  yield head(words.size, d);
  for (const { count, stride, codes, scales } of words.lists()) {
    const out = new Float32Array(count * d);
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < d; j++) out[i * d + j] = codes[i * stride + j]! * scales[i]!;
    }
    yield encode(out);
  }
}

function* idsOfWords(words: WordIndex): Iterable<Uint8Array> {
  yield head(words.size, 1);
  for (const { ids } of words.lists()) yield encode(ids.slice());
}
