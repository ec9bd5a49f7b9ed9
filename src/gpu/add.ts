import { planAdd, planAddBackward } from '../core/ops/add.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { elementwise } from './runtime/elementwise.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.add`. */
export function add(gpu: Gpu, a: GpuTensor, b: GpuTensor): GpuTensor {
  const { size } = planAdd(a, b);
  return gpu.run('add', [a, b], () => {
    const y = gpu.empty('f32', a.shape);
    gpu.dispatch({
      file: 'add.wgsl',
      entry: 'add',
      ...elementwise(gpu, size),
      params: [size],
      reads: [a, b],
      writes: [y],
    });
    return y;
  });
}

/** The kernel twin of `ref.addBackward`: nothing is computed, so both results are the gradient's own buffer. */
export function addBackward(gpu: Gpu, dy: GpuTensor): Outputs<{ da: GpuTensor; db: GpuTensor }> {
  planAddBackward(dy);
  return gpu.run('addBackward', [dy], () => outputs({ da: dy.reshape(dy.shape), db: dy.reshape(dy.shape) }));
}
