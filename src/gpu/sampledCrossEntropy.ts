import type { CrossEntropyPlan } from '../core/ops/crossEntropy.ts';
import {
  planSampledCrossEntropy,
  planSampledCrossEntropyBackward,
  type SampledCrossEntropyOptions,
  type SampledCrossEntropyPlan,
} from '../core/ops/sampledCrossEntropy.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { finish, gradient, mean, scan } from './crossEntropy.ts';
import { gatherRows } from './gatherRows.ts';
import { scatterRows } from './lib/scatterRows.ts';
import { groupsFor, lanes } from './lib/sort.ts';
import { chunkGradients, chunkLogits, forChunks, type WordChunk } from './lib/subVocab.ts';
import { localIds } from './localIds.ts';
import type { Binding, Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'sampledCrossEntropy.wgsl';
/** Columns that a workgroup corrects. */
const span = 512;

/** The kernel twin of `ref.sampledCrossEntropy`; a target that is no word makes the loss NaN. */
export function sampledCrossEntropy(
  gpu: Gpu,
  x: GpuTensor,
  table: GpuTensor,
  words: GpuTensor,
  targets: GpuTensor,
  options: SampledCrossEntropyOptions<GpuTensor> = {},
): Outputs<{ loss: GpuTensor; count: GpuTensor; lse: GpuTensor }> {
  const plan = planSampledCrossEntropy(x, table, words, targets, options);
  return gpu.run('sampledCrossEntropy', inputsOf(x, table, words, targets, options), () => {
    const sums = sumPlan(plan);
    const rows = { first: 0, rows: sums.tokens };
    const goals = goalsOf(gpu, plan, words, targets);
    const states = gpu.empty('u32', [sums.tokens, 4]);
    // The targets' own column comes first in time, so that a row of words that are all -1 has a state, too.
    const last = { firstColumn: plan.k, columns: 1 };
    const own = ownLogits(gpu, plan, goals, x, table, options);
    scan(gpu, sums, rows, last, own.logits, goals.columns, states, true);
    forChunks(gpu, plan, table, words, (chunk) => {
      const logits = corrected(gpu, plan, goals, x, chunk, options);
      const part = { firstColumn: chunk.first, columns: chunk.columns };
      scan(gpu, sums, rows, part, logits, goals.columns, states, false);
    });
    const lse = gpu.empty('f32', plan.tokenShape);
    const found = gpu.empty('u32', [sums.tokens, 3]);
    finish(gpu, sums, rows, states, goals.columns, lse, found);
    return outputs({ ...mean(gpu, found, sums.tokens), lse });
  });
}

/** The kernel twin of `ref.sampledCrossEntropyBackward`. */
export function sampledCrossEntropyBackward(
  gpu: Gpu,
  dLoss: GpuTensor,
  x: GpuTensor,
  table: GpuTensor,
  words: GpuTensor,
  targets: GpuTensor,
  lse: GpuTensor,
  count: GpuTensor,
  options: SampledCrossEntropyOptions<GpuTensor> = {},
): Outputs<{ dx: GpuTensor; dTable: GpuTensor; dGates?: GpuTensor }> {
  const plan = planSampledCrossEntropyBackward(dLoss, x, table, words, targets, lse, count, options);
  const { gates } = options;
  const inputs = [dLoss, lse, count, ...inputsOf(x, table, words, targets, options)];
  return gpu.run('sampledCrossEntropyBackward', inputs, () => {
    const dx = gpu.zeros('f32', x.shape);
    const dTable = gpu.zeros('f32', table.shape);
    const dGates = gates === undefined ? undefined : gpu.zeros('f32', gates.shape);
    const made = { dx, dTable, ...(dGates === undefined ? {} : { dGates }) };
    if (x.size === 0) return outputs(made);
    const sums = sumPlan(plan);
    const rows = { first: 0, rows: sums.tokens };
    const goals = goalsOf(gpu, plan, words, targets);
    const given = [goals.columns, lse, lse, dLoss, count] as const;
    const inPlace = (write: GpuTensor) => ({
      entry: 'crossEntropyGradient',
      reads: [],
      write,
      hasDLse: false,
    });
    forChunks(gpu, plan, table, words, (chunk) => {
      const g = corrected(gpu, plan, goals, x, chunk, options);
      gradient(gpu, sums, rows, { firstColumn: chunk.first, columns: chunk.columns }, given, inPlace(g));
      chunkGradients(gpu, plan, x, g, chunk, dx, dTable);
      if (gates === undefined || dGates === undefined) return;
      dispatch(gpu, 'gateGradients', paramsOf(plan, options, chunk), plan.rows * chunk.columns, {
        reads: [g, gates],
        writes: [dGates],
      });
    });
    const own = ownLogits(gpu, plan, goals, x, table, options);
    gradient(gpu, sums, rows, { firstColumn: plan.k, columns: 1 }, given, inPlace(own.logits));
    const dRows = gpu.empty('f32', [sums.tokens, plan.width]);
    dispatch(gpu, 'ownGradients', paramsOf(plan, options), x.size, {
      reads: [x, own.gathered, own.logits],
      writes: [dx, dRows],
    });
    scatterRows(gpu, dRows, goals.outside, dTable, plan.width);
    return outputs(made);
  });
}

/** Where the targets are: their columns, and those that are not among the words. */
interface Goals {
  readonly columns: GpuTensor;
  readonly outside: GpuTensor;
}

/** The sums of crossEntropy over the words and the targets' own column. */
function sumPlan({ rows, tokens, k, tokenShape, chunk }: SampledCrossEntropyPlan): CrossEntropyPlan {
  return { tokens: rows * tokens, words: k + 1, width: 0, ignoreIndex: -100, chunk, shape: tokenShape };
}

function inputsOf(
  x: GpuTensor,
  table: GpuTensor,
  words: GpuTensor,
  targets: GpuTensor,
  { logInclusion, targetLogInclusion, gates }: SampledCrossEntropyOptions<GpuTensor>,
): (GpuTensor | undefined)[] {
  return [x, table, words, targets, logInclusion, targetLogInclusion, gates];
}

function goalsOf(gpu: Gpu, plan: SampledCrossEntropyPlan, words: GpuTensor, targets: GpuTensor): Goals {
  const hits = localIds(gpu, targets, words);
  const made = { columns: gpu.empty('i32', targets.shape), outside: gpu.empty('i32', targets.shape) };
  dispatch(gpu, 'sampledGoals', paramsOf(plan, {}), targets.size, {
    reads: [targets, hits],
    writes: [made.columns, made.outside],
  });
  return made;
}

/** The corrected logits of a chunk. */
function corrected(
  gpu: Gpu,
  plan: SampledCrossEntropyPlan,
  { columns }: Goals,
  x: GpuTensor,
  chunk: WordChunk,
  options: SampledCrossEntropyOptions<GpuTensor>,
): GpuTensor {
  const logits = chunkLogits(gpu, plan, x, chunk);
  // Something has to be bound where an option is absent; nothing reads it.
  const { logInclusion = x, targetLogInclusion = x, gates = x } = options;
  const spans = Math.ceil(chunk.columns / span);
  gpu.dispatch({
    file,
    entry: 'sampledCorrect',
    constants: { ...lanes(gpu).constants, SPAN: span },
    params: paramsOf(plan, options, chunk),
    reads: [chunk.words, columns, logInclusion, targetLogInclusion, gates],
    writes: [logits],
    groups: gpu.grid(plan.rows * plan.tokens * spans),
  });
  return logits;
}

/** The targets' own column, and their rows of the table. */
function ownLogits(
  gpu: Gpu,
  plan: SampledCrossEntropyPlan,
  { outside }: Goals,
  x: GpuTensor,
  table: GpuTensor,
  options: SampledCrossEntropyOptions<GpuTensor>,
): { logits: GpuTensor; gathered: GpuTensor } {
  const gathered = gatherRows(gpu, table, outside);
  const logits = gpu.empty('f32', plan.tokenShape);
  dispatch(gpu, 'ownLogits', paramsOf(plan, options), logits.size, {
    reads: [x, gathered, outside, options.targetLogInclusion ?? x],
    writes: [logits],
  });
  return { logits, gathered };
}

function paramsOf(
  { rows, tokens, k, width, words, ignoreIndex }: SampledCrossEntropyPlan,
  { logInclusion, targetLogInclusion, gates }: SampledCrossEntropyOptions<GpuTensor>,
  { first, columns }: Pick<WordChunk, 'first' | 'columns'> = { first: 0, columns: k },
): number[] {
  const flags = [logInclusion, targetLogInclusion, gates].map((t) => (t === undefined ? 0 : 1));
  return [rows, tokens, k, first, columns, width, words, ignoreIndex, ...flags];
}

function dispatch(
  gpu: Gpu,
  entry: string,
  params: number[],
  items: number,
  io: { reads: readonly Binding[]; writes: readonly Binding[] },
): void {
  gpu.dispatch({
    file,
    entry,
    constants: lanes(gpu).constants,
    params,
    ...io,
    groups: groupsFor(gpu, items),
  });
}
