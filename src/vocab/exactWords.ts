import { Best } from '../ref/lib/best.ts';
import { createDots } from './dots.ts';
import { quantiseQuery } from './int8.ts';
import type { WordIndex } from './wordIndex.ts';

/** The k best of all words, and the mass of the softmax. */
export interface ExactWords {
  /** [queries, k], by score descending, then id ascending. */
  readonly ids: Int32Array;
  readonly scores: Float32Array;
  /** log of the sum of exp(score) over all words, per query. */
  readonly logMass: Float64Array;
  /** The length of the longest word. */
  readonly longest: number;
}

/** Scores are counted in steps of 1 / 64 from -512 to 512. */
const [steps, reach] = [64, 512];

/**
 * Exact search over an index on disk for many queries, in one pass over the file.
 *
 * The softmax mass of the k best is summed exactly; that of the others by a histogram of their scores, with an error of less
 * than 1 % of that part.
 */
export function exactWords(
  index: WordIndex,
  queries: Float32Array,
  k: number,
  onProgress: (done: number, of: number) => void = () => {},
): ExactWords {
  const { dim: d, size, meta, offsets } = index;
  const count = queries.length / d;
  let longestList = 0;
  for (let l = 0; l < meta.lists; l++) longestList = Math.max(longestList, offsets[l + 1]! - offsets[l]!);
  const dots = createDots(d, longestList);
  const wanted = Math.min(k, size);
  const asked = Array.from({ length: count }, (_, q) => {
    const codes = new Int16Array(dots.stride);
    const scale = quantiseQuery(queries.subarray(q * d, (q + 1) * d), codes);
    return { codes, scale, best: new Best(wanted, size), bins: new Float64Array(2 * reach * steps) };
  });
  const scores = new Float64Array(longestList);
  let [longest, list] = [0, 0];
  for (const { count: m, stride, codes, scales, ids } of index.lists()) {
    dots.rows.set(codes);
    for (let i = 0; i < m; i++) {
      let squares = 0;
      for (let j = i * stride; j < (i + 1) * stride; j++) squares += codes[j]! * codes[j]!;
      longest = Math.max(longest, Math.sqrt(squares) * scales[i]!);
    }
    for (const { codes: own, scale, best, bins } of asked) {
      dots.query.set(own);
      dots.run(0, m);
      for (let i = 0; i < m; i++) {
        const score = dots.sums[i]! * scales[i]!;
        scores[i] = score;
        bins[binOf(score * scale)]!++;
      }
      best.add(scores, scale, ids, 0, m);
    }
    onProgress(++list, meta.lists);
  }
  const out = {
    ids: new Int32Array(count * k).fill(-1),
    scores: new Float32Array(count * k).fill(Number.NEGATIVE_INFINITY),
    logMass: new Float64Array(count),
    longest,
  };
  for (const [q, { best, bins }] of asked.entries()) {
    const { rows, scores: own } = best.take(true);
    out.ids.set(rows, q * k);
    out.scores.set(own, q * k);
    const top = own[0] ?? 0;
    let mass = 0;
    for (const score of own) {
      mass += Math.exp(score - top);
      bins[binOf(score)]!--;
    }
    for (const [b, many] of bins.entries())
      if (many > 0) mass += many * Math.exp((b + 0.5) / steps - reach - top);
    out.logMass[q] = top + Math.log(mass);
  }
  return out;
}

function binOf(score: number): number {
  return Math.max(0, Math.min(2 * reach * steps - 1, ((score + reach) * steps) | 0));
}
