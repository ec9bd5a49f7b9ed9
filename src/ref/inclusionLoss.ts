import { ArgumentError } from '../core/errors.ts';
import {
  type InclusionLossOptions,
  type InclusionLossPlan,
  planInclusionLoss,
  planInclusionLossBackward,
} from '../core/ops/inclusionLoss.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';

/** Smaller relaxed inclusions count as this one, so that their log is finite. */
const least = 2 ** -126;

/**
 * How far a target y is from being among the k selected, as a loss; the mean over the rows that count.
 *
 * - `nll`: -log(1 - exp(-exp(scores[y] - threshold))) with the k-th largest perturbed score of the others as threshold: the
 *   probability that y is selected, given the noise of all others. Its mean over noise is at least -log of the inclusion.
 * - `soft`: -log scores[y], where scores are relaxed inclusions, such as gumbelTopKRelaxed gives.
 * - `hinge`: max(0, margin + threshold - scores[y]) with the k-th largest score as threshold.
 * - `forced`: 0; the target is put in by the caller, and `included` says whether it would have been there.
 *
 * @param scores f32 or f64 [..., n]
 * @param targets i32 [...], in [0, n) or ignoreIndex
 * @param k at least 1
 * @param options.perturbed [..., n], scores + noise; absent: the scores
 * @returns loss; count; included (1, 0, or -1 for a row that does not count); threshold; rival, who has it, or -1
 * @throws ArgumentError (also for a target that is no candidate), ShapeError, DTypeError
 * @accuracy f64 inside, rounded once
 * @edge A target with score -Infinity does not count. Fewer than k others: threshold -Infinity and loss 0.
 * @source Kool et al. (2019), Vieira (2014)
 */
export function inclusionLoss(
  scores: Tensor,
  targets: Tensor,
  k: number,
  options: InclusionLossOptions<Tensor> = {},
): Outputs<{ loss: Tensor; count: Tensor; included: Tensor; threshold: Tensor; rival: Tensor }> {
  const plan = planInclusionLoss(scores, targets, k, options);
  requirePlaces('inclusionLoss', plan, targets);
  const { rows, n, form, rowShape } = plan;
  const by = (options.perturbed ?? scores).data;
  const included = new Int32Array(rows).fill(-1);
  const threshold = allocate(scores.dtype, rows).fill(-Infinity);
  const rival = new Int32Array(rows).fill(-1);
  let total = 0;
  let count = 0;
  for (let r = 0; r < rows; r++) {
    if (!takesPart(plan, r, scores, targets)) continue;
    const y = targets.data[r]!;
    const order = ranked(by, r * n, n);
    const place = order.indexOf(y);
    included[r] = place < k ? 1 : 0;
    // The k-th of the others is the k-th or, if y is before it, the next one.
    const at = order[form === 'hinge' ? k - 1 : place < k ? k : k - 1];
    if ((form === 'nll' || form === 'hinge') && at !== undefined && by[r * n + at]! > -Infinity) {
      threshold[r] = by[r * n + at]!;
      rival[r] = at;
    }
    total += lossOf(plan, scores.data[r * n + y]!, threshold[r]!);
    count++;
  }
  const loss = allocate(scores.dtype, 1);
  loss[0] = total / Math.max(count, 1);
  return outputs({
    loss: new Tensor(scores.dtype, [], loss),
    count: new Tensor('i32', [], Int32Array.of(count)),
    included: new Tensor('i32', rowShape, included),
    threshold: new Tensor(scores.dtype, rowShape, threshold),
    rival: new Tensor('i32', rowShape, rival),
  });
}

/**
 * Gradient of {@link inclusionLoss}. With a = dLoss / count and w = exp(scores[y] - threshold): nll has -a w / (e^w - 1) at
 * the target and the same with a plus at the rival's perturbed score; soft has -a / scores[y]; hinge -a and +a where it is above 0.
 * @returns dScores, and dPerturbed if perturbed was given; without it dScores holds both
 * @throws ArgumentError, ShapeError, DTypeError
 * @accuracy f64 inside, rounded once
 */
