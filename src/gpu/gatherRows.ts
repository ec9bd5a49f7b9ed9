import { planGatherRows, planGatherRowsBackward } from '../core/ops/gatherRows.ts';
import { scatterRows } from './lib/scatterRows.ts';
import { elementwise } from './runtime/elementwise.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.gatherRows`; an id that is neither a row nor -1 gives a row of NaN. */
export function gatherRows(gpu: Gpu, table: GpuTensor, ids: GpuTensor): GpuTensor {
  const { count, rows, width, shape } = planGatherRows(table, ids);
  return gpu.run('gatherRows', [table, ids], () => {
    const y = gpu.empty('f32', shape);
    const [entry, each] = width % 4 === 0 ? ['gatherQuads', 4] : ['gatherRows', 1];
    gpu.dispatch({
      file: 'gatherRows.wgsl',
      entry,
      ...elementwise(gpu, (count * width) / each),
      params: [count, rows, width / each],
      reads: [table, ids],
      writes: [y],
    });
    return y;
  });
}

/** The kernel twin of `ref.gatherRowsBackward`. */
export function gatherRowsBackward(gpu: Gpu, dy: GpuTensor, table: GpuTensor, ids: GpuTensor): GpuTensor {
  const { width } = planGatherRowsBackward(dy, table, ids);
  return gpu.run('gatherRowsBackward', [dy, table, ids], () => {
    const dTable = gpu.zeros('f32', table.shape);
    scatterRows(gpu, dy, ids, dTable, width);
    return dTable;
  });
}
