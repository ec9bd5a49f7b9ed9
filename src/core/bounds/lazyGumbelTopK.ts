import { compareBound, failure, gamma, minNormal, pass, unitWgsl, type Verdict } from '../bounds.ts';
import { foldIn, type Key, threefry2x32 } from '../key.ts';
import { type AnnTensors, shapeOfIndex } from '../ops/hierarchicalAnn.ts';
import {
  type LazyGumbelTopKOptions,
  type LazyGumbelTopKPlan,
  type ListBalls,
  lazyRounds,
  planLazyGumbelTopK,
} from '../ops/lazyGumbelTopK.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';
import { checkSelection, exactInF32 } from './selection.ts';
import { scoreWithSlack } from './tree.ts';

/**
 * The sample is the top-k of all sums, so all sums are made here, with noise by the formula in f64, and the selection is held
 * to them: another word only inside of the bounds of two sums. How many words were scored follows from the bounds and the
 * thresholds of the rounds, within the same margins.
 */
export const judgeLazyGumbelTopK: Judge = ({ inputs, options, want, got }) => {
  const index = inputs as unknown as AnnTensors<Tensor>;
  const balls = inputs as unknown as ListBalls<Tensor>;
  const queries = inputs.queries!;
  const { k, ...rest } = options as unknown as LazyGumbelTopKOptions & { k: number };
  const plan = planLazyGumbelTopK(index, balls, queries, k, rest);
  const { n, d, temperature } = plan;
  const x = index.vectors.data;
  const exact = exactInF32(queries.data, x, d);
  const ids = Array.from(index.order.data, (row) => index.ids.data[row]!);
  const worstSlack = new Float64Array(plan.queries);
  const verdicts: Record<string, Verdict> = { ids: pass(), scored: pass() };
  const keep = (name: string, v: Verdict): void => {
    const old = verdicts[name]!;
    if (old.verdict !== 'FAIL' && (v.verdict === 'FAIL' || v.worst > old.worst)) verdicts[name] = v;
  };
  for (let q = 0; q < plan.queries; q++) {
    const { noise, error } = noiseOf(foldIn(plan.key, q), plan.offsets?.data ?? [0, n]);
    const sums = new Float64Array(n);
    const slack = new Float64Array(n);
    for (let at = 0; at < n; at++) {
      const [score, scoreError] = scoreWithSlack('ip', queries.data, q * d, x, at * d, d, exact);
      sums[at] = score / temperature + noise[at]!;
      // Times 1 / temperature, which is rounded itself; then the sum.
      slack[at] =
        (scoreError + 3 * unitWgsl * Math.abs(score)) / temperature +
        2 * unitWgsl * Math.abs(sums[at]!) +
        error[at]!;
      worstSlack[q] = Math.max(worstSlack[q]!, slack[at]!);
    }
    for (const [from, who] of [
      [want, 'wanted '],
      [got, ''],
    ] as const) {
      const row = {
        ids: from.ids!.data.subarray(q * k, (q + 1) * k),
        scores: from.perturbed!.data.subarray(q * k, (q + 1) * k),
        count: k,
      };
      const verdict = checkSelection(row, { ids, scores: sums, slack }, k, true, `${who}query ${q}: `);
      if (from === got || verdict.verdict === 'FAIL') keep('ids', verdict);
    }
    const [least, most] = scoredBetween(plan, balls, queries.data.subarray(q * d, (q + 1) * d), {
      noise,
      sums,
      slack: worstSlack[q]!,
    });
    const scored = got.scored!.data[q]!;
    if (!(scored >= least && scored <= most))
      keep('scored', failure(`query ${q}: ${scored} words scored, wanted ${least} to ${most}`));
  }
  const why = 'the k+1-th sum moves by no more than the largest bound of a sum';
  const sizes = want.perturbed!.size === got.perturbed!.size ? pass() : failure('another size');
  return {
    ...verdicts,
    perturbed: sizes,
    threshold: compareBound(want.threshold!, got.threshold!, { fail: worstSlack.map((s) => 2 * s), why }),
  };
};

const unit = 2 ** 40;
const words = new Uint32Array(2);

/** Noise of every place by the formula, and how far the integer arithmetic of the twins may be from it. */
function noiseOf(own: Key, offsets: ArrayLike<number>): { noise: Float64Array; error: Float64Array } {
  const n = offsets[offsets.length - 1]!;
  const noise = new Float64Array(n);
  const error = new Float64Array(n);
  for (let list = 0; list + 1 < offsets.length; list++) {
    for (let start = offsets[list]!; start < offsets[list + 1]!; start += 64) {
      const count = Math.min(64, offsets[list + 1]! - start);
      const times = new Float64Array(count).fill(Infinity);
      let time = 0;
      let left = count;
      for (let arrival = 1; left > 0; arrival++) {
        threefry2x32(own, arrival, start, words);
        time += exponential() / count;
        if (time >= 1) break;
        const place = Math.floor(((words[1]! & 0xffffff) * count) / 2 ** 24);
        if (times[place] !== Infinity) continue;
        times[place] = time;
        // Each arrival is off by a few units.
        error[start + place] = (4 * arrival) / (unit * time * count);
        left--;
      }
      for (let place = 0; place < count; place++) {
        if (times[place] === Infinity) {
          threefry2x32(own, 0, start + place, words);
          times[place] = 1 + exponential();
        }
        const g = -Math.log(times[place]!);
        noise[start + place] = g;
        error[start + place]! += 4e-7 + 2 ** -23 * Math.abs(g);
      }
    }
  }
  return { noise, error };
}

