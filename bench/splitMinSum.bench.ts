import { tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';

/** Sizes of vocabularies and of lists. No library has this: the naive kernel tries every a and every b. */
export function benchmarks(tier: Tier): Benchmark[] {
  const count = tier === 'full' ? 100_000 : 10_000;
  const numbers = (first: number, n: number): Uint32Array =>
    Uint32Array.from({ length: n }, (_, i) => first + i);
  const large: Benchmark = {
    op: 'splitMinSum',
    shape: `[${count}] from a million`,
    inputs: () => ({ n: tensor([count], numbers(1_000_000, count)) }),
    bytes: count * 20,
  };
  if (tier === 'cpu') return [large];
  const few = 1000;
  return [
    large,
    {
      op: 'splitMinSum',
      shape: `[${few}] from 8,000`,
      inputs: () => ({ n: tensor([few], numbers(8000, few)) }),
      bytes: few * 20,
      naive(gpu, { n }) {
        const make = () => gpu.empty('u32', [few]);
        const made = { a: make(), b: make(), c: make(), sum: make() };
        gpu.dispatch({
          file: `${naiveFolder}/splitMinSum.wgsl`,
          entry: 'splitMinSum',
          params: [few],
          reads: [n!],
          writes: [made.a, made.b, made.c, made.sum],
          groups: [Math.ceil(few / 64)],
        });
        return made;
      },
    },
  ];
}
