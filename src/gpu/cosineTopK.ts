import { planCosineTopK } from '../core/ops/cosineTopK.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { matmul } from './matmul.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';
import { topK } from './topK.ts';

/** Most cosines that are held at a time. */
const held = 2 ** 22;

/** The kernel twin of `ref.cosineTopK`; the contract is `Ops.cosineTopK`. */
export function cosineTopK(
  gpu: Gpu,
  q: GpuTensor,
  table: GpuTensor,
  k: number,
): Outputs<{ values: GpuTensor; indices: GpuTensor }> {
  const { queries, rows } = planCosineTopK(q, table, k);
  return gpu.run('cosineTopK', [q, table], () => {
    const values = gpu.empty('f32', [queries, k]);
    const indices = gpu.empty('i32', [queries, k]);
    if (queries * k === 0) return outputs({ values, indices });
    const goals = unit(gpu, table, 0, rows);
    const chunk = Math.max(Math.floor(held / rows), 1);
    for (let first = 0; first < queries; first += chunk) {
      const count = Math.min(chunk, queries - first);
      const own = unit(gpu, q, first, count);
      const cosines = matmul(gpu, own, goals, { transposeB: true });
      const best = topK(gpu, cosines, k);
      gpu.copy(best.values, values, count * k, 0, first * k);
      gpu.copy(best.indices, indices, count * k, 0, first * k);
      for (const t of [own, cosines, best.values, best.indices, best.counts]) t[Symbol.dispose]();
    }
    return outputs({ values, indices });
  });
}

/** Rows first, first + 1, ... divided by their lengths. */
function unit(gpu: Gpu, x: GpuTensor, first: number, rows: number): GpuTensor {
  const width = x.shape[1]!;
  const scaled = gpu.empty('f32', [rows, width]);
  const workgroup = gpu.family === 'gpu' ? 64 : 16;
  gpu.dispatch({
    file: 'cosineTopK.wgsl',
    entry: 'cosineRows',
    constants: { WORKGROUP_SIZE: workgroup },
    params: [rows, width, first],
    reads: [x],
    writes: [scaled],
    groups: gpu.grid(Math.ceil(rows / workgroup)),
  });
  return scaled;
}
