import { existsSync, realpathSync } from 'node:fs';
import { ArgumentError, DeviceLostError, GpuError, UnsupportedError } from '../../core/errors.ts';
import { requireFinite } from '../../core/finite.ts';
import { checkAnnFolder, readAnnFolder, writeAnnFolder } from '../../core/formats/annFolder.ts';
import { readArrow } from '../../core/formats/arrow.ts';
import { binChunks, openBin } from '../../core/formats/fbin.ts';
import { checkOutputs, openFile, writeFiles } from '../../core/formats/files.ts';
import { readNpy } from '../../core/formats/npy.ts';
import { readSafetensors } from '../../core/formats/safetensors.ts';
import type { ByteSource } from '../../core/formats/source.ts';
import { key } from '../../core/key.ts';
import {
  type AnnIndex,
  type AnnOptions,
  type AnnSearchOptions,
  annIndex,
  annTensorNames,
  type Metric,
  planAnnSearch,
  planHierarchicalAnn,
  shapeOfIndex,
} from '../../core/ops/hierarchicalAnn.ts';
import { show, Tensor } from '../../core/tensor.ts';
import type { Gpu, GpuTensor } from '../../gpu/index.ts';
import { hierarchicalAnn } from '../../ref/hierarchicalAnn.ts';
import { hierarchicalAnnSearch } from '../../ref/hierarchicalAnnSearch.ts';
import { memorySource, openSource, type RowSource } from '../../vocab/rowSource.ts';
import type { VocabIndex } from '../../vocab/vocabIndex.ts';
import { openWords } from '../../vocab/words/wordIndex.ts';
import { buildEngine, folderOf, type MaybeEngine, onlyEngine, openEngine } from '../engines.ts';
import { print, progress } from '../frame.ts';
import { convert } from '../tensors.ts';
import { isWords } from './indexFiles.ts';

interface Where {
  readonly twin: 'ref' | 'gpu';
  readonly adapter?: string;
  readonly json?: true;
}

export interface BuildOptions extends Where, MaybeEngine {
  readonly vectors: string;
  readonly out?: string;
  readonly metric: Metric;
  readonly lists?: string;
  readonly levels?: string;
  readonly flat?: true;
  readonly onDisk?: true;
  readonly sample?: string;
  readonly iterations?: string;
  readonly refine?: string;
  readonly beam?: string;
  readonly seed: string;
  readonly ids?: string;
}

export interface SearchOptions extends Where, MaybeEngine {
  readonly index?: string;
  readonly queries: string;
  readonly k: string;
  readonly out: string;
  readonly nprobe?: string;
  readonly recall?: string;
  readonly exact?: true;
  readonly beam?: string;
  readonly unsorted?: true;
  readonly onShort: 'extend' | 'error' | 'pad';
}

/** `subvocab index build`. */
export async function buildIndex(given: BuildOptions): Promise<void> {
  const op = 'index build';
  checkTwin(op, given);
  if (given.engine !== undefined) {
    await buildInEngine(op, given, given.engine);
    return;
  }
  const out = folderOf(op, '--out', given.out, given);
  if (given.onDisk) {
    await buildOnDisk(op, out, given);
    return;
  }
  checkAnnFolder(out);
  const numbers = integers(op, given, ['lists', 'levels', 'sample', 'iterations', 'refine', 'beam']);
  const seed = integer(op, '--seed', given.seed);
  const vectors = readRows(op, given.vectors, 'fbin');
  const ids = given.ids === undefined ? undefined : readRows(op, given.ids, 'ibin');
  const options: AnnOptions<Tensor> = {
    metric: given.metric,
    ...(given.flat ? { flat: true } : {}),
    ...numbers,
    key: key(seed),
    ...(ids === undefined ? {} : { ids: column(op, given.ids!, ids) }),
  };
  const plan = planHierarchicalAnn(vectors, options);
  requireFinite(op, given.vectors, vectors);
  if (options.ids !== undefined) checkIds(op, given.ids!, options.ids);
  const index =
    given.twin === 'ref'
      ? hierarchicalAnn(vectors, options)
      : await onGpu(op, given.adapter, async (gpu) => {
          using x = gpu.upload(vectors);
          using own = options.ids ? gpu.upload(options.ids) : undefined;
          const { ids: _, ...rest } = options;
          using made = gpu.ops.hierarchicalAnn(x, own ? { ...rest, ids: own } : rest);
          return await readIndex(made);
        });
  const { n, d, metric, levels, sample, iterations, refine, beam } = plan;
  await writeAnnFolder(out, index, { sample, iterations, refine, beam, seed, twin: given.twin });
  if (given.json) print(JSON.stringify({ index: out, vectors: n, dimensions: d, metric, levels }));
}

