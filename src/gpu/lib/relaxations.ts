import type { NoiseOptions, Relaxation, RelaxationPlan } from '../../core/ops/gumbelTopK.ts';
import type { Binding, Gpu } from '../runtime/gpu.ts';
import type { GpuTensor } from '../runtime/gpuTensor.ts';
import { topK, topKBackward } from '../topK.ts';
import { type RowWindow, rowWindows } from './rowWindows.ts';
import type { Span } from './selectLayout.ts';

const file = 'gumbelTopK.threshold.wgsl';
const tables = 'gumbelTopK.tables.wgsl';
/** Where the noise comes from, as gumbelTopK.threshold.wgsl counts it. */
const sources = { none: 0, key: 1, noise: 2 } as const;
const kinds = {
  thresholdExp: 0,
  thresholdSigmoid: 1,
  thresholdLaplace: 2,
  exactK: 1,
  relaxedTopK: 0,
  thresholdClip: 3,
} as const;
/**
 * Passes to enqueue. Rows that are done leave at once; five were enough in all trials, at any spread and size. The sum of
 * clipped entries has bends, so that only halving is sure to come closer.
 */
const passesOf = (relaxation: Relaxation): number => (relaxation === 'thresholdClip' ? 26 : 10);
/** Words of a row's state and of a partial sum. */
const stateWords = 16;
const sumWords = 8;

/** The gradient to send back: shaped like the logits, or with the positions it belongs to. */
export interface Gradient {
  readonly dKHot: GpuTensor;
  readonly positions: GpuTensor | undefined;
  readonly slots: number;
}

/** A relaxation of every row, or with a gradient its product with the transposed Jacobian; shaped like the logits. */
export function relax(
  gpu: Gpu,
  plan: RelaxationPlan,
  k: number,
  logits: GpuTensor,
  options: NoiseOptions<GpuTensor>,
  gradient?: Gradient,
): GpuTensor {
  return relaxWithStates(gpu, plan, k, logits, options, gradient).out;
}

/** The same, with the state of every row as gumbelTopK.threshold.wgsl left it; relaxedTopK has none. */
export function relaxWithStates(
  gpu: Gpu,
  plan: RelaxationPlan,
  k: number,
  logits: GpuTensor,
  options: NoiseOptions<GpuTensor>,
  gradient?: Gradient,
): { out: GpuTensor; states: GpuTensor | undefined } {
  const scores = gpu.empty('f32', logits.shape);
  if (scores.size === 0) return { out: scores, states: undefined };
  perturb(gpu, logits, options, scores);
  const job = jobOf(gpu, plan, k);
  if (plan.relaxation === 'relaxedTopK')
    return { out: tabled(job, scores, undefined, gradient), states: undefined };
  const states = solve(job, scores);
  const out =
    plan.relaxation === 'exactK'
      ? tabled(job, scores, states, gradient)
      : thresholds(job, scores, states, gradient);
  return { out, states };
}

/** The threshold relaxations, in place of the differences that `solve` left in `scores`. */
function thresholds(job: Job, scores: GpuTensor, states: GpuTensor, gradient?: Gradient): GpuTensor {
  const { gpu, plan } = job;
  if (gradient === undefined) {
    for (const w of job.windows) job.run('thresholdValues', w, [states], [[scores, w.span]], w.pieces);
    return scores;
  }
  const { dKHot, positions, slots } = gradient;
  const constants = { SPARSE: positions === undefined ? 0 : 1 };
  if (positions === undefined) {
    mean(job, states, dKHot, scores);
    for (const w of job.windows) {
      const reads: Bound[] = [states, [dKHot, w.span]];
      job.run('thresholdGradient', w, reads, [[scores, w.span]], w.pieces, constants);
    }
    return scores;
  }
  const slopes = gpu.empty('f32', [plan.rows, Math.max(slots, 1)]);
  for (const w of job.windows) {
    const reads: Bound[] = [states, dKHot, positions, [scores, w.span]];
    job.run('thresholdSlots', { ...w, slots }, reads, [slopes], lanesFor(job, w.rows * slots));
  }
  mean(job, states, dKHot, slopes, slots);
  for (const w of job.windows) {
    const reads: Bound[] = [states, dKHot];
    job.run('thresholdGradient', w, reads, [[scores, w.span]], w.pieces, constants);
    const groups = lanesFor(job, w.rows * slots);
    job.run('thresholdScatter', { ...w, slots }, [slopes, dKHot, positions], [[scores, w.span]], groups);
  }
  return scores;
}

