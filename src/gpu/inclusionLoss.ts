import {
  type InclusionLossOptions,
  type InclusionLossPlan,
  inclusionForms,
  planInclusionLoss,
  planInclusionLossBackward,
} from '../core/ops/inclusionLoss.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { mean } from './crossEntropy.ts';
import { groupsFor, lanes } from './lib/sort.ts';
import type { Dispatch, Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';
import { topK } from './topK.ts';

/** The kernel twin of `ref.inclusionLoss`; a target that is no candidate makes the loss NaN. */
export function inclusionLoss(
  gpu: Gpu,
  scores: GpuTensor,
  targets: GpuTensor,
  k: number,
  options: InclusionLossOptions<GpuTensor> = {},
): Outputs<{
  loss: GpuTensor;
  count: GpuTensor;
  included: GpuTensor;
  threshold: GpuTensor;
  rival: GpuTensor;
}> {
  const plan = planInclusionLoss(scores, targets, k, options);
  const { perturbed = scores } = options;
  return gpu.run('inclusionLoss', [scores, targets, perturbed], () => {
    const { rows, n, rowShape } = plan;
    const best = Math.min(k + 1, n);
    const top = topK(gpu, perturbed.reshape([rows, n]), best);
    const found = gpu.empty('i32', [rows, 3]);
    const losses = gpu.empty('u32', [rows, 3]);
    gpu.dispatch({
      ...kernel(gpu, 'inclusionRows', plan, options, best),
      reads: [scores, targets, perturbed, top.values, top.indices],
      writes: [found, losses],
    });
    const included = gpu.empty('i32', rowShape);
    const threshold = gpu.empty('f32', rowShape);
    const rival = gpu.empty('i32', rowShape);
    gpu.dispatch({
      ...kernel(gpu, 'inclusionSplit', plan, options, best),
      reads: [found],
      writes: [included, threshold, rival],
    });
    return outputs({ ...mean(gpu, losses, rows), included, threshold, rival });
  });
}

/** The kernel twin of `ref.inclusionLossBackward`. */
export function inclusionLossBackward(
  gpu: Gpu,
  dLoss: GpuTensor,
  scores: GpuTensor,
  targets: GpuTensor,
  k: number,
  count: GpuTensor,
  threshold: GpuTensor,
  rival: GpuTensor,
  options: InclusionLossOptions<GpuTensor> = {},
): Outputs<{ dScores: GpuTensor; dPerturbed?: GpuTensor }> {
  const plan = planInclusionLossBackward(dLoss, scores, targets, k, count, threshold, rival, options);
  const { perturbed } = options;
  const inputs = [dLoss, scores, targets, count, threshold, rival, perturbed];
  return gpu.run('inclusionLossBackward', inputs, () => {
    const dScores = gpu.zeros('f32', scores.shape);
    // Two outputs may not be one tensor; without perturbed scores nothing is written to the second.
    const dPerturbed = gpu.zeros('f32', perturbed === undefined ? [1] : scores.shape);
    gpu.dispatch({
      ...kernel(gpu, 'inclusionBackward', plan, options, 0),
      reads: [scores, targets, count, dLoss, threshold, rival],
      writes: [dScores, dPerturbed],
    });
    return outputs({ dScores, ...(perturbed === undefined ? {} : { dPerturbed }) });
  });
}

function kernel(
  gpu: Gpu,
  entry: string,
  { rows, n, k, form, margin, stopThreshold, ignoreIndex }: InclusionLossPlan,
  { perturbed }: InclusionLossOptions<GpuTensor>,
  best: number,
): Omit<Dispatch, 'reads' | 'writes'> {
  const flags = [stopThreshold ? 1 : 0, ignoreIndex, perturbed === undefined ? 0 : 1];
  return {
    file: 'inclusionLoss.wgsl',
    entry,
    constants: lanes(gpu).constants,
    params: [rows, n, k, best, inclusionForms.indexOf(form), { f32: margin }, ...flags],
    groups: groupsFor(gpu, rows),
  };
}
