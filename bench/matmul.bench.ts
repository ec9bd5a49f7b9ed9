import { tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** Square products of the comparison, and the gradients of one. */
export function benchmarks(tier: Tier): Benchmark[] {
  if (tier === 'cpu') return [product(512, { target: 1 })];
  const prediction = {
    ratio: 2.5,
    why: 'each value is loaded once per 16 rows or 4 lanes instead of once per output tile row, as texels: about a fifth of the loads of a plain tile kernel, which is bound by them',
  };
  if (tier === 'small') return [product(256, { prediction }), backward(256)];
  return [product(1024, { prediction }), product(2048, { prediction }), backward(1024)];
}

function product(size: number, goal: Pick<Benchmark, 'target' | 'prediction'>): Benchmark {
  const shape = [size, size];
  const a = (): Float32Array => uniform(size * size, 1);
  const b = (): Float32Array => uniform(size * size, 2);
  const rows = Math.min(size, 64);
  const part = (data: ArrayLike<number>) =>
    tensor([rows, size], Float32Array.from(data).subarray(0, rows * size));
  return {
    op: 'matmul',
    shape: `${size}^3`,
    inputs: () => ({ a: tensor(shape, a()), b: tensor(shape, b()) }),
    bytes: 3 * 4 * size * size,
    flops: 2 * size ** 3,
    ...goal,
    ...(size <= 1024
      ? {}
      : {
          sample: {
            inputs: (all) => ({ a: part(all.a!.data), b: all.b! }),
            outputs: (all) => ({ y: part(all.y!.data) }),
          },
        }),
    peers: [
      {
        work: () => ({ kind: 'matmul', m: size, k: size, n: size, a: a(), b: b() }),
        outputs: ([y]) => ({ y: tensor(shape, y as Float32Array) }),
      },
    ],
    // Once is enough: its time grows with n^3 and more, on a software driver to a minute.
    ...(size > 1024 ? {} : { naive: naiveProduct(size) }),
  };
}

function naiveProduct(size: number): NonNullable<Benchmark['naive']> {
  return (gpu, inputs) => {
    const y = gpu.empty('f32', [size, size]);
    gpu.dispatch({
      file: `${naiveFolder}/matmul.wgsl`,
      entry: 'matmul',
      params: [size, size, size],
      reads: [inputs.a!, inputs.b!],
      writes: [y],
      groups: [Math.ceil(size / 8), Math.ceil(size / 8)],
    });
    return { y };
  };
}

function backward(size: number): Benchmark {
  const shape = [size, size];
  return {
    op: 'matmulBackward',
    shape: `${size}^3`,
    inputs: () => ({
      dy: tensor(shape, uniform(size * size, 3)),
      a: tensor(shape, uniform(size * size, 1)),
      b: tensor(shape, uniform(size * size, 2)),
    }),
    bytes: 5 * 4 * size * size,
    flops: 4 * size ** 3,
  };
}
