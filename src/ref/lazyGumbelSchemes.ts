import { ArgumentError } from '../core/errors.ts';
import { foldIn, type Key } from '../core/key.ts';
import { randomBits } from './randomBits.ts';

/**
 * Three more ways to draw k words without replacement from softmax(scores), by groups of words. They are kept as references:
 * plain functions over arrays, each exact. What `lazyGumbelTopK` does differently is in docs/lazyGumbelTopK.md.
 */

/** A sample in the order in which it was drawn. */
export interface SchemeSample {
  /** Numbers of the words. */
  readonly words: Int32Array;
  /** Score + noise, falling. */
  readonly perturbed: Float64Array;
  /** Words whose score was looked at. */
  readonly scored: number;
}

/** Words in groups: group g holds the words offsets[g] to offsets[g + 1] - 1. */
export interface Groups {
  readonly offsets: ArrayLike<number>;
  /** The score of a word, divided by the temperature. */
  readonly scoreOf: (word: number) => number;
}

/**
 * Top down: the largest sum of a group is Gumbel noise around the log of its total weight. The k groups with the largest such
 * maxima hold the sample. Within each, noise is drawn as usual and shifted, so that the largest sum is the one given.
 *
 * @accuracy f64; noise of 53 bits
 * @edge k >= n: all words. Every score is needed for the weights, unless a tree keeps them.
 * @source Kool, van Hoof, Welling, Stochastic beams (2019), section 4.2
 */
export function sampleByShift({ offsets, scoreOf }: Groups, k: number, key: Key): SchemeSample {
  const wanted = requireCount('sampleByShift', offsets, k);
  const next = gumbels(key);
  const groups: { words: number[]; scores: number[]; top: number }[] = [];
  for (let g = 0; g + 1 < offsets.length; g++) {
    const words = range(offsets[g]!, offsets[g + 1]!);
    if (words.length === 0) continue;
    const scores = words.map(scoreOf);
    groups.push({ words, scores, top: logSum(scores) + next() });
  }
  groups.sort((a, b) => b.top - a.top);
  const found: Drawn[] = [];
  for (const { words, scores, top } of groups.slice(0, wanted)) {
    const sums = scores.map((s) => s + next());
    const largest = Math.max(...sums);
    words.forEach((word, i) => {
      // -log(exp(-top) - exp(-largest) + exp(-sum)), without loss of digits; the largest becomes `top` itself.
      const v = top - sums[i]! + Math.log1p(-Math.exp(sums[i]! - largest));
      const value = sums[i] === largest ? top : top - Math.max(v, 0) - Math.log1p(Math.exp(-Math.abs(v)));
      found.push({ word, value });
    });
  }
  return best(found, wanted, offsets[offsets.length - 1]!);
}

/**
 * A heap of groups by the largest sum that is left in each. The largest of all belongs to a word drawn from its group by weight;
 * then the group's next sum is Gumbel noise around the log of the weight that remains, cut off at the last one.
 *
 * @accuracy f64; noise of 53 bits
 * @edge k >= n: all words. Every score is needed for the weights, unless a tree keeps them.
 * @source Maddison, Tarlow, Minka, A* sampling (2014), the Gumbel process top down
 */
export function sampleByHeap({ offsets, scoreOf }: Groups, k: number, key: Key): SchemeSample {
  const wanted = requireCount('sampleByHeap', offsets, k);
  const next = gumbels(key);
  const groups: { words: number[]; scores: number[]; top: number }[] = [];
  for (let g = 0; g + 1 < offsets.length; g++) {
    const words = range(offsets[g]!, offsets[g + 1]!);
    const scores = words.map(scoreOf);
    if (words.length > 0) groups.push({ words, scores, top: logSum(scores) + next() });
  }
  const found: Drawn[] = [];
  while (found.length < wanted) {
    const group = groups.reduce((a, b) => (b.top > a.top ? b : a));
    // A word by its weight among those that are left: the largest of fresh sums.
    const fresh = group.scores.map((s) => s + next());
    const i = fresh.indexOf(Math.max(...fresh));
    found.push({ word: group.words[i]!, value: group.top });
    group.words.splice(i, 1);
    group.scores.splice(i, 1);
    group.top =
      group.words.length === 0 ? Number.NEGATIVE_INFINITY : cutOff(logSum(group.scores), group.top, next());
  }
  return best(found, wanted, offsets[offsets.length - 1]!);
}

