import {
  type IdentityLossOptions,
  planIdentityLoss,
  planIdentityLossBackward,
} from '../core/ops/identityLoss.ts';
import { sumRows } from './matmul.ts';
import { elementwise } from './runtime/elementwise.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'identityLoss.wgsl';

/** The kernel twin of `ref.identityLoss`; the contract is `Ops.identityLoss`. */
export function identityLoss(
  gpu: Gpu,
  x: GpuTensor,
  goal: GpuTensor,
  options: IdentityLossOptions = {},
): GpuTensor {
  const { rows, width, weight } = planIdentityLoss(x, goal, options);
  return gpu.run('identityLoss', [x, goal], () => {
    if (rows === 0) return gpu.zeros('f32', []);
    const shares = gpu.empty('f32', [rows]);
    const workgroup = gpu.family === 'gpu' ? 64 : 16;
    gpu.dispatch({
      file,
      entry: 'identityLoss',
      constants: { WORKGROUP_SIZE: workgroup },
      params: [rows, width, { f32: weight / rows }],
      reads: [x, goal],
      writes: [shares],
      groups: gpu.grid(Math.ceil(rows / workgroup)),
    });
    return sumRows(gpu, shares, 1, rows, 1).reshape([]);
  });
}

/** The kernel twin of `ref.identityLossBackward`; the contract is `Ops.identityLossBackward`. */
export function identityLossBackward(
  gpu: Gpu,
  dLoss: GpuTensor,
  x: GpuTensor,
  goal: GpuTensor,
  options: IdentityLossOptions = {},
): GpuTensor {
  const { rows, width, weight } = planIdentityLossBackward(dLoss, x, goal, options);
  return gpu.run('identityLossBackward', [dLoss, x, goal], () => {
    const dx = gpu.empty('f32', x.shape);
    const params = [rows, width, { f32: weight / Math.max(rows, 1) }];
    const reads = [x, goal, dLoss];
    gpu.dispatch({
      file,
      entry: 'identityLossBackward',
      ...elementwise(gpu, x.size),
      params,
      reads,
      writes: [dx],
    });
    return dx;
  });
}
