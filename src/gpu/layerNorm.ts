import {
  type LayerNormOptions,
  type LayerNormPlan,
  planLayerNorm,
  planLayerNormBackward,
} from '../core/ops/layerNorm.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'layerNorm.wgsl';

/** The kernel twin of `ref.layerNorm`; the contract is `Ops.layerNorm`. */
export function layerNorm(
  gpu: Gpu,
  x: GpuTensor,
  gamma: GpuTensor,
  beta: GpuTensor,
  options: LayerNormOptions = {},
): Outputs<{ y: GpuTensor; mean: GpuTensor; rstd: GpuTensor }> {
  const plan = planLayerNorm(x, gamma, beta, options);
  return gpu.run('layerNorm', [x, gamma, beta], () => {
    const y = gpu.empty('f32', x.shape);
    const mean = gpu.empty('f32', plan.rowShape);
    const rstd = gpu.empty('f32', plan.rowShape);
    gpu.dispatch({
      ...rowKernel(gpu, 'layerNorm', plan),
      reads: [x, gamma, beta],
      writes: [y, mean, rstd],
    });
    return outputs({ y, mean, rstd });
  });
}

/** The kernel twin of `ref.layerNormBackward`; the contract is `Ops.layerNormBackward`. */
export function layerNormBackward(
  gpu: Gpu,
  dy: GpuTensor,
  x: GpuTensor,
  gamma: GpuTensor,
  mean: GpuTensor,
  rstd: GpuTensor,
): Outputs<{ dx: GpuTensor; dGamma: GpuTensor; dBeta: GpuTensor }> {
  const plan = planLayerNormBackward(dy, x, gamma, mean, rstd);
  return gpu.run('layerNormBackward', [dy, x, gamma, mean, rstd], () => {
    const dx = gpu.empty('f32', x.shape);
    const dGamma = gpu.empty('f32', [plan.width]);
    const dBeta = gpu.empty('f32', [plan.width]);
    const remainders = gpu.empty('f32', plan.rowShape);
    gpu.dispatch({
      ...rowKernel(gpu, 'layerNormBackward', plan),
      reads: [dy, x, gamma, mean, rstd],
      writes: [dx, remainders],
    });
    const { workgroup, chunk, chunks, quads } = columnLayout(gpu, plan);
    const partials = gpu.empty('f32', [2, chunks, plan.width]);
    const common = {
      file,
      constants: { WORKGROUP_SIZE: workgroup },
      params: [plan.rows, plan.width, 0, chunk, chunks],
    };
    gpu.dispatch({
      ...common,
      entry: quads ? 'layerNormColumnsQuads' : 'layerNormColumns',
      reads: [dy, x, mean, rstd, remainders],
      writes: [partials],
      groups: gpu.grid(Math.ceil((chunks * plan.width) / (quads ? 4 : 1) / workgroup)),
    });
    gpu.dispatch({
      ...common,
      entry: 'layerNormSums',
      reads: [partials],
      writes: [dGamma, dBeta],
      groups: gpu.grid(Math.ceil(plan.width / workgroup)),
    });
    return outputs({ dx, dGamma, dBeta });
  });
}

/** A workgroup per row on a GPU; on a software driver, where a barrier is dear, an invocation per row. */
function rowKernel(gpu: Gpu, entry: string, { rows, width, eps }: LayerNormPlan) {
  const params = [rows, width, { f32: eps }, 0, 0];
  if (gpu.family === 'cpu-vulkan') {
    return {
      file,
      entry: width % 4 === 0 ? `${entry}Quads` : entry,
      constants: { WORKGROUP_SIZE: 8 },
      params,
      groups: gpu.grid(Math.ceil(rows / 8)),
    };
  }
  // About four elements per invocation.
  const tile = Math.min(256, Math.max(32, 2 ** Math.ceil(Math.log2(width / 4))));
  return { file, entry: `${entry}Tiles`, constants: { TILE: tile }, params, groups: gpu.grid(rows) };
}

/** How the sums over rows are cut: into enough chunks to fill the machine, of 16 rows at least. */
function columnLayout(gpu: Gpu, { rows, width }: LayerNormPlan) {
  const onGpu = gpu.family === 'gpu';
  const wanted = Math.ceil((onGpu ? 65536 : 2048) / width);
  const chunk = Math.max(16, Math.ceil(rows / wanted));
  const quads = !onGpu && width % 4 === 0;
  return { workgroup: onGpu ? 64 : 8, chunk, chunks: Math.ceil(rows / chunk), quads };
}
