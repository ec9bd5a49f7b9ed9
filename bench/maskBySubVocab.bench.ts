import { cases } from '../src/verify/maskBySubVocab.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';

/** The case of verify that has a sub-vocabulary of the seed's size. */
export function benchmarks(_tier: Tier): Benchmark[] {
  return cases
    .filter((c) => c.bytes !== undefined)
    .map((c) => ({ op: c.op, shape: c.shape, inputs: () => c.inputs(), bytes: c.bytes! }));
}