/** `subvocab index build --on-disk`. */
async function buildOnDisk(op: string, out: string, given: BuildOptions): Promise<void> {
  if (!given.vectors.endsWith('.fbin'))
    throw new ArgumentError(
      op,
      `--on-disk reads .fbin, piece by piece, not ${given.vectors}; write it as .fbin`,
    );
  const { metric, twin, flat, ids, levels } = given;
  if (metric !== 'ip' || twin !== 'ref' || flat || ids !== undefined || levels !== undefined)
    throw new ArgumentError(
      op,
      '--on-disk is for --metric ip and ids 0, 1, 2, ...; leave --twin, --flat, --levels and --ids out',
    );
  const numbers = integers(op, given, ['lists', 'sample', 'iterations', 'refine', 'beam']);
  const { buildWords } = await import('../../vocab/words/buildWords.ts');
  const line = progress();
  const report = await buildWords(
    out,
    { kind: 'fbin', path: given.vectors },
    {
      ...numbers,
      seed: integer(op, '--seed', given.seed),
      onProgress: (stage, done, of) => line.show(`${stage}: ${done} of ${of}`),
    },
  );
  line.clear();
  if (given.json) print(JSON.stringify({ index: out, ...report }));
}

/** `subvocab index build --engine`. */
async function buildInEngine(op: string, given: BuildOptions, engine: string): Promise<void> {
  const { out, metric, twin, levels, onDisk, sample, iterations, refine, beam } = given;
  if (out !== undefined) throw new ArgumentError(op, 'an index goes to --out or to --engine, not to both');
  if (metric !== 'ip' || twin !== 'ref' || onDisk || [levels, sample, iterations, refine, beam].some(Boolean))
    throw new ArgumentError(
      op,
      '--engine takes --lists or --flat, --ids and --table; the rest is for folders, and the metric is ip',
    );
  const { lists } = integers(op, given, ['lists']);
  if (given.flat && lists !== undefined) throw new ArgumentError(op, '--flat is one list; leave --lists out');
  const ids = given.ids === undefined ? undefined : readRows(op, given.ids, 'ibin');
  using source = given.vectors.endsWith('.fbin')
    ? openSource({ kind: 'fbin', path: given.vectors })
    : memoryRows(op, given.vectors);
  const line = progress();
  const report = await buildEngine(op, engine, source, {
    ...(given.table === undefined ? {} : { table: given.table }),
    ...(given.flat ? { lists: 1 } : lists === undefined ? {} : { lists }),
    ...(ids === undefined ? {} : { ids: column(op, given.ids!, ids).data as Int32Array }),
    onProgress: (stage, done, of) => line.show(`${stage}: ${done} of ${of}`),
  });
  line.clear();
  if (given.json) print(JSON.stringify(report));
}

function memoryRows(op: string, path: string): RowSource {
  const t = readRows(op, path, 'fbin');
  const [, d, more] = t.shape;
  if (d === undefined || more !== undefined)
    throw new ArgumentError(op, `${path} has shape ${show(t.shape)}; vectors are rows and columns`);
  return memorySource(path, t.data as Float32Array, d);
}

/** A search in an index of words or in an engine, with the results of `hierarchicalAnnSearch`. */
async function searchVocab(
  op: string,
  open: () => VocabIndex | Promise<VocabIndex>,
  given: SearchOptions,
  queries: Tensor,
  k: number,
): Promise<{ ids: Tensor; scores: Tensor; counts: Tensor }> {
  if (given.twin !== 'ref' || given.beam !== undefined || given.onShort !== 'extend')
    throw new ArgumentError(
      op,
      'an index on disk or in a database always extends a search; leave --twin, --beam and --on-short out',
    );
  await using index = await open();
  const [count = 0, d] = queries.shape;
  if (d !== index.dim) throw new ArgumentError(op, `queries have ${d} elements, the index ${index.dim}`);
  requireFinite(op, given.queries, queries);
  const share = given.exact
    ? { recall: 1 }
    : given.recall === undefined
      ? {}
      : { recall: Number(given.recall) };
  const found = await index.search(queries.data as Float32Array, k, {
    ...integers(op, given, ['nprobe']),
    ...share,
  });
  if (given.unsorted) sortById(found.ids, found.scores, k);
  return {
    ids: new Tensor('i32', [count, k], found.ids),
    scores: new Tensor('f32', [count, k], found.scores),
    counts: new Tensor('i32', [count], found.counts),
  };
}