/** scores = logits + noise, or a mark of what takes no part or is refused. */
function perturb(
  gpu: Gpu,
  logits: GpuTensor,
  { key, noise, mask }: NoiseOptions<GpuTensor>,
  scores: GpuTensor,
): void {
  const [lanes, per] = gpu.family === 'gpu' ? [64, 4] : [8, 64];
  const window = Math.floor(gpu.maxBindingBytes / 256) * 64;
  const source = key !== undefined ? sources.key : noise !== undefined ? sources.noise : sources.none;
  for (let offset = 0; offset < logits.size; offset += window) {
    const count = Math.min(window, logits.size - offset);
    const part = (t: GpuTensor | undefined): Binding => ({ tensor: t ?? logits, offset, length: count });
    gpu.dispatch({
      file,
      entry: 'thresholdScores',
      constants: { LANES: lanes, PER: per, SOURCE: source },
      params: paramsOf({
        count,
        masked: mask === undefined ? 0 : 1,
        key0: key?.[0] ?? 0,
        key1: key?.[1] ?? 0,
        baseHigh: Math.floor(offset / 2 ** 32),
        baseLow: offset >>> 0,
      }),
      reads: [part(logits), part(noise), part(mask)],
      writes: [part(scores)],
      groups: gpu.grid(Math.ceil(count / (lanes * per))),
    });
  }
}

/** A window, with the number of chunks of all its rows: one workgroup each. */
type Window = RowWindow & { readonly pieces: number };

type Bound = GpuTensor | readonly [GpuTensor, Span];

/** What all dispatches of one call have in common. */
interface Job {
  readonly gpu: Gpu;
  readonly plan: RelaxationPlan;
  readonly k: number;
  readonly lanes: number;
  readonly tiles: boolean;
  readonly chunks: number;
  readonly windows: readonly Window[];
  run(
    entry: string,
    params: Partial<Params>,
    reads: readonly Bound[],
    writes: readonly Bound[],
    groups: number,
    constants?: Readonly<Record<string, number>>,
  ): void;
}

function jobOf(gpu: Gpu, plan: RelaxationPlan, k: number): Job {
  const tiles = gpu.family === 'gpu';
  const lanes = tiles ? 64 : 8;
  const { rows, length, temperature } = plan;
  const { chunk, chunks } = chunking(gpu, rows, length);
  const common = {
    rows,
    length,
    count: length,
    chunk,
    chunks,
    k,
    temperature,
    inverse: 1 / temperature,
  };
  const bind = (b: Bound): Binding => (Array.isArray(b) ? { tensor: b[0], ...b[1] } : (b as GpuTensor));
  return {
    gpu,
    plan,
    k,
    lanes,
    tiles,
    chunks,
    windows: rowWindows(rows, length, chunk, Math.floor(gpu.maxBindingBytes / 4)).map((w) => ({
      ...w,
      pieces: w.rows * Math.ceil(w.count / chunk),
    })),
    run: (entry, params, reads, writes, groups, constants = {}) =>
      gpu.dispatch({
        file,
        entry,
        constants: { LANES: lanes, TILES: tiles ? 1 : 0, KIND: kinds[plan.relaxation], ...constants },
        params: paramsOf({ ...common, ...params }),
        reads: reads.map(bind),
        writes: writes.map(bind),
        groups: gpu.grid(groups),
      }),
  };
}

/** Enough chunks to fill the machine, none so short that its partial sums cost more than it does. */
function chunking(gpu: Gpu, rows: number, length: number): { chunk: number; chunks: number } {
  const enough = gpu.family === 'gpu' ? 1024 : 64;
  const wanted = Math.min(Math.ceil(enough / Math.max(rows, 1)), Math.ceil(length / 2048));
  const chunk = Math.max(Math.ceil(length / Math.max(wanted, 1)), 1);
  return { chunk, chunks: Math.max(Math.ceil(length / chunk), 1) };
}

function lanesFor({ lanes }: Job, items: number): number {
  return Math.ceil(items / lanes);
}

/** One workgroup per row with tiles, else one invocation. */
function rowGroups(job: Job): number {
  return job.tiles ? job.plan.rows : lanesFor(job, job.plan.rows);
}

function partialSums(job: Job, chunks: number): GpuTensor {
  return job.gpu.empty('f32', [job.plan.rows, chunks * (job.tiles ? 1 : job.lanes), sumWords]);
}

/** Find lambda of every row. Leaves in `scores` their differences to the row's base. */
function solve(job: Job, scores: GpuTensor): GpuTensor {
  const { gpu, plan, k } = job;
  const { rows, length } = plan;
  const states = gpu.empty('f32', [rows, stateWords]);
  const { values: largest } = topK(gpu, scores.reshape([rows, length]), Math.min(k + 1, length));
  job.run('thresholdBegin', {}, [largest], [states], lanesFor(job, rows));
  if (k === 0 || k === length) return states;
  const partials = partialSums(job, job.chunks);
  for (let step = 0; step < passesOf(plan.relaxation); step++) {
    for (const w of job.windows) {
      job.run('thresholdSum', { ...w, step }, [states], [[scores, w.span], partials], w.pieces);
    }
    job.run('thresholdStep', {}, [partials], [states], rowGroups(job));
  }
  return states;
}

