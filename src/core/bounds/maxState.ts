import {
  type Bound,
  compareBound,
  compareExact,
  gamma,
  minNormal,
  sumBound,
  unitNearest,
  type Verdict,
} from '../bounds.ts';
import { planMaxState, planMaxStateBackward } from '../ops/maxState.ts';
import { Tensor } from '../tensor.ts';
import { flushing, isSubnormal, lostProduct, lostSum } from './flushing.ts';
import type { Judge } from './judge.ts';

/** Most roundings on the way of one term of y: two alphas added, three summands joined, a product, three sums. */
const roundingsOfY = 8;

/**
 * Error bounds of maxState: y is a sum of ten products of at most two factors, each term of which meets at most 8
 * roundings, so it is within gamma_8 * (sum of the absolute terms) of the exact value; m itself is exact.
 */
export function maxStateBound(abc: Tensor, alphas: Tensor, maxima: Float64Array): Bound {
  const { channels } = planMaxState(abc, alphas);
  const [a1, a2, a3, a4, a5] = alphas.data as unknown as [number, number, number, number, number];
  const fail = new Float64Array(maxima.length);
  const suspect = new Float64Array(maxima.length);
  for (let i = 0; i < fail.length; i++) {
    const at = Math.floor(i / channels) * 3 * channels + (i % channels);
    const a = abc.data[at]!;
    const b = abc.data[at + channels]!;
    const c = abc.data[at + 2 * channels]!;
    const m = maxima[i]!;
    const factors = [a2, a5, a, b, c];
    const factor = factors.reduce((sum, v) => sum + Math.abs(v), 0);
    const absolute = Math.abs(a1 * b) + Math.abs(a3 * a) + Math.abs(a4 * c) + factor * Math.abs(m);
    // Ten products and their sum may be flushed, and factors: the sum of five that m multiplies, or each as it is read.
    let flushed = 12 * minNormal + Math.abs(m) * lostSum(...factors);
    flushed += lostProduct(a1, b) + lostProduct(a3, a) + lostProduct(a4, c);
    for (const v of factors) flushed += lostProduct(v, m);
    // NaN, or an overflow on the way: WGSL may assume that neither happens.
    const safe = absolute < 1e38 && factor < 1e38;
    // One rounding more: the reference itself.
    fail[i] = safe ? gamma(roundingsOfY + 1) * absolute + flushed : Infinity;
    suspect[i] = !safe ? Infinity : gamma(roundingsOfY + 1, unitNearest) * absolute + flushed;
  }
  return { fail, suspect, why: 'gamma_9(2^-23) * (sum of the absolute terms of y)' };
}

/** The running maximum after each position as it enters the arithmetic (0 where nothing was seen), [B, T, C]. */
export function maximaOf(
  abc: Tensor,
  first: Tensor | undefined,
  { mask, reset }: { readonly mask?: Tensor | undefined; readonly reset?: Tensor | undefined },
  cap?: unknown,
): Float64Array {
  const [batch = 0, length = 0, width = 0] = abc.shape;
  const channels = width / 3;
  const out = new Float64Array(batch * length * channels);
  const state = new Float64Array(channels);
  const limit = typeof cap === 'number' ? Math.fround(cap) : Infinity;
  for (let n = 0; n < batch; n++) {
    for (let i = 0; i < channels; i++) {
      state[i] = first === undefined ? -Infinity : first.data[(n * first.size) / batch + i]!;
    }
    for (let t = 0; t < length; t++) {
      const at = n * length + t;
      if (reset !== undefined && reset.data[at] !== 0) state.fill(-Infinity);
      for (let i = 0; i < channels; i++) {
        const c = abc.data[at * width + 2 * channels + i]!;
        if (mask === undefined || mask.data[at] !== 0) state[i] = Math.max(state[i]!, c);
        const m = state[i] === -Infinity ? 0 : state[i]!;
        out[at * channels + i] = state[i]! > limit ? limit : m;
      }
    }
  }
  return out;
}

export const judgeMaxState: Judge = ({ inputs, options, want, got, independent = false }) => {
  const { abc, alphas, carryIn, mask, reset } = inputs;
  const bound = maxStateBound(abc!, alphas!, maximaOf(abc!, carryIn, { mask, reset }, options.cap));
  const verdicts: Record<string, Verdict> = {};
  for (const name of Object.keys(want)) {
    verdicts[name] =
      name === 'y'
        ? compareBound(...promised(want.y!, got.y!, bound.fail), { ...bound, statistics: independent })
        : compareExact(want[name]!, got[name]!);
  }
  return verdicts;
};

/** Where nothing is promised, what came stands in for what was wanted: NaN would not pass an infinite bound either. */
function promised(want: Tensor, got: Tensor, fail: Float64Array): [Tensor, Tensor] {
  if (want.size !== got.size || fail.every(Number.isFinite)) return [want, got];
  const data = want.data.map((v, i) => (fail[i] === Infinity ? got.data[i]! : v)) as Float32Array;
  return [new Tensor(want.dtype, want.shape, data), got];
}