/** Each row by ascending id; what is missing stays at the end. */
function sortById(ids: Int32Array, scores: Float32Array, k: number): void {
  for (let first = 0; first < ids.length; first += k) {
    const row = Array.from({ length: k }, (_, r) => [ids[first + r]!, scores[first + r]!] as const);
    row.sort(([a], [b]) => (a >>> 0) - (b >>> 0));
    for (const [r, [id, score]] of row.entries()) [ids[first + r], scores[first + r]] = [id, score];
  }
}

/** `subvocab index search`. */
export async function searchIndex(given: SearchOptions): Promise<void> {
  const op = 'index search';
  checkTwin(op, given);
  const outputs = [`${given.out}.ibin`, `${given.out}.fbin`];
  const targets = checkOutputs(op, outputs);
  // `--queries q.fbin --out q` is a slip that would cost the queries.
  const queriesFile = existsSync(given.queries) ? realpathSync(given.queries) : '';
  if (targets.some((t) => t.real === queriesFile)) {
    throw new ArgumentError(op, `--out ${given.out} would replace ${given.queries}; choose another name`);
  }
  const k = integer(op, '--k', given.k);
  const options: AnnSearchOptions = {
    ...integers(op, given, ['nprobe', 'beam']),
    ...(given.unsorted ? { sorted: false } : {}),
    onShort: given.onShort,
  };
  const queries = readRows(op, given.queries, 'fbin');
  const { engine } = given;
  const folder = engine === undefined ? folderOf(op, '--index', given.index, given) : undefined;
  if (engine !== undefined) onlyEngine(op, given);
  const open =
    engine !== undefined
      ? () => openEngine(op, engine, given.table)
      : isWords(folder!)
        ? () => openWords(folder!)
        : undefined;
  if (
    given.recall !== undefined &&
    (engine !== undefined || open === undefined || given.nprobe !== undefined)
  )
    throw new ArgumentError(
      op,
      '--recall is for an index that was built --on-disk, and stands instead of --nprobe',
    );
  const { exact, nprobe, recall, beam } = given;
  if (exact && (given.twin !== 'ref' || [nprobe, recall, beam].some((v) => v !== undefined)))
    throw new ArgumentError(
      op,
      '--exact looks wherever it has to; leave --nprobe, --recall, --beam and --twin out',
    );
  const words = open === undefined ? undefined : await searchVocab(op, open, given, queries, k);
  const index = words === undefined ? readAnnFolder(folder!) : undefined;
  if (index !== undefined) {
    planAnnSearch(index, queries, k, options);
    requireFinite(op, given.queries, queries);
  }
  const found =
    index === undefined
      ? words!
      : given.twin === 'ref'
        ? exact
          ? await exactSearch(index, queries, k, given)
          : hierarchicalAnnSearch(index, queries, k, options)
        : await onGpu(op, given.adapter, async (gpu) => {
            using there = uploadIndex(gpu, index);
            using q = gpu.upload(queries);
            using made = gpu.ops.hierarchicalAnnSearch(there, q, k, options);
            const [ids, scores, counts] = await Promise.all([
              made.ids.read(),
              made.scores.read(),
              made.counts.read(),
            ]);
            return { ids, scores, counts };
          });
  const short = found.counts.data.findIndex((c) => c < k);
  if (given.onShort === 'error' && short >= 0) {
    throw new ArgumentError(
      op,
      `query ${short} finds ${found.counts.data[short]} vectors, and k is ${k}; raise --nprobe, or use --on-short extend`,
    );
  }
  await writeFiles(op, [
    { path: outputs[0]!, chunks: binChunks(found.ids, 'ibin') },
    { path: outputs[1]!, chunks: binChunks(found.scores, 'fbin') },
  ]);
  if (given.json) {
    // One by one: as arguments of one call, a million counts would not fit on the stack.
    let [least, most] = [k, 0];
    for (const c of found.counts.data) [least, most] = [Math.min(least, c), Math.max(most, c)];
    print(
      JSON.stringify({
        queries: found.counts.size,
        k,
        found: { least, most },
        files: outputs,
      }),
    );
  }
}

