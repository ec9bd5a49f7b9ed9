/**
 * Bytes that a search in lists moves on the GPU, with all scores kept and with emission, against the least: each opened row read
 * once, and the results written.
 *
 *     node bench/annTraffic.ts [--adapter NAME]
 *
 * Every dispatch of a search is looked at as it is enqueued. A kernel counts with all bytes of what it binds, once; kernels that
 * touch a part only count with that part: rows of lists that a query opened, scores that were made, pairs that were emitted, entries that were
 * sampled (32 bytes each, what a GPU reads at least). Dispatches without workgroups move nothing, and topK's rounds for rows whose
 * first threshold failed count for these rows. Caches can make it less, several reads of a buffer by one kernel more.
 */
import { parseArgs } from 'node:util';
import { uploadIndex } from '../src/cli/actions/annIndex.ts';
import { key } from '../src/core/key.ts';
import { tensor } from '../src/core/tensor.ts';
import { type Gpu, type GpuTensor, openGpu } from '../src/gpu/index.ts';
import type { Dispatch } from '../src/gpu/runtime/gpu.ts';
import { hierarchicalAnn } from '../src/ref/hierarchicalAnn.ts';
import { wordLike } from './support/work.ts';

const { values: options } = parseArgs({ options: { adapter: { type: 'string' } } });
const [n, d, lists] = [200_000, 64, 2048];
const settings = [
  { queries: 16, k: 512, nprobe: 64 },
  { queries: 16, k: 8192, nprobe: 512 },
  { queries: 32, k: 8192, nprobe: 1024 },
  { queries: 32, k: 8192, nprobe: 2048 },
] as const;

type Binding = NonNullable<Dispatch['reads']>[number];
const sizeOf = (binding: Binding): number => 4 * ('tensor' in binding ? binding.length : binding.size);
const total = (bindings: readonly Binding[]): number => {
  const once = new Map(bindings.map((binding) => [tensorOf(binding), sizeOf(binding)]));
  return [...once.values()].reduce((sum, bytes) => sum + bytes, 0);
};
const bound = ({ reads = [], writes = [] }: Dispatch): number => total([...reads, ...writes]);
const tensorOf = (binding: Binding): GpuTensor => ('tensor' in binding ? binding.tensor : binding);
const values = async (binding: Binding): Promise<Uint32Array> =>
  new Uint32Array((await tensorOf(binding).read()).data.buffer);

/** Rows below open parents: different ones, and one by one for each query. */
async function openRows(starts: Binding, masks: Binding): Promise<{ rows: number; pairs: number }> {
  const [from, open] = await Promise.all([values(starts), values(masks)]);
  let [rows, pairs] = [0, 0];
  for (const [p, mask] of open.entries()) {
    const held = from[p + 1]! - from[p]!;
    if (mask !== 0) rows += held;
    for (let left = mask; left !== 0; left &= left - 1) pairs += held;
  }
  return { rows, pairs };
}

interface Traffic {
  readonly moved: number;
  /** The kernels that move most, in MB. */
  readonly most: string;
  readonly least: number;
  readonly again: number;
}

/** Bytes of a step of topK, whose parameters are those of lib/selection.wgsl. */
async function selectionBytes(call: Dispatch): Promise<number> {
  const { entry, params, writes = [] } = call;
  const [rows, sampleSize, draws, attempt] = [0, 14, 15, 18].map((i) => params[i] as number) as Four;
  if (entry === 'topKSample') return total(writes) + rows * sampleSize * draws * 32;
  // These look at single entries of x, those that were marked.
  if (entry === 'topKCollectTiles' || entry === 'topK') return total(writes);
  if (attempt !== byCounting) return bound(call);
  const state = await values(writes[0]!);
  let retried = 0;
  for (let row = 0; row < rows; row++) if (state[row * 16 + 3] === 2) retried++;
  return (bound(call) * retried) / rows;
}
type Four = [number, number, number, number];
const byCounting = 1;

