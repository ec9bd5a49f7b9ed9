import { type EmbeddingOptions, planEmbedding, planEmbeddingBackward } from '../core/ops/embedding.ts';
import { scatterRows } from './lib/scatterRows.ts';
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
    const io = { params: [plan.tokens, plan.rows, plan.width], reads: [table, ids], writes: [y] };
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
    const dTable = gpu.zeros('f32', table.shape);
    scatterRows(gpu, dy, ids, dTable, plan.width, options.paddingIndex);
    return dTable;
  });
}
