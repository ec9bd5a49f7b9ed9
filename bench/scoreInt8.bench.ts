import { cases } from '../src/verify/scoreInt8.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';

/** The large case of verify. */
export function benchmarks(_tier: Tier): Benchmark[] {
  return cases
    .filter((c) => c.bytes !== undefined)
    .map((c) => ({
      op: c.op,
      shape: c.shape,
      inputs: () => c.inputs(),
      bytes: c.bytes!,
      ...(c.flops === undefined ? {} : { flops: c.flops }),
    }));
}
