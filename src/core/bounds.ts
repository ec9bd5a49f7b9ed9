import { show, type Tensor } from './tensor.ts';

/**
 * What a comparison found. FAIL: no conformant evaluation can give this. SUSPECT: conformant, but less accurate than
 * round-to-nearest arithmetic would be, on a device that rounds to nearest. `worst` is the largest error in units of
 * its own bound (of 1 ulp-free exactness: 0 or Infinity for exact comparisons).
 */
export interface Verdict {
  readonly verdict: 'PASS' | 'SUSPECT' | 'FAIL';
  readonly worst: number;
  /** Flat index of the worst element, -1 when there is none. */
  readonly index: number;
  readonly got: number;
  readonly want: number;
  /** How many elements are outside. */
  readonly outside: number;
  /** One line for people: where, got, wanted, how far, which bound. */
  readonly message: string;
}

/** An error bound per element, derived from the data, with its explanation. */
export interface Bound {
  /** |got - want| may not exceed this in any conformant evaluation. */
  readonly fail: Float64Array;
  /** The sharper line for arithmetic that rounds to nearest. */
  readonly suspect?: Float64Array;
  /** Also test the whole tensor for bias and variance (TOSA's test). Only for data whose roundings are independent. */
  readonly statistics?: boolean;
  readonly why: string;
}

/** Unit roundoff that WGSL grants: an operation may return either neighbour of the exact result. */
export const unitWgsl: number = 2 ** -23;
/** Unit roundoff of f32 rounded to nearest. */
export const unitNearest: number = 2 ** -24;
/** Smallest normal f32: anything below may be flushed to zero, on the way in and on the way out. */
export const minNormal: number = 2 ** -126;

/**
 * gamma_n = n u / (1 - n u): n roundings in any order, fused or not, change a sum of products by at most
 * gamma_n * sum |a||b| (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). Infinity once n u >= 1.
 */
export function gamma(n: number, u: number = unitWgsl): number {
  return n * u < 1 ? (n * u) / (1 - n * u) : Infinity;
}

/**
 * The bounds of sums of `terms` rounded products whose absolute values add up to `absolute`:
 * FAIL gamma_n(2^-23) * sum, SUSPECT (6 sqrt n + 1) 2^-24 * sum, each plus what flushing subnormals can take away.
 */
export function sumBound(absolute: ArrayLike<number>, terms: ArrayLike<number> | number, why: string): Bound {
  const fail = new Float64Array(absolute.length);
  const suspect = new Float64Array(absolute.length);
  for (let i = 0; i < fail.length; i++) {
    // One more than the terms: the reference itself is rounded to f32 once.
    const n = (typeof terms === 'number' ? terms : terms[i]!) + 1;
    const flushed = n * minNormal;
    fail[i] = gamma(n) * absolute[i]! + flushed;
    suspect[i] = Math.min((6 * Math.sqrt(n) + 1) * unitNearest * absolute[i]! + flushed, fail[i]!);
  }
  return { fail, suspect, why };
}

/** Compare bit for bit, except that every NaN equals every NaN. The sign of zero counts. */
export function compareExact(want: Tensor, got: Tensor): Verdict {
  const mismatch = compareKind(want, got);
  if (mismatch !== undefined) return mismatch;
  const a = want.data;
  const b = got.data;
  let outside = 0;
  let index = -1;
  for (let i = 0; i < a.length; i++) {
    if (!Object.is(a[i], b[i])) {
      if (outside === 0) index = i;
      outside++;
    }
  }
  return verdictOf(
    outside === 0 ? 'PASS' : 'FAIL',
    outside === 0 ? 0 : Infinity,
    index,
    want,
    got,
    outside,
    'exact, bit for bit',
  );
}