/** An exponential number from the block in `words`. */
function exponential(): number {
  const first = words[0]!;
  const second = words[1]!;
  const p = (first * 2 ** 32 + second) / 2 ** 64;
  if (p < 0.5) return Math.max(-Math.log1p(-p), 1 / unit);
  return -Math.log(((~first >>> 0) * 2 ** 32 + ((~second | 1) >>> 0)) / 2 ** 64);
}

/** How many words may be scored: those whose bound reaches the threshold of the rounds before, within the slack of a sum. */
function scoredBetween(
  { n, d, lists, kept, k, temperature, goals, offsets }: LazyGumbelTopKPlan<Tensor>,
  { centres, radii }: ListBalls<Tensor>,
  query: ArrayLike<number>,
  { noise, sums, slack }: { noise: Float64Array; sums: Float64Array; slack: number },
): [number, number] {
  const starts = offsets?.data ?? [0, n];
  let squares = 0;
  for (let j = 0; j < d; j++) squares += query[j]! ** 2;
  const bounds = new Float64Array(lists);
  let error = slack;
  for (let list = 0; list < lists; list++) {
    const reach = Math.sqrt(squares) * radii.data[list]!;
    let product = 0;
    let absolute = reach;
    for (let j = 0; j < d; j++) {
      product += query[j]! * centres.data[list * d + j]!;
      absolute += Math.abs(query[j]! * centres.data[list * d + j]!);
    }
    const bound = (product + reach + (1e-5 + d * 2 ** -22) * absolute) / temperature;
    bounds[list] = bound + 2 ** -20 * (Math.abs(bound) + 32);
    error = Math.max(error, (gamma(2 * d + 12) * absolute) / temperature + 64 * unitWgsl + minNormal);
  }
  const order = Array.from(bounds, (_, list) => list).sort((a, b) => bounds[b]! - bounds[a]! || a - b);
  let [least, most] = [0, 0];
  let threshold = -Infinity;
  let next = 0;
  let held = 0;
  const found: number[] = [];
  for (let round = 0; round < lazyRounds; round++) {
    for (; next < lists && held < goals[round]!; next++) {
      const list = order[next]!;
      for (let at = starts[list]!; at < starts[list + 1]!; at++) {
        const above = bounds[list]! + noise[at]! - threshold;
        if (above >= 4 * error) least++;
        if (above >= -4 * error) most++;
        if (above >= 0) found.push(sums[at]!);
      }
      held += starts[list + 1]! - starts[list]!;
    }
    // Where the order at the end of a round is not certain, anything that finds the sample is right.
    const [last, following] = [order[next - 1], order[next]];
    if (
      last !== undefined &&
      following !== undefined &&
      bounds[last]! - bounds[following]! <= 4 * error &&
      starts[last + 1]! - starts[last]! + starts[following + 1]! - starts[following]! > 0
    )
      return [kept, n];
    found.sort((a, b) => b - a);
    found.length = Math.min(found.length, kept);
    if (found.length > k) threshold = found[k]!;
  }
  return [least, most];
}

/** Centres by the bound of a sum; radii by what they are for: they hold their lists, and not much more. */
export const judgeLazyGumbelTopKBalls: Judge = ({ inputs, want, got }) => {
  const { n, d, lists, levels } = shapeOfIndex('judge', inputs as unknown as AnnTensors<Tensor>);
  const offsets = levels.at(-1)?.offsets.data ?? [0, n];
  const x = inputs.vectors!.data;
  const fail = new Float64Array(lists * d);
  let radii: Verdict = pass(0, 'every ball holds its list');
  const sized = got.radii!.size === lists && got.centres!.size === lists * d;
  for (let list = 0; list < lists && sized; list++) {
    const members = offsets[list + 1]! - offsets[list]!;
    let farthest = 0;
    for (let at = offsets[list]!; at < offsets[list + 1]!; at++) {
      let squares = 0;
      for (let j = 0; j < d; j++) {
        squares += (x[at * d + j]! - got.centres!.data[list * d + j]!) ** 2;
        fail[list * d + j]! += Math.abs(x[at * d + j]!);
      }
      farthest = Math.max(farthest, Math.sqrt(squares));
    }
    for (let j = 0; j < d; j++)
      fail[list * d + j] = (gamma(members + 4) * fail[list * d + j]!) / Math.max(members, 1) + 8 * minNormal;
    const radius = got.radii!.data[list]!;
    if (!(radius >= farthest - 2 ** -60 && radius <= farthest * (1 + 2 ** -10) + 2 ** -60))
      radii = failure(`list ${list}: the radius is ${radius}, the farthest vector is at ${farthest}`);
  }
  return {
    centres: compareBound(want.centres!, got.centres!, { fail, why: 'a sum of m terms, and a quotient' }),
    radii: sized ? radii : failure('another size'),
  };
};
