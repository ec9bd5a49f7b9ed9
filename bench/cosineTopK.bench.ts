import { tensor } from '../src/core/tensor.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** Neighbours of new tokens among old ones. */
export function benchmarks(tier: Tier): Benchmark[] {
  const [queries, rows, width] = tier === 'full' ? [4096, 32768, 128] : [512, 4096, 64];
  return [
    {
      op: 'cosineTopK',
      shape: `[${queries}, ${width}] in [${rows}, ${width}], k = 10`,
      inputs: () => ({
        q: tensor([queries, width], uniform(queries * width, 1)),
        table: tensor([rows, width], uniform(rows * width, 2)),
      }),
      options: { k: 10 },
      flops: 2 * queries * rows * width,
    },
  ];
}