/** Compare within a bound. NaN never passes unless both sides are NaN, nor an infinity unless both are the same one. */
export function compareBound(want: Tensor, got: Tensor, bound: Bound): Verdict {
  const mismatch = compareKind(want, got);
  if (mismatch !== undefined) return mismatch;
  const { fail, suspect = fail } = bound;
  let worst = 0;
  let index = want.size > 0 ? 0 : -1;
  let outside = 0;
  let doubtful = 0;
  for (let i = 0; i < fail.length; i++) {
    const w = want.data[i]!;
    const g = got.data[i]!;
    if (Object.is(w, g) || w === g) continue;
    const error = Math.abs(g - w);
    // Written so that NaN is outside: every comparison with NaN is false.
    if (!(error <= suspect[i]!)) doubtful++;
    if (!(error <= fail[i]!)) outside++;
    const ratio = error === 0 ? 0 : error / fail[i]!;
    if (!(ratio <= worst)) {
      worst = Number.isNaN(ratio) ? Infinity : ratio;
      index = i;
    }
  }
  if (outside > 0) return verdictOf('FAIL', worst, index, want, got, outside, bound.why);
  if (doubtful > 0)
    return verdictOf(
      'SUSPECT',
      worst,
      index,
      want,
      got,
      doubtful,
      `${bound.why}; beyond the line for rounding to nearest`,
    );
  const biased = bound.statistics ? statisticalDoubt(want, got, bound) : undefined;
  if (biased !== undefined)
    return verdictOf('SUSPECT', worst, index, want, got, 0, `${bound.why}; ${biased}`);
  return verdictOf('PASS', worst, index, want, got, 0, bound.why);
}

/** The worst of several verdicts. */
export function worstOf(verdicts: readonly Verdict[]): Verdict {
  const rank = { PASS: 0, SUSPECT: 1, FAIL: 2 };
  return verdicts.reduce((a, b) => {
    const d = rank[b.verdict] - rank[a.verdict];
    return d > 0 || (d === 0 && b.worst > a.worst) ? b : a;
  });
}

/** A verdict made by hand, for comparisons that are not element by element. */
export function failure(message: string): Verdict {
  return {
    verdict: 'FAIL',
    worst: Infinity,
    index: -1,
    got: Number.NaN,
    want: Number.NaN,
    outside: 1,
    message,
  };
}

/** A pass made by hand, with the largest error in units of its bound. */
export function pass(worst = 0, message = 'equal'): Verdict {
  return { verdict: 'PASS', worst, index: -1, got: 0, want: 0, outside: 0, message };
}

function compareKind(want: Tensor, got: Tensor): Verdict | undefined {
  if (want.dtype !== got.dtype) return failure(`dtype ${got.dtype}, wanted ${want.dtype}`);
  if (want.shape.length !== got.shape.length || want.shape.some((s, i) => s !== got.shape[i])) {
    return failure(`shape ${show(got.shape)}, wanted ${show(want.shape)}`);
  }
  return undefined;
}

/**
 * TOSA's test over the whole tensor: errors in units of their own scale (the SUSPECT line divided by 6 sqrt n + 1 is one
 * rounding) must not have a common sign or a variance beyond what round-to-nearest gives. Needs many elements to speak.
 */
function statisticalDoubt(want: Tensor, got: Tensor, { suspect, fail }: Bound): string | undefined {
  const line = suspect ?? fail;
  let n = 0;
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < line.length; i++) {
    const g = got.data[i]!;
    const w = want.data[i]!;
    if (!Number.isFinite(g) || !Number.isFinite(w) || line[i]! <= 2 * minNormal) continue;
    // In units of a sixth of the line: one standard deviation of a random walk of roundings.
    const e = (6 * (g - w)) / line[i]!;
    n++;
    sum += e;
    squares += e * e;
  }
  if (n < 64) return undefined;
  // Real roundings stay well below one unit; a mean square above 1 means lost precision, a mean beyond four deviations
  // of the mean (with unit variance at most) means bias.
  if (squares / n > 1) return `mean square error ${(squares / n).toFixed(2)} of one expected deviation`;
  if (Math.abs(sum) / n > 4 / Math.sqrt(n))
    return `biased by ${(sum / n).toFixed(2)} expected deviations over ${n} elements`;
  return undefined;
}

function verdictOf(
  verdict: Verdict['verdict'],
  worst: number,
  index: number,
  want: Tensor,
  got: Tensor,
  outside: number,
  why: string,
): Verdict {
  const g = index >= 0 ? got.data[index]! : Number.NaN;
  const w = index >= 0 ? want.data[index]! : Number.NaN;
  const at = index >= 0 ? ` at ${show(position(index, want.shape))}: got ${g}, want ${w}` : '';
  const message = `${outside > 0 ? `${outside} of ${want.size} outside, ` : ''}worst ${worst.toPrecision(3)} of its bound${at} (${why})`;
  return { verdict, worst, index, got: g, want: w, outside, message };
}

/** The index per axis of a flat index. */
export function position(index: number, shape: readonly number[]): number[] {
  const out: number[] = [];
  let rest = index;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    out.unshift(rest % shape[axis]!);
    rest = Math.floor(rest / shape[axis]!);
  }
  return out;
}
