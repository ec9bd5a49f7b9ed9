import type { AnnOptions, AnnTensors } from '../core/ops/hierarchicalAnn.ts';
import { annTensorNames } from '../core/ops/hierarchicalAnn.ts';
import { type Tensor, tensor } from '../core/tensor.ts';
import { hierarchicalAnn } from '../ref/hierarchicalAnn.ts';
import { type Case, noiseArray } from './case.ts';
import { once, wordVectors } from './words.ts';

const [n, d, k] = [200_000, 64, 8192];

/** The tensors of an index by the contract's names. */
export function tensorsOf(index: AnnTensors<Tensor>): Record<string, Tensor> {
  return Object.fromEntries(annTensorNames.flatMap((name) => (index[name] ? [[name, index[name]]] : [])));
}

const words = once(() => wordVectors({ n, d, queries: 4, seed: 21 }));
/** Trained a little only: the search is what is verified. */
const seedIndex = once(() =>
  hierarchicalAnn(words().vectors, {
    lists: 256,
    levels: 2,
    sample: 2048,
    iterations: 1,
    refine: 0,
    beam: 1,
  }),
);

/** Small integers: every score is exact in f32, and many are equal. */
function integers(rows: number, columns: number, seed: number): Tensor {
  return tensor(
    [rows, columns],
    noiseArray(rows * columns, seed).map((v) => Math.round(v * 4)),
  );
}

function small(
  label: string,
  rows: number,
  columns: number,
  queries: number,
  build: AnnOptions<Tensor>,
  options: object,
): Case {
  return {
    op: 'hierarchicalAnnSearch',
    label,
    shape: `[${rows}, ${columns}] x ${queries}`,
    inputs: () => ({
      ...tensorsOf(hierarchicalAnn(integers(rows, columns, 22), build)),
      queries: integers(queries, columns, 23),
    }),
    options: { metric: build.metric ?? 'ip', ...options },
  };
}

export const cases: readonly Case[] = [
  {
    op: 'hierarchicalAnnSearch',
    label: 'vocabulary of the seed, 16 of 256 lists',
    shape: `[${n}, ${d}] x 4 k ${k}`,
    inputs: () => ({ ...tensorsOf(seedIndex()), queries: words().queries }),
    options: { k, nprobe: 16 },
  },
  {
    op: 'hierarchicalAnnSearch',
    label: 'the same without lists: exact',
    shape: `[${n}, ${d}] x 1 k ${k}`,
    inputs: () => ({
      vectors: words().vectors,
      order: tensor(
        [n],
        Int32Array.from({ length: n }, (_, i) => i),
      ),
      ids: tensor(
        [n],
        Int32Array.from({ length: n }, (_, i) => i),
      ),
      queries: tensor([1, d], words().queries.data.slice(0, d)),
    }),
    options: { k },
    bytes: 4 * n * d,
    flops: 2 * n * d,
  },
  small(
    'ties, three levels, more lists than nprobe',
    900,
    7,
    33,
    { lists: 40, levels: 3 },
    { k: 60, nprobe: 3, beam: 2 },
  ),
  small('squared distance, k beyond n', 130, 5, 3, { lists: 9, metric: 'l2' }, { k: 150, nprobe: 2 }),
  small(
    'cosine with zero vectors, as a set',
    400,
    3,
    5,
    { lists: 20, levels: 2, metric: 'cosine' },
    { k: 90, sorted: false },
  ),
  small('short rows are filled up', 300, 4, 4, { lists: 60 }, { k: 50, nprobe: 1, onShort: 'pad' }),
  {
    op: 'hierarchicalAnn',
    label: 'two levels over word vectors',
    shape: '[3000, 32] 60 lists',
    inputs: () => ({ vectors: wordVectors({ n: 3000, d: 32, queries: 0, clusters: 80, seed: 24 }).vectors }),
    options: { lists: 60, levels: 2, iterations: 3, refine: 1, beam: 3 },
  },
  {
    op: 'hierarchicalAnn',
    label: 'three levels, cosine, ids given',
    shape: '[700, 9] 50 lists',
    inputs: () => ({
      vectors: tensor([700, 9], noiseArray(6300, 25)),
      ids: tensor(
        [700],
        Int32Array.from({ length: 700 }, (_, i) => ((i * 577) % 700) * 3 + 1),
      ),
    }),
    options: { lists: 50, levels: 3, metric: 'cosine', iterations: 2, sample: 300 },
  },
  {
    op: 'hierarchicalAnnAdd',
    label: 'vectors between the old ones',
    shape: '[500, 6] + 40',
    inputs: () => {
      const ids = tensor(
        [500],
        Int32Array.from({ length: 500 }, (_, i) => 2 * i),
      );
      const index = hierarchicalAnn(tensor([500, 6], noiseArray(3000, 26)), { lists: 25, levels: 2, ids });
      const newIds = tensor(
        [40],
        Int32Array.from({ length: 40 }, (_, i) => 801 - 20 * i),
      );
      return { ...tensorsOf(index), newVectors: tensor([40, 6], noiseArray(240, 27)), newIds };
    },
  },
];