/**
 * The same with a bound of each group's scores in place of its weight, so that a score is looked at only when its word comes
 * up: sums around bound + log(count), each given to one of the words that are left, all alike. A word's true sum is lower by
 * bound - score. Ends when no group can hold more than the k-th best.
 *
 * @param bounds at least the largest score of each group
 * @accuracy f64; noise of 53 bits
 * @edge k >= n: all words.
 * @source Maddison, Tarlow, Minka, A* sampling (2014), for the k largest
 */
export function sampleByBounds(
  { offsets, scoreOf }: Groups,
  bounds: ArrayLike<number>,
  k: number,
  key: Key,
): SchemeSample {
  const wanted = requireCount('sampleByBounds', offsets, k);
  const next = gumbels(key);
  const groups: { words: number[]; bound: number; top: number }[] = [];
  for (let g = 0; g + 1 < offsets.length; g++) {
    const words = range(offsets[g]!, offsets[g + 1]!);
    const bound = bounds[g]!;
    if (words.length > 0) groups.push({ words, bound, top: bound + Math.log(words.length) + next() });
  }
  const found: Drawn[] = [];
  let scored = 0;
  while (groups.length > 0) {
    found.sort((a, b) => b.value - a.value || a.word - b.word);
    found.length = Math.min(found.length, wanted);
    const group = groups.reduce((a, b) => (b.top > a.top ? b : a), groups[0]!);
    const enough = found.length === wanted && (wanted === 0 || found[wanted - 1]!.value >= group.top);
    if (enough || group.words.length === 0) break;
    // Whose fresh noise is largest is a word drawn with equal chances.
    const fresh = group.words.map(() => next());
    const i = fresh.indexOf(Math.max(...fresh));
    const word = group.words.splice(i, 1)[0]!;
    found.push({ word, value: group.top - group.bound + scoreOf(word) });
    scored++;
    const rest = group.words.length;
    group.top =
      rest === 0 ? Number.NEGATIVE_INFINITY : cutOff(group.bound + Math.log(rest), group.top, next());
  }
  return best(found, wanted, scored);
}

interface Drawn {
  readonly word: number;
  readonly value: number;
}

function best(found: Drawn[], wanted: number, scored: number): SchemeSample {
  found.sort((a, b) => b.value - a.value || a.word - b.word);
  const kept = found.slice(0, wanted);
  return {
    words: Int32Array.from(kept, ({ word }) => word),
    perturbed: Float64Array.from(kept, ({ value }) => value),
    scored,
  };
}

function requireCount(op: string, offsets: ArrayLike<number>, k: number): number {
  if (!Number.isInteger(k) || k < 0)
    throw new ArgumentError(op, `k is ${k}; it must be an integer from 0 on`);
  return Math.min(k, offsets[offsets.length - 1] ?? 0);
}

/** Gumbel noise around `middle` that is known to be below `top`, from plain noise. */
function cutOff(middle: number, top: number, noise: number): number {
  // middle - log(exp(middle - top) + exp(-noise)), by the larger of the two.
  const [a, b] = [middle - top, -noise];
  return middle - Math.max(a, b) - Math.log1p(Math.exp(-Math.abs(a - b)));
}

function logSum(scores: readonly number[]): number {
  const top = Math.max(...scores);
  return top + Math.log(scores.reduce((sum, s) => sum + Math.exp(s - top), 0));
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first }, (_, i) => first + i);
}

/** Gumbel noise of 53 bits, one number after another. */
function gumbels(key: Key): () => number {
  const block = 64;
  let number = 0;
  let at = block;
  let bits: ArrayLike<number> = [];
  return () => {
    if (at === block) {
      bits = randomBits(foldIn(key, number++), [block]).data;
      at = 0;
    }
    const high = bits[at]!;
    const low = bits[at + 1]! >>> 12;
    at += 2;
    return -Math.log(-Math.log((high * 2 ** 20 + low + 0.5) / 2 ** 52));
  };
}
