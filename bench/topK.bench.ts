import { tensor } from '../src/core/tensor.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';
import { naiveSelection } from './support/selection.ts';
import { distinct, type Work } from './support/work.ts';

/** 8,192 of a million, sorted and as a set, and a batch of short rows. */
export function benchmarks(tier: Tier): Benchmark[] {
  const n = tier === 'small' ? 100_000 : 1_000_000;
  const k = tier === 'small' ? 1024 : 8192;
  if (tier === 'cpu') return [select(1, n, k, { target: 1 })];
  const prediction = {
    ratio: 60,
    why: 'two or three reads of the input and a sort of k, instead of the n log(n)^2 / 2 exchanges of a bitonic sort of n',
  };
  return [
    select(1, n, k, { target: 5, prediction }),
    asSet(select(1, n, k, {})),
    select(64, Math.floor(n / 64), 64, {
      target: 5,
      prediction: { ratio: 20, why: 'as above with rows of one workgroup' },
    }),
  ];
}

/** The same without an order: by ascending index. Nobody else offers that, and a sort is no plain way to it. */
function asSet({ naive: _naive, peers: _peers, ...b }: Benchmark): Benchmark {
  return { ...b, label: 'as a set', options: { ...b.options, sorted: false } };
}

function select(
  rows: number,
  n: number,
  k: number,
  goal: Pick<Benchmark, 'target' | 'prediction'>,
): Benchmark {
  const x = (): Float32Array => distinct(rows * n, 11);
  return {
    op: 'topK',
    shape: `[${rows > 1 ? `${rows}, ` : ''}${n}] k ${k}`,
    inputs: () => ({ x: tensor(rows > 1 ? [rows, n] : [n], x()) }),
    options: { k },
    bytes: rows * (n * 4 + k * 8),
    ...goal,
    peers: [
      {
        work: (): Work => ({ kind: 'topK', rows, n, k, x: x() }),
        outputs: ([values, indices]) => ({
          values: tensor(rows > 1 ? [rows, k] : [k], values as Float32Array),
          indices: tensor(rows > 1 ? [rows, k] : [k], indices as Int32Array),
        }),
      },
    ],
    naive: (gpu, inputs) => naiveSelection(gpu, inputs.x!, k, rows > 1 ? [rows, k] : [k]),
  };
}
