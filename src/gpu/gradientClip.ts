import { planGradientClip, planGradientClipFactor } from '../core/ops/gradientClip.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { quadWindows } from './lib/quads.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'gradientClip.wgsl';

/** The kernel twin of `ref.gradientClip`; the contract is `Ops.gradientClip`. */
export function gradientClip(
  gpu: Gpu,
  grads: readonly GpuTensor[],
  maxNorm: number,
): Outputs<{ clipped: GpuTensor[]; norm: GpuTensor }> {
  planGradientClip(grads, maxNorm);
  return gpu.run('gradientClip', grads, () => {
    const { factor, norm } = measure(gpu, grads, maxNorm);
    const [workgroup, per] = gpu.family === 'gpu' ? [64, 4] : [16, 32];
    const clipped = grads.map((g) => {
      const out = gpu.empty('f32', g.shape);
      for (const { offset, length } of quadWindows(gpu, g.size)) {
        gpu.dispatch({
          file,
          entry: 'gradientClip',
          constants: { WORKGROUP_SIZE: workgroup, PER: per },
          params: [length / 4],
          reads: [{ tensor: g, offset, length }, factor],
          writes: [{ tensor: out, offset, length }],
          groups: gpu.grid(Math.ceil(length / 4 / (workgroup * per))),
        });
      }
      return out;
    });
    return outputs({ clipped, norm });
  });
}

/** The kernel twin of `ref.gradientClipFactor`; the contract is `Ops.gradientClipFactor`. */
export function gradientClipFactor(
  gpu: Gpu,
  grads: readonly GpuTensor[],
  maxNorm: number,
): Outputs<{ factor: GpuTensor; norm: GpuTensor }> {
  planGradientClipFactor(grads, maxNorm);
  return gpu.run('gradientClipFactor', grads, () => outputs(measure(gpu, grads, maxNorm)));
}

/** Sums that the last invocation adds up alone. */
const few = 64;

function measure(
  gpu: Gpu,
  grads: readonly GpuTensor[],
  maxNorm: number,
): { factor: GpuTensor; norm: GpuTensor } {
  const factor = gpu.empty('f32', []);
  const norm = gpu.empty('f32', []);
  const workgroup = gpu.family === 'gpu' ? 64 : 16;
  const constants = { WORKGROUP_SIZE: workgroup, PER: 64 };
  const reach = workgroup * 64;
  // Every workgroup writes a sum for each of its invocations, one after the other through all tensors.
  const jobs = grads.flatMap((tensor) =>
    quadWindows(gpu, tensor.size).map(({ offset, length }) => ({
      read: { tensor, offset, length },
      count: Math.min(length, tensor.size - offset),
      groups: Math.ceil(length / 4 / reach),
    })),
  );
  let count = jobs.reduce((n, job) => n + job.groups * workgroup, 0);
  let sums = gpu.empty('u32', [count, 2]);
  let first = 0;
  for (const job of jobs) {
    gpu.dispatch({
      file,
      entry: 'gradientSquares',
      constants,
      params: [job.count, first],
      reads: [job.read],
      writes: [sums],
      groups: gpu.grid(job.groups),
    });
    first += job.groups * workgroup;
  }
  while (count > few) {
    const groups = Math.ceil(count / reach);
    const next = gpu.empty('u32', [groups * workgroup, 2]);
    gpu.dispatch({
      file,
      entry: 'gradientSums',
      constants,
      params: [count],
      reads: [sums],
      writes: [next],
      groups: gpu.grid(groups),
    });
    sums = next;
    count = groups * workgroup;
  }
  gpu.dispatch({
    file,
    entry: 'gradientFactor',
    params: [count, 0, { f32: maxNorm }],
    reads: [sums],
    writes: [factor, norm],
    groups: [1],
  });
  return { factor, norm };
}
