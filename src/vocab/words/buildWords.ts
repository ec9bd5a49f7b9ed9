import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { ArgumentError, FileError, FormatError, OpError } from '../../core/errors.ts';
import { explain } from '../../core/formats/files.ts';
import { key } from '../../core/key.ts';
import { randomBits } from '../../ref/randomBits.ts';
import { openSource, type RowSource, type SourceSpec } from '../rowSource.ts';
import { takeBuildFolder, writeWhole } from './buildFolder.ts';
import { mostColumns } from './dots.ts';
import { quantiseRows } from './int8.ts';
import { emptyModel, type ListModel, measureList } from './listModel.ts';
import { headBytes, metaText, type WordMeta, wordVersion } from './wordFormat.ts';
import { openWords } from './wordIndex.ts';
import {
  createRunMaker,
  openRun,
  type Run,
  type RunAnswer,
  type RunJob,
  runBytes,
  runPath,
} from './wordRuns.ts';
import { parseTree, type TreeOptions, trainWordTree, treeBytes, type WordTree } from './wordTree.ts';

const who = 'index build';

/** How a word index is built. */
export interface WordBuildOptions {
  /** @defaultValue about 20 sqrt(n), a power of two, at most one per 32 words */
  readonly lists?: number;
  /** @defaultValue the square root of 8 lists, a power of two */
  readonly roots?: number;
  /** With how many roots a word is tried. @defaultValue 6 */
  readonly beam?: number;
  /** Words to train on. @defaultValue 16 per list, at most n */
  readonly sample?: number;
  /** @defaultValue 5 */
  readonly iterations?: number;
  /** @defaultValue 1 */
  readonly refine?: number;
  /** Words per piece. @defaultValue 2^20 */
  readonly chunk?: number;
  /** Threads; the index does not depend on it. @defaultValue 2 */
  readonly threads?: number;
  /** @defaultValue 0 */
  readonly seed?: number;
  readonly onProgress?: (stage: 'train' | 'words' | 'lists', done: number, of: number) => void;
}

/** What a build took. */
export interface WordBuildReport {
  readonly trainMs: number;
  readonly wordsMs: number;
  readonly listsMs: number;
  readonly bytes: number;
  readonly lists: number;
  /** Pieces that an earlier, stopped build had left. */
  readonly resumed: number;
}

/**
 * Build a word index on disk from any number of vectors, in pieces: memory holds the tree and some pieces, never all words.
 *
 * Words become bytes with one scale each. A tree of two levels is trained on a sample; each piece of words is given to lists
 * and written as a run sorted by list; then the runs are merged, so that a list is one stretch of the file. The folder
 * `<path>.building` holds the tree and the runs. A build that was stopped is taken up where it was, by the same call; two builds at once
 * are refused. The index appears under its name when it is complete.
 *
 * @throws ArgumentError, FileError, FormatError
 */
