import {
  type EmbeddingOptions,
  type EmbeddingPlan,
  planEmbedding,
  planEmbeddingBackward,
} from '../core/ops/embedding.ts';
import { elementwise } from './runtime/elementwise.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'embedding.wgsl';

/** The kernel twin of `ref.embedding`; an id outside of the table gives a row of NaN. */
export function embedding(
  gpu: Gpu,
  table: GpuTensor,
  ids: GpuTensor,
  options: EmbeddingOptions = {},
): GpuTensor {
  const plan = planEmbedding(table, ids, options);
  return gpu.run('embedding', [table, ids], () => {
    const y = gpu.empty('f32', plan.shape);
    const shape = elementwise(gpu, plan.tokens * plan.width);
    const io = { params: paramsOf(plan, options, 0), reads: [table, ids], writes: [y] };
    gpu.dispatch({ file, entry: 'embedding', ...shape, ...io });
    return y;
  });
}

/** The kernel twin of `ref.embeddingBackward`. */
export function embeddingBackward(
  gpu: Gpu,
  dy: GpuTensor,
  table: GpuTensor,
  ids: GpuTensor,
  options: EmbeddingOptions = {},
): GpuTensor {
  const plan = planEmbeddingBackward(dy, table, ids, options);
  return gpu.run('embeddingBackward', [dy, table, ids], () => {
    const before = gpu.empty('u32', [plan.tokens]);
    const last = gpu.zeros('u32', [plan.rows]);
    // Every share walks all tokens: few on a CPU, where that is the cost, enough on a GPU to hide the latency.
    const shares = gpu.family === 'gpu' ? 1024 : 16;
    const workgroup = gpu.family === 'gpu' ? 64 : 8;
    const params = paramsOf(plan, options, shares);
    gpu.dispatch({
      file,
      entry: 'embeddingChain',
      constants: { WORKGROUP_SIZE: workgroup },
      params,
      reads: [ids],
      writes: [before, last],
      groups: plan.tokens > 0 ? [shares / workgroup] : [0],
    });
    const dTable = gpu.empty('f32', table.shape);
    const shape = elementwise(gpu, plan.rows * plan.width);
    const io = { params, reads: [dy, before, last], writes: [dTable] };
    gpu.dispatch({ file, entry: 'embeddingBackward', ...shape, ...io });
    return dTable;
  });
}

function paramsOf(plan: EmbeddingPlan, { paddingIndex }: EmbeddingOptions, shares: number): number[] {
  return [plan.tokens, plan.rows, plan.width, paddingIndex ?? 0xffffffff, shares];
}
