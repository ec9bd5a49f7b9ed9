import { tensor } from '../src/core/tensor.ts';
import { sparsemax } from '../src/ref/index.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** Similarities of new tokens to old ones, forward and backward. */
export function benchmarks(tier: Tier): Benchmark[] {
  const [rows, length] = tier === 'full' ? [1024, 8192] : [128, 2048];
  const shape = [rows, length];
  const x = () => tensor(shape, uniform(rows * length, 1));
  return [
    { op: 'sparsemax', shape: `[${shape.join(', ')}]`, inputs: () => ({ x: x() }), bytes: rows * length * 8 },
    {
      op: 'sparsemaxBackward',
      shape: `[${shape.join(', ')}]`,
      inputs: () => ({ dy: tensor(shape, uniform(rows * length, 2)), y: sparsemax(x()) }),
      bytes: rows * length * 12,
    },
  ];
}
