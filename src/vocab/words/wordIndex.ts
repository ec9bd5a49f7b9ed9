import * as fs from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { ArgumentError, FileError, FormatError } from '../../core/errors.ts';
import { Best } from '../../ref/lib/best.ts';
import { checkQueries } from '../checkQueries.ts';
import type { Found, VocabIndex, VocabSearchOptions } from '../vocabIndex.ts';
import { mostColumns } from './dots.ts';
import { quantiseQuery } from './int8.ts';
import { createChooser } from './listModel.ts';
import { metaLimit, parseHeads, parseMeta, type WordMeta } from './wordFormat.ts';
import { createScanner, type ListsFile, type ScanJob, type ScanResult, type StoredList } from './wordScan.ts';

const who = 'index';

/** Share of the k best that a search aims at, if nothing is said. */
const usualRecall = 0.95;

/** An index of words on disk: memory holds the models of the lists and one list per thread. */
export interface WordIndex extends VocabIndex {
  readonly meta: WordMeta;
  readonly offsets: Int32Array;
  readonly threads: number;
  /**
   * The embeddings of the words that a search for one query with these options found: f32 [count, dim].
   * @throws ArgumentError when a word is in none of the lists
   */
  embeddings(found: Found, query: Float32Array, options?: VocabSearchOptions): Float32Array;
  /** Every list in turn, each checked by its CRC-32. @throws FormatError */
  lists(): Iterable<StoredList>;
}

/** How an index is opened. */
export interface WordOpenOptions {
  /** Threads of a search; what it finds does not depend on them. @defaultValue 1 */
  readonly threads?: number;
}

/**
 * Open a folder that `buildWords` made. Lengths, version, and the SHA-256 of the description and of the lists' models are
 * checked now, each list by its CRC-32 when it is read for the first time: a changed byte is refused, not searched.
 * @throws ArgumentError, FileError, FormatError
 */