async function trafficOf(gpu: Gpu, run: () => Disposable, results: number): Promise<Traffic> {
  const counts: Promise<number>[] = [];
  const entries: string[] = [];
  let least: Promise<number> = Promise.resolve(0);
  let failed: Promise<number> = Promise.resolve(0);
  const { dispatch: enqueue, zeros } = gpu;
  const count = (entry: string, bytes: Promise<number>): void => {
    entries.push(entry);
    counts.push(bytes);
  };
  gpu.zeros = (dtype, shape) => {
    const made = zeros.call(gpu, dtype, shape);
    count('zeros', Promise.resolve(4 * made.size));
    return made;
  };
  gpu.dispatch = (call) => {
    enqueue.call(gpu, call);
    const { entry, reads = [], writes = [], groups } = call;
    if (entry === 'annScores' || entry === 'annEmit') {
      const open = openRows(reads[2]!, reads[4]!);
      const atVectors = entry === 'annEmit' || sizeOf(reads[0]!) >= 4 * n * d;
      const read = open.then(({ rows }) => rows * 4 * d);
      if (atVectors && !(entry === 'annEmit' && call.params[8] !== 0)) least = read.then((b) => b + results);
      if (entry === 'annScores') {
        // A row is read, its place, and a score per query that opened it is written.
        count(
          entry,
          open.then(({ rows, pairs }) => rows * (4 * d + 4) + pairs * 4),
        );
        return;
      }
      const groupsOf = values((groups as { indirect: GpuTensor }).indirect);
      const emitted = values(writes[0]!);
      const queries = call.params[3] as number;
      count(
        entry,
        Promise.all([open, groupsOf, emitted]).then(([{ rows }, [x = 0], room]) => {
          if (x === 0) return 0;
          let pairs = 0;
          for (let q = 0; q < queries; q++) pairs += room[q]!;
          // A pair, and its bit read and written.
          return rows * (4 * d + 4) + pairs * 16;
        }),
      );
      return;
    }
    if ('indirect' in groups) {
      const own = values(groups.indirect);
      count(
        entry,
        own.then(([x = 0]) => (x === 0 ? 0 : bound(call))),
      );
      return;
    }
    if (call.file.startsWith('topK') || call.file.startsWith('lib/selection')) {
      count(entry, selectionBytes(call));
    } else if (entry === 'annCheck') {
      failed = values(writes[2]!).then(([x = 0]) => x);
      count(entry, Promise.resolve(sizeOf(writes[0]!)));
    } else if (entry === 'annPick') {
      // Without a query to be done again it reads its plan and ends.
      const all = bound(call);
      count(
        entry,
        failed.then((x) => (x === 0 ? sizeOf(writes[0]!) : all)),
      );
    } else if (entry === 'annSample') {
      const [samples = 0] = call.params.slice(11) as number[];
      count(entry, Promise.resolve(samples * 4 * d + sizeOf(writes[0]!)));
    } else count(entry, Promise.resolve(bound(call)));
  };
  try {
    using _ = run();
    const by = new Map<string, number>();
    for (const [i, bytes] of (await Promise.all(counts)).entries())
      by.set(entries[i]!, (by.get(entries[i]!) ?? 0) + bytes);
    const moved = [...by.values()].reduce((sum, bytes) => sum + bytes, 0);
    const most = [...by]
      .sort((a, b) => b[1] - a[1])
      .slice(0, 4)
      .map(([name, bytes]) => `${name} ${(bytes / 1e6).toFixed(1)}`)
      .join(', ');
    return { moved, most, least: await least, again: await failed };
  } finally {
    Object.assign(gpu, { dispatch: enqueue, zeros });
  }
}

const base = tensor([n, d], wordLike(n, d, 1000, 21, 22));
const index = hierarchicalAnn(base, { lists, key: key(0), iterations: 5, refine: 0 });
console.log('| queries | k | lists opened of 2048 | least, MB | all scores kept | emission |');
console.log('| --- | --- | --- | --- | --- | --- |');
await using gpu = await openGpu({ family: 'gpu', ...(options.adapter ? { adapter: options.adapter } : {}) });
console.error(`${gpu.choice.chosen.name}, family gpu`);
using there = uploadIndex(gpu, index);
for (const { queries, k, nprobe } of settings) {
  using q = gpu.upload(tensor([queries, d], wordLike(queries, d, 1000, 21, 32)));
  const results = 8 * queries * k;
  // These lists hold k words, so nothing has to be extended; only a search that may extend emits.
  const search = (onShort: 'pad' | 'extend') => () =>
    gpu.ops.hierarchicalAnnSearch(there, q, k, { nprobe, onShort });
  const kept = await trafficOf(gpu, search('pad'), results);
  const emitted = await trafficOf(gpu, search('extend'), results);
  if (emitted.least !== kept.least) throw new Error(`${emitted.least} bytes at least, and ${kept.least}`);
  const cell = ({ moved, most, least, again }: Traffic): string =>
    `${(moved / 1e6).toFixed(1)} MB, ${(moved / least).toFixed(2)} times${again > 0 ? ', with a second try' : ''} (${most})`;
  console.log(
    `| ${queries} | ${k} | ${nprobe} | ${(kept.least / 1e6).toFixed(1)} | ${cell(kept)} | ${cell(emitted)} |`,
  );
}
