import { planTopK, planTopKBackward, type TopKBackwardOptions, type TopKOptions } from '../core/ops/topK.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { select } from './lib/select.ts';
import { spanOf } from './lib/selectLayout.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'topK.wgsl';
const kernels = {
  file,
  entries: {
    sample: 'topKSample',
    count: 'topKCount',
    mark: 'topKMark',
    collect: 'topKCollect',
    few: 'topKFew',
    emit: 'topKEmit',
    write: 'topK',
  },
  tiles: {
    file: 'topK.tiles.wgsl',
    entries: {
      count: 'topKCountTiles',
      mark: 'topKMarkTiles',
      collect: 'topKCollectTiles',
      short: 'topKShort',
    },
  },
} as const;

/** The kernel twin of `ref.topK`; the contract is `Ops.topK`. */
export function topK(
  gpu: Gpu,
  x: GpuTensor,
  k: number,
  options: TopKOptions<GpuTensor> = {},
): Outputs<{ values: GpuTensor; indices: GpuTensor; counts: GpuTensor }> {
  const plan = planTopK(x, k, options);
  return gpu.run('topK', [x, options.mask], () => {
    const values = gpu.empty('f32', plan.shape);
    const indices = gpu.empty('i32', plan.shape);
    const counts = gpu.zeros('i32', plan.countShape);
    if (plan.outer * plan.inner > 0 && plan.slots > 0) {
      select(gpu, { ...kernels, x, mask: options.mask }, plan, { values, indices, counts });
    }
    return outputs({ values, indices, counts });
  });
}

/** The kernel twin of `ref.topKBackward`; the contract is `Ops.topKBackward`. */
export function topKBackward(
  gpu: Gpu,
  dValues: GpuTensor,
  indices: GpuTensor,
  length: number,
  options: TopKBackwardOptions = {},
): GpuTensor {
  const { slots, inner, shape } = planTopKBackward(dValues, indices, length, options);
  return gpu.run('topKBackward', [dValues, indices], () => {
    const dx = gpu.zeros('f32', shape);
    const maxWords = Math.floor(gpu.maxBindingBytes / 64) * 16;
    const workgroup = gpu.family === 'gpu' ? 64 : 8;
    // Slots and positions are both seen through windows; a gradient is moved where its two ends are in view.
    for (let from = 0; from < dValues.size; from += maxWords) {
      const source = spanOf(from, Math.min(maxWords, dValues.size - from));
      for (let to = 0; to < dx.size; to += maxWords) {
        const target = spanOf(to, Math.min(maxWords, dx.size - to));
        gpu.dispatch({
          file,
          entry: 'topKBackward',
          constants: { WORKGROUP: workgroup },
          params: [source.length, from, slots, inner, length, to, target.length],
          reads: [
            { tensor: dValues, ...source },
            { tensor: indices, ...source },
          ],
          writes: [{ tensor: dx, ...target }],
          groups: gpu.grid(Math.ceil(source.length / workgroup)),
        });
      }
    }
    return dx;
  });
}
