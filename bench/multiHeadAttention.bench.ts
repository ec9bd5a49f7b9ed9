import { tensor } from '../src/core/tensor.ts';
import { multiHeadAttention } from '../src/ref/index.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** The pieces of a batch of tokens, as ZeTT's hypernetwork has them, and a sequence of text. */
export function benchmarks(tier: Tier): Benchmark[] {
  if (tier === 'cpu') return [forward(256, 7, 64, 4)];
  if (tier === 'small')
    return [
      forward(1024, 7, 64, 4),
      forward(2, 256, 64, 1),
      backward(1024, 7, 64, 4),
      backward(2, 256, 64, 1),
    ];
  return [
    forward(4096, 7, 128, 4),
    forward(8, 512, 64, 1),
    backward(4096, 7, 128, 4),
    backward(8, 512, 64, 1),
  ];
}

function forward(items: number, length: number, width: number, heads: number): Benchmark {
  const size = items * length * width;
  const shape = [items, length, width];
  return {
    op: 'multiHeadAttention',
    label: `${heads} heads`,
    shape: `[${shape.join(', ')}]`,
    inputs: () => inputs(shape, size),
    options: { heads },
    bytes: 16 * size,
    flops: 4 * size * length,
    ...(heads > 1
      ? {}
      : {
          naive(gpu, { q, k, v }) {
            const file = `${naiveFolder}/multiHeadAttention.wgsl`;
            const params = [items, length, width];
            const scores = gpu.empty('f32', [items, length, length]);
            const y = gpu.empty('f32', shape);
            const tiles = (n: number) => Math.ceil(n / 8);
            const groups = (columns: number): [number, number, number] => [
              tiles(columns),
              tiles(length),
              items,
            ];
            gpu.dispatch({
              file,
              entry: 'products',
              params,
              reads: [q!, k!],
              writes: [scores],
              groups: groups(length),
            });
            gpu.dispatch({
              file,
              entry: 'normalise',
              params,
              writes: [scores],
              groups: [Math.ceil((items * length) / 64)],
            });
            gpu.dispatch({
              file,
              entry: 'means',
              params,
              reads: [scores, v!],
              writes: [y],
              groups: groups(width),
            });
            scores[Symbol.dispose]();
            return { y };
          },
        }),
  };
}

function backward(items: number, length: number, width: number, heads: number): Benchmark {
  const size = items * length * width;
  const shape = [items, length, width];
  return {
    op: 'multiHeadAttentionBackward',
    label: `${heads} heads`,
    shape: `[${shape.join(', ')}]`,
    inputs: () => {
      const given = inputs(shape, size);
      const made = multiHeadAttention(given.q, given.k, given.v, { heads });
      return { dy: tensor(shape, uniform(size, 4)), ...given, y: made.y, lse: made.lse };
    },
    options: { heads },
    bytes: 32 * size,
    flops: 10 * size * length,
  };
}

function inputs(shape: readonly number[], size: number) {
  return {
    q: tensor(shape, uniform(size, 1)),
    k: tensor(shape, uniform(size, 2)),
    v: tensor(shape, uniform(size, 3)),
  };
}
