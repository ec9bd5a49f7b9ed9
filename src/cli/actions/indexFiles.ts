import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FormatError } from '../../core/errors.ts';
import { readAnnFolder } from '../../core/formats/annFolder.ts';
import { encode } from '../../core/formats/dtypes.ts';
import { checkOutputs, writeFiles } from '../../core/formats/files.ts';
import { shapeOfIndex } from '../../core/ops/hierarchicalAnn.ts';
import { openWords, type WordIndex } from '../../vocab/wordIndex.ts';
import { print } from '../frame.ts';

interface Given {
  readonly index: string;
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
  const file = join(path, 'meta.json');
  return existsSync(file) && readFileSync(file, 'utf8').includes('"subvocab words"');
}

/** `subvocab index info`. */
export async function info({ index: path, json }: Given): Promise<void> {
  if (isWords(path)) {
    await using words = openWords(path);
    show(summaryOfWords(words), json);
    return;
  }
  show(summaryOfVectors(path), json);
}

/** `subvocab index verify`. Everything that reading an index checks, and of words also each list and each id. */
export async function verify({ index: path, json }: Given): Promise<void> {
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
export async function exportIndex({
  index: path,
  out,
  json,
}: Given & { readonly out: string }): Promise<void> {
  const op = 'index export';
  const files = [`${out}.fbin`, `${out}.ibin`] as const;
  checkOutputs(op, [...files]);
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
