import type { Ops } from '../core/ops/index.ts';
import { cummax, cummaxBackward } from './cummax.ts';
import { gumbelNoise } from './gumbelNoise.ts';
import { randomBits } from './randomBits.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The operators bound to one GPU: what `gpu.ops` is. */
export function createOps(gpu: Gpu): Ops<GpuTensor> {
  return {
    cummax: (x, options) => cummax(gpu, x, options),
    cummaxBackward: (dValues, indices, options) => cummaxBackward(gpu, dValues, indices, options),
    gumbelNoise: (key, shape) => gumbelNoise(gpu, key, shape),
    randomBits: (key, shape) => randomBits(gpu, key, shape),
  };
}