export async function buildWords(
  path: string,
  spec: SourceSpec,
  options: WordBuildOptions = {},
): Promise<WordBuildReport> {
  using source = openSource(spec);
  const { n, d } = source;
  if (n < 1) throw new ArgumentError(who, 'there are no vectors; an index on disk needs one');
  if (n >= 2 ** 31) throw new ArgumentError(who, `${n} vectors are more than 2^31 - 1 ids`);
  if (!Number.isInteger(n)) throw new ArgumentError(who, `there are ${n} vectors; it must be an integer`);
  if (!(Number.isInteger(d) && d >= 1 && d <= mostColumns))
    throw new ArgumentError(who, `vectors have ${d} elements; an index of bytes holds 1 to ${mostColumns}`);
  const lists =
    options.lists ?? 2 ** Math.max(Math.round(Math.min(Math.log2(20 * Math.sqrt(n)), Math.log2(n / 32))), 0);
  const roots = options.roots ?? Math.min(2 ** Math.round(Math.log2(8 * lists) / 2), lists);
  const sample = Math.min(options.sample ?? 16 * lists, n);
  const { beam = 6, iterations = 5, refine = 1, chunk = 2 ** 20, threads = 2, seed = 0 } = options;
  for (const [name, value, least, most] of [
    ['lists', lists, 1, n],
    ['roots', roots, 1, lists],
    ['sample', sample, lists, n],
    ['beam', beam, 1, 64],
    ['iterations', iterations, 0, 1000],
    ['refine', refine, 0, 1000],
    ['chunk', chunk, 1, 2 ** 24],
    ['threads', threads, 1, 256],
    ['seed', seed, 0, 2 ** 31 - 1],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < least || value > most)
      throw new ArgumentError(who, `${name} is ${value}; it must be an integer from ${least} to ${most}`);
  }
  const identity = identityOf(spec);
  const settings = {
    version: wordVersion,
    source: identity,
    n,
    d,
    lists,
    roots,
    sample,
    beam,
    iterations,
    refine,
    chunk,
    seed,
  };
  try {
    using place = takeBuildFolder(path, JSON.stringify(settings));
    const { folder } = place;
    const chunks = Math.ceil(n / chunk);
    const report =
      (place.resumes ? await completeIn(folder, chunks) : undefined) ??
      (await buildIn(folder, source, settings, spec, options));
    for (let i = 0; i < chunks; i++) fs.rmSync(runPath(folder, i), { force: true });
    fs.rmSync(join(folder, 'tree'), { force: true });
    place.finish();
    return report;
  } catch (error) {
    throw explain(who, 'write', path, error);
  }
}

/** What must be the same in a call that goes on with an earlier build. */
interface Settings extends TreeOptions {
  readonly source: object;
  readonly n: number;
  readonly sample: number;
  readonly chunk: number;
  readonly seed: number;
}

/** The vectors, as far as can be told without reading all of them. @throws FileError for what cannot be read again and again */
function identityOf(spec: SourceSpec): object {
  if (spec.kind === 'made') return spec;
  const there = fs.statSync(spec.path, { throwIfNoEntry: false });
  if (there !== undefined && !there.isFile())
    throw new FileError(
      who,
      `${spec.path} is no file, and its vectors are read several times; save them to a file`,
    );
  return {
    kind: spec.kind,
    path: there && fs.realpathSync(spec.path),
    bytes: there?.size,
    modified: there?.mtimeMs,
  };
}

/** What an earlier build has left, if it was stopped when only the renaming was to be done. */
async function completeIn(folder: string, chunks: number): Promise<WordBuildReport | undefined> {
  if (!fs.existsSync(join(folder, 'meta.json'))) return undefined;
  try {
    await using index = openWords(folder);
    const { meta } = index;
    const bytes = meta.bytes + fs.statSync(join(folder, 'heads.bin')).size;
    return { trainMs: 0, wordsMs: 0, listsMs: 0, bytes, lists: meta.lists, resumed: chunks };
  } catch (error) {
    if (error instanceof OpError) return undefined;
    throw error;
  }
}

