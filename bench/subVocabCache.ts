// What the cache of sub-vocabularies is worth: how often a query near an earlier one is certified, and what an uncertified answer
// lacks. `node bench/subVocabCache.ts`; counts only, no times.
import { tensor } from '../src/core/tensor.ts';
import { flatIndex } from '../src/vocab/memoryIndex.ts';
import { openSource } from '../src/vocab/rowSource.ts';
import { createSubVocabCache } from '../src/vocab/subVocabCache.ts';

const [n, d, k, pairs] = [100_000, 64, 8192, 24];
const source = { kind: 'made', n, d, seed: 7, noise: 'spectrum' } as const;
const vectors = new Float32Array(n * d);
openSource(source).fill(0, n, vectors);
const norm = (v: Float32Array): number => Math.hypot(...v);
const rows = (all: Float32Array, i: number): Float32Array => all.subarray(i * d, (i + 1) * d);
let longest = 0;
for (let i = 0; i < n; i++) longest = Math.max(longest, norm(rows(vectors, i)));
const index = flatIndex(tensor([n, d], vectors));
const asked = new Float32Array(2 * pairs * d);
openSource({ ...source, draw: 1 }).fill(0, 2 * pairs, asked);

/** A query of the same length as q whose cosine with it is c, towards another one. */
function near(q: Float32Array, towards: Float32Array, c: number): Float32Array {
  const length = norm(q);
  const along = q.reduce((sum, v, j) => sum + v * towards[j]!, 0) / length ** 2;
  const across = towards.map((v, j) => v - along * q[j]!);
  const unit = length / norm(across);
  return q.map((v, j) => c * v + Math.sqrt(1 - c * c) * unit * across[j]!);
}

const cosines = [0.999999, 0.99999, 0.9999, 0.999, 0.99, 0.9];
const spares = [0, k / 4, k, 4 * k];
console.log(`${n} x ${d} made words, k = ${k}, ${pairs} pairs of queries, all words searched`);
console.log(
  `| cosine | ${spares.map((s) => `certified, ${s} spare`).join(' | ')} | lacked without | at most |`,
);
console.log(`| --- |${' --- |'.repeat(spares.length + 2)}`);
for (const c of cosines) {
  const shares: string[] = [];
  for (const spare of spares) {
    const cache = createSubVocabCache(index, undefined, { longest, spare });
    let certified = 0;
    for (let p = 0; p < pairs; p++) {
      const q = rows(asked, 2 * p);
      await cache.find(q, k);
      const { from } = await cache.find(near(q, rows(asked, 2 * p + 1), c), k);
      if (from === 'certified') certified++;
    }
    shares.push(`${certified} of ${pairs}`);
  }
  // The same with answers by cosine alone, each compared with a search.
  const loose = createSubVocabCache(index, undefined, { longest, cosine: c - 1e-6, audit: 1 });
  for (let p = 0; p < pairs; p++) {
    const q = rows(asked, 2 * p);
    await loose.find(q, k);
    await loose.find(near(q, rows(asked, 2 * p + 1), c), k);
  }
  const { missingMean, missingMost } = loose.stats;
  console.log(`| ${c} | ${shares.join(' | ')} | ${missingMean.toFixed(4)} | ${missingMost.toFixed(4)} |`);
}

// A bounded cache under queries that come back: 16 topics, each asked again with a small change, in turns.
for (const capacity of [8, 16]) {
  const cache = createSubVocabCache(index, undefined, { longest, spare: k, capacity });
  for (let turn = 0; turn < 4; turn++)
    for (let p = 0; p < 16; p++)
      await cache.find(near(rows(asked, 2 * p), rows(asked, (2 * p + 1 + turn) % (2 * pairs)), 1 - 1e-7), k);
  const { hitRate } = cache.stats;
  console.log(
    `16 topics in turns, ${capacity} entries: hit rate ${hitRate.toFixed(2)}, ${cache.size} entries kept`,
  );
}