export function openWords(path: string, { threads = 1 }: WordOpenOptions = {}): WordIndex {
  if (!Number.isInteger(threads) || threads < 1 || threads > 64)
    throw new ArgumentError(who, `threads is ${threads}; it must be an integer from 1 to 64`);
  const { fd, meta, model, offsets, sums } = openFiles(path);
  const { words, dimensions: d, lists } = meta;
  const stride = Math.ceil(d / 16) * 16;
  const verified = new Uint8Array(new SharedArrayBuffer(lists));
  const file: ListsFile = { path, fd, d, offsets, sums, verified };
  const scanner = createScanner(file);
  const chooser = createChooser(model, offsets);
  const helpers: Helper[] = [];
  let open = true;
  const requireOpen = (): void => {
    if (!open) throw new FileError(who, `${path} is closed`);
  };
  const checked = ({ nprobe, recall = usualRecall }: VocabSearchOptions): VocabSearchOptions => {
    if (nprobe !== undefined && (!Number.isInteger(nprobe) || nprobe < 1 || nprobe > lists))
      throw new ArgumentError(who, `nprobe is ${nprobe}; it must be from 1 to ${lists}, the number of lists`);
    if (!(recall > 0 && recall <= 1))
      throw new ArgumentError(who, `recall is ${recall}; it must be above 0, at most 1`);
    return nprobe === undefined ? { recall } : { nprobe };
  };

  /** Stretches of lists for each thread, with about the same numbers of words. */
  const shared = (probes: readonly Int32Array[]): number[] => {
    const load = new Float64Array(lists);
    let total = 0;
    for (const probe of probes)
      for (const l of probe) {
        const size = offsets[l + 1]! - offsets[l]!;
        load[l]! += size;
        total += size;
      }
    const ends: number[] = [];
    let sum = 0;
    for (let l = 0; l < lists; l++) {
      sum += load[l]!;
      while (ends.length + 1 < threads && sum * threads >= total * (ends.length + 1)) ends.push(l + 1);
    }
    while (ends.length < threads) ends.push(lists);
    return ends;
  };

  /** Search with all threads: each has its own lists. */
  const scanAll = async (job: ScanJob): Promise<ScanResult[]> => {
    if (threads === 1) return [scanner.scan(job)];
    while (helpers.length + 1 < threads) helpers.push(startHelper(file));
    let from = 0;
    const parts = shared(job.probes).map((end) => {
      const probes = job.probes.map((probe) => probe.filter((l) => l >= from && l < end));
      from = end;
      return { ...job, probes };
    });
    const others = helpers.map((helper, i) => helper.scan(parts[i + 1]!));
    try {
      const own = scanner.scan(parts[0]!);
      return [own, ...(await Promise.all(others))];
    } catch (error) {
      await Promise.allSettled(others);
      throw error;
    }
  };

  return {
    kind: 'words',
    size: words,
    dim: d,
    version: 0,
    exact: false,
    // Each element of the query is off by at most max |q| / 65534; then one rounding to f32 of two products.
    relativeError: Math.sqrt(d) / 65534 + 2 ** -22,
    meta,
    offsets,
    threads,
    *lists() {
      for (let l = 0; l < lists; l++) {
        requireOpen();
        yield scanner.read(l);
      }
    },
    embeddings({ ids, scores: own, counts }, query, options = {}) {
      requireOpen();
      const { dots } = scanner;
      const count = counts[0]!;
      const codes = new Int16Array(stride);
      const scale = quantiseQuery(query, codes);
      const place = new Map<number, number>();
      for (let r = 0; r < count; r++) place.set(ids[r]!, r);
      const least = count === 0 ? 0 : own[count - 1]!;
      const out = new Float32Array(count * d);
      let missing = place.size;
      for (const l of chooser.choose(codes, scale, count, checked(options))) {
        if (missing === 0) break;
        const list = scanner.read(l);
        dots.query.set(codes);
        dots.run(0, list.count);
        for (let i = 0; i < list.count; i++) {
          // Only who scores like the last one can be among them: few are looked up.
          if (Math.fround(dots.sums[i]! * list.scales[i]! * scale) < least) continue;
          const to = place.get(list.ids[i]!);
          if (to === undefined) continue;
          for (let j = 0; j < d; j++) out[to * d + j] = list.codes[i * stride + j]! * list.scales[i]!;
          missing--;
        }
      }
      if (missing > 0)
        throw new ArgumentError(who, `${missing} of the words are not in the lists that were searched`);
      return out;
    },
    async search(queries, k, options: VocabSearchOptions = {}): Promise<Found> {
      const count = checkQueries(queries, d, k);
      const how = checked(options);
      requireOpen();
      const wanted = Math.min(k, words);
      const before = performance.now();
      const codes = new Int16Array(count * stride);
      const scales = new Float64Array(count);
      let listsProbed = 0;
      const probes = Array.from({ length: count }, (_, q) => {
        const own = codes.subarray(q * stride, (q + 1) * stride);
        scales[q] = quantiseQuery(queries.subarray(q * d, (q + 1) * d), own);
        const probe = chooser.choose(own, scales[q]!, wanted, how);
        listsProbed += probe.length;
        return probe;
      });
      const choose = performance.now() - before;
      const parts = await scanAll({ codes, scales, probes, wanted });
      const merging = performance.now();
      const ids = new Int32Array(count * k).fill(-1);
      const found = new Float32Array(count * k).fill(Number.NEGATIVE_INFINITY);
      let scanned = 0;
      for (let q = 0; q < count; q++) {
        let total = 0;
        for (const part of parts) total += part.ids[q]!.length;
        const best = new Best(wanted, total);
        for (const part of parts)
          best.add(Float64Array.from(part.scores[q]!), 1, part.ids[q]!, 0, part.ids[q]!.length);
        const { rows, scores } = best.take(true);
        ids.set(rows, q * k);
        found.set(scores, q * k);
        for (const l of probes[q]!) scanned += offsets[l + 1]! - offsets[l]!;
      }
      // The stages overlap in the threads: the longest of each is told.
      const slowest = (what: 'read' | 'scan' | 'select'): number =>
        Math.max(...parts.map((part) => part.ms[what]));
      const ms = {
        choose,
        read: slowest('read'),
        scan: slowest('scan'),
        select: slowest('select') + performance.now() - merging,
      };
      const bytesRead = parts.reduce((sum, part) => sum + part.bytesRead, 0);
      const counts = new Int32Array(count).fill(wanted);
      return { ids, scores: found, counts, stats: { listsProbed, scanned, bytesRead, ms } };
    },
    async [Symbol.asyncDispose]() {
      if (!open) return;
      open = false;
      await Promise.all(helpers.map((helper) => helper.stop()));
      fs.closeSync(fd);
    },
  };
}

/** The files of an index, checked. */
interface OpenFiles extends ReturnType<typeof parseHeads> {
  /** Of lists.bin. */
  readonly fd: number;
  readonly meta: WordMeta;
}