/** Build in a folder; meta.json comes last. */
async function buildIn(
  folder: string,
  source: RowSource,
  settings: Settings,
  spec: SourceSpec,
  { threads = 2, onProgress: progress = () => {} }: WordBuildOptions,
): Promise<WordBuildReport> {
  const { n, d, lists, roots, sample, beam, iterations, refine, chunk, seed } = settings;
  let before = performance.now();
  progress('train', 0, 1);
  const stride = Math.ceil(d / 16) * 16;
  const treeFile = join(folder, 'tree');
  const earlier = fs.existsSync(treeFile) ? parseTree(fs.readFileSync(treeFile), d, roots, lists) : undefined;
  const tree = earlier ?? train(source, { d, roots, lists, iterations, refine, beam }, sample, stride, seed);
  if (earlier === undefined) {
    writeWhole(treeFile, treeBytes(tree));
  }
  progress('train', 1, 1);
  const trainMs = performance.now() - before;

  before = performance.now();
  const chunks = Math.ceil(n / chunk);
  const left = Array.from({ length: chunks }, (_, i) => i).filter((i) => {
    const there = fs.statSync(runPath(folder, i), { throwIfNoEntry: false });
    return there?.size !== runBytes(lists, Math.min(chunk, n - i * chunk), stride);
  });
  const resumed = chunks - left.length;
  const job = { source: spec, n, chunk, folder, tree, beam };
  let done = resumed;
  const oneMore = (): void => progress('words', ++done, chunks);
  if (threads === 1 || left.length < 2) {
    const make = createRunMaker(job);
    for (const i of left) {
      make(i);
      oneMore();
    }
  } else {
    await inThreads(job, left, Math.min(threads, left.length), oneMore);
  }
  const wordsMs = performance.now() - before;

  before = performance.now();
  const { offsets, sums, bytes, model } = mergeRuns(folder, { n, d, chunk, lists, stride }, progress);
  const heads = headBytes(model, offsets, sums);
  const meta: WordMeta = {
    format: 'subvocab words',
    version: wordVersion,
    words: n,
    dimensions: d,
    lists,
    bytes,
    heads: createHash('sha256').update(heads).digest('hex'),
    build: {
      source: spec.kind === 'made' ? spec : { kind: spec.kind },
      roots,
      sample,
      beam,
      iterations,
      refine,
      seed,
    },
  };
  writeWhole(join(folder, 'heads.bin'), heads);
  if (JSON.stringify(identityOf(spec)) !== JSON.stringify(settings.source))
    throw new FileError(
      who,
      `the vectors were changed while they were read; remove ${folder} and repeat the call`,
    );
  writeWhole(join(folder, 'meta.json'), metaText(meta));
  return {
    trainMs,
    wordsMs,
    listsMs: performance.now() - before,
    bytes: bytes + heads.length,
    lists,
    resumed,
  };
}

/** Train a tree on a sample. */
function train(
  source: RowSource,
  options: TreeOptions,
  sample: number,
  stride: number,
  seed: number,
): WordTree {
  const rows = { codes: new Int8Array(sample * stride), scales: new Float32Array(sample) };
  sampleRows(source, sample, stride, seed, rows);
  return trainWordTree(rows.codes, sample, options);
}

/** Make runs in worker threads until none is left; when one fails, none goes on. */
async function inThreads(job: RunJob, left: number[], threads: number, onRun: () => void): Promise<void> {
  const url = new URL(import.meta.url.replace(/buildWords(\.[jt]s)$/, 'runWorker$1'));
  const workers = Array.from({ length: threads }, () => new Worker(url, { workerData: job }));
  const run = (thread: Worker): Promise<void> =>
    new Promise((resolve, reject) => {
      thread.on('message', (answer: RunAnswer) => {
        try {
          if ('message' in answer) throw fromThread(answer);
          if (answer.chunk >= 0) onRun();
          thread.postMessage(left.shift() ?? -1);
        } catch (error) {
          reject(error);
        }
      });
      thread.on('error', reject);
      thread.on('exit', (code) =>
        code === 0 ? resolve() : reject(new FileError(who, `a thread ended with code ${code}`)),
      );
    });
  try {
    await Promise.all(workers.map(run));
  } finally {
    await Promise.all(workers.map((thread) => thread.terminate()));
  }
}

/** Errors lose their class on the way. */
function fromThread({ damaged, message }: { damaged: boolean; message: string }): Error {
  return damaged ? new FormatError(who, message) : new FileError(who, message);
}

/** Rows drawn at random, as bytes, in ascending order. */
function sampleRows(
  source: RowSource,
  sample: number,
  stride: number,
  seed: number,
  out: { codes: Int8Array; scales: Float32Array },
): void {
  const { n, d } = source;
  const one = new Float32Array(d);
  const row = { codes: new Int8Array(stride), scales: new Float32Array(1) };
  const chosen = chooseRows(n, sample, seed);
  for (const [i, word] of chosen.entries()) {
    source.fill(word, 1, one);
    quantiseRows(one, 1, d, stride, row);
    out.codes.set(row.codes, i * stride);
  }
}

