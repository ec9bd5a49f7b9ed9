import type { Gpu } from '../runtime/gpu.ts';
import type { GpuTensor } from '../runtime/gpuTensor.ts';

const file = 'lib/radixSort.wgsl';

/** Sizes of workgroups that suit the adapter: a CPU runs them lane by lane. */
export function lanes(gpu: Gpu): { workgroup: number; constants: { WORKGROUP_SIZE: number } } {
  const workgroup = gpu.family === 'gpu' ? 64 : 8;
  return { workgroup, constants: { WORKGROUP_SIZE: workgroup } };
}

/** Workgroups for one invocation per item. */
export function groupsFor(gpu: Gpu, items: number): [number, number, number] {
  return gpu.grid(Math.ceil(items / lanes(gpu).workgroup));
}

/** A sorted copy of keys, and where each element was. */
export interface Sorted {
  readonly keys: GpuTensor;
  readonly order: GpuTensor;
}

/**
 * Sort u32 keys below 2^bits; equal keys keep their order. Call it inside of `gpu.run`: the tensors it makes along the way are
 * disposed there.
 */
export function sortKeys(gpu: Gpu, keys: GpuTensor, bits: number): Sorted {
  const length = keys.size;
  const { constants } = lanes(gpu);
  const least = gpu.family === 'gpu' ? 32 : 256;
  const chunk = Math.max(Math.ceil(length / 65536), least);
  const chunks = Math.ceil(length / chunk);
  const groups = groupsFor(gpu, chunks);
  let now: Sorted = { keys, order: keys };
  for (let shift = 0; shift === 0 || shift < bits; shift += 4) {
    const params = [length, chunk, shift, shift === 0 ? 1 : 0];
    const counts = gpu.empty('u32', [16 * chunks]);
    gpu.dispatch({
      file,
      entry: 'sortCount',
      constants,
      params,
      reads: [now.keys],
      writes: [counts],
      groups,
    });
    scan(gpu, counts);
    const next = { keys: gpu.empty('u32', [length]), order: gpu.empty('u32', [length]) };
    gpu.dispatch({
      file,
      entry: 'sortScatter',
      constants,
      params,
      reads: [now.keys, now.order, counts],
      writes: [next.keys, next.order],
      groups,
    });
    counts[Symbol.dispose]();
    if (shift > 0) {
      now.keys[Symbol.dispose]();
      now.order[Symbol.dispose]();
    }
    now = next;
  }
  return now;
}

/** Exclusive scan in place: element i becomes the sum of those before it. u32, modulo 2^32. */
export function scan(gpu: Gpu, counts: GpuTensor): void {
  const length = counts.size;
  const { constants } = lanes(gpu);
  const chunk = 64;
  const chunks = Math.ceil(length / chunk);
  if (chunks <= 8) {
    const params = [length, length, 0, 1];
    gpu.dispatch({
      file,
      entry: 'scanChunks',
      constants,
      params,
      reads: [emptyOne(gpu)],
      writes: [counts],
      groups: [1],
    });
    return;
  }
  const groups = groupsFor(gpu, chunks);
  const params = [length, chunk, 0, 0];
  const sums = gpu.empty('u32', [chunks]);
  gpu.dispatch({ file, entry: 'scanSums', constants, params, reads: [counts], writes: [sums], groups });
  scan(gpu, sums);
  gpu.dispatch({ file, entry: 'scanChunks', constants, params, reads: [sums], writes: [counts], groups });
  sums[Symbol.dispose]();
}

/** Where each of `groups` groups starts among sorted keys, and the end: u32 [groups + 1]. */
export function startsOf(gpu: Gpu, sortedKeys: GpuTensor, groups: number): GpuTensor {
  const starts = gpu.empty('i32', [groups + 1]);
  gpu.dispatch({
    file,
    entry: 'sortStarts',
    constants: lanes(gpu).constants,
    params: [sortedKeys.size, groups + 1, 0, 0],
    reads: [sortedKeys],
    writes: [starts],
    groups: groupsFor(gpu, groups + 1),
  });
  return starts;
}

/** Something to bind where a kernel reads nothing. */
export function emptyOne(gpu: Gpu): GpuTensor {
  return gpu.empty('u32', [1]);
}

/** How many bits the numbers below k take. */
export function bitsFor(k: number): number {
  return Math.max(Math.ceil(Math.log2(k)), 1);
}
