import { formInputs } from '../src/verify/surfaceForms.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';

/** A vocabulary spelled in the pieces of another. */
export function benchmarks(tier: Tier): Benchmark[] {
  const [words, pieces] = tier === 'full' ? [65536, 30000] : [4096, 2000];
  return [
    {
      op: 'surfaceForms',
      shape: `${words} words, ${pieces} pieces`,
      inputs: () => formInputs(words, pieces, 16, 1),
      bytes: words * 8 * 4,
    },
  ];
}
