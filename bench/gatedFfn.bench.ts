import { type Tensor, tensor } from '../src/core/tensor.ts';
import type { Gpu, GpuTensor } from '../src/gpu/index.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform, type Work } from './support/work.ts';

const width = 512;

/** The layer of the seed over a batch of 32 sequences of 49 tokens, with relu, and its gradients. */
export function benchmarks(tier: Tier): Benchmark[] {
  const rows = tier === 'full' ? 1568 : 98;
  const prediction = {
    ratio: 2.5,
    why: 'three products of the kernel that matmul uses; value and gate are combined as they are packed for the third',
  };
  if (tier === 'cpu') return [layer(rows, { target: 1 })];
  return [layer(rows, { prediction }), backward(rows)];
}

const scaled = (length: number, seed: number): Float32Array => uniform(length, seed).map((v) => 0.05 * v);
/** Stored [in, out], as the peers take them. */
const matrix = (seed: number): Float32Array => scaled(width * width, seed);

function transposed(m: Float32Array): Tensor {
  return tensor(
    [width, width],
    Float32Array.from(m, (_, i) => m[(i % width) * width + Math.floor(i / width)]!),
  );
}

function inputs(rows: number): Record<string, Tensor> {
  return {
    x: tensor([rows, width], uniform(rows * width, 3)),
    w1: transposed(matrix(4)),
    b1: tensor([width], uniform(width, 5)),
    wg: transposed(matrix(6)),
    bg: tensor([width], uniform(width, 7)),
    w2: transposed(matrix(8)),
    b2: tensor([width], uniform(width, 9)),
  };
}

function layer(rows: number, goal: Pick<Benchmark, 'target' | 'prediction'>): Benchmark {
  const shape = [rows, width];
  const work = (): Work => ({
    ...{ kind: 'gatedFfn', rows, width, hidden: width, x: uniform(rows * width, 3) },
    ...{ w1: matrix(4), b1: uniform(width, 5), wg: matrix(6), bg: uniform(width, 7) },
    ...{ w2: matrix(8), b2: uniform(width, 9) },
  });
  return {
    op: 'gatedFfn',
    label: 'relu',
    shape: `[${rows}, ${width}]`,
    inputs: () => inputs(rows),
    bytes: 4 * (2 * rows * width + 3 * width * width),
    flops: 3 * 2 * rows * width * width,
    ...goal,
    peers: [{ work, outputs: ([y]) => ({ y: tensor(shape, y as Float32Array) }) }],
    naive: (gpu, given) => naive(gpu, given, rows),
  };
}

function naive(gpu: Gpu, given: Readonly<Record<string, GpuTensor>>, rows: number) {
  const hidden = gpu.empty('f32', [rows, width]);
  const y = gpu.empty('f32', [rows, width]);
  const common = {
    file: `${naiveFolder}/gatedFfn.wgsl`,
    params: [rows, width, width],
    groups: [Math.ceil(width / 8), Math.ceil(rows / 8)],
  } as const;
  const { x, w1, b1, wg, bg, w2, b2 } = given as Record<string, GpuTensor>;
  gpu.dispatch({ ...common, entry: 'gate', reads: [x!, w1!, b1!, wg!, bg!], writes: [hidden] });
  gpu.dispatch({ ...common, entry: 'linear', reads: [hidden, w2!, b2!], writes: [y] });
  hidden[Symbol.dispose]();
  return { y };
}

function backward(rows: number): Benchmark {
  return {
    op: 'gatedFfnBackward',
    label: 'relu',
    shape: `[${rows}, ${width}]`,
    inputs: () => ({ dy: tensor([rows, width], uniform(rows * width, 10)), ...inputs(rows) }),
    bytes: 4 * (3 * rows * width + 6 * width * width),
    flops: 8 * 2 * rows * width * width,
  };
}
