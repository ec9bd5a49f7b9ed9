import { tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** The activation of a layer of the seed, forward and backward. */
export function benchmarks(_tier: Tier): Benchmark[] {
  const shape = [1568, 512];
  const size = 1568 * 512;
  const x = () => tensor(shape, uniform(size, 1, 6));
  return (['exact', 'tanh'] as const).flatMap((form): Benchmark[] => [
    {
      op: 'gelu',
      label: form,
      shape: '[1568, 512]',
      inputs: () => ({ x: x() }),
      options: { form },
      bytes: size * 8,
      ...(form === 'exact'
        ? {}
        : {
            naive(gpu, { x: given }) {
              const y = gpu.empty('f32', shape);
              const io = { reads: [given!], writes: [y], groups: gpu.grid(Math.ceil(size / 64)) };
              gpu.dispatch({ file: `${naiveFolder}/gelu.wgsl`, entry: 'gelu', params: [size], ...io });
              return { y };
            },
          }),
    },
    {
      op: 'geluBackward',
      label: form,
      shape: '[1568, 512]',
      inputs: () => ({ dy: tensor(shape, uniform(size, 2)), x: x() }),
      options: { form },
      bytes: size * 12,
    },
  ]);
}
