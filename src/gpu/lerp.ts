import { planLerp, planLerpBackward } from '../core/ops/lerp.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { elementwise } from './runtime/elementwise.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'lerp.wgsl';

/** The kernel twin of `ref.lerp`. */
export function lerp(gpu: Gpu, a: GpuTensor, b: GpuTensor, weight: GpuTensor): GpuTensor {
  const { size } = planLerp(a, b, weight);
  return gpu.run('lerp', [a, b, weight], () => {
    const y = gpu.empty('f32', a.shape);
    const shape = elementwise(gpu, size);
    gpu.dispatch({ file, entry: 'lerp', ...shape, params: [size, 0], reads: [a, b, weight], writes: [y] });
    return y;
  });
}

/** The kernel twin of `ref.lerpBackward`. */
export function lerpBackward(
  gpu: Gpu,
  dy: GpuTensor,
  a: GpuTensor,
  b: GpuTensor,
  weight: GpuTensor,
): Outputs<{ da: GpuTensor; db: GpuTensor; dWeight: GpuTensor }> {
  const { size } = planLerpBackward(dy, a, b, weight);
  return gpu.run('lerpBackward', [dy, a, b, weight], () => {
    const da = gpu.empty('f32', a.shape);
    const db = gpu.empty('f32', a.shape);
    const shape = elementwise(gpu, size);
    const { WORKGROUP_SIZE, PER } = shape.constants;
    let count = Math.ceil(size / (WORKGROUP_SIZE * PER)) * WORKGROUP_SIZE;
    let sums = count > 0 ? gpu.empty('f32', [count]) : gpu.zeros('f32', [1]);
    const reads = [a, b, weight, dy];
    gpu.dispatch({
      file,
      entry: 'lerpBackward',
      ...shape,
      params: [size, count],
      reads,
      writes: [da, db, sums],
    });
    while (count > 1) {
      const next = Math.ceil(count / 64);
      const out = gpu.empty('f32', [next]);
      const constants = { WORKGROUP_SIZE: 8, PER: 64 };
      const groups = gpu.grid(Math.ceil(next / 8));
      gpu.dispatch({
        file,
        entry: 'lerpWeight',
        constants,
        params: [size, count],
        reads: [sums],
        writes: [out],
        groups,
      });
      sums = out;
      count = next;
    }
    return outputs({ da, db, dWeight: sums.reshape(weight.shape) });
  });
}