/**
 * Error bounds of maxStateBackward. Every output is a sum of products in some order; what is counted here is how many
 * terms reach it and the sum of their absolute values.
 */
export function maxStateBackwardBound(
  inputs: Readonly<Record<string, Tensor | undefined>>,
  cap?: unknown,
): {
  dabc: Bound;
  dAlphas: Bound;
  dCarryIn: Bound;
} {
  const { dy, abc, alphas, states, mask, reset, dCarryOut } = inputs as Record<string, Tensor>;
  const plan = planMaxStateBackward(dy!, abc!, alphas!, states!, {
    ...(mask && { mask }),
    ...(reset && { reset }),
    ...(dCarryOut && { dCarryOut }),
  });
  const { batch, length, channels } = plan;
  const maxima = maximaOf(abc!, states, { mask, reset });
  const limit = typeof cap === 'number' ? Math.fround(cap) : Infinity;
  const [a1, a2, a3, a4, a5] = alphas!.data as unknown as [number, number, number, number, number];
  const absolute = new Float64Array(abc!.size);
  const lost = new Float64Array(abc!.size);
  // Each term of a sum meets the additions, and at most 8 roundings of its own.
  const terms = new Float64Array(abc!.size).fill(8);
  const carrySums = new Float64Array(batch * channels);
  const carryLost = new Float64Array(batch * channels);
  const carryTerms = new Float64Array(batch * channels);
  const alphaSums = new Float64Array(5);
  const alphaLost = new Float64Array(5);
  for (let n = 0; n < batch; n++) {
    for (let i = 0; i < channels; i++) {
      let rest = dCarryOut === undefined ? 0 : Math.abs(dCarryOut.data[n * channels + i]!);
      let restLost = 0;
      let count = 8;
      for (let t = length - 1; t >= 0; t--) {
        const position = n * length + t;
        const at = position * 3 * channels + i;
        const g = dy!.data[position * channels + i]!;
        const a = abc!.data[at]!;
        const b = abc!.data[at + channels]!;
        const c = abc!.data[at + 2 * channels]!;
        const uncapped = maxima[position * channels + i]!;
        const m = Math.min(uncapped, limit);
        /** The size of g times a sum, and what flushing g, the summands or their sum loses of it. */
        const product = (...sum: number[]): [number, number] => {
          const size = Math.abs(g) * sum.reduce((s, v) => s + Math.abs(v), 0);
          return [size, (isSubnormal(g) ? size : 0) + Math.abs(g) * lostSum(...sum)];
        };
        if (!(uncapped > limit)) {
          const [size, less] = product(a2, a5, a, b, c);
          rest += size;
          restLost += less;
        }
        count++;
        // Whether the maximum was taken here may only be overestimated: equal to it and not masked.
        const takes = (mask === undefined || mask.data[position] !== 0) && !(c < uncapped);
        for (const [part, alpha] of [a3, a1, a4].entries()) {
          [absolute[at + part * channels], lost[at + part * channels]] = product(alpha, m);
        }
        if (takes) {
          absolute[at + 2 * channels]! += rest;
          lost[at + 2 * channels]! += restLost;
          terms[at + 2 * channels]! += count;
        }
        if (takes || (reset !== undefined && reset.data[position] !== 0)) {
          rest = 0;
          restLost = 0;
          count = 8;
        }
        for (const [k, factor] of [b, m, a, c].entries()) {
          alphaSums[k]! += Math.abs(g * factor);
          alphaLost[k]! += lostProduct(g, factor);
        }
      }
      carrySums[n * channels + i] = rest;
      carryLost[n * channels + i] = restLost;
      carryTerms[n * channels + i] = count;
    }
  }
  alphaLost[4] = alphaLost[1]!;
  alphaSums[4] = alphaSums[1]!;
  const whyDabc = 'gamma_n(2^-23) * (sum of absolute terms), n terms of the positions owned';
  const whyAlphas = 'gamma_n(2^-23) * sum |dy| |factor| over all positions';
  const whyCarry = 'gamma_n(2^-23) * sum |dm| over the positions that the carry owns';
  return {
    dabc: flushing(sumBound(absolute, terms, whyDabc), lost),
    dAlphas: flushing(sumBound(alphaSums, batch * length * channels + 8, whyAlphas), alphaLost),
    dCarryIn: flushing(sumBound(carrySums, carryTerms, whyCarry), carryLost),
  };
}

export const judgeMaxStateBackward: Judge = ({ inputs, options, want, got, independent = false }) => {
  const bounds = maxStateBackwardBound(inputs, options.cap);
  return {
    dabc: compareBound(want.dabc!, got.dabc!, { ...bounds.dabc, statistics: independent }),
    dAlphas: compareBound(want.dAlphas!, got.dAlphas!, bounds.dAlphas),
    dCarryIn: compareBound(want.dCarryIn!, got.dCarryIn!, { ...bounds.dCarryIn, statistics: independent }),
  };
};
