import { planScoreInt8 } from '../core/ops/scoreInt8.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** Queries that share one walk over the rows; the constant QUERIES of the kernel. */
const together = 4;

/** The kernel twin of `ref.scoreInt8`. */
export function scoreInt8(
  gpu: Gpu,
  queries: GpuTensor,
  queryScales: GpuTensor,
  codes: GpuTensor,
  scales: GpuTensor,
): GpuTensor {
  const { queries: count, n, words } = planScoreInt8(queries, queryScales, codes, scales);
  return gpu.run('scoreInt8', [queries, queryScales, codes, scales], () => {
    const scores = gpu.empty('f32', [count, n]);
    const tiles = gpu.family === 'gpu';
    const workgroup = tiles ? 64 : 16;
    gpu.dispatch({
      file: 'scoreInt8.wgsl',
      entry: tiles ? 'scoreInt8Tiles' : 'scoreInt8',
      constants: { WORKGROUP_SIZE: workgroup },
      params: [count, n, words],
      reads: [queries, queryScales, codes, scales],
      writes: [scores],
      groups: gpu.grid(Math.ceil(count / together) * Math.ceil(n / workgroup)),
    });
    return scores;
  });
}