export function inclusionLossBackward(
  dLoss: Tensor,
  scores: Tensor,
  targets: Tensor,
  k: number,
  count: Tensor,
  threshold: Tensor,
  rival: Tensor,
  options: InclusionLossOptions<Tensor> = {},
): Outputs<{ dScores: Tensor; dPerturbed?: Tensor }> {
  const plan = planInclusionLossBackward(dLoss, scores, targets, k, count, threshold, rival, options);
  requirePlaces('inclusionLossBackward', plan, targets);
  const { rows, n, stopThreshold } = plan;
  const dScores = allocate(scores.dtype, scores.size);
  const dPerturbed = options.perturbed === undefined ? dScores : allocate(scores.dtype, scores.size);
  for (let r = 0; r < rows; r++) {
    if (!takesPart(plan, r, scores, targets)) continue;
    const at = r * n + targets.data[r]!;
    const slope = slopeOf(plan, scores.data[at]!, threshold.data[r]!) * (dLoss.data[0]! / count.data[0]!);
    dScores[at] = dScores[at]! - slope;
    if (rival.data[r]! >= 0 && !stopThreshold) dPerturbed[r * n + rival.data[r]!]! += slope;
  }
  const like = (data: typeof dScores): Tensor => new Tensor(scores.dtype, scores.shape, data);
  return outputs({
    dScores: like(dScores),
    ...(options.perturbed === undefined ? {} : { dPerturbed: like(dPerturbed) }),
  });
}

function takesPart(
  { n, ignoreIndex }: InclusionLossPlan,
  row: number,
  scores: Tensor,
  targets: Tensor,
): boolean {
  const y = targets.data[row]!;
  return y !== ignoreIndex && scores.data[row * n + y] !== -Infinity;
}

/** Candidates of one row by (score descending, index ascending), NaN last. */
function ranked(by: ArrayLike<number>, first: number, n: number): number[] {
  const rank = (i: number): number => (Number.isNaN(by[first + i]!) ? -Infinity : by[first + i]!);
  const isNaNAt = (i: number): number => Number(Number.isNaN(by[first + i]!));
  return Array.from({ length: n }, (_, i) => i).sort((a, b) => {
    if (rank(a) !== rank(b)) return rank(b) > rank(a) ? 1 : -1;
    return isNaNAt(a) - isNaNAt(b) || a - b;
  });
}

function lossOf({ form, margin }: InclusionLossPlan, score: number, threshold: number): number {
  if (Number.isNaN(score)) return Number.NaN;
  if (form === 'soft') return -Math.log(Math.max(score, least));
  if (threshold === -Infinity) return 0;
  if (form === 'hinge') return Math.max(0, margin + threshold - score);
  const z = score - threshold;
  const w = Math.exp(z);
  // Below -10 by its series: there 1 - exp(-w) would lose its digits.
  if (z <= -10) return -(z - w / 2 + w ** 2 / 24);
  return w < Math.LN2 ? -Math.log(-Math.expm1(-w)) : -Math.log1p(-Math.exp(-w));
}

/** Minus the derivative of the loss by the target's score. */
function slopeOf({ form, margin }: InclusionLossPlan, score: number, threshold: number): number {
  if (form === 'soft') return score > least ? 1 / score : 0;
  if (threshold === -Infinity) return 0;
  if (form === 'hinge') return margin + threshold - score > 0 ? 1 : 0;
  const w = Math.exp(score - threshold);
  if (w < 1e-6) return 1 - w / 2;
  return w < 700 ? w / Math.expm1(w) : 0;
}

function requirePlaces(op: string, { n, ignoreIndex }: InclusionLossPlan, targets: Tensor): void {
  const at = targets.data.findIndex((t) => t !== ignoreIndex && !(t >= 0 && t < n));
  if (at >= 0) {
    throw new ArgumentError(
      op,
      `targets has ${targets.data[at]} at element ${at}; there are ${n} candidates, and ignoreIndex is ${ignoreIndex}`,
    );
  }
}
