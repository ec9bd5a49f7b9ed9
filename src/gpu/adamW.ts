import { type AdamWOptions, planAdamW } from '../core/ops/adamW.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { quadWindows } from './lib/quads.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.adamW`; the contract is `Ops.adamW`. */
export function adamW(
  gpu: Gpu,
  param: GpuTensor,
  grad: GpuTensor,
  m: GpuTensor,
  v: GpuTensor,
  step: number,
  options: AdamWOptions<GpuTensor> = {},
): Outputs<{ param: GpuTensor; m: GpuTensor; v: GpuTensor }> {
  const plan = planAdamW(param, grad, m, v, step, options);
  return gpu.run('adamW', [param, grad, m, v, options.factor], () => {
    const made = {
      param: gpu.empty('f32', param.shape),
      m: gpu.empty('f32', param.shape),
      v: gpu.empty('f32', param.shape),
    };
    const numbers = [
      plan.beta1,
      1 - plan.beta1,
      plan.beta2,
      1 - plan.beta2,
      plan.coupledDecay,
      plan.shrink,
      plan.stepSize,
      1 / plan.rootCorrection,
      plan.eps,
    ].map((f32) => ({ f32 }));
    // A CPU runs a workgroup lane by lane and pays for each of them: few, long ones.
    const [workgroup, per] = gpu.family === 'gpu' ? [64, 4] : [16, 32];
    for (const { offset, length } of quadWindows(gpu, plan.size)) {
      const window = (tensor: GpuTensor) => ({ tensor, offset, length });
      gpu.dispatch({
        file: 'adamW.wgsl',
        entry: 'adamW',
        constants: { WORKGROUP_SIZE: workgroup, PER: per },
        params: [length / 4, options.factor === undefined ? 0 : 1, ...numbers],
        // An absent factor is stood in for by the parameter, which no branch then reads.
        reads: [...[param, grad, m, v].map(window), options.factor ?? window(param)],
        writes: [made.param, made.m, made.v].map(window),
        groups: gpu.grid(Math.ceil(length / 4 / (workgroup * per))),
      });
    }
    return outputs(made);
  });
}
