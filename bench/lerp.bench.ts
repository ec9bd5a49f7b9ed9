import { tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** The blend of a layer of the seed, forward and backward. */
export function benchmarks(_tier: Tier): Benchmark[] {
  const shape = [32, 49, 512];
  const size = 32 * 49 * 512;
  const inputs = () => ({
    a: tensor(shape, uniform(size, 1)),
    b: tensor(shape, uniform(size, 2)),
    weight: tensor([1], [0.3]),
  });
  return [
    {
      op: 'lerp',
      shape: '[32, 49, 512]',
      inputs,
      bytes: size * 12,
      naive(gpu, { a, b, weight }) {
        const y = gpu.empty('f32', shape);
        const io = { reads: [a!, b!, weight!], writes: [y], groups: gpu.grid(Math.ceil(size / 64)) };
        gpu.dispatch({ file: `${naiveFolder}/elementwise.wgsl`, entry: 'lerp', params: [size], ...io });
        return { y };
      },
    },
    {
      op: 'lerpBackward',
      shape: '[32, 49, 512]',
      inputs: () => ({ ...inputs(), dy: tensor(shape, uniform(size, 3)) }),
      bytes: size * 20,
    },
  ];
}