/** Open the files; when the index is replaced by another one in the middle, the other one's. */
function openFiles(path: string): OpenFiles {
  const folder = (): number | undefined => fs.statSync(path, { throwIfNoEntry: false })?.ino;
  for (let tries = 0; ; tries++) {
    const before = folder();
    let files: OpenFiles | undefined;
    let failure: unknown;
    try {
      files = openOnce(path);
    } catch (error) {
      failure = error;
    }
    if (before !== undefined && before === folder()) {
      if (files === undefined) throw failure;
      return files;
    }
    if (files !== undefined) fs.closeSync(files.fd);
    // Between two renames there is no folder of that name, but the old one in that of the build.
    const replaced = fs.existsSync(join(`${path}.building`, 'old')) || folder() !== before;
    if (!replaced || tries === 20)
      throw failure ?? new FileError(who, `${path} is being replaced; try again later`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
}

function openOnce(path: string): OpenFiles {
  const fail = (file: string) => (message: string) => new FormatError(who, `${join(path, file)}: ${message}`);
  const open = (file: string): { fd: number; size: number } => {
    try {
      // Whoever opens a pipe waits.
      if (!fs.statSync(join(path, file)).isFile()) throw new Error('it is no file');
      const fd = fs.openSync(join(path, file), 'r');
      return { fd, size: fs.fstatSync(fd).size };
    } catch (error) {
      const building = fs.existsSync(`${path}.building`);
      const hint = building
        ? `; ${path}.building holds a build that is under way or was stopped: repeat it to go on`
        : '';
      throw new FileError(who, `cannot read ${join(path, file)}: ${(error as Error).message}${hint}`, {
        cause: error,
      });
    }
  };
  const read = (file: string, limit: number): Uint8Array<ArrayBuffer> => {
    const { fd, size } = open(file);
    try {
      if (size > limit) throw fail(file)(`${size} bytes are too many for it`);
      return Uint8Array.from(fs.readFileSync(fd));
    } finally {
      fs.closeSync(fd);
    }
  };
  const meta = parseMeta(Buffer.from(read('meta.json', metaLimit)).toString('utf8'), fail('meta.json'));
  const { words, dimensions: d, lists, bytes } = meta;
  const perWord = Math.ceil(d / 16) * 16 + 8;
  const whole = [words, d, lists, bytes].every(Number.isSafeInteger) && bytes === words * perWord;
  if (!(whole && d >= 1 && d <= mostColumns && words >= 1 && words < 2 ** 31 && lists >= 1 && lists <= words))
    throw fail('meta.json')(`${words} words of ${d} elements in ${lists} lists of ${bytes} bytes`);
  const heads = read('heads.bin', 2 ** 31);
  const { fd, size } = open('lists.bin');
  try {
    const parts = parseHeads(heads, meta, fail('heads.bin'));
    if (size !== bytes)
      throw fail('lists.bin')(
        `it has ${size} bytes, not ${bytes}; the file is truncated or of another index`,
      );
    return { fd, meta, ...parts };
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** A thread that searches lists. */
interface Helper {
  scan(job: ScanJob): Promise<ScanResult>;
  stop(): Promise<void>;
}

function startHelper(file: ListsFile): Helper {
  const thread = new Worker(new URL(import.meta.url.replace(/wordIndex(\.[jt]s)$/, 'searchWorker$1')), {
    workerData: file,
  });
  // An idle thread does not keep the process alive.
  thread.unref();
  const waiting: { resolve: (result: ScanResult) => void; reject: (error: Error) => void }[] = [];
  const failAll = (error: Error): void => {
    for (const { reject } of waiting.splice(0)) reject(error);
  };
  type Answer = { result: ScanResult } | { damaged: boolean; message: string };
  thread.on('message', (answer: Answer) => {
    const { resolve, reject } = waiting.shift()!;
    if (waiting.length === 0) thread.unref();
    if ('result' in answer) resolve(answer.result);
    else {
      const message = answer.message.slice(`${who}: `.length);
      reject(answer.damaged ? new FormatError(who, message) : new FileError(who, message));
    }
  });
  thread.on('error', (error) =>
    failAll(new FileError(who, `a thread of the search failed: ${(error as Error).message}`)),
  );
  thread.on('exit', () => failAll(new FileError(who, 'a thread of the search ended')));
  return {
    scan: (job) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        thread.ref();
        thread.postMessage(job);
      }),
    async stop() {
      await thread.terminate();
    },
  };
}
