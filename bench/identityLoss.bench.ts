import { tensor } from '../src/core/tensor.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** The rows that the warm-up of a hypernetwork compares. */
export function benchmarks(_tier: Tier): Benchmark[] {
  const shape = [4096, 128];
  const size = 4096 * 128;
  const both = () => ({ x: tensor(shape, uniform(size, 1)), goal: tensor(shape, uniform(size, 2)) });
  return [
    { op: 'identityLoss', shape: '[4096, 128]', inputs: both, bytes: size * 8 },
    {
      op: 'identityLossBackward',
      shape: '[4096, 128]',
      inputs: () => ({ dLoss: tensor([], [1]), ...both() }),
      bytes: size * 12,
    },
  ];
}
