import type { Key } from '../core/key.ts';
import { planRandomBits } from '../core/ops/randomBits.ts';
import type { Shape } from '../core/tensor.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.randomBits`; the contract is `Ops.randomBits`. */
export function randomBits(gpu: Gpu, key: Key, shape: Shape): GpuTensor {
  planRandomBits(key, shape);
  return gpu.run('randomBits', [], () => {
    const bits = gpu.empty('u32', shape);
    fillByCounter(gpu, 'randomBits.wgsl', 'randomBits', key, bits);
    return bits;
  });
}

/** Fill a tensor by a kernel that makes each element from a key and its position, window after window. */
export function fillByCounter(gpu: Gpu, file: string, entry: string, key: Key, out: GpuTensor): void {
  // A CPU runs a workgroup lane by lane and pays for each of them: few, long ones.
  const [workgroup, per] = gpu.family === 'gpu' ? [64, 4] : [16, 64];
  const window = Math.floor(gpu.maxBindingBytes / 256) * 64;
  for (let offset = 0; offset < out.size; offset += window) {
    const length = Math.min(window, out.size - offset);
    gpu.dispatch({
      file,
      entry,
      constants: { WORKGROUP_SIZE: workgroup, PER: per },
      params: [length, Math.floor(offset / 2 ** 32), offset >>> 0, key[0], key[1]],
      writes: [{ tensor: out, offset, length }],
      groups: gpu.grid(Math.ceil(length / (workgroup * per))),
    });
  }
}
