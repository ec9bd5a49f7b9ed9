import { existsSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sortedBy, startsOf } from '../ref/lib/tree.ts';
import { quantiseRows } from './int8.ts';
import { openSource, type SourceSpec } from './rowSource.ts';
import { createAssigner, type WordTree } from './wordTree.ts';

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

/** Bytes of a run: where its lists start, then per word an id, a scale, and its codes. */
export function runBytes(lists: number, count: number, stride: number): number {
  return 4 * (lists + 1) + count * (8 + stride);
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
    new Int32Array(out, 0, lists + 1).set(starts);
    const ids = new Int32Array(out, 4 * (lists + 1), count);
    const scales = new Float32Array(out, 4 * (lists + 1 + count), count);
    const codes = new Int8Array(out, 4 * (lists + 1 + 2 * count));
    for (let i = 0; i < count; i++) {
      const from = order[i]!;
      ids[i] = first + from;
      scales[i] = rows.scales[from]!;
      codes.set(rows.codes.subarray(from * stride, (from + 1) * stride), i * stride);
    }
    writeFileSync(`${path}.part`, new Uint8Array(out));
    renameSync(`${path}.part`, path);
  };
}
