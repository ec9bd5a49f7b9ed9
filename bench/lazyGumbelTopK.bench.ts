import { key } from '../src/core/key.ts';
import { tensor } from '../src/core/tensor.ts';
import { hierarchicalAnn } from '../src/ref/hierarchicalAnn.ts';
import { lazyGumbelTopKBalls } from '../src/ref/lazyGumbelTopK.ts';
import { tensorsOf } from '../src/verify/hierarchicalAnn.ts';
import { once } from '../src/verify/words.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';
import { wordLike } from './support/work.ts';

/**
 * What the balls save: the same sample with the balls as they are, and with balls so wide that every word is scored. Few
 * dimensions, where balls bound something; and many, where they do not.
 */
export function benchmarks(tier: Tier): Benchmark[] {
  const n = tier === 'small' ? 50_000 : 200_000;
  const [queries, k] = [4, 1024];
  return [8, 32].flatMap((d) => {
    const lists = Math.round(n / 25);
    const made = once(() => {
      const build = { lists, sample: 4 * lists, iterations: 1, refine: 0, beam: 2 };
      const index = hierarchicalAnn(tensor([n, d], wordLike(n, d, 1000, 21, 22)), build);
      return { index, balls: lazyGumbelTopKBalls(index) };
    });
    const q = tensor([queries, d], wordLike(queries, d, 1000, 21, 32));
    return [false, true].map(
      (wide): Benchmark => ({
        op: 'lazyGumbelTopK',
        label: wide ? 'every word scored' : 'lazily',
        shape: `[${n}, ${d}] ${queries} queries k ${k} lists ${lists}`,
        inputs: () => {
          const { index, balls } = made();
          const radii = wide ? tensor([lists], new Float32Array(lists).fill(1e6)) : balls.radii;
          return { ...tensorsOf(index), centres: balls.centres, radii, queries: q };
        },
        options: { k, key: key(3) },
        flops: 2 * queries * n * d,
        quality: ({ scored }) => ({
          'share of words scored': Array.from(scored!.data).reduce((a, b) => a + b, 0) / (queries * n),
        }),
      }),
    );
  });
}
