import { Best } from '../../ref/lib/best.ts';
import { checkQueries } from '../checkQueries.ts';
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
  /** The local intrinsic dimensionality at each query, from its 100 nearest words by cosine; NaN if there are not as many. */
  readonly dimensionality: Float64Array;
}

/** How many nearest words tell the dimensionality. */
const neighbours = 100;

/** Scores are counted in steps of 1 / 64 from -512 to 512. */
const [steps, reach] = [64, 512];

/**
 * Exact search over an index on disk for many queries, in one pass over the file.
 *
 * The softmax mass of the k best is summed exactly; that of the others by a histogram of their scores, with an error of less
 * than 1 % of that part.
 *
 * The dimensionality is the maximum likelihood estimate -1 / mean(log(r_i / r_m)) with the distances r_i of the unit vectors
 * to the m nearest words (Levina and Bickel; Amsaleg et al.).
 */
export function exactWords(
  index: WordIndex,
  queries: Float32Array,
  k: number,
  onProgress: (done: number, of: number) => void = () => {},
): ExactWords {
  const { dim: d, size, meta, offsets } = index;
  const count = checkQueries(queries, d, k);
  let longestList = 0;
  for (let l = 0; l < meta.lists; l++) longestList = Math.max(longestList, offsets[l + 1]! - offsets[l]!);
  const dots = createDots(d, longestList);
  const wanted = Math.min(k, size);
  const asked = Array.from({ length: count }, (_, q) => {
    const codes = new Int16Array(dots.stride);
    const query = queries.subarray(q * d, (q + 1) * d);
    const scale = quantiseQuery(query, codes);
    const norm = Math.hypot(...query);
    return {
      codes,
      scale,
      best: new Best(wanted, size),
      bins: new Float64Array(2 * reach * steps),
      // For a cosine, the score is divided by both lengths.
      near: new Best(Math.min(neighbours, size), size),
      unit: norm === 0 ? 0 : scale / norm,
    };
  });
  const scores = new Float64Array(longestList);
  const cosines = new Float64Array(longestList);
  const inverses = new Float64Array(longestList);
  let [longest, list] = [0, 0];
  for (const { count: m, stride, codes, scales, ids } of index.lists()) {
    dots.rows.set(codes);
    for (let i = 0; i < m; i++) {
      let squares = 0;
      for (let j = i * stride; j < (i + 1) * stride; j++) squares += codes[j]! * codes[j]!;
      const length = Math.sqrt(squares) * scales[i]!;
      longest = Math.max(longest, length);
      inverses[i] = length === 0 ? 0 : 1 / length;
    }
    for (const { codes: own, scale, best, bins, near, unit } of asked) {
      dots.query.set(own);
      dots.run(0, m);
      for (let i = 0; i < m; i++) {
        const score = dots.sums[i]! * scales[i]!;
        scores[i] = score;
        cosines[i] = score * inverses[i]!;
        bins[binOf(score * scale)]!++;
      }
      best.add(scores, scale, ids, 0, m);
      near.add(cosines, unit, ids, 0, m);
    }
    onProgress(++list, meta.lists);
  }
  const out = {
    ids: new Int32Array(count * k).fill(-1),
    scores: new Float32Array(count * k).fill(Number.NEGATIVE_INFINITY),
    logMass: new Float64Array(count),
    longest,
    dimensionality: new Float64Array(count),
  };
  for (const [q, { best, bins, near }] of asked.entries()) {
    out.dimensionality[q] = dimensionalityOf(near.take(true).scores);
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

/** From cosines, the largest first. A word in the direction of the query itself tells nothing. */
function dimensionalityOf(cosines: Float32Array): number {
  if (cosines.length < neighbours) return Number.NaN;
  const squares = cosines.map((c) => Math.max(2 - 2 * c, 0)).filter((s) => s > 0);
  const last = squares.at(-1) ?? 0;
  let sum = 0;
  for (const s of squares) sum += Math.log(s / last) / 2;
  return -squares.length / sum;
}

function binOf(score: number): number {
  return Math.max(0, Math.min(2 * reach * steps - 1, ((score + reach) * steps) | 0));
}
