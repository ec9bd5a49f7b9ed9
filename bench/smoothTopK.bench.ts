import { tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

const methods = ['exp', 'sigmoid', 'laplace', 'clip'] as const;

/** The thresholds over a large vocabulary. No library has them; the naive kernel halves an interval with one invocation per row. */
export function benchmarks(tier: Tier): Benchmark[] {
  const n = tier === 'full' ? 1_000_000 : 100_000;
  const k = tier === 'full' ? 8192 : 1024;
  const x = () => tensor([n], uniform(n, 31, 8));
  return [
    ...methods.map(
      (method): Benchmark => ({
        op: 'smoothTopK',
        label: method,
        shape: `[${n}] k ${k}`,
        inputs: () => ({ x: x() }),
        options: { k, method },
        bytes: n * 8,
        ...(method === 'sigmoid' && tier !== 'cpu'
          ? {
              naive(gpu, inputs) {
                const values = gpu.empty('f32', [n]);
                gpu.dispatch({
                  file: `${naiveFolder}/smoothTopK.wgsl`,
                  entry: 'sigmoidTopK',
                  params: [n, k],
                  reads: [inputs.x!],
                  writes: [values],
                  groups: [1],
                });
                return { values };
              },
            }
          : {}),
      }),
    ),
    {
      op: 'smoothTopKBackward',
      label: 'sigmoid',
      shape: `[${n}] k ${k}`,
      inputs: () => ({ x: x(), dValues: tensor([n], uniform(n, 32)) }),
      options: { k, method: 'sigmoid' },
      bytes: n * 12,
    },
  ];
}
