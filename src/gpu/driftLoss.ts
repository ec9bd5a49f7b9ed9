import {
  type DriftLossOptions,
  type DriftLossPlan,
  planDriftLoss,
  planDriftLossBackward,
} from '../core/ops/driftLoss.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { sumRows } from './matmul.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'driftLoss.wgsl';

/** The kernel twin of `ref.driftLoss`; the contract is `Ops.driftLoss`. */
export function driftLoss(
  gpu: Gpu,
  x: GpuTensor,
  table: GpuTensor,
  forms: GpuTensor,
  options: DriftLossOptions = {},
): Outputs<{ loss: GpuTensor; count: GpuTensor; norm: GpuTensor }> {
  const plan = planDriftLoss(x, table, forms, options);
  return gpu.run('driftLoss', [x, table, forms], () => {
    const loss = gpu.zeros('f32', []);
    const count = gpu.zeros('i32', []);
    const norm = gpu.zeros('f32', []);
    if (plan.rows === 0) return outputs({ loss, count, norm });
    const shares = gpu.empty('f32', [plan.rows, 3]);
    gpu.dispatch({ ...kernel(gpu, 'driftLoss', plan), reads: [x, table, forms], writes: [shares] });
    const sums = sumRows(gpu, shares, 1, plan.rows, 3);
    const params = scalars(plan);
    gpu.dispatch({
      file,
      entry: 'driftLossFinish',
      params,
      reads: [sums],
      writes: [loss, count, norm],
      groups: [1],
    });
    return outputs({ loss, count, norm });
  });
}

/** The kernel twin of `ref.driftLossBackward`; the contract is `Ops.driftLossBackward`. */
export function driftLossBackward(
  gpu: Gpu,
  dLoss: GpuTensor,
  x: GpuTensor,
  table: GpuTensor,
  forms: GpuTensor,
  count: GpuTensor,
  norm: GpuTensor,
  options: DriftLossOptions = {},
): GpuTensor {
  const plan = planDriftLossBackward(dLoss, x, table, forms, count, norm, options);
  return gpu.run('driftLossBackward', [dLoss, x, table, forms, count, norm], () => {
    const dx = gpu.empty('f32', x.shape);
    const reads = [x, table, forms, dLoss, count, norm];
    gpu.dispatch({ ...kernel(gpu, 'driftLossBackward', plan), reads, writes: [dx] });
    return dx;
  });
}

function kernel(gpu: Gpu, entry: string, plan: DriftLossPlan) {
  const workgroup = gpu.family === 'gpu' ? 64 : 16;
  const groups = gpu.grid(Math.ceil(plan.rows / workgroup));
  return { file, entry, params: scalars(plan), constants: { WORKGROUP_SIZE: workgroup }, groups };
}

function scalars({ rows, width, source, length, padding, weight }: DriftLossPlan) {
  return [rows, width, source, length, padding, { f32: weight }];
}
