import { existsSync, realpathSync } from 'node:fs';
import { ArgumentError, DeviceLostError, GpuError, UnsupportedError } from '../../core/errors.ts';
import { requireFinite } from '../../core/finite.ts';
import { checkAnnFolder, readAnnFolder, writeAnnFolder } from '../../core/formats/annFolder.ts';
import { binChunks, openBin } from '../../core/formats/fbin.ts';
import { checkOutputs, openFile, writeFiles } from '../../core/formats/files.ts';
import { readNpy } from '../../core/formats/npy.ts';
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
} from '../../core/ops/hierarchicalAnn.ts';
import { show, Tensor } from '../../core/tensor.ts';
import type { Gpu, GpuTensor } from '../../gpu/index.ts';
import { hierarchicalAnn } from '../../ref/hierarchicalAnn.ts';
import { hierarchicalAnnSearch } from '../../ref/hierarchicalAnnSearch.ts';
import { print } from '../frame.ts';
import { convert } from '../tensors.ts';

interface Where {
  readonly twin: 'ref' | 'gpu';
  readonly adapter?: string;
  readonly json?: true;
}

export interface BuildOptions extends Where {
  readonly vectors: string;
  readonly out: string;
  readonly metric: Metric;
  readonly lists?: string;
  readonly levels?: string;
  readonly flat?: true;
  readonly sample?: string;
  readonly iterations?: string;
  readonly refine?: string;
  readonly beam?: string;
  readonly seed: string;
  readonly ids?: string;
}

export interface SearchOptions extends Where {
  readonly index: string;
  readonly queries: string;
  readonly k: string;
  readonly out: string;
  readonly nprobe?: string;
  readonly beam?: string;
  readonly unsorted?: true;
  readonly onShort: 'extend' | 'error' | 'pad';
}

/** `subvocab index build`. */
export async function buildIndex(given: BuildOptions): Promise<void> {
  const op = 'index build';
  checkTwin(op, given);
  checkAnnFolder(given.out);
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
  await writeAnnFolder(given.out, index, { sample, iterations, refine, beam, seed, twin: given.twin });
  if (given.json) print(JSON.stringify({ index: given.out, vectors: n, dimensions: d, metric, levels }));
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
  const index = readAnnFolder(given.index);
  planAnnSearch(index, queries, k, options);
  requireFinite(op, given.queries, queries);
  const found =
    given.twin === 'ref'
      ? hierarchicalAnnSearch(index, queries, k, options)
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

/** Rows from a .fbin, .ibin or .npy file. */
function readRows(op: string, path: string, kind: 'fbin' | 'ibin'): Tensor {
  using source = openFile(op, path);
  const t = path.endsWith('.npy') ? readNpy(source) : openBin(source, kind).read();
  return convert(op, path, t, [kind === 'fbin' ? 'f32' : 'i32']);
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
