import { planSurfaceForms, type SurfaceFormsOptions } from '../core/ops/surfaceForms.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.surfaceForms`; the contract is `Ops.surfaceForms`. */
export function surfaceForms(
  gpu: Gpu,
  words: GpuTensor,
  offsets: GpuTensor,
  pieces: GpuTensor,
  pieceOffsets: GpuTensor,
  ids: GpuTensor,
  costs: GpuTensor,
  options: SurfaceFormsOptions = {},
): Outputs<{ forms: GpuTensor; counts: GpuTensor }> {
  const plan = planSurfaceForms(words, offsets, pieces, pieceOffsets, ids, costs, options);
  return gpu.run('surfaceForms', [words, offsets, pieces, pieceOffsets, ids, costs], () => {
    const forms = gpu.empty('i32', [plan.words, plan.length]);
    const counts = gpu.empty('i32', [plan.words]);
    const paths = gpu.empty('u32', [4 * words.size + plan.words, 2]);
    const workgroup = gpu.family === 'gpu' ? 64 : 8;
    const common = {
      file: 'surfaceForms.wgsl',
      params: [plan.words, plan.pieces, plan.length, plan.padding],
      constants: { WORKGROUP_SIZE: workgroup },
      groups: gpu.grid(Math.ceil(plan.words / workgroup)),
    };
    const reads = [words, offsets, pieces, pieceOffsets, costs];
    gpu.dispatch({ ...common, entry: 'surfaceFormsSearch', reads, writes: [paths] });
    gpu.dispatch({
      ...common,
      entry: 'surfaceForms',
      reads: [offsets, pieceOffsets, ids, paths],
      writes: [forms, counts],
    });
    return outputs({ forms, counts });
  });
}
