import { tensor } from '../src/core/tensor.ts';
import { softmax } from '../src/ref/index.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** Rows as wide as a layer of the seed, rows as short as its sequences, and its vocabulary. */
export function benchmarks(tier: Tier): Benchmark[] {
  if (tier === 'cpu') return [forward(392, 512)];
  return [forward(1568, 512), forward(12544, 49), forward(49, 8460), backward(1568, 512)];
}

function forward(rows: number, length: number): Benchmark {
  const shape = [rows, length];
  return {
    op: 'softmax',
    shape: `[${shape.join(', ')}]`,
    inputs: () => ({ x: tensor(shape, uniform(rows * length, 1, 6)) }),
    bytes: rows * length * 8,
    naive(gpu, { x }) {
      const y = gpu.empty('f32', shape);
      gpu.dispatch({
        file: `${naiveFolder}/softmax.wgsl`,
        entry: 'softmax',
        params: [rows, length],
        reads: [x!],
        writes: [y],
        groups: [Math.ceil(rows / 64)],
      });
      return { y };
    },
  };
}

function backward(rows: number, length: number): Benchmark {
  const shape = [rows, length];
  return {
    op: 'softmaxBackward',
    shape: `[${shape.join(', ')}]`,
    inputs: () => ({
      dy: tensor(shape, uniform(rows * length, 2)),
      y: softmax(tensor(shape, uniform(rows * length, 1, 6))),
    }),
    bytes: rows * length * 12,
  };
}
