import { tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** The residual of a layer of the seed, and a size beyond every cache. No peer row: an addition alone is bandwidth. */
export function benchmarks(tier: Tier): Benchmark[] {
  const shapes =
    tier === 'full'
      ? [
          [32, 49, 512],
          [64, 1024, 256],
        ]
      : [[32, 49, 512]];
  return shapes.map((shape) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return {
      op: 'add',
      shape: `[${shape.join(', ')}]`,
      inputs: () => ({ a: tensor(shape, uniform(size, 1)), b: tensor(shape, uniform(size, 2)) }),
      bytes: size * 12,
      naive(gpu, { a, b }) {
        const y = gpu.empty('f32', shape);
        const groups = gpu.grid(Math.ceil(size / 64));
        const io = { reads: [a!, b!], writes: [y], groups };
        gpu.dispatch({ file: `${naiveFolder}/elementwise.wgsl`, entry: 'add', params: [size], ...io });
        return { y };
      },
    };
  });
}
