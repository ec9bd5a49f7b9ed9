import { key } from '../src/core/key.ts';
import { tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import type { Work } from './support/work.ts';

/** One word per entry of a large vocabulary. */
export function benchmarks(tier: Tier): Benchmark[] {
  const n = tier === 'full' ? 10_000_000 : 1_000_000;
  return [
    {
      op: 'randomBits',
      shape: `[${n}]`,
      inputs: () => ({}),
      options: { key: key(0), shape: [n] },
      bytes: n * 4,
      prediction: { ratio: 1.2, why: 'both are bound by some 100 integer operations per word' },
      peers: [
        {
          work: (): Work => ({ kind: 'randomBits', seed: 0, n }),
          outputs: ([bits]) => ({ bits: tensor([n], bits as Uint32Array) }),
        },
      ],
      naive(gpu) {
        const bits = gpu.empty('u32', [n]);
        gpu.dispatch({
          file: `${naiveFolder}/random.wgsl`,
          entry: 'randomBits',
          params: [n, ...key(0)],
          writes: [bits],
          groups: gpu.grid(Math.ceil(n / 64)),
        });
        return { bits };
      },
    },
  ];
}
