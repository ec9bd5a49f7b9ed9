import { tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** A block of a U-Net: the skip scaled and put beside the backbone in one pass, instead of scaled first and joined after. */
export function benchmarks(tier: Tier): Benchmark[] {
  const batch = tier === 'full' ? 32 : 8;
  const [u, d] = [
    [batch, 64, 32, 32],
    [batch, 32, 32, 32],
  ];
  const sizes = [u, d].map((s) => s!.reduce((a, b) => a * b)) as [number, number];
  return [
    {
      op: 'skipTuning',
      shape: `[${u!.join(', ')}] and [${d!.join(', ')}]`,
      options: { rho: 0.78 },
      inputs: () => ({ u: tensor(u!, uniform(sizes[0], 1)), d: tensor(d!, uniform(sizes[1], 2)) }),
      bytes: 8 * (sizes[0] + sizes[1]),
      naive(gpu, inputs) {
        const y = gpu.empty('f32', [batch, 96, 32, 32]);
        const groups = gpu.grid(Math.ceil(y.size / 64));
        gpu.dispatch({
          file: `${naiveFolder}/skipTuning.wgsl`,
          entry: 'skipTuning',
          params: [y.size, 64 * 1024, 32 * 1024, { f32: 0.78 }],
          reads: [inputs.u!, inputs.d!],
          writes: [y],
          groups,
        });
        return { y };
      },
    },
  ];
}
