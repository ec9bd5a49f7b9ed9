import { key } from '../core/key.ts';
import type { AnnOptions } from '../core/ops/hierarchicalAnn.ts';
import { type Tensor, tensor } from '../core/tensor.ts';
import { hierarchicalAnn } from '../ref/hierarchicalAnn.ts';
import { lazyGumbelTopKBalls } from '../ref/lazyGumbelTopK.ts';
import { type Case, noiseArray } from './case.ts';
import { tensorsOf } from './hierarchicalAnn.ts';
import { once, wordVectors } from './words.ts';

/** The tensors of an index with balls, by the contract's names. */
export function withBalls(vectors: Tensor, build: AnnOptions<Tensor>): Record<string, Tensor> {
  const index = hierarchicalAnn(vectors, build);
  const { centres, radii } = lazyGumbelTopKBalls(index);
  return { ...tensorsOf(index), centres, radii };
}

const [n, d, k] = [50_000, 16, 256];
const words = once(() => wordVectors({ n, d, queries: 4, clusters: 400, seed: 31 }));
const index = once(() =>
  withBalls(words().vectors, { lists: 1000, levels: 1, sample: 4000, iterations: 1, refine: 0, beam: 1 }),
);

function small(
  label: string,
  [rows, columns, queries]: readonly [number, number, number],
  build: AnnOptions<Tensor>,
  options: object,
  scale = 1,
): Case {
  return {
    op: 'lazyGumbelTopK',
    label,
    shape: `[${rows}, ${columns}] x ${queries}`,
    inputs: () => ({
      ...withBalls(tensor([rows, columns], noiseArray(rows * columns, 32)), build),
      queries: tensor(
        [queries, columns],
        noiseArray(queries * columns, 33).map((v) => v * scale),
      ),
    }),
    options: { key: key(7), ...options },
  };
}

const build = { iterations: 1, refine: 0 };

export const cases: readonly Case[] = [
  {
    op: 'lazyGumbelTopK',
    label: 'words of 1,000 lists, temperature 2',
    shape: `[${n}, ${d}] x 4 k ${k}`,
    inputs: () => ({ ...index(), queries: words().queries }),
    options: { k, key: key(6), temperature: 2 },
  },
  small('rounds that end inside of lists', [700, 5, 33], { ...build, lists: 30 }, { k: 9 }, 6),
  small('no scores: the noise alone, bit for bit', [300, 3, 2], { ...build, lists: 9 }, { k: 40 }, 0),
  small('one list, all words', [130, 4, 3], { flat: true }, { k: 130, temperature: 0.5 }),
  small('k is 0: a threshold only', [66, 2, 2], { ...build, lists: 4 }, { k: 0 }),
  {
    op: 'lazyGumbelTopKBalls',
    label: 'lists of one word and of hundreds',
    shape: '[900, 7] 60 lists',
    inputs: () => tensorsOf(hierarchicalAnn(tensor([900, 7], noiseArray(6300, 34)), { ...build, lists: 60 })),
  },
];
