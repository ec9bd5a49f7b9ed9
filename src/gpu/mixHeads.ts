import { type MixHeadsPlan, planMixHeads, planMixHeadsBackward } from '../core/ops/mixHeads.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { elementwise } from './runtime/elementwise.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'mixHeads.wgsl';
/** Partial sums per weight. */
const spans = 64;

/** The kernel twin of `ref.mixHeads`; the contract is `Ops.mixHeads`. */
export function mixHeads(gpu: Gpu, x: GpuTensor, weight: GpuTensor): GpuTensor {
  const plan = planMixHeads(x, weight);
  return gpu.run('mixHeads', [x, weight], () => {
    const y = gpu.empty('f32', x.shape);
    gpu.dispatch({ ...mixing(gpu, plan, 0), reads: [x, weight], writes: [y] });
    return y;
  });
}

/** The kernel twin of `ref.mixHeadsBackward`; the contract is `Ops.mixHeadsBackward`. */
export function mixHeadsBackward(
  gpu: Gpu,
  dy: GpuTensor,
  x: GpuTensor,
  weight: GpuTensor,
): Outputs<{ dx: GpuTensor; dWeight: GpuTensor }> {
  const plan = planMixHeadsBackward(dy, x, weight);
  return gpu.run('mixHeadsBackward', [dy, x, weight], () => {
    const dx = gpu.empty('f32', x.shape);
    gpu.dispatch({ ...mixing(gpu, plan, 1), reads: [dy, weight], writes: [dx] });
    const dWeight = gpu.empty('f32', weight.shape);
    const partials = gpu.empty('f32', [weight.size, spans]);
    const workgroup = gpu.family === 'gpu' ? 64 : 16;
    const common = {
      file,
      params: [plan.rows, plan.heads, plan.channels],
      constants: { WORKGROUP_SIZE: workgroup },
    };
    gpu.dispatch({
      ...common,
      entry: 'mixHeadsPartials',
      reads: [dy, x],
      writes: [partials],
      groups: gpu.grid(Math.ceil((weight.size * spans) / workgroup)),
    });
    gpu.dispatch({
      ...common,
      entry: 'mixHeadsSums',
      reads: [partials],
      writes: [dWeight],
      groups: gpu.grid(Math.ceil(weight.size / workgroup)),
    });
    return outputs({ dx, dWeight });
  });
}

function mixing(gpu: Gpu, { rows, heads, channels }: MixHeadsPlan, transposed: number) {
  const { constants, groups } = elementwise(gpu, rows * heads * channels);
  const params = [rows, heads, channels];
  return { file, entry: 'mixHeads', params, constants: { ...constants, TRANSPOSED: transposed }, groups };
}
