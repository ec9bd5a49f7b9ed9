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
import type { Judge } from './judge.ts';

/** Most roundings on the way of one term of y: two alphas added, three summands joined, a product, three sums. */
const roundingsOfY = 8;

/**
 * Error bounds of maxState: y is a sum of ten products of at most two factors, each term of which meets at most 8
 * roundings, so it is within gamma_8 * (sum of the absolute terms) of the exact value; m itself is exact.
 */
export function maxStateBound(abc: Tensor, alphas: Tensor, maxima: Float64Array): Bound {
  const { channels } = planMaxState(abc, alphas);
  const [a1, a2, a3, a4, a5] = Array.from(alphas.data, Math.abs) as [number, number, number, number, number];
  const fail = new Float64Array(maxima.length);
  const suspect = new Float64Array(maxima.length);
  for (let i = 0; i < fail.length; i++) {
    const at = Math.floor(i / channels) * 3 * channels + (i % channels);
    const a = Math.abs(abc.data[at]!);
    const b = Math.abs(abc.data[at + channels]!);
    const c = Math.abs(abc.data[at + 2 * channels]!);
    const m = Math.abs(maxima[i]!);
    const factor = a2 + a5 + a + b + c;
    const absolute = a1 * b + a3 * a + a4 * c + factor * m;
    // One rounding more: the reference itself. Flushing takes at most the smallest normal from each factor and result.
    const flushed = minNormal * (16 + a1 + a2 + a3 + a4 + a5 + a + b + c + 5 * m);
    // NaN, or an overflow on the way: WGSL may assume that neither happens.
    const safe = absolute < 1e38 && factor < 1e38;
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
  const [a1, a2, a3, a4, a5] = Array.from(alphas!.data, Math.abs) as [number, number, number, number, number];
  const absolute = new Float64Array(abc!.size);
  // Each term of a sum meets the additions, and at most 8 roundings of its own.
  const terms = new Float64Array(abc!.size).fill(8);
  const carrySums = new Float64Array(batch * channels);
  const carryTerms = new Float64Array(batch * channels);
  const alphaSums = new Float64Array(5);
  for (let n = 0; n < batch; n++) {
    for (let i = 0; i < channels; i++) {
      let rest = dCarryOut === undefined ? 0 : Math.abs(dCarryOut.data[n * channels + i]!);
      let count = 8;
      for (let t = length - 1; t >= 0; t--) {
        const position = n * length + t;
        const at = position * 3 * channels + i;
        const g = Math.abs(dy!.data[position * channels + i]!);
        const a = Math.abs(abc!.data[at]!);
        const b = Math.abs(abc!.data[at + channels]!);
        const signedC = abc!.data[at + 2 * channels]!;
        const c = Math.abs(signedC);
        const signedM = maxima[position * channels + i]!;
        const m = Math.abs(Math.min(signedM, limit));
        if (!(signedM > limit)) rest += g * (a2 + a5 + a + b + c);
        count++;
        // Whether the maximum was taken here may only be overestimated: equal to it and not masked.
        const takes = (mask === undefined || mask.data[position] !== 0) && !(signedC < signedM);
        absolute[at] = g * (a3 + m);
        absolute[at + channels] = g * (a1 + m);
        absolute[at + 2 * channels] = g * (a4 + m) + (takes ? rest : 0);
        if (takes) terms[at + 2 * channels]! += count;
        if (takes || (reset !== undefined && reset.data[position] !== 0)) {
          rest = 0;
          count = 8;
        }
        alphaSums[0]! += g * b;
        alphaSums[1]! += g * m;
        alphaSums[2]! += g * a;
        alphaSums[3]! += g * c;
      }
      carrySums[n * channels + i] = rest;
      carryTerms[n * channels + i] = count;
    }
  }
  alphaSums[4] = alphaSums[1]!;
  return {
    dabc: sumBound(
      absolute,
      terms,
      'gamma_n(2^-23) * (sum of absolute terms), n terms of the positions owned',
    ),
    dAlphas: sumBound(
      alphaSums,
      batch * length * channels + 8,
      'gamma_n(2^-23) * sum |dy| |factor| over all positions',
    ),
    dCarryIn: sumBound(
      carrySums,
      carryTerms,
      'gamma_n(2^-23) * sum |dm| over the positions that the carry owns',
    ),
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
