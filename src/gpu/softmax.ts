import {
  planSoftmax,
  planSoftmaxBackward,
  type SoftmaxOptions,
  type SoftmaxPlan,
} from '../core/ops/softmax.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.softmax`; the contract is `Ops.softmax`. */
export function softmax(gpu: Gpu, x: GpuTensor, options: SoftmaxOptions = {}): GpuTensor {
  const plan = planSoftmax(x, options);
  return gpu.run('softmax', [x], () => {
    const y = gpu.empty('f32', x.shape);
    gpu.dispatch({ ...kernel(gpu, 'softmax', plan), reads: [x], writes: [y] });
    return y;
  });
}

/** The kernel twin of `ref.softmaxBackward`; the contract is `Ops.softmaxBackward`. */
export function softmaxBackward(
  gpu: Gpu,
  dy: GpuTensor,
  y: GpuTensor,
  options: SoftmaxOptions = {},
): GpuTensor {
  const plan = planSoftmaxBackward(dy, y, options);
  return gpu.run('softmaxBackward', [dy, y], () => {
    const dx = gpu.empty('f32', dy.shape);
    gpu.dispatch({ ...kernel(gpu, 'softmaxBackward', plan), reads: [dy, y], writes: [dx] });
    return dx;
  });
}

function kernel(gpu: Gpu, entry: 'softmax' | 'softmaxBackward', { outer, length, inner }: SoftmaxPlan) {
  const rows = outer * inner;
  const common = { file: 'softmax.wgsl', params: [rows, length, inner] };
  const onGpu = gpu.family === 'gpu';
  // A workgroup per row needs rows that are contiguous, and long enough to give every invocation work.
  if (onGpu && inner === 1 && length >= 32) {
    const tile = Math.min(256, Math.max(32, 2 ** Math.ceil(Math.log2(length / 4))));
    return { ...common, entry: `${entry}Tiles`, constants: { TILE: tile }, groups: gpu.grid(rows) };
  }
  const workgroup = onGpu ? 64 : 16;
  const fours = entry === 'softmax' ? 'Fours' : '';
  return {
    ...common,
    entry: entry + (onGpu || inner !== 1 ? '' : length % 4 === 0 ? 'Quads' : fours),
    constants: { WORKGROUP_SIZE: workgroup },
    groups: gpu.grid(Math.ceil(rows / workgroup)),
  };
}