/** The best of all vectors of an index: by bounds of its lists where it is for inner products, else by looking into all lists. */
async function exactSearch(
  index: AnnIndex<Tensor>,
  queries: Tensor,
  k: number,
  { unsorted }: SearchOptions,
): Promise<{ ids: Tensor; scores: Tensor; counts: Tensor }> {
  if (index.metric !== 'ip') {
    const { lists } = shapeOfIndex('index search', index);
    return hierarchicalAnnSearch(index, queries, k, { nprobe: lists, sorted: unsorted !== true });
  }
  const { bestFirstSearch } = await import('../../vocab/bestFirst.ts');
  const { lazyGumbelTopKBalls } = await import('../../ref/lazyGumbelTopK.ts');
  using balls = lazyGumbelTopKBalls(index);
  const [count = 0] = queries.shape;
  const { ids, scores, counts } = bestFirstSearch(index, balls, queries.data as Float32Array, k);
  if (unsorted) sortById(ids, scores, k);
  return {
    ids: new Tensor('i32', [count, k], ids),
    scores: new Tensor('f32', [count, k], scores),
    counts: new Tensor('i32', [count], counts),
  };
}

/** Copy an index to the GPU. */
export function uploadIndex(gpu: Gpu, index: AnnIndex<Tensor>): AnnIndex<GpuTensor> {
  const tensors: Record<string, GpuTensor> = {};
  for (const name of annTensorNames) if (index[name]) tensors[name] = gpu.upload(index[name]);
  return annIndex(index.metric, tensors as never);
}

/** Copy an index from the GPU. */
export async function readIndex(index: AnnIndex<GpuTensor>): Promise<AnnIndex<Tensor>> {
  const tensors: Record<string, Tensor> = {};
  for (const name of annTensorNames) if (index[name]) tensors[name] = await index[name].read();
  return annIndex(index.metric, tensors as never);
}

async function onGpu<R>(op: string, adapter: string | undefined, body: (gpu: Gpu) => Promise<R>): Promise<R> {
  // Loads Dawn: only where a GPU is asked for.
  const { openGpu } = await import('../../gpu/index.ts');
  await using gpu = await openGpu(adapter === undefined ? {} : { adapter });
  try {
    return await body(gpu);
  } catch (error) {
    if (![GpuError, DeviceLostError, UnsupportedError].some((kind) => error instanceof kind)) throw error;
    throw new GpuError(op, `${(error as Error).message} (on "${gpu.choice.chosen.name}")`, { cause: error });
  }
}

function checkTwin(op: string, { twin, adapter }: Where): void {
  if (adapter !== undefined && twin === 'ref')
    throw new ArgumentError(op, '--adapter chooses a GPU; add --twin gpu');
}

function integer(op: string, name: string, text: string): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new ArgumentError(op, `${name} is ${JSON.stringify(text)}; it must be an integer`);
  return value;
}

function integers<N extends string>(
  op: string,
  given: object,
  names: readonly N[],
): Partial<Record<N, number>> {
  const found: Partial<Record<N, number>> = {};
  for (const name of names) {
    const text = (given as Readonly<Record<string, unknown>>)[name];
    if (typeof text === 'string') found[name] = integer(op, `--${name}`, text);
  }
  return found;
}

/** Rows from a .fbin, .ibin, .npy, .safetensors or Arrow file. */
function readRows(op: string, path: string, kind: 'fbin' | 'ibin'): Tensor {
  using source = openFile(op, path);
  const t = path.endsWith('.npy')
    ? readNpy(source)
    : path.endsWith('.safetensors')
      ? onlyTensor(op, path, source)
      : /\.(arrow|feather|ipc)$/.test(path)
        ? readArrow(source, kind === 'fbin' ? 'vectors' : 'ids')
        : openBin(source, kind).read();
  return convert(op, path, t, [kind === 'fbin' ? 'f32' : 'i32']);
}

function onlyTensor(op: string, path: string, source: ByteSource): Tensor {
  const all = [...readSafetensors(source).tensors.values()];
  if (all.length !== 1) throw new ArgumentError(op, `${path} holds ${all.length} tensors; it must hold one`);
  return all[0]!;
}

function column(op: string, path: string, t: Tensor): Tensor {
  if (t.shape.length === 1) return t;
  if (t.shape.length === 2 && t.shape[1] === 1) return new Tensor(t.dtype, [t.shape[0]!], t.data);
  throw new ArgumentError(op, `${path} has shape ${show(t.shape)}; ids are one column`);
}

/** The kernel marks refused ids, it does not say which. */
function checkIds(op: string, path: string, ids: Tensor): void {
  const sorted = ids.data.slice().sort();
  if (sorted.length > 0 && sorted[0]! < 0)
    throw new ArgumentError(op, `${path} holds the id ${sorted[0]}; ids are integers from 0 to 2^31 - 1`);
  const twice = sorted.findIndex((id, i) => i > 0 && id === sorted[i - 1]);
  if (twice >= 0)
    throw new ArgumentError(op, `${path} repeats the id ${sorted[twice]}; every vector needs its own`);
}
