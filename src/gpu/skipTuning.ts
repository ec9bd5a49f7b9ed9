import {
  planSkipTuning,
  planSkipTuningBackward,
  type SkipTuningOptions,
  type SkipTuningPlan,
} from '../core/ops/skipTuning.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { elementwise } from './runtime/elementwise.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'skipTuning.wgsl';

/** The kernel twin of `ref.skipTuning`. */
export function skipTuning(
  gpu: Gpu,
  u: GpuTensor,
  d: GpuTensor,
  rho: number,
  options: SkipTuningOptions = {},
): GpuTensor {
  const plan = planSkipTuning(u, d, rho, options);
  return gpu.run('skipTuning', [u, d], () => {
    const y = gpu.empty('f32', plan.shape);
    gpu.dispatch({
      file,
      entry: plan.add ? 'join' : 'concat',
      ...elementwise(gpu, y.size),
      params: params(0, y.size, plan.u * plan.inner, plan.d * plan.inner, rho),
      reads: [u, d],
      writes: [y],
    });
    return y;
  });
}

/** The kernel twin of `ref.skipTuningBackward`. */
export function skipTuningBackward(
  gpu: Gpu,
  dy: GpuTensor,
  u: GpuTensor,
  d: GpuTensor,
  rho: number,
  options: SkipTuningOptions = {},
): Outputs<{ du: GpuTensor; dd: GpuTensor }> {
  const plan = planSkipTuningBackward(dy, u, d, rho, options);
  return gpu.run('skipTuningBackward', [dy, u, d], () => {
    if (plan.add) {
      const whole = { ...plan, u: dy.size, d: 0 };
      return outputs({ du: dy.reshape(dy.shape), dd: split(gpu, whole, dy, d, 0, whole.u, rho) });
    }
    const [before, after] = [plan.u * plan.inner, plan.d * plan.inner];
    return outputs({
      du: split(gpu, plan, dy, u, 0, before, 1),
      dd: split(gpu, plan, dy, d, before, after, rho),
    });
  });
}

/** The part of each row of dy that belongs to one input. */
function split(
  gpu: Gpu,
  { u, d, inner }: SkipTuningPlan,
  dy: GpuTensor,
  like: GpuTensor,
  begin: number,
  length: number,
  rho: number,
): GpuTensor {
  const part = gpu.empty('f32', like.shape);
  const row = (u + d) * inner;
  gpu.dispatch({
    file,
    entry: 'split',
    ...elementwise(gpu, part.size),
    params: params(begin, part.size, length, row - length, rho),
    reads: [dy],
    writes: [part],
  });
  return part;
}

function params(begin: number, size: number, u: number, d: number, rho: number) {
  return [begin, size, u, d, { f32: rho }, Math.fround(rho) === 1 ? 1 : 0];
}
