import { foldIn, type Key } from '../../core/key.ts';
import { randomBits } from '../randomBits.ts';
import type { Gpu } from '../runtime/gpu.ts';
import type { GpuTensor } from '../runtime/gpuTensor.ts';
import { topK } from '../topK.ts';
import { groupsFor, lanes } from './sort.ts';

/** `count` different numbers below n in random order: those with the highest 24-bit draws, i32 [count]. */
export function randomRows(gpu: Gpu, key: Key, n: number, count: number): GpuTensor {
  const bits = randomBits(gpu, foldIn(key, 0), [n]);
  const draws = gpu.empty('f32', [n]);
  gpu.dispatch({
    file: 'lib/rows.wgsl',
    entry: 'drawsOf',
    constants: lanes(gpu).constants,
    params: [n, 0, 0, 0, 0, 0, 0, 0],
    reads: [bits],
    writes: [draws],
    groups: groupsFor(gpu, n),
  });
  return topK(gpu, draws, count).indices;
}
