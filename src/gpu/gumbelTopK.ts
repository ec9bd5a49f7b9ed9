import {
  type GumbelTopKBackwardOptions,
  type GumbelTopKOptions,
  type GumbelTopKOutputs,
  type GumbelTopKPlan,
  planGumbelTopK,
  planGumbelTopKBackward,
  planGumbelTopKRelaxed,
  type RelaxationOptions,
} from '../core/ops/gumbelTopK.ts';
import { outputs } from '../core/tensor.ts';
import { relax } from './lib/relaxations.ts';
import { rowWindows } from './lib/rowWindows.ts';
import { select } from './lib/select.ts';
import { spanOf } from './lib/selectLayout.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'gumbelTopK.wgsl';
const kernels = {
  file,
  entries: {
    sample: 'gumbelTopKSample',
    count: 'gumbelTopKCount',
    mark: 'gumbelTopKMark',
    collect: 'gumbelTopKCollect',
    write: 'gumbelTopK',
  },
  tiles: {
    file: 'gumbelTopK.tiles.wgsl',
    entries: {
      count: 'gumbelTopKCountTiles',
      mark: 'gumbelTopKMarkTiles',
      collect: 'gumbelTopKCollectTiles',
      short: 'gumbelTopKShort',
    },
  },
} as const;

/** The kernel twin of `ref.gumbelTopK`; the contract is `Ops.gumbelTopK`. */
export function gumbelTopK(
  gpu: Gpu,
  logits: GpuTensor,
  k: number,
  options: GumbelTopKOptions<GpuTensor>,
): GumbelTopKOutputs<GpuTensor> {
  const plan = planGumbelTopK(logits, k, options);
  const { rows, length, shape, rowShape } = plan;
  const { key, noise, mask } = options;
  return gpu.run('gumbelTopK', [logits, noise, mask], () => {
    // One more than k: the first that is not selected is the threshold.
    const more = Math.min(k + 1, length);
    const best = {
      values: gpu.empty('f32', [rows, more]),
      indices: gpu.empty('i32', [rows, more]),
      counts: gpu.zeros('i32', [rows]),
    };
    if (rows > 0 && more > 0) {
      const own = ({ a }: { readonly a: number }): number[] => {
        const first = a * length;
        return [key?.[0] ?? 0, key?.[1] ?? 0, Math.floor(first / 2 ** 32), first >>> 0];
      };
      const sizes = {
        outer: rows,
        length,
        inner: 1,
        k: more,
        slots: more,
        sorted: true,
        largest: true,
        maskInner: mask === undefined ? 0 : 1,
      };
      const constants = { KEYED: key === undefined ? 0 : 1 };
      select(gpu, { ...kernels, constants, x: logits, mask, second: noise, own }, sizes, best);
    }
    const results = {
      indices: gpu.empty('i32', shape),
      scores: gpu.empty('f32', shape),
      logInclusion: gpu.empty('f32', shape),
      threshold: gpu.empty('f32', rowShape),
      counts: gpu.empty('i32', rowShape),
    };
    if (rows > 0) finish(gpu, plan, k, more, logits, best, results);
    const kHot = options.kHot ? hot(gpu, plan, k, results.indices, logits) : undefined;
    return outputs({ ...results, kHot });
  });
}

type Best = Record<'values' | 'indices' | 'counts', GpuTensor>;
type Results = Record<'indices' | 'scores' | 'logInclusion' | 'threshold' | 'counts', GpuTensor>;

