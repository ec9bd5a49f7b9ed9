import { planLocalIds } from '../core/ops/localIds.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.localIds`. */
export function localIds(gpu: Gpu, ids: GpuTensor, words: GpuTensor): GpuTensor {
  const { rows, tokens, k } = planLocalIds(ids, words);
  return gpu.run('localIds', [ids, words], () => {
    const local = gpu.empty('i32', ids.shape);
    const tiles = gpu.family === 'gpu';
    const workgroup = tiles ? 64 : 16;
    gpu.dispatch({
      file: 'localIds.wgsl',
      entry: tiles ? 'localIdsTiles' : 'localIds',
      constants: { WORKGROUP_SIZE: workgroup },
      params: [rows, tokens, k],
      reads: [ids, words],
      writes: [local],
      groups: gpu.grid(tiles ? rows * tokens : rows * Math.ceil(tokens / workgroup)),
    });
    return local;
  });
}
