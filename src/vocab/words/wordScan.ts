import * as fs from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { FileError, FormatError } from '../../core/errors.ts';
import { Best } from '../../ref/lib/best.ts';
import { createDots, type Dots } from './dots.ts';

/** One list as it lies in the file. The arrays are overwritten by the next list. */
export interface StoredList {
  readonly count: number;
  readonly stride: number;
  readonly codes: Int8Array;
  readonly scales: Float32Array;
  readonly ids: Int32Array;
}

/** What a thread needs to read lists: a file that is open in the process, and what belongs to each list. */
export interface ListsFile {
  readonly path: string;
  readonly fd: number;
  readonly d: number;
  readonly offsets: Int32Array;
  readonly sums: Uint32Array;
  /** 1 for a list whose bytes were found right since the index was opened; shared by all threads. */
  readonly verified: Uint8Array;
}

/** Which lists are to be searched for which queries. */
export interface ScanJob {
  /** 16 bits per element: [queries, stride], with a unit each. */
  readonly codes: Int16Array;
  readonly scales: Float64Array;
  /** The lists of each query, ascending. */
  readonly probes: readonly Int32Array[];
  readonly wanted: number;
}

/** The best of the lists of a job, for each query at most `wanted`: in no particular order. */
export interface ScanResult {
  readonly ids: readonly Int32Array[];
  readonly scores: readonly Float32Array[];
  readonly bytesRead: number;
  readonly ms: { readonly read: number; readonly scan: number; readonly select: number };
}

/** Reads lists, each checked when it is read for the first time, and finds the best words in them. */
export interface Scanner {
  readonly dots: Dots;
  /** @throws FileError, FormatError */
  read(l: number): StoredList;
  /** Every list is read once for all queries that ask for it. */
  scan(job: ScanJob): ScanResult;
}

/** A scanner of its own memory: one per thread. */
export function createScanner({ path, fd, d, offsets, sums, verified }: ListsFile): Scanner {
  const lists = sums.length;
  const stride = Math.ceil(d / 16) * 16;
  const perWord = stride + 8;
  let longest = 0;
  for (let l = 0; l < lists; l++) longest = Math.max(longest, offsets[l + 1]! - offsets[l]!);
  // Scales and ids are read behind the codes of a list, into rows that are not used otherwise.
  const dots = createDots(d, longest + Math.ceil((longest * 8) / stride));
  const staging = new Uint8Array(dots.rows.buffer, dots.rows.byteOffset, longest * perWord);
  const scores = new Float64Array(longest);
  const fail = (message: string): FormatError =>
    new FormatError('index', `${join(path, 'lists.bin')}: ${message}`);

  const read = (l: number): StoredList => {
    const count = offsets[l + 1]! - offsets[l]!;
    const bytes = staging.subarray(0, count * perWord);
    for (let at = 0; at < bytes.length; ) {
      let got: number;
      try {
        got = fs.readSync(fd, bytes, at, bytes.length - at, offsets[l]! * perWord + at);
      } catch (error) {
        throw new FileError('index', `cannot read ${join(path, 'lists.bin')}: ${(error as Error).message}`, {
          cause: error,
        });
      }
      if (got === 0) throw fail('the file became shorter while it was read');
      at += got;
    }
    if (verified[l] === 0) {
      if (crc32(bytes) !== sums[l]) throw fail(`list ${l} has another CRC-32; the file is damaged`);
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

  return {
    dots,
    read,
    scan({ codes, scales, probes, wanted }) {
      const ms = { read: 0, scan: 0, select: 0 };
      let now = performance.now();
      const lap = (what: keyof typeof ms): void => {
        const then = performance.now();
        ms[what] += then - now;
        now = then;
      };
      const askers = new Map<number, number[]>();
      const best = probes.map((probe, q) => {
        let total = 0;
        for (const l of probe) {
          total += offsets[l + 1]! - offsets[l]!;
          const others = askers.get(l);
          if (others === undefined) askers.set(l, [q]);
          else others.push(q);
        }
        return new Best(Math.min(wanted, total), total);
      });
      let bytesRead = 0;
      for (const l of [...askers.keys()].sort((a, b) => a - b)) {
        const list = read(l);
        bytesRead += list.count * perWord;
        lap('read');
        for (const q of askers.get(l)!) {
          dots.query.set(codes.subarray(q * stride, (q + 1) * stride));
          dots.run(0, list.count);
          for (let i = 0; i < list.count; i++) scores[i] = dots.sums[i]! * list.scales[i]!;
          lap('scan');
          best[q]!.add(scores, scales[q]!, list.ids, 0, list.count);
          lap('select');
        }
      }
      const taken = best.map((own) => own.take(false));
      lap('select');
      return { ids: taken.map(({ rows }) => rows), scores: taken.map((own) => own.scores), bytesRead, ms };
    },
  };
}
