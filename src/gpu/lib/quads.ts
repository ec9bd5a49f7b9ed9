import type { Gpu } from '../runtime/gpu.ts';

/**
 * The windows in which an elementwise kernel walks over tensors of `size` elements, four at a time: each fits one binding,
 * and the last one is rounded up to whole vec4. Buffers end on a multiple of 16 bytes, and what lies behind the last
 * element may hold anything.
 */
export function quadWindows(gpu: Gpu, size: number): { offset: number; length: number }[] {
  const most = Math.floor(gpu.maxBindingBytes / 256) * 64;
  const windows: { offset: number; length: number }[] = [];
  for (let offset = 0; offset < size; offset += most) {
    windows.push({ offset, length: Math.min(most, Math.ceil((size - offset) / 4) * 4) });
  }
  return windows;
}
