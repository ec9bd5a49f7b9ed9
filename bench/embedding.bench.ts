import { cases } from '../src/verify/embedding.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';

/** The seed's table and batch, forward and backward. */
export function benchmarks(_tier: Tier): Benchmark[] {
  return cases
    .filter((c) => c.bytes !== undefined)
    .map((c) => ({
      op: c.op,
      shape: c.shape,
      inputs: () => c.inputs(),
      options: c.options ?? {},
      bytes: c.bytes!,
    }));
}
