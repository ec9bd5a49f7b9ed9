import {
  type Bound,
  compareBound,
  compareExact,
  gamma,
  pass,
  unitNearest,
  unitWgsl,
  type Verdict,
} from '../bounds.ts';
import { planSampleLogits, type SampleLogitsOptions, type SampleLogitsPlan } from '../ops/sampleLogits.ts';
import { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';

/**
 * sampleLogits is compared by margins. Another word than the reference's is right only if rounding could have decided
 * otherwise: which words top-p lets through (a sum of probabilities close to topP), or whose perturbed score is larger.
 * The noise itself is exact. The log-probability is compared for the word that was drawn.
 */
export const judgeSampleLogits: Judge = ({ inputs, options, want, got, noise }) => {
  const logits = inputs.logits!;
  const { key } = options as SampleLogitsOptions;
  const plan = planSampleLogits(logits, options);
  const exact = compareExact(want.ids!, got.ids!);
  const logProbs = judgeLogProbs(logits, plan, got.ids!, got.logProbs!);
  if (exact.verdict === 'PASS' || plan.temperature === 0 || noise === undefined || key === undefined)
    return { ids: exact, logProbs };
  const drawn = noise(key, logits.shape).data;
  let ids: Verdict = pass(0, 'the same words, or words within the margins of rounding');
  for (let row = 0; row < plan.rows; row++) {
    const id = got.ids!.data[row]!;
    if (id === want.ids!.data[row]) continue;
    const own = [row * plan.words, (row + 1) * plan.words] as const;
    const may = (unit: number): boolean =>
      canBeDrawn(id, logits.data.subarray(...own), drawn.subarray(...own), plan, unit);
    if (may(unitNearest)) continue;
    const message = `row ${row}: got word ${id}, wanted ${want.ids!.data[row]}, beyond the margins of rounding`;
    ids = { ...exact, verdict: may(unitWgsl) ? 'SUSPECT' : 'FAIL', message };
    if (ids.verdict === 'FAIL') break;
  }
  return { ids, logProbs };
};

/** Whether arithmetic with errors of `unit` could draw word `id` of a row. */
function canBeDrawn(
  id: number,
  x: ArrayLike<number>,
  noise: ArrayLike<number>,
  { words, temperature, topK = words, topP = 1 }: SampleLogitsPlan,
  unit: number,
): boolean {
  if (!(id >= 0 && id < words)) return false;
  const order: number[] = [];
  for (let j = 0; j < words; j++) if (x[j] !== -Infinity) order.push(j);
  order.sort((a, b) => x[b]! - x[a]! || a - b);
  const top = x[order[0]!]!;
  const kept = order.slice(0, topK);
  const scaled = (j: number): number => (x[j]! - top) / temperature;
  // How many of the best words top-p may let through: those counts whose sum is within the error of enough.
  let least = kept.length;
  let most = kept.length;
  if (topP < 1) {
    const weights = kept.map((j) => Math.exp(scaled(j)));
    const total = weights.reduce((sum, w) => sum + w, 0);
    // The weight of a word: two roundings in the exponent, 3 + 2|x| ulp of exp. Then a sum of as many terms, and topP.
    const inside = kept.reduce((sum, j, i) => {
      const size = Math.abs(scaled(j));
      return sum + weights[i]! * (3 * unit * size + (3 + 2 * size) * unitWgsl);
    }, 0);
    const sums = unit === unitWgsl ? gamma(words) : (6 * Math.sqrt(words) + 1) * unitNearest;
    const slack = 2 * (inside + (sums + 2 * unit) * total);
    least = most = 0;
    for (let sum = 0; most < kept.length && sum < topP * total + slack; most++) {
      sum += weights[most]!;
      if (least === 0 && sum >= topP * total - slack) least = most + 1;
    }
    if (least === 0) least = most;
  }
  const rank = kept.indexOf(id);
  if (rank < 0 || rank >= most) return false;
  // A score is a difference, a product and a sum.
  const score = (j: number): { value: number; error: number } => {
    const value = scaled(j) + noise[j]!;
    return { value, error: unit * (4 * Math.abs(scaled(j)) + Math.abs(value)) };
  };
  const own = score(id);
  let best = -Infinity;
  for (let i = 0; i < most; i++) {
    const { value, error } = score(kept[i]!);
    best = Math.max(best, value - error);
    // With i + 1 words let through, is this one the best?
    if (i + 1 >= Math.max(least, rank + 1) && own.value + own.error >= best) return true;
  }
  return false;
}

/** The log-probabilities of given words, each within the rounding of a sum of exponentials and its logarithm. */
function judgeLogProbs(logits: Tensor, plan: SampleLogitsPlan, ids: Tensor, got: Tensor): Verdict {
  const { rows, words } = plan;
  const want = new Float64Array(rows);
  const fail = new Float64Array(rows);
  const suspect = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const x = logits.data.subarray(row * words, (row + 1) * words);
    let top = -Infinity;
    for (const value of x) top = Math.max(top, value);
    let sum = 0;
    let inside = 0;
    for (let j = 0; j < words; j++) {
      const size = top - x[j]!;
      if (size === Infinity) continue;
      const w = Math.exp(-size);
      sum += w;
      // Each term is an exponential of a difference, brought to the row's largest by another one.
      inside += w * 2 * (size * unitWgsl + (3 + 2 * size) * unitWgsl + unitWgsl);
    }
    const logSum = Math.log(sum);
    const below = top - x[ids.data[row]!]!;
    want[row] = -below - logSum;
    // log is granted 2^-21 up to 2, and 3 ulp beyond.
    const log = Math.max(sum < 2 + 1e-3 ? 2 ** -21 : 0, 3 * unitWgsl * logSum);
    const line = (relative: number, unit: number): number =>
      inside / sum +
      relative +
      log +
      unit * (2 * below + Math.abs(want[row]!)) +
      2 ** -24 * Math.abs(want[row]!);
    fail[row] = line(gamma(words), unitWgsl);
    suspect[row] = line((6 * Math.sqrt(words) + 1) * unitNearest, unitNearest);
  }
  const bound: Bound = { fail, suspect, why: 'a sum of V exponentials, its logarithm, two differences' };
  const rounded = logits.dtype === 'f32' ? Float32Array.from(want) : want;
  return compareBound(new Tensor(logits.dtype, plan.shape, rounded), got, bound);
}
