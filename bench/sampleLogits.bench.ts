import { key } from '../src/core/key.ts';
import { tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** One word and a batch of words from the seed's vocabulary, without and with limits. No peer draws with explicit keys. */
export function benchmarks(tier: Tier): Benchmark[] {
  const words = 8460;
  const draw = (rows: number, label: string, limits: object): Benchmark => ({
    op: 'sampleLogits',
    label,
    shape: `[${rows}, ${words}]`,
    inputs: () => ({ logits: tensor([rows, words], uniform(rows * words, 1, 6)) }),
    options: { key: key(7), ...limits },
    bytes: rows * words * 4,
  });
  const plain = draw(1, 'plain', {});
  return [
    {
      ...plain,
      naive(gpu, { logits }) {
        const noise = gpu.ops.gumbelNoise(key(7), [1, words]);
        const ids = gpu.empty('i32', [1]);
        const logProbs = gpu.empty('f32', [1]);
        const file = `${naiveFolder}/sampleLogits.wgsl`;
        const call = { file, entry: 'sampleLogits', params: [1, words], groups: [1] as const };
        gpu.dispatch({ ...call, reads: [logits!, noise], writes: [ids, logProbs] });
        noise[Symbol.dispose]();
        return { ids, logProbs };
      },
    },
    draw(1, 'top-k 50, top-p 0.9', { topK: 50, topP: 0.9 }),
    draw(tier === 'full' ? 256 : 16, 'plain', {}),
  ];
}
