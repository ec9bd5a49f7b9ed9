import { cases } from '../src/verify/poolQuery.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';

/** The cases of verify that have the seed's sizes. */
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
