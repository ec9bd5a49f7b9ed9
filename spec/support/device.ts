import { afterAll, beforeAll, describe, expect } from 'vitest';
import { type Family, type Gpu, openGpu } from '../../src/gpu/index.ts';

/**
 * A block of tests that runs on the adapter under test (environment variable SUBVOCAB_ADAPTER), once per kernel family.
 * `openGpu` asks a kernel with a known answer first, so a device that does nothing cannot get here. At the end no tensor
 * may be alive. A machine without any adapter fails: there is always the embedded one.
 */
export function describeDevice(
  title: string,
  body: (gpu: () => Gpu, family: Family) => void,
  families: readonly Family[] = ['cpu-vulkan', 'gpu'],
): void {
  describe.each(families)(`${title}, family %s`, (family) => {
    let gpu: Gpu | undefined;
    beforeAll(async () => {
      gpu = await openGpu({ family });
    });
    afterAll(async () => {
      const live = gpu?.liveTensors;
      await gpu?.idle();
      await gpu?.[Symbol.asyncDispose]();
      expect(live, 'tensors that were not disposed').toBe(0);
    });
    body(() => {
      if (gpu === undefined) throw new Error('the GPU is not open yet: ask for it inside of a test');
      return gpu;
    }, family);
  });
}

/**
 * How many generated cases to try. SwiftShader makes coroutines of every barrier, some 66 times slower: there kernels with
 * barriers get a quarter, and every other driver all of them.
 */
export function runsOn(gpu: Gpu, runs: number): number {
  const { device, description, vendor } = gpu.info;
  const slow = gpu.family === 'gpu' && /swiftshader/i.test(`${vendor} ${device} ${description}`);
  return slow ? Math.ceil(runs / 4) : runs;
}
