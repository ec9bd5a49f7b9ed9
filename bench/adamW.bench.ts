import { tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** Adam on one matrix, and against it the same in three passes. No peer has a fused step. */
export function benchmarks(tier: Tier): Benchmark[] {
  const shape = tier === 'full' ? [4096, 4096] : [1024, 512];
  const size = shape[0]! * shape[1]!;
  const step = 10;
  return [
    {
      op: 'adamW',
      shape: `[${shape.join(', ')}]`,
      inputs: () => ({
        param: tensor(shape, uniform(size, 1)),
        grad: tensor(shape, uniform(size, 2)),
        m: tensor(shape, uniform(size, 3)),
        v: tensor(shape, uniform(size, 4).map(Math.abs)),
      }),
      options: { step, decoupled: false, weightDecay: 0 },
      bytes: size * 28,
      naive(gpu, { param, grad, m, v }) {
        const made = {
          param: gpu.empty('f32', shape),
          m: gpu.empty('f32', shape),
          v: gpu.empty('f32', shape),
        };
        const numbers = [
          0.9,
          1 - 0.9,
          0.999,
          1 - 0.999,
          0.001 / (1 - 0.9 ** step),
          1 / Math.sqrt(1 - 0.999 ** step),
          1e-8,
        ];
        const file = `${naiveFolder}/adamW.wgsl`;
        const groups = gpu.grid(Math.ceil(size / 64));
        const params = [size, ...numbers.map((f32) => ({ f32 }))];
        const pass = { file, params, groups };
        gpu.dispatch({ ...pass, entry: 'mean', reads: [m!, grad!, grad!], writes: [made.m] });
        gpu.dispatch({ ...pass, entry: 'square', reads: [v!, grad!, grad!], writes: [made.v] });
        gpu.dispatch({ ...pass, entry: 'moveParam', reads: [param!, made.m, made.v], writes: [made.param] });
        return made;
      },
    },
  ];
}
