import {
  type CrossEntropyBackwardOptions,
  type CrossEntropyLogitsBackwardOptions,
  type CrossEntropyLogitsOptions,
  type CrossEntropyOptions,
  type CrossEntropyPlan,
  planCrossEntropy,
  planCrossEntropyBackward,
  planCrossEntropyLogits,
  planCrossEntropyLogitsBackward,
} from '../core/ops/crossEntropy.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { multiply, sumRows } from './matmul.ts';
import type { Binding, Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'crossEntropy.wgsl';

/** The kernel twin of `ref.crossEntropy`; the contract is `Ops.crossEntropy`. */
export function crossEntropy(
  gpu: Gpu,
  x: GpuTensor,
  w: GpuTensor,
  targets: GpuTensor,
  options: CrossEntropyOptions<GpuTensor> = {},
): Outputs<{ loss: GpuTensor; count: GpuTensor; lse: GpuTensor }> {
  const plan = planCrossEntropy(x, w, targets, options);
  return gpu.run('crossEntropy', [x, w, targets, options.bias], () => {
    const lse = gpu.empty('f32', plan.shape);
    const tokens = gpu.empty('u32', [plan.tokens, 3]);
    const rows = { first: 0, rows: plan.tokens };
    const states = gpu.empty('u32', [plan.tokens, 4]);
    for (const chunk of chunksOf(plan)) {
      const logits = logitsOf(gpu, plan, chunk, x, w, options.bias);
      scan(gpu, plan, rows, chunk, logits, targets, states);
      logits[Symbol.dispose]();
    }
    finish(gpu, plan, rows, states, targets, lse, tokens);
    return outputs({ ...mean(gpu, tokens, plan.tokens), lse });
  });
}

/** The kernel twin of `ref.crossEntropyBackward`; the contract is `Ops.crossEntropyBackward`. */
export function crossEntropyBackward(
  gpu: Gpu,
  dLoss: GpuTensor,
  x: GpuTensor,
  w: GpuTensor,
  targets: GpuTensor,
  lse: GpuTensor,
  count: GpuTensor,
  options: CrossEntropyBackwardOptions<GpuTensor> = {},
): Outputs<{ dx: GpuTensor; dw: GpuTensor; dBias?: GpuTensor }> {
  const plan = planCrossEntropyBackward(dLoss, x, w, targets, lse, count, options);
  const { bias, dLse } = options;
  return gpu.run('crossEntropyBackward', [dLoss, x, w, targets, lse, count, bias, dLse], () => {
    const { tokens, words, width } = plan;
    const dx = gpu.empty('f32', x.shape);
    const dw = gpu.empty('f32', w.shape);
    const dBias = bias === undefined ? undefined : gpu.empty('f32', [words]);
    // No product adds anything without tokens.
    if (tokens === 0) for (const t of [dw, dBias]) if (t !== undefined) gpu.clear(t);
    for (const chunk of chunksOf(plan)) {
      const { firstColumn, columns } = chunk;
      const g = logitsOf(gpu, plan, chunk, x, w, bias);
      gradient(gpu, plan, { first: 0, rows: tokens }, chunk, [targets, lse, dLse ?? lse, dLoss, count], {
        entry: 'crossEntropyGradient',
        reads: [],
        write: g,
        hasDLse: dLse !== undefined,
      });
      const part: Binding = { tensor: w, offset: firstColumn * width, length: columns * width };
      multiply(gpu, {
        ...product(tokens, width, columns),
        a: { tensor: g, items: 1, outer: columns, step: 1 },
        b: { tensor: part, items: 1, outer: 1, step: width },
        y: dx,
        accumulate: firstColumn > 0,
      });
      multiply(gpu, {
        ...product(columns, width, tokens),
        a: { tensor: g, items: 1, outer: 1, step: columns },
        b: { tensor: x, items: 1, outer: 1, step: width },
        y: { tensor: dw, offset: firstColumn * width, length: columns * width },
      });
      if (dBias !== undefined && tokens > 0) {
        const sums = sumRows(gpu, g, 1, tokens, columns);
        gpu.copy(sums, dBias, columns, 0, firstColumn);
        sums[Symbol.dispose]();
      }
      g[Symbol.dispose]();
    }
    return outputs({ dx, dw, ...(dBias === undefined ? {} : { dBias }) });
  });
}

/** The kernel twin of `ref.crossEntropyLogits`; the contract is `Ops.crossEntropyLogits`. */
export function crossEntropyLogits(
  gpu: Gpu,
  logits: GpuTensor,
  targets: GpuTensor,
  options: CrossEntropyLogitsOptions = {},
): Outputs<{ loss: GpuTensor; count: GpuTensor; lse: GpuTensor }> {
  const plan = planCrossEntropyLogits(logits, targets, options);
  return gpu.run('crossEntropyLogits', [logits, targets], () => {
    const lse = gpu.empty('f32', plan.shape);
    const tokens = gpu.empty('u32', [plan.tokens, 3]);
    for (const rows of windows(gpu, plan)) {
      const states = gpu.empty('u32', [rows.rows, 4]);
      scan(gpu, plan, rows, whole(plan), window(rows, logits, plan.words), targets, states);
      finish(gpu, plan, rows, states, targets, lse, tokens);
      states[Symbol.dispose]();
    }
    return outputs({ ...mean(gpu, tokens, plan.tokens), lse });
  });
}

/** The kernel twin of `ref.crossEntropyLogitsBackward`; the contract is `Ops.crossEntropyLogitsBackward`. */
export function crossEntropyLogitsBackward(
  gpu: Gpu,
  dLoss: GpuTensor,
  logits: GpuTensor,
  targets: GpuTensor,
  lse: GpuTensor,
  count: GpuTensor,
  options: CrossEntropyLogitsBackwardOptions<GpuTensor> = {},
): GpuTensor {
  const plan = planCrossEntropyLogitsBackward(dLoss, logits, targets, lse, count, options);
  const { dLse } = options;
  return gpu.run('crossEntropyLogitsBackward', [dLoss, logits, targets, lse, count, dLse], () => {
    const dLogits = gpu.empty('f32', logits.shape);
    for (const rows of windows(gpu, plan)) {
      gradient(gpu, plan, rows, whole(plan), [targets, lse, dLse ?? lse, dLoss, count], {
        entry: 'crossEntropyLogitsGradient',
        reads: [window(rows, logits, plan.words)],
        write: window(rows, dLogits, plan.words),
        hasDLse: dLse !== undefined,
      });
    }
    return dLogits;
  });
}

/** Columns of logits that are at hand together. */
export interface Chunk {
  readonly firstColumn: number;
  readonly columns: number;
}

/** Rows (tokens) of one binding. */
export interface Rows {
  readonly first: number;
  readonly rows: number;
}

function chunksOf({ words, chunk }: CrossEntropyPlan): Chunk[] {
  const chunks: Chunk[] = [];
  for (let firstColumn = 0; firstColumn < words; firstColumn += chunk) {
    chunks.push({ firstColumn, columns: Math.min(chunk, words - firstColumn) });
  }
  return chunks;
}

function whole({ words }: CrossEntropyPlan): Chunk {
  return { firstColumn: 0, columns: words };
}

/** Rows of given logits that fit one binding, in steps of 64: windows begin at multiples of 256 bytes. */
function windows(gpu: Gpu, { tokens, words }: CrossEntropyPlan): Rows[] {
  const fit = Math.floor(gpu.maxBindingBytes / 4 / words);
  const most = tokens <= fit ? Math.max(tokens, 1) : Math.max(Math.floor(fit / 64) * 64, 64);
  const all: Rows[] = [];
  for (let first = 0; first < tokens; first += most)
    all.push({ first, rows: Math.min(most, tokens - first) });
  return all;
}

function window({ first, rows }: Rows, tensor: GpuTensor, width: number): Binding {
  return { tensor, offset: first * width, length: rows * width };
}

/** What the two products of a chunk have in common with a plain one. */
function product(m: number, n: number, k: number) {
  return { m, n, k, batch: 1, groups: [] };
}

/** The logits of one chunk of words, x wᵀ + bias. */
function logitsOf(
  gpu: Gpu,
  { tokens, width }: CrossEntropyPlan,
  { firstColumn, columns }: Chunk,
  x: GpuTensor,
  w: GpuTensor,
  bias: GpuTensor | undefined,
): GpuTensor {
  const y = gpu.empty('f32', [tokens, columns]);
  const part: Binding = { tensor: w, offset: firstColumn * width, length: columns * width };
  const shift: Binding | undefined =
    bias === undefined ? undefined : { tensor: bias, offset: firstColumn, length: columns };
  multiply(gpu, {
    ...product(tokens, columns, width),
    a: { tensor: x, items: 1, outer: width, step: 1 },
    b: { tensor: part, items: 1, outer: width, step: 1 },
    y,
    ...(shift === undefined ? {} : { bias: shift }),
  });
  return y;
}

/** The scalars of every kernel here, in the order of its uniform struct. */
function paramsOf(
  plan: CrossEntropyPlan,
  rows: number,
  { firstColumn, columns }: Chunk,
  rest: { parts?: number; hasDLse?: boolean; count?: number; partColumns?: number; isFirst?: boolean } = {},
): number[] {
  const { parts = 0, hasDLse = false, count = 0, partColumns = 0, isFirst = firstColumn === 0 } = rest;
  return [
    rows,
    columns,
    firstColumn,
    plan.words,
    parts,
    isFirst ? 1 : 0,
    plan.ignoreIndex,
    hasDLse ? 1 : 0,
    count,
    partColumns,
  ];
}

const workgroupOf = (gpu: Gpu): number => (gpu.family === 'gpu' ? 64 : 8);

/** Join one chunk of logits to what is known of its rows; `isFirst`: nothing is. */
export function scan(
  gpu: Gpu,
  plan: CrossEntropyPlan,
  rows: Rows,
  chunk: Chunk,
  logits: Binding,
  targets: GpuTensor,
  states: GpuTensor,
  isFirst: boolean = chunk.firstColumn === 0,
): void {
  const workgroup = workgroupOf(gpu);
  const length = gpu.family === 'gpu' ? 64 : 256;
  const parts = Math.ceil(chunk.columns / length);
  const partColumns = gpu.family === 'gpu' ? 0 : length;
  const found = gpu.empty('u32', [rows.rows * parts, 4]);
  const call = {
    file,
    constants: { WORKGROUP_SIZE: workgroup },
    params: paramsOf(plan, rows.rows, chunk, { parts, partColumns, isFirst }),
  };
  gpu.dispatch({
    ...call,
    entry: 'crossEntropyParts',
    reads: [logits],
    writes: [found],
    groups: gpu.grid(Math.ceil((rows.rows * parts) / workgroup)),
  });
  gpu.dispatch({
    ...call,
    entry: 'crossEntropyMerge',
    reads: [logits, window(rows, targets, 1), found],
    writes: [states],
    groups: gpu.grid(Math.ceil(rows.rows / workgroup)),
  });
  found[Symbol.dispose]();
}

/** Log-sum-exp and loss of rows whose chunks are all joined. */
export function finish(
  gpu: Gpu,
  plan: CrossEntropyPlan,
  rows: Rows,
  states: GpuTensor,
  targets: GpuTensor,
  lse: GpuTensor,
  tokens: GpuTensor,
): void {
  const workgroup = workgroupOf(gpu);
  gpu.dispatch({
    file,
    entry: 'crossEntropyFinish',
    constants: { WORKGROUP_SIZE: workgroup },
    params: paramsOf(plan, rows.rows, whole(plan)),
    reads: [states, window(rows, targets, 1)],
    writes: [window(rows, lse, 1), window(rows, tokens, 3)],
    groups: gpu.grid(Math.ceil(rows.rows / workgroup)),
  });
}

/** The mean over tokens, and how many count. */
export function mean(gpu: Gpu, tokens: GpuTensor, count: number): { loss: GpuTensor; count: GpuTensor } {
  const loss = gpu.empty('f32', []);
  const counted = gpu.empty('i32', []);
  const params = (n: number): number[] => [0, 0, 0, 0, 0, 0, 0, 0, n];
  let addends = tokens;
  let left = count;
  while (left > 64) {
    const next = Math.ceil(left / 64);
    const sums = gpu.empty('u32', [next, 3]);
    gpu.dispatch({
      file,
      entry: 'crossEntropySums',
      constants: { WORKGROUP_SIZE: 8 },
      params: params(left),
      reads: [addends],
      writes: [sums],
      groups: gpu.grid(Math.ceil(next / 8)),
    });
    addends = sums;
    left = next;
  }
  gpu.dispatch({
    file,
    entry: 'crossEntropyMean',
    params: params(left),
    reads: [addends],
    writes: [loss, counted],
    groups: [1],
  });
  return { loss, count: counted };
}

export interface GradientCall {
  readonly entry: string;
  readonly reads: readonly Binding[];
  readonly write: Binding;
  readonly hasDLse: boolean;
}

/** The gradient of one chunk of logits. An absent dLse is stood in for by lse, which no branch then reads. */
export function gradient(
  gpu: Gpu,
  plan: CrossEntropyPlan,
  rows: Rows,
  chunk: Chunk,
  [targets, lse, dLse, dLoss, count]: readonly [GpuTensor, GpuTensor, GpuTensor, GpuTensor, GpuTensor],
  { entry, reads, write, hasDLse }: GradientCall,
): void {
  const [workgroup, per] = gpu.family === 'gpu' ? [64, 4] : [16, 16];
  const own = (t: GpuTensor): Binding => window(rows, t, 1);
  gpu.dispatch({
    file,
    entry,
    constants: { WORKGROUP_SIZE: workgroup, PER: per },
    params: paramsOf(plan, rows.rows, chunk, { hasDLse }),
    reads: [own(targets), own(lse), own(dLse), dLoss, count, ...reads],
    writes: [write],
    groups: gpu.grid(rows.rows * Math.ceil(chunk.columns / (workgroup * per))),
  });
}
