import { compareBound, gamma, type Verdict } from '../src/core/bounds.ts';
import { containment, recallIds } from '../src/core/recall.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { hierarchicalAnn } from '../src/ref/hierarchicalAnn.ts';
import { hierarchicalAnnSearch } from '../src/ref/hierarchicalAnnSearch.ts';
import { tensorsOf } from '../src/verify/hierarchicalAnn.ts';
import { once } from '../src/verify/words.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { naiveSelection } from './support/selection.ts';
import { transposed, type Work, wordLike } from './support/work.ts';

/** Exact search and search in lists; bench/context/faiss_ivf.py does the same with FAISS. */
export function benchmarks(tier: Tier): Benchmark[] {
  const full = tier !== 'small';
  const [n, d, queries, k, lists] = full ? [200_000, 64, 16, 8192, 2048] : [20_000, 64, 4, 1024, 200];
  const base = once(() => wordLike(n, d, 1000, 21, 22));
  const q = once(() => wordLike(queries, d, 1000, 21, 32));
  const vectors = (): Tensor => tensor([n, d], base());
  const index = once(() => hierarchicalAnn(vectors(), { lists }));
  const exact = once(() =>
    hierarchicalAnnSearch(hierarchicalAnn(vectors(), { flat: true }), tensor([queries, d], q()), k),
  );
  const iota = (): Tensor =>
    tensor(
      [n],
      Int32Array.from({ length: n }, (_, i) => i),
    );
  const shape = `[${n}, ${d}] ${queries} queries k ${k}`;
  // Others order equal scores freely: what is compared is the score at every rank.
  const sameScores = (got: Float32Array): Verdict => {
    const longest = (t: Float32Array): number => {
      let most = 0;
      for (let i = 0; i < t.length; i += d) most = Math.max(most, Math.hypot(...t.subarray(i, i + d)));
      return most;
    };
    const fail = new Float64Array(queries * k).fill(gamma(d + 1) * longest(q()) * longest(base()));
    const bound = { fail, why: 'gamma_d |q||x|, rank by rank' };
    return compareBound(exact().scores, tensor([queries, k], got), bound);
  };
  const flat: Benchmark = {
    op: 'hierarchicalAnnSearch',
    label: 'exact',
    shape: `${shape} flat`,
    inputs: () => ({ vectors: vectors(), order: iota(), ids: iota(), queries: tensor([queries, d], q()) }),
    options: { k },
    bytes: 4 * n * d + 8 * queries * k,
    flops: 2 * queries * n * d,
    naive(gpu, t) {
      using scores = gpu.empty('f32', [queries, n]);
      gpu.dispatch({
        file: `${naiveFolder}/flatSearch.wgsl`,
        entry: 'scores',
        params: [queries, n, d],
        reads: [t.queries!, t.vectors!],
        writes: [scores],
        groups: gpu.grid(Math.ceil((queries * n) / 64)),
      });
      const { values, indices } = naiveSelection(gpu, scores, k, [queries, k]);
      return { scores: values, ids: indices };
    },
    naiveCheck: ({ scores }) => sameScores(scores!.data as Float32Array),
    peers: [
      {
        work: (): Work => ({
          kind: 'flatSearch',
          queries,
          count: n,
          dim: d,
          k,
          q: q(),
          baseT: transposed(base(), n, d),
        }),
        check: ([values]) => sameScores(values as Float32Array),
      },
    ],
  };
  const probes = full ? [256, 512, 1024] : [25, 50];
  const searches = probes.map(
    (nprobe): Benchmark => ({
      op: 'hierarchicalAnnSearch',
      label: 'in lists',
      shape: `${shape} lists ${lists} nprobe ${nprobe}`,
      inputs: () => ({ ...tensorsOf(index()), queries: tensor([queries, d], q()) }),
      options: { k, nprobe },
      quality: ({ ids }) => ({
        recall: recallIds(ids!, exact().ids).mean,
        'least recall': recallIds(ids!, exact().ids).min,
        'of the best 100': containment(ids!, exact().ids, 100).mean,
      }),
    }),
  );
  const alone: Benchmark = {
    op: 'hierarchicalAnnSearch',
    label: 'a query alone',
    shape: `[${n}, ${d}] 1 query k ${k} lists ${lists} nprobe ${probes[1]}`,
    inputs: () => ({ ...tensorsOf(index()), queries: tensor([1, d], q().slice(0, d)) }),
    options: { k, nprobe: probes[1] },
  };
  return [flat, ...searches, alone];
}
