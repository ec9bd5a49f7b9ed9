import { tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** Clipping as an operator of its own, and the factor alone, for an optimizer that multiplies by it. */
export function benchmarks(tier: Tier): Benchmark[] {
  const size = tier === 'full' ? 2 ** 24 : 2 ** 20;
  const inputs = () => ({ 'grads.0': tensor([size], uniform(size, 1)) });
  const common = { shape: `[${size}]`, inputs, options: { maxNorm: 1 } };
  return [
    {
      op: 'gradientClip',
      ...common,
      bytes: size * 12,
      naive(gpu, { 'grads.0': g }) {
        const file = `${naiveFolder}/gradientClip.wgsl`;
        const sums = gpu.empty('f32', [Math.ceil(size / 1024)]);
        const norm = gpu.empty('f32', []);
        const clipped = gpu.empty('f32', [size]);
        const pass = { file, params: [size, { f32: 1 }] };
        const parts = [Math.ceil(size / 1024 / 64)] as const;
        gpu.dispatch({ ...pass, entry: 'squares', reads: [g!], writes: [sums], groups: parts });
        gpu.dispatch({ ...pass, entry: 'total', reads: [sums], writes: [norm], groups: [1] });
        sums[Symbol.dispose]();
        const groups = gpu.grid(Math.ceil(size / 64));
        gpu.dispatch({ ...pass, entry: 'scale', reads: [g!, norm], writes: [clipped], groups });
        return { 'clipped.0': clipped, norm };
      },
    },
    { op: 'gradientClipFactor', ...common, bytes: size * 4 },
  ];
}
