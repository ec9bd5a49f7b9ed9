import { cases } from '../src/verify/subVocabHead.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';

/** The cases of verify with a sub-vocabulary of the seed's size. */
export function benchmarks(_tier: Tier): Benchmark[] {
  return cases
    .filter((c) => c.flops !== undefined)
    .map((c) => ({ op: c.op, shape: c.shape, inputs: () => c.inputs(), flops: c.flops! }));
}
