import {
  closeSync,
  existsSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { FileError } from '../../core/errors.ts';
import { sortedBy, startsOf } from '../../ref/lib/tree.ts';
import { openSource, type SourceSpec } from '../rowSource.ts';
import { quantiseRows } from './int8.ts';
import { createAssigner, type WordTree } from './wordTree.ts';

const who = 'index build';

/** What a worker needs to make runs. */
export interface RunJob {
  readonly source: SourceSpec;
  readonly n: number;
  readonly chunk: number;
  readonly folder: string;
  readonly tree: WordTree;
  readonly beam: number;
}

/** Where the run of a chunk lies. */
export function runPath(folder: string, chunk: number): string {
  return join(folder, `run-${chunk}`);
}

/** What a worker says: the chunk that it made, -1 at first, or what went wrong. */
export type RunAnswer = { readonly chunk: number } | { readonly damaged: boolean; readonly message: string };

/** The CRC-32 of the four parts that follow. */
const headBytes = 16;

/** Bytes of a run: four CRC-32, where its lists start, the ids of its words, their scales, and their codes. */
export function runBytes(lists: number, count: number, stride: number): number {
  return headBytes + 4 * (lists + 1) + count * (8 + stride);
}

/** A run that is merged: stretch after stretch from the beginning, so that its parts can be checked on the way. */
export interface Run {
  readonly starts: Int32Array;
  /** Words `first` to `last` (exclusive); `first` is the `last` of the call before, or 0. */
  read(first: number, last: number): { ids: Uint8Array; scales: Uint8Array; codes: Uint8Array };
  /** After all words were read. @throws FileError when they are not those that were written; the run is removed */
  check(): void;
  close(): void;
}

/** Open the run of a chunk. @throws FileError */
export function openRun(
  folder: string,
  chunk: number,
  { lists, stride, count }: { lists: number; stride: number; count: number },
): Run {
  const path = runPath(folder, chunk);
  const refuse = (): FileError => {
    rmSync(path, { force: true });
    return new FileError(who, `${path} was damaged and is removed; repeat the call to make it again`);
  };
  const fd = openSync(path, 'r');
  let at = 0;
  const read = (length: number, position: number): Uint8Array<ArrayBuffer> => {
    const target = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const got = readSync(fd, target, done, length - done, position + done);
      if (got === 0) throw refuse();
      done += got;
    }
    return target;
  };
  const crcs = [0, 0, 0];
  try {
    const [head, ...wanted] = new Uint32Array(read(headBytes, 0).buffer);
    const bytes = read(4 * (lists + 1), headBytes);
    if (crc32(bytes) !== head) throw refuse();
    const body = headBytes + bytes.length;
    return {
      starts: new Int32Array(bytes.buffer),
      read(first, last) {
        if (first !== at) throw new Error(`run ${chunk}: ${first} comes after ${at}`);
        at = last;
        const parts = [
          read(4 * (last - first), body + 4 * first),
          read(4 * (last - first), body + 4 * (count + first)),
          read(stride * (last - first), body + 8 * count + stride * first),
        ] as const;
        for (const [i, part] of parts.entries()) crcs[i] = crc32(part, crcs[i]);
        return { ids: parts[0], scales: parts[1], codes: parts[2] };
      },
      check() {
        if (at !== count || crcs.some((crc, i) => crc !== wanted[i])) throw refuse();
      },
      close: () => closeSync(fd),
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * Make the run of a chunk: its words as bytes, sorted by list, within a list by id.
 * A run appears under its name when it is complete; one that is there is not made again.
 */
export function createRunMaker({
  source: spec,
  n,
  chunk,
  folder,
  tree,
  beam,
}: RunJob): (index: number) => void {
  const source = openSource(spec);
  const { d, lists } = tree;
  const assigner = createAssigner(tree, beam);
  const stride = Math.ceil(d / 16) * 16;
  const x = new Float32Array(chunk * d);
  const rows = { codes: new Int8Array(chunk * stride), scales: new Float32Array(chunk) };
  return (index) => {
    const first = index * chunk;
    const count = Math.min(chunk, n - first);
    const path = runPath(folder, index);
    const bytes = runBytes(lists, count, stride);
    if (existsSync(path) && statSync(path).size === bytes) return;
    source.fill(first, count, count === chunk ? x : x.subarray(0, count * d));
    quantiseRows(x, count, d, stride, rows);
    const assignments = new Int32Array(count);
    assigner.assign(rows.codes, count, assignments);
    const starts = startsOf(assignments, lists);
    const order = sortedBy(assignments, starts);
    const out = new ArrayBuffer(bytes);
    const body = headBytes + 4 * (lists + 1);
    new Int32Array(out, headBytes, lists + 1).set(starts);
    const ids = new Int32Array(out, body, count);
    const scales = new Float32Array(out, body + 4 * count, count);
    const codes = new Int8Array(out, body + 8 * count);
    for (let i = 0; i < count; i++) {
      const from = order[i]!;
      ids[i] = first + from;
      scales[i] = rows.scales[from]!;
      codes.set(rows.codes.subarray(from * stride, (from + 1) * stride), i * stride);
    }
    const ends = [headBytes, body, body + 4 * count, body + 8 * count, bytes];
    const crcs = new Uint32Array(out, 0, 4);
    for (let i = 0; i < 4; i++) crcs[i] = crc32(new Uint8Array(out, ends[i]!, ends[i + 1]! - ends[i]!));
    try {
      writeFileSync(`${path}.part`, new Uint8Array(out));
      renameSync(`${path}.part`, path);
    } catch (error) {
      // On a full disk, what was not written to its end is in the way.
      rmSync(`${path}.part`, { force: true });
      throw error;
    }
  };
}
