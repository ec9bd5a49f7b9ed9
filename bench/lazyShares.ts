// The share of words that lazyGumbelTopK scores. `node bench/lazyShares.ts`; counts only, no times.
import { key } from '../src/core/key.ts';
import { hierarchicalAnn } from '../src/ref/hierarchicalAnn.ts';
import { lazyGumbelTopK, lazyGumbelTopKBalls } from '../src/ref/lazyGumbelTopK.ts';
import { wordVectors } from '../src/verify/words.ts';

const rows = [
  { n: 20_000, d: 4, lists: 800, temperature: 1, k: 64 },
  { n: 20_000, d: 8, lists: 800, temperature: 1, k: 64 },
  { n: 20_000, d: 8, lists: 800, temperature: 1, k: 512 },
  { n: 50_000, d: 16, lists: 2000, temperature: 2, k: 64 },
  { n: 20_000, d: 16, lists: 400, temperature: 1, k: 64 },
  { n: 200_000, d: 4, lists: 8000, temperature: 1, k: 8192 },
  { n: 200_000, d: 8, lists: 8000, temperature: 1, k: 8192 },
];
console.log(
  '| words | d | lists | temperature | k | least | mean | most |\n| --- | --- | --- | --- | --- | --- | --- | --- |',
);
for (const { n, d, lists, temperature, k } of rows) {
  const { vectors, queries } = wordVectors({ n, d, queries: 8, clusters: 200 });
  const index = hierarchicalAnn(vectors, { lists });
  const { scored } = lazyGumbelTopK(index, lazyGumbelTopKBalls(index), queries, k, {
    key: key(1),
    temperature,
  });
  const shares = Array.from(scored.data, (v) => v / n);
  const mean = shares.reduce((sum, v) => sum + v, 0) / shares.length;
  const told = [Math.min(...shares), mean, Math.max(...shares)].map((v) => v.toFixed(3));
  console.log(
    `| ${[n.toLocaleString('en'), d, lists.toLocaleString('en'), temperature, k.toLocaleString('en'), ...told].join(' | ')} |`,
  );
}
