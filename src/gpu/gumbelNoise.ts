import type { Key } from '../core/key.ts';
import { planGumbelNoise } from '../core/ops/gumbelNoise.ts';
import type { Shape } from '../core/tensor.ts';
import { fillByCounter } from './randomBits.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.gumbelNoise`; the contract is `Ops.gumbelNoise`. */
export function gumbelNoise(gpu: Gpu, key: Key, shape: Shape): GpuTensor {
  planGumbelNoise(key, shape);
  return gpu.run('gumbelNoise', [], () => {
    const noise = gpu.empty('f32', shape);
    fillByCounter(gpu, 'gumbelNoise.wgsl', 'gumbelNoise', key, noise);
    return noise;
  });
}
