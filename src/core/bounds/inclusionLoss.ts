import {
  type Bound,
  compareBound,
  compareExact,
  gamma,
  minNormal,
  unitNearest,
  unitWgsl,
} from '../bounds.ts';
import { type InclusionLossPlan, planInclusionLoss } from '../ops/inclusionLoss.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';

const u = unitWgsl;

/** How far the loss of a row, and minus its slope, may be off, with their sizes. */
interface RowErrors {
  readonly loss: number;
  readonly lossError: number;
  readonly slope: number;
  readonly slopeError: number;
}

function errorsOf({ form, margin }: InclusionLossPlan, score: number, threshold: number): RowErrors {
  if (form === 'soft') {
    const loss = Math.abs(Math.log(Math.max(score, 2 ** -126)));
    const slope = score > 2 ** -126 ? 1 / score : 0;
    return { loss, lossError: Math.max(2 ** -21, 3 * u * loss), slope, slopeError: 4 * u * slope };
  }
  if (threshold === -Infinity || form === 'forced') return { loss: 0, lossError: 0, slope: 0, slopeError: 0 };
  const sizes = Math.abs(score) + Math.abs(threshold) + margin;
  if (form === 'hinge') {
    const gap = margin + threshold - score;
    const error = 3 * u * sizes;
    // Within its error of 0 the slope may be either.
    return {
      loss: Math.max(0, gap),
      lossError: error,
      slope: Number(gap > 0),
      slopeError: Number(Math.abs(gap) <= error),
    };
  }
  const z = score - threshold;
  const y = Math.exp(z);
  // The difference is rounded, and exp(z) is good to 3 + 2|z| ulp; d loss / dz = -y / (e^y - 1), whose own relative slope is at
  // most 1 + y; both functions end at y = e^5.
  const ofY = u * Math.abs(z) + (3 + 2 * Math.abs(z)) * u;
  const slope = y > 700 ? 0 : y < 1e-9 ? 1 : y / Math.expm1(y);
  const e = Math.exp(-y);
  const loss = y < 1e-9 ? -z : -Math.log(-Math.expm1(-y));
  const series = y < 1 ? 8 * u * (Math.abs(z) + 1) + 2e-7 : 2 ** -21 * Number(e >= 9e-4) + 8 * u * loss;
  const lossError = slope * ofY + series + (e * (3 + 2 * y) * u) / Math.max(1 - e, 0.3);
  return {
    loss,
    lossError,
    slope,
    slopeError: slope * ((1 + y) * ofY + (16 + 4 * y) * u) + 1e-7 * Number(y < 0.6),
  };
}

export const judgeInclusionLoss: Judge = ({ inputs, options, want, got }) => {
  const { scores, targets, perturbed } = inputs as Record<string, Tensor>;
  const plan = planInclusionLoss(scores!, targets!, options.k as number, {
    ...options,
    ...(perturbed === undefined ? {} : { perturbed }),
  });
  let errors = 0;
  let sizes = 0;
  for (let r = 0; r < plan.rows; r++) {
    if (want.included!.data[r] === -1) continue;
    const own = errorsOf(plan, scores!.data[r * plan.n + targets!.data[r]!]!, want.threshold!.data[r]!);
    errors += own.lossError;
    sizes += own.loss;
  }
  const count = Math.max(want.count!.data[0]!, 1);
  const bound: Bound = {
    fail: Float64Array.of(
      (errors * 1.01) / count + (sizes / count) * (gamma(plan.rows + 2) + 4 * u) + minNormal,
    ),
    why: 'exp within 3 + 2|x| ulp, log within 2^-21 or 3 ulp, the series, and the mean',
  };
  return Object.fromEntries(
    Object.keys(want).map((name) => [
      name,
      name === 'loss' ? compareBound(want.loss!, got.loss!, bound) : compareExact(want[name]!, got[name]!),
    ]),
  );
};

export const judgeInclusionLossBackward: Judge = ({ inputs, options, want, got }) => {
  const { dLoss, scores, targets, count, threshold, rival, perturbed } = inputs as Record<string, Tensor>;
  const plan = planInclusionLoss(scores!, targets!, options.k as number, {
    ...options,
    ...(perturbed === undefined ? {} : { perturbed }),
  });
  const fail = new Float64Array(scores!.size).fill(minNormal);
  const a = Math.abs(dLoss!.data[0]!) / Math.max(count!.data[0]!, 1);
  for (let r = 0; r < plan.rows; r++) {
    const y = targets!.data[r]!;
    if (y === plan.ignoreIndex || scores!.data[r * plan.n + y] === -Infinity) continue;
    const { slope, slopeError } = errorsOf(plan, scores!.data[r * plan.n + y]!, threshold!.data[r]!);
    const error = a * (slopeError + 8 * u * slope) + unitNearest * a * slope;
    fail[r * plan.n + y]! += error;
    if (rival!.data[r]! >= 0) fail[r * plan.n + rival!.data[r]!]! += error;
  }
  const bound: Bound = { fail, why: 'exp within 3 + 2|x| ulp, the series, a quotient and two products' };
  return Object.fromEntries(
    Object.keys(want).map((name) => [name, compareBound(want[name]!, got[name]!, bound)]),
  );
};
