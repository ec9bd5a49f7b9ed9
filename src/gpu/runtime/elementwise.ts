import type { Gpu } from './gpu.ts';

/** Constants and workgroups for kernels in which an invocation owns PER elements and elements are independent. */
export function elementwise(
  gpu: Gpu,
  size: number,
): { constants: { WORKGROUP_SIZE: number; PER: number }; groups: [number, number, number] } {
  // A CPU wants few workgroups that each do much; a GPU hides latency behind many.
  const constants = gpu.family === 'gpu' ? { WORKGROUP_SIZE: 256, PER: 4 } : { WORKGROUP_SIZE: 16, PER: 256 };
  return { constants, groups: gpu.grid(Math.ceil(size / (constants.WORKGROUP_SIZE * constants.PER))) };
}
