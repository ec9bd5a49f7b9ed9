import { failure, pass, type Verdict } from '../src/core/bounds.ts';
import { key } from '../src/core/key.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import type { Work } from './support/work.ts';

/** One number per entry of a large vocabulary. */
export function benchmarks(tier: Tier): Benchmark[] {
  const n = tier === 'full' ? 10_000_000 : 1_000_000;
  return [
    {
      op: 'gumbelNoise',
      shape: `[${n}]`,
      inputs: () => ({}),
      options: { key: key(0), shape: [n] },
      bytes: n * 4,
      prediction: {
        ratio: 0.7,
        why: 'exact logarithms in integers, the same bits on every device, cost more than the two log of the peers',
      },
      naive(gpu) {
        const noise = gpu.empty('f32', [n]);
        gpu.dispatch({
          file: `${naiveFolder}/random.wgsl`,
          entry: 'gumbelNoise',
          params: [n, ...key(0)],
          writes: [noise],
          groups: gpu.grid(Math.ceil(n / 64)),
        });
        return { noise };
      },
      naiveCheck: ({ noise }) => looksGumbel(noise!.data as Float32Array, n),
      peers: [
        {
          work: (): Work => ({ kind: 'gumbelNoise', seed: 0, n }),
          standIn: 'its own generator, f32 logarithms',
          check: ([noise]) => looksGumbel(noise as Float32Array, n),
        },
      ],
    },
  ];
}

/** Numbers of another generator can only be tested as a sample: mean 0.5772, variance pi^2 / 6, within six deviations. */
function looksGumbel(x: Float32Array, n: number): Verdict {
  if (x.length !== n) return failure(`${x.length} numbers, wanted ${n}`);
  const mean = x.reduce((a, b) => a + b, 0) / n;
  const variance = x.reduce((a, b) => a + (b - mean) ** 2, 0) / n;
  const error = Math.max(
    Math.abs(mean - 0.5772156649) / (1.2825 / Math.sqrt(n)),
    // The fourth central moment is 5.4 variances squared.
    Math.abs(variance - Math.PI ** 2 / 6) / (1.644934 * Math.sqrt(4.4 / n)),
  );
  return error <= 6 ? pass(error / 6) : failure(`mean ${mean}, variance ${variance}: not Gumbel noise`);
}
