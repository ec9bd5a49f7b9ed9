import { planSparsemax, planSparsemaxBackward, type SparsemaxPlan } from '../core/ops/sparsemax.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.sparsemax`; the contract is `Ops.sparsemax`. */
export function sparsemax(gpu: Gpu, x: GpuTensor): GpuTensor {
  const plan = planSparsemax(x);
  return gpu.run('sparsemax', [x], () => {
    const y = gpu.empty('f32', x.shape);
    gpu.dispatch({ ...kernel(gpu, 'sparsemax', plan), reads: [x], writes: [y] });
    return y;
  });
}

/** The kernel twin of `ref.sparsemaxBackward`; the contract is `Ops.sparsemaxBackward`. */
export function sparsemaxBackward(gpu: Gpu, dy: GpuTensor, y: GpuTensor): GpuTensor {
  const plan = planSparsemaxBackward(dy, y);
  return gpu.run('sparsemaxBackward', [dy, y], () => {
    const dx = gpu.empty('f32', dy.shape);
    gpu.dispatch({ ...kernel(gpu, 'sparsemaxBackward', plan), reads: [dy, y], writes: [dx] });
    return dx;
  });
}

function kernel(gpu: Gpu, entry: string, { rows, length }: SparsemaxPlan) {
  const common = { file: 'sparsemax.wgsl', params: [rows, length] };
  // A workgroup per row pays from where every invocation has work.
  if (gpu.family === 'gpu' && length >= 32) {
    return {
      ...common,
      entry: `${entry}Tiles`,
      constants: { TILE: length >= 512 ? 128 : 32 },
      groups: gpu.grid(rows),
    };
  }
  const workgroup = gpu.family === 'gpu' ? 64 : 16;
  const groups = gpu.grid(Math.ceil(length === 0 ? 0 : rows / workgroup));
  return { ...common, entry, constants: { WORKGROUP_SIZE: workgroup }, groups };
}
