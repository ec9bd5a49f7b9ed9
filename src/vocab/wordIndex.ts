import * as fs from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { ArgumentError, FileError, FormatError } from '../core/errors.ts';
import { Best, bestOf } from '../ref/lib/best.ts';
import { checkQueries } from './checkQueries.ts';
import { createDots, mostColumns } from './dots.ts';
import { quantiseQuery } from './int8.ts';
import type { Found, VocabIndex, VocabSearchOptions } from './vocabIndex.ts';
import { parseMeta, parseTree, type WordMeta } from './wordFormat.ts';
import type { WordTree } from './wordTree.ts';

const who = 'index';

/** One list as it lies in the file. The arrays are overwritten by the next list. */
export interface StoredList {
  readonly count: number;
  readonly stride: number;
  readonly codes: Int8Array;
  readonly scales: Float32Array;
  readonly ids: Int32Array;
}

/** An index of words on disk: memory holds the tree and one list. */
export interface WordIndex extends VocabIndex {
  readonly meta: WordMeta;
  readonly tree: WordTree;
  readonly offsets: Int32Array;
  /**
   * The embeddings of the words that a search for one query with this `nprobe` found: f32 [count, dim].
   * @throws ArgumentError when a word is in none of the lists
   */
  embeddings(found: Found, query: Float32Array, nprobe: number): Float32Array;
  /** Every list in turn, each checked by its CRC-32. @throws FormatError */
  lists(): Iterable<StoredList>;
}

/**
 * Open a folder that `buildWords` made. Lengths, version, and the SHA-256 of the description and the tree are checked now,
 * each list by its CRC-32 when it is read for the first time: a changed byte is refused, not searched.
 * @throws FileError, FormatError
 */