/** `sample` different rows of n, ascending: all of them, or one from each of `sample` equal stretches. */
function chooseRows(n: number, sample: number, seed: number): Int32Array {
  if (sample === n) return Int32Array.from({ length: n }, (_, i) => i);
  const bits = randomBits(key(seed), [sample]).data;
  const out = new Int32Array(sample);
  for (let i = 0; i < sample; i++) {
    const from = Math.floor((i * n) / sample);
    const to = Math.floor(((i + 1) * n) / sample);
    out[i] = from + (bits[i]! % (to - from));
  }
  return out;
}

/** Merge the runs into lists.bin: list after list its codes, scales and ids. */
function mergeRuns(
  folder: string,
  { n, d, chunk, lists, stride }: { n: number; d: number; chunk: number; lists: number; stride: number },
  progress: (stage: 'lists', done: number, of: number) => void,
): { offsets: Int32Array; sums: Uint32Array; bytes: number; model: ListModel } {
  const runs: Run[] = [];
  try {
    const offsets = new Int32Array(lists + 1);
    for (let i = 0; i * chunk < n; i++) {
      const run = openRun(folder, i, { lists, stride, count: Math.min(chunk, n - i * chunk) });
      runs.push(run);
      for (let l = 0; l <= lists; l++) offsets[l]! += run.starts[l]!;
    }
    const sums = new Uint32Array(lists);
    const model = emptyModel(d, lists);
    const out = fs.openSync(join(folder, 'lists.bin'), 'w');
    try {
      // As many lists at a time as fill some 64 MiB.
      for (let from = 0; from < lists; ) {
        let to = from + 1;
        while (to < lists && (offsets[to + 1]! - offsets[from]!) * (stride + 8) < 2 ** 26) to++;
        const total = offsets[to]! - offsets[from]!;
        const merged = new Uint8Array(total * (stride + 8));
        const filled = new Int32Array(to - from);
        for (const run of runs) {
          const first = run.starts[from]!;
          const { ids, scales, codes } = run.read(first, run.starts[to]!);
          for (let l = from; l < to; l++) {
            const [a, b] = [run.starts[l]! - first, run.starts[l + 1]! - first];
            const base = (offsets[l]! - offsets[from]!) * (stride + 8);
            const size = offsets[l + 1]! - offsets[l]!;
            const at = filled[l - from]!;
            merged.set(codes.subarray(a * stride, b * stride), base + at * stride);
            merged.set(scales.subarray(4 * a, 4 * b), base + size * stride + 4 * at);
            merged.set(ids.subarray(4 * a, 4 * b), base + size * (stride + 4) + 4 * at);
            filled[l - from]! += b - a;
          }
        }
        for (let l = from; l < to; l++) {
          const base = (offsets[l]! - offsets[from]!) * (stride + 8);
          const size = offsets[l + 1]! - offsets[l]!;
          sums[l] = crc32(merged.subarray(base, base + size * (stride + 8)));
          const codes = new Int8Array(merged.buffer, base, size * stride);
          measureList(model, l, codes, new Float32Array(merged.buffer, base + size * stride, size), size);
        }
        writeFully(out, merged);
        from = to;
        progress('lists', from, lists);
      }
      // What is damaged is made again by the next call.
      for (const run of runs) run.check();
      fs.fsyncSync(out);
    } finally {
      fs.closeSync(out);
    }
    return { offsets, sums, bytes: n * (stride + 8), model };
  } finally {
    for (const run of runs) run.close();
  }
}

function writeFully(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; )
    at += fs.writeSync(fd, bytes, at, Math.min(bytes.length - at, 2 ** 26));
}