/** From the k + 1 best of every row to the results. */
function finish(
  gpu: Gpu,
  { rows, length }: GumbelTopKPlan,
  k: number,
  more: number,
  logits: GpuTensor,
  best: Best,
  results: Results,
): void {
  const common = { rows, k, more, length };
  const maxWords = Math.floor(gpu.maxBindingBytes / 4);
  const aligned = Math.floor(maxWords / 64) * 64;
  for (let start = 0; start < Math.max(rows * more, 1); start += aligned) {
    const span = spanOf(start, Math.min(aligned, rows * more - start));
    dispatch(gpu, 'gumbelTopKThreshold', rows, {
      params: { ...common, start, room: span.length },
      reads: [{ tensor: best.values, ...span }, best.counts],
      writes: [results.threshold, results.counts],
    });
  }
  if (k === 0) return;
  // A piece of the results and the best that belong to it: one more per row than results.
  const piece = Math.floor(maxWords / 2) - 128;
  for (const w of rowWindows(rows, length, 64, maxWords)) {
    const end = (w.row + w.rows) * k;
    for (let out = w.row * k; out < end; out += piece) {
      const outCount = Math.min(piece, end - out);
      const amongBest = (o: number): number => o + Math.floor(o / k) * (more - k);
      const bestSpan = spanOf(amongBest(out), amongBest(out + outCount - 1) + 1 - amongBest(out));
      const span = spanOf(out, outCount);
      dispatch(gpu, 'gumbelTopKWeights', outCount, {
        params: {
          ...common,
          out,
          outCount,
          outOrigin: span.origin,
          bestOrigin: bestSpan.origin,
          row: w.row,
          rows: w.rows,
          first: w.first,
          count: w.count,
          origin: w.origin,
        },
        reads: [
          { tensor: logits, ...w.span },
          { tensor: best.indices, ...bestSpan },
          { tensor: best.values, ...bestSpan },
          results.threshold,
          results.counts,
        ],
        writes: [results.indices, results.scores, results.logInclusion].map((tensor) => ({
          tensor,
          ...span,
        })),
      });
    }
  }
}

/** The selection as zeros and ones. */
function hot(gpu: Gpu, plan: GumbelTopKPlan, k: number, indices: GpuTensor, logits: GpuTensor): GpuTensor {
  const kHot = gpu.zeros('f32', logits.shape);
  const aligned = Math.floor(gpu.maxBindingBytes / 256) * 64;
  for (let out = 0; out < indices.size; out += aligned) {
    const span = spanOf(out, Math.min(aligned, indices.size - out));
    for (let start = 0; start < kHot.size; start += aligned) {
      const target = spanOf(start, Math.min(aligned, kHot.size - start));
      dispatch(gpu, 'gumbelTopKHot', span.length, {
        params: { k, length: plan.length, start, room: target.length, out, outCount: span.length },
        reads: [{ tensor: indices, ...span }],
        writes: [{ tensor: kHot, ...target }],
      });
    }
  }
  return kHot;
}

const fields = [
  'rows',
  'k',
  'more',
  'length',
  'start',
  'room',
  'out',
  'outCount',
  'outOrigin',
  'bestOrigin',
  'row',
  'first',
  'count',
  'origin',
] as const;

/** One invocation per item; `params` are the fields of ResultParams in gumbelTopK.wgsl. */
function dispatch(
  gpu: Gpu,
  entry: string,
  items: number,
  call: Pick<Parameters<Gpu['dispatch']>[0], 'writes'> &
    Pick<Parameters<Gpu['dispatch']>[0], 'reads'> & {
      readonly params: Partial<Record<(typeof fields)[number], number>>;
    },
): void {
  const workgroup = gpu.family === 'gpu' ? 64 : 8;
  gpu.dispatch({
    ...call,
    file,
    entry,
    constants: { WORKGROUP: workgroup },
    params: fields.map((name) => call.params[name] ?? 0),
    groups: gpu.grid(Math.ceil(items / workgroup)),
  });
}

/** The kernel twin of `ref.gumbelTopKRelaxed`; the contract is `Ops.gumbelTopKRelaxed`. */
export function gumbelTopKRelaxed(
  gpu: Gpu,
  logits: GpuTensor,
  k: number,
  options: RelaxationOptions<GpuTensor> = {},
): GpuTensor {
  const plan = planGumbelTopKRelaxed(logits, k, options);
  return gpu.run('gumbelTopKRelaxed', [logits, options.noise, options.mask], () =>
    relax(gpu, plan, k, logits, options),
  );
}

/** The kernel twin of `ref.gumbelTopKBackward`; the contract is `Ops.gumbelTopKBackward`. */
export function gumbelTopKBackward(
  gpu: Gpu,
  dKHot: GpuTensor,
  logits: GpuTensor,
  k: number,
  options: GumbelTopKBackwardOptions<GpuTensor> = {},
): GpuTensor {
  const plan = planGumbelTopKBackward(dKHot, logits, k, options);
  const { positions, noise, mask } = options;
  return gpu.run('gumbelTopKBackward', [dKHot, logits, positions, noise, mask], () =>
    relax(gpu, plan, k, logits, options, { dKHot, positions, slots: plan.slots }),
  );
}
