import { planSplitMinSum } from '../core/ops/splitMinSum.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.splitMinSum`, by brute force. */
export function splitMinSum(
  gpu: Gpu,
  n: GpuTensor,
): Outputs<{ a: GpuTensor; b: GpuTensor; c: GpuTensor; sum: GpuTensor }> {
  const { size } = planSplitMinSum(n);
  return gpu.run('splitMinSum', [n], () => {
    const [a, b, c, sum] = [0, 1, 2, 3].map(() => gpu.empty('u32', n.shape)) as [
      GpuTensor,
      GpuTensor,
      GpuTensor,
      GpuTensor,
    ];
    // A number takes up to 65,536 steps: a CPU, too, wants many workgroups.
    const [width, per] = gpu.family === 'gpu' ? [64, 1] : [8, 8];
    gpu.dispatch({
      file: 'splitMinSum.wgsl',
      entry: 'splitMinSum',
      constants: { WORKGROUP_SIZE: width, PER: per },
      params: [size],
      reads: [n],
      writes: [a, b, c, sum],
      groups: gpu.grid(Math.ceil(size / (width * per))),
    });
    return outputs({ a, b, c, sum });
  });
}
