import { failure, gamma, minNormal, pass, unitWgsl, type Verdict } from '../bounds.ts';
import type { Metric } from '../ops/hierarchicalAnn.ts';

/**
 * What may be selected in one row: everything that takes part, with its exact score and how far a correct evaluation
 * may be from it.
 */
export interface Candidates {
  readonly ids: ArrayLike<number>;
  /** Exact, in f64. */
  readonly scores: ArrayLike<number>;
  /** |computed - exact| is at most this. */
  readonly slack: ArrayLike<number>;
  /** Nonzero: it takes part in every correct evaluation; else it may be missing. Absent: all do. */
  readonly certain?: ArrayLike<number>;
}

/** What was selected. Ids beyond the count are -1, their scores -Infinity. */
export interface Selection {
  readonly ids: ArrayLike<number>;
  readonly scores: ArrayLike<number>;
  readonly count: number;
}

/**
 * Check a selection of the k best by (score descending, id ascending) from scores that were rounded.
 *
 * Every selected id must be a candidate, once, with a score within its slack, in the right order. A candidate may be left
 * out only if its score less its slack is not above that of the weakest selected one plus its slack: a swap is legal
 * only inside of the error bounds of the two scores. Where both slacks are zero, ties must go to the lower id.
 *
 * @returns FAIL with the first offence, or PASS with the largest error in units of its slack
 */
export function checkSelection(
  got: Selection,
  all: Candidates,
  k: number,
  sorted = true,
  label = '',
): Verdict {
  const total = all.ids.length;
  const places = new Map<number, number>();
  let surely = 0;
  for (let i = 0; i < total; i++) {
    places.set(all.ids[i]!, i);
    if (all.certain === undefined || all.certain[i] !== 0) surely++;
  }
  const { ids, scores, count } = got;
  if (!(count >= Math.min(k, surely) && count <= Math.min(k, total))) {
    const range =
      surely === total ? `${Math.min(k, total)}` : `${Math.min(k, surely)} to ${Math.min(k, total)}`;
    return failure(`${label}count is ${count}; it must be ${range}`);
  }
  for (let r = count; r < ids.length; r++) {
    if (ids[r] !== -1 || scores[r] !== Number.NEGATIVE_INFINITY) {
      return failure(
        `${label}place ${r} is beyond the count ${count}, but holds id ${ids[r]} and score ${scores[r]}`,
      );
    }
  }
  let worst = 0;
  let weakest = -1;
  const chosen = new Uint8Array(total);
  for (let r = 0; r < count; r++) {
    const i = places.get(ids[r]!);
    if (i === undefined) return failure(`${label}place ${r} holds id ${ids[r]}, which cannot be selected`);
    if (chosen[i] !== 0) return failure(`${label}id ${ids[r]} is selected twice`);
    chosen[i] = 1;
    const error = Math.abs(scores[r]! - all.scores[i]!);
    if (!(error <= all.slack[i]!)) {
      return failure(
        `${label}id ${ids[r]}: score ${scores[r]}, exactly ${all.scores[i]}; off by ${error}, and ${all.slack[i]} is allowed`,
      );
    }
    if (error > 0) worst = Math.max(worst, error / all.slack[i]!);
    if (r > 0) {
      const rising = ids[r]! > ids[r - 1]!;
      const ordered = sorted
        ? scores[r]! < scores[r - 1]! || (scores[r] === scores[r - 1] && rising)
        : rising;
      if (!ordered) {
        return failure(
          `${label}places ${r - 1} and ${r} are out of order: ids ${ids[r - 1]}, ${ids[r]}, scores ${scores[r - 1]}, ${scores[r]}`,
        );
      }
    }
    const reach = all.scores[i]! + all.slack[i]!;
    const least = weakest < 0 ? Number.POSITIVE_INFINITY : all.scores[weakest]! + all.slack[weakest]!;
    if (reach < least || (reach === least && all.ids[i]! > all.ids[weakest]!)) weakest = i;
  }
  if (weakest < 0) return pass(0, `${label}nothing to select`);
  if (count < k && count >= surely) return pass(worst, `${label}all candidates are selected`);
  const limit = all.scores[weakest]! + all.slack[weakest]!;
  for (let i = 0; i < total; i++) {
    if (chosen[i] !== 0 || (all.certain !== undefined && all.certain[i] === 0)) continue;
    const least = all.scores[i]! - all.slack[i]!;
    const tied =
      least === limit && all.slack[i] === 0 && all.slack[weakest] === 0 && all.ids[i]! < all.ids[weakest]!;
    if (least > limit || tied) {
      const [a, b] = [all.ids[i], all.ids[weakest]];
      return failure(
        `${label}id ${a} with score ${all.scores[i]} is left out, but id ${b} with ${all.scores[weakest]} is selected; their slacks are ${all.slack[i]} and ${all.slack[weakest]}`,
      );
    }
  }
  return pass(worst, `${label}scores within their bounds; every swap is inside of the bounds of two scores`);
}

/**
 * How far a score of a query and a vector may be from its exact value. ip: gamma_{d+1} sum |q||x|. l2: gamma_{d+3} |q - x|^2,
 * since each difference is rounded once before it is squared. cosine (x has length 1 or 0): the same as ip, times 1 / |q|,
 * plus the error of that factor. 0 where all products are integers whose sums are exact in f32.
 */
export function scoreSlack(
  metric: Metric,
  d: number,
  absolute: number,
  score: number,
  exact = false,
): number {
  if (metric === 'l2') return exact ? 0 : gamma(d + 3) * Math.abs(score) + (d + 3) * minNormal;
  if (metric === 'ip') return exact ? 0 : gamma(d + 1) * absolute + (d + 1) * minNormal;
  // 1 / sqrt: the sum of squares, then two functions of at most 4 and 3 units in the last place.
  return gamma(d + 2) * absolute + (gamma(d) + 16 * unitWgsl) * Math.abs(score) + (d + 2) * minNormal;
}

/** True when both arrays hold integers only, so small that every sum of d products (or squared differences) is exact in f32. */
export function exactInF32(a: ArrayLike<number>, b: ArrayLike<number>, d: number): boolean {
  let most = 0;
  for (const values of [a, b]) {
    for (let i = 0; i < values.length; i++) {
      const v = values[i]!;
      if (!Number.isInteger(v)) return false;
      most = Math.max(most, Math.abs(v));
    }
  }
  return (2 * most) ** 2 * d <= 2 ** 24;
}