/** mean = sum of w g / sum of w per row. `weights` hold the differences, or the slots' w. */
function mean(job: Job, states: GpuTensor, dKHot: GpuTensor, weights: GpuTensor, slots?: number): void {
  const { gpu, plan } = job;
  if (slots === undefined) {
    const products = partialSums(job, job.chunks);
    for (const w of job.windows) {
      const reads: Bound[] = [states, [dKHot, w.span], [weights, w.span]];
      job.run('thresholdDot', w, reads, [products], w.pieces, { SPARSE: 0 });
    }
    job.run('thresholdMean', {}, [products], [states], rowGroups(job));
    return;
  }
  if (slots === 0) return;
  const { chunk, chunks } = chunking(gpu, plan.rows, slots);
  const products = partialSums(job, chunks);
  const line = { length: slots, count: slots, chunk, chunks };
  const reads: Bound[] = [states, dKHot, weights];
  job.run('thresholdDot', line, reads, [products], plan.rows * chunks, { SPARSE: 1 });
  job.run('thresholdMean', line, [products], [states], rowGroups(job));
}

/** exactK and relaxedTopK, as many rows at a time as their tables fit into one binding. */
function tabled(job: Job, scores: GpuTensor, states: GpuTensor | undefined, gradient?: Gradient): GpuTensor {
  const { gpu, plan, k } = job;
  const { rows, length } = plan;
  const out = gpu.empty('f32', scores.shape);
  const backward = gradient !== undefined;
  let g = scores;
  if (gradient !== undefined) {
    const { dKHot, positions, slots } = gradient;
    g = dKHot;
    if (positions !== undefined) {
      g = topKBackward(gpu, dKHot.reshape([rows, slots]), positions.reshape([rows, slots]), length);
    }
  }
  const exact = states !== undefined;
  if (exact && backward && k > 0 && k < length) mean(job, states, g, scores);
  const tableWords = exact ? (length + 1) * (k + 1) : (backward ? k : 1) * length;
  const rollingWords = exact ? 4 * (k + 1) : 2 * length;
  const most = Math.floor(gpu.maxBindingBytes / 4 / Math.max(tableWords, rollingWords, 1));
  const batch = Math.max(Math.min(rows, most), 1);
  const table = gpu.empty('f32', [batch, tableWords]);
  const weighted = gpu.empty('f32', exact ? (backward ? [batch, tableWords] : [64]) : [batch, k + 1, 2]);
  const rolling = gpu.empty('f32', [batch, rollingWords]);
  for (let row = 0; row < rows; row += batch) {
    const here = Math.min(batch, rows - row);
    gpu.dispatch({
      file: tables,
      entry: exact ? 'exactK' : 'relaxedTopK',
      // One invocation per row on software drivers: with barriers, compiling alone would take them many seconds.
      constants: { LANES: job.tiles ? 64 : 1, BACKWARD: backward ? 1 : 0 },
      params: [here, row, length, k, { f32: 1 / plan.temperature }],
      reads: [scores, states ?? scores, g],
      writes: [out, table, weighted, rolling],
      groups: gpu.grid(here),
    });
  }
  return out;
}

/** The fields of Params in gumbelTopK.threshold.wgsl, in order. */
interface Params {
  readonly rows: number;
  readonly row: number;
  readonly length: number;
  readonly first: number;
  readonly count: number;
  readonly origin: number;
  readonly chunk: number;
  readonly chunks: number;
  readonly k: number;
  readonly step: number;
  readonly temperature: number;
  readonly inverse: number;
  readonly masked: number;
  readonly key0: number;
  readonly key1: number;
  readonly baseHigh: number;
  readonly baseLow: number;
  readonly slots: number;
}

function paramsOf(p: Partial<Params>): (number | { readonly f32: number })[] {
  return [
    p.rows ?? 0,
    p.row ?? 0,
    p.length ?? 0,
    p.first ?? 0,
    p.count ?? 0,
    p.origin ?? 0,
    p.chunk ?? 1,
    p.chunks ?? 1,
    p.k ?? 0,
    p.step ?? 0,
    { f32: p.temperature ?? 1 },
    { f32: p.inverse ?? 1 },
    p.masked ?? 0,
    p.key0 ?? 0,
    p.key1 ?? 0,
    p.baseHigh ?? 0,
    p.baseLow ?? 0,
    p.slots ?? 0,
  ];
}
