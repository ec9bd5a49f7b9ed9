import type { Key } from '../core/key.ts';
import { type DropoutPlan, planDropout, planDropoutBackward } from '../core/ops/dropout.ts';
import { elementwise } from './runtime/elementwise.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.dropout`; the contract is `Ops.dropout`. */
export function dropout(gpu: Gpu, x: GpuTensor, p: number, key: Key): GpuTensor {
  return thinned(gpu, 'dropout', x, planDropout(x, p, key), key);
}

/** The kernel twin of `ref.dropoutBackward`; the contract is `Ops.dropoutBackward`. */
export function dropoutBackward(gpu: Gpu, dy: GpuTensor, p: number, key: Key): GpuTensor {
  return thinned(gpu, 'dropoutBackward', dy, planDropoutBackward(dy, p, key), key);
}

function thinned(
  gpu: Gpu,
  op: string,
  x: GpuTensor,
  { size, threshold, scale }: DropoutPlan,
  key: Key,
): GpuTensor {
  return gpu.run(op, [x], () => {
    const y = gpu.empty('f32', x.shape);
    gpu.dispatch({
      file: 'dropout.wgsl',
      entry: 'dropout',
      ...elementwise(gpu, size),
      params: [size, threshold, { f32: scale }, ...key],
      reads: [x],
      writes: [y],
    });
    return y;
  });
}
