import { key } from '../src/core/key.ts';
import { tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** A layer of the seed. The naive kernel reads random words that another kernel has written. */
export function benchmarks(_tier: Tier): Benchmark[] {
  const shape = [32, 49, 512];
  const size = 32 * 49 * 512;
  const options = { p: 0.1, key: key(1) };
  return [
    {
      op: 'dropout',
      shape: '[32, 49, 512] p 0.1',
      inputs: () => ({ x: tensor(shape, uniform(size, 1)) }),
      options,
      bytes: size * 8,
      naive(gpu, { x }) {
        using bits = gpu.ops.randomBits(options.key, shape);
        const y = gpu.empty('f32', shape);
        gpu.dispatch({
          file: `${naiveFolder}/dropout.wgsl`,
          entry: 'dropout',
          params: [size, Math.round(0.1 * 2 ** 32), { f32: 1 / 0.9 }],
          reads: [x!, bits],
          writes: [y],
          groups: gpu.grid(Math.ceil(size / 64)),
        });
        return { y };
      },
    },
    {
      op: 'dropoutBackward',
      shape: '[32, 49, 512] p 0.1',
      inputs: () => ({ dy: tensor(shape, uniform(size, 2)) }),
      options,
      bytes: size * 8,
    },
  ];
}
