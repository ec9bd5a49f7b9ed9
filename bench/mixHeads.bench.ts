import { tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** A layer of the seed with 8 heads. */
export function benchmarks(_tier: Tier): Benchmark[] {
  const shape = [32, 49, 512];
  const size = 32 * 49 * 512;
  const inputs = () => ({ x: tensor(shape, uniform(size, 1)), weight: tensor([8, 8], uniform(64, 2)) });
  return [
    {
      op: 'mixHeads',
      shape: '[32, 49, 512] heads 8',
      inputs,
      bytes: size * 8,
      flops: size * 16,
      naive(gpu, { x, weight }) {
        const y = gpu.empty('f32', shape);
        gpu.dispatch({
          file: `${naiveFolder}/mixHeads.wgsl`,
          entry: 'mixHeads',
          params: [size, 8, 64],
          reads: [x!, weight!],
          writes: [y],
          groups: gpu.grid(Math.ceil(size / 64)),
        });
        return { y };
      },
    },
    {
      op: 'mixHeadsBackward',
      shape: '[32, 49, 512] heads 8',
      inputs: () => ({ ...inputs(), dy: tensor(shape, uniform(size, 3)) }),
      bytes: size * 12,
      flops: size * 32,
    },
  ];
}
