import { tensor } from '../src/core/tensor.ts';
import { layerNorm } from '../src/ref/index.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** The normalization of a layer of the seed, forward and backward. */
export function benchmarks(tier: Tier): Benchmark[] {
  const rows = tier === 'cpu' ? 392 : 1568;
  const width = 512;
  const shape = [rows, width];
  const inputs = () => ({
    x: tensor(shape, uniform(rows * width, 1)),
    gamma: tensor([width], uniform(width, 2)),
    beta: tensor([width], uniform(width, 3)),
  });
  return [
    {
      op: 'layerNorm',
      shape: `[${shape.join(', ')}]`,
      inputs,
      bytes: 4 * (2 * rows * width + 2 * rows + 2 * width),
      naive(gpu, { x, gamma, beta }) {
        const y = gpu.empty('f32', shape);
        gpu.dispatch({
          file: `${naiveFolder}/layerNorm.wgsl`,
          entry: 'layerNorm',
          params: [rows, width, { f32: 1e-5 }],
          reads: [x!, gamma!, beta!],
          writes: [y],
          groups: [Math.ceil(rows / 64)],
        });
        return { y };
      },
    },
    {
      op: 'layerNormBackward',
      shape: `[${shape.join(', ')}]`,
      inputs() {
        const { x, gamma, beta } = inputs();
        const { mean, rstd } = layerNorm(x, gamma, beta);
        return { dy: tensor(shape, uniform(rows * width, 4)), x, gamma, mean, rstd };
      },
      bytes: 4 * (3 * rows * width + 2 * rows + 3 * width),
    },
  ];
}