export function openWords(path: string): WordIndex {
  const fail = (file: string) => (message: string) => new FormatError(who, `${join(path, file)}: ${message}`);
  const read = (file: string): Buffer<ArrayBuffer> => {
    try {
      return fs.readFileSync(join(path, file));
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
  const meta = parseMeta(read('meta.json').toString('utf8'), fail('meta.json'));
  const { words, dimensions: d, lists } = meta;
  if (!(d >= 1 && d <= mostColumns && words >= 1 && lists >= 1))
    throw fail('meta.json')(`${words} words of ${d} elements in ${lists} lists`);
  const { tree, offsets, sums } = parseTree(Uint8Array.from(read('tree.bin')), meta, fail('tree.bin'));
  let fd: number;
  try {
    fd = fs.openSync(join(path, 'lists.bin'), 'r');
  } catch (error) {
    throw new FileError(who, `cannot read ${join(path, 'lists.bin')}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const has = fs.fstatSync(fd).size;
  if (has !== meta.bytes) {
    fs.closeSync(fd);
    throw fail('lists.bin')(
      `it has ${has} bytes, not ${meta.bytes}; the file is truncated or of another index`,
    );
  }

  let longest = 0;
  for (let l = 0; l < lists; l++) longest = Math.max(longest, offsets[l + 1]! - offsets[l]!);
  const stride = Math.ceil(d / 16) * 16;
  const perWord = stride + 8;
  // Scales and ids are read behind the codes of a list, into rows that are not used otherwise.
  const room = longest + Math.ceil((longest * 8) / stride);
  const dots = createDots(d, room);
  const staging = new Uint8Array(dots.rows.buffer, dots.rows.byteOffset, longest * perWord);
  const centroids = createDots(d, lists);
  centroids.rows.set(tree.listCodes);
  const listKeys = new Uint32Array(lists);
  const listNumbers = Int32Array.from({ length: lists }, (_, i) => i);
  const scores = new Float64Array(longest);
  // Lists whose bytes were found right since the index was opened.
  const verified = new Uint8Array(lists);
  let open = true;

  const readList = (l: number): StoredList => {
    if (!open) throw new FileError(who, `${path} is closed`);
    const count = offsets[l + 1]! - offsets[l]!;
    const bytes = staging.subarray(0, count * perWord);
    for (let at = 0; at < bytes.length; ) {
      const got = fs.readSync(fd, bytes, at, bytes.length - at, offsets[l]! * perWord + at);
      if (got === 0) throw fail('lists.bin')('the file became shorter while it was read');
      at += got;
    }
    if (verified[l] === 0) {
      if (crc32(bytes) !== sums[l])
        throw fail('lists.bin')(`list ${l} has another CRC-32; the file is damaged`);
      verified[l] = 1;
    }
    const base = dots.rows.byteOffset;
    return {
      count,
      stride,
      codes: dots.rows.subarray(0, count * stride),
      scales: new Float32Array(dots.rows.buffer, base + count * stride, count),
      ids: new Int32Array(dots.rows.buffer, base + count * (stride + 4), count),
    };
  };

  /** The lists to look into, ascending. */
  const choose = (query: Int16Array, nprobe: number, least: number): Int32Array => {
    centroids.query.set(query);
    centroids.run(0, lists);
    const { sums: s } = centroids;
    for (let l = 0; l < lists; l++) listKeys[l] = s[l]! ^ 0x80000000;
    for (let take = nprobe; ; take = Math.min(2 * take, lists)) {
      const best = bestOf(listKeys, listNumbers, lists, take).slice().sort();
      let total = 0;
      for (const l of best) total += offsets[l + 1]! - offsets[l]!;
      if (total >= least || take === lists) return best;
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
    tree,
    offsets,
    *lists() {
      for (let l = 0; l < lists; l++) yield readList(l);
    },
    embeddings({ ids, scores: own, counts }, query, nprobe) {
      const count = counts[0]!;
      const scale = quantiseQuery(query, dots.query);
      const place = new Map<number, number>();
      for (let r = 0; r < count; r++) place.set(ids[r]!, r);
      const least = count === 0 ? 0 : own[count - 1]!;
      const out = new Float32Array(count * d);
      let missing = place.size;
      for (const l of choose(dots.query.slice(), nprobe, count)) {
        if (missing === 0) break;
        const list = readList(l);
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
      const nprobe = options.nprobe ?? Math.min(Math.max(Math.ceil((64 * k * lists) / words), 16), lists);
      if (!Number.isInteger(nprobe) || nprobe < 1 || nprobe > lists)
        throw new ArgumentError(
          who,
          `nprobe is ${nprobe}; it must be from 1 to ${lists}, the number of lists`,
        );
      const wanted = Math.min(k, words);
      const ms = { choose: 0, read: 0, scan: 0, select: 0 };
      let now = performance.now();
      const lap = (what: keyof typeof ms): void => {
        const then = performance.now();
        ms[what] += then - now;
        now = then;
      };
      const askers = new Map<number, number[]>();
      let listsProbed = 0;
      let scanned = 0;
      const asked = Array.from({ length: count }, (_, q) => {
        const codes = new Int16Array(stride);
        const scale = quantiseQuery(queries.subarray(q * d, (q + 1) * d), codes);
        const probe = choose(codes, nprobe, wanted);
        let total = 0;
        for (const l of probe) {
          total += offsets[l + 1]! - offsets[l]!;
          const who = askers.get(l);
          if (who === undefined) askers.set(l, [q]);
          else who.push(q);
        }
        listsProbed += probe.length;
        scanned += total;
        return { codes, scale, best: new Best(wanted, total) };
      });
      lap('choose');
      let bytesRead = 0;
      for (const l of [...askers.keys()].sort((a, b) => a - b)) {
        const list = readList(l);
        bytesRead += list.count * perWord;
        lap('read');
        for (const q of askers.get(l)!) {
          const { codes, scale, best } = asked[q]!;
          dots.query.set(codes);
          dots.run(0, list.count);
          for (let i = 0; i < list.count; i++) scores[i] = dots.sums[i]! * list.scales[i]!;
          lap('scan');
          best.add(scores, scale, list.ids, 0, list.count);
          lap('select');
        }
      }
      const ids = new Int32Array(count * k).fill(-1);
      const found = new Float32Array(count * k).fill(Number.NEGATIVE_INFINITY);
      for (const [q, { best }] of asked.entries()) {
        const { rows, scores: own } = best.take(true);
        ids.set(rows, q * k);
        found.set(own, q * k);
      }
      lap('select');
      const counts = new Int32Array(count).fill(wanted);
      return { ids, scores: found, counts, stats: { listsProbed, scanned, bytesRead, ms } };
    },
    async [Symbol.asyncDispose]() {
      if (open) fs.closeSync(fd);
      open = false;
    },
  };
}
