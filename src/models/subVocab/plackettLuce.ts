/** log(exp a + exp b), without overflow; -Infinity is the log of nothing. */
function logAddExp(a: number, b: number): number {
  const m = Math.max(a, b);
  return m === -Infinity ? m : m + Math.log(Math.exp(a - m) + Math.exp(b - m));
}

/** For each place of an ordered sample, the log of the weight that was left when it was drawn. */
function logRest(phi: ArrayLike<number>, sample: readonly number[]): Float64Array {
  const inside = new Set(sample);
  let rest = -Infinity;
  for (let i = 0; i < phi.length; i++) if (!inside.has(i)) rest = logAddExp(rest, phi[i]!);
  const left = new Float64Array(sample.length);
  // Backwards: subtracting weights from the front would cancel.
  for (let j = sample.length - 1; j >= 0; j--) {
    rest = logAddExp(rest, phi[sample[j]!]!);
    left[j] = rest;
  }
  return left;
}

/**
 * The log-probability that a Gumbel top-k gives this ordered sample: the law of Plackett and Luce, sampling without
 * replacement with weights exp(phi).
 */
export function logProbability(phi: ArrayLike<number>, sample: readonly number[]): number {
  const left = logRest(phi, sample);
  return sample.reduce((sum, i, j) => sum + phi[i]! - left[j]!, 0);
}

/** Its gradient: 1 where drawn, minus exp(phi) times the sum of 1 / rest over the draws up to its own. It adds up to 0. */
export function logProbabilityGradient(phi: ArrayLike<number>, sample: readonly number[]): Float64Array {
  const left = logRest(phi, sample);
  // log of the sum of exp(-left[l]), l <= j.
  const sums = new Float64Array(sample.length);
  let sum = -Infinity;
  for (let j = 0; j < sample.length; j++) {
    sum = logAddExp(sum, -left[j]!);
    sums[j] = sum;
  }
  const gradient = Float64Array.from(phi, (v) => (sum === -Infinity ? 0 : -Math.exp(v + sum)));
  for (const [j, i] of sample.entries()) gradient[i] = 1 - Math.exp(phi[i]! + sums[j]!);
  return gradient;
}

/**
 * Score-function gradient of the mean of f over Plackett-Luce samples, from several of them: the baseline of each is the mean of
 * f over the others (leave-one-out), so the estimate is unbiased.
 */
export function reinforce(
  phi: ArrayLike<number>,
  samples: readonly (readonly number[])[],
  f: readonly number[],
): Float64Array {
  const out = new Float64Array(phi.length);
  const total = f.reduce((a, b) => a + b, 0);
  const m = samples.length;
  for (const [i, sample] of samples.entries()) {
    const baseline = m > 1 ? (total - f[i]!) / (m - 1) : 0;
    const advantage = (f[i]! - baseline) / m;
    if (advantage === 0) continue;
    const g = logProbabilityGradient(phi, sample);
    for (let j = 0; j < out.length; j++) out[j]! += advantage * g[j]!;
  }
  return out;
}

/**
 * Gradient of E_p f, p = softmax(phi), from one sample without replacement: each drawn i stands for p_i / q_i draws, q_i its
 * inclusion probability given the threshold, so sums over the sample are unbiased. `centred` subtracts the weighted mean of f,
 * which lowers the variance at the cost of a small bias.
 */
export function withoutReplacement(
  phi: ArrayLike<number>,
  sample: readonly number[],
  logInclusion: ArrayLike<number>,
  f: readonly number[],
  centred = true,
): Float64Array {
  let z = -Infinity;
  for (let i = 0; i < phi.length; i++) z = logAddExp(z, phi[i]!);
  const weights = sample.map((i, j) => Math.exp(phi[i]! - z - logInclusion[j]!));
  const mass = weights.reduce((a, b) => a + b, 0);
  const mean = weights.reduce((sum, w, j) => sum + w * f[j]!, 0) / mass;
  const out = new Float64Array(phi.length);
  let sum = 0;
  for (const [j, i] of sample.entries()) {
    const g = weights[j]! * (f[j]! - (centred ? mean : 0));
    out[i]! += g;
    sum += g;
  }
  for (let i = 0; i < out.length; i++) out[i]! -= sum * Math.exp(phi[i]! - z);
  return out;
}

/**
 * Gradient of E_p f, p = softmax(phi), from the set that was drawn without replacement, whatever its order: every word s of it
 * stands for p_s R(S, s) draws, R(S, s) = P(S without s is drawn from the words but s) / P(S is drawn). Unbiased, and what the mean of
 * any unbiased estimate over the orders of the set would be at best. The baseline of a word is the same estimate of E f given the
 * others; it keeps the estimate unbiased and mostly lowers its variance. It takes |S|^2 integrals instead of |S|.
 *
 * P(S) is the integral over t of r exp(-r t) prod (1 - exp(-t p_s)), r = 1 - p(S): all of S arrive before the first of the rest. It is
 * taken over log t, where the trapezoidal rule converges exponentially.
 * @param f one number per word of the sample
 * @source Kool, van Hoof, Welling, Estimating gradients for discrete random variables by sampling without replacement (2020)
 */
export function unorderedSet(
  phi: ArrayLike<number>,
  sample: readonly number[],
  f: readonly number[],
  baseline: boolean = sample.length <= 64,
): Float64Array {
  let z = -Infinity;
  for (let i = 0; i < phi.length; i++) z = logAddExp(z, phi[i]!);
  const p = sample.map((i) => Math.exp(phi[i]! - z));
  const out = new Float64Array(phi.length);
  // One word has no others to take a baseline from.
  const based = baseline && sample.length > 1;
  const { single, pair } = setRatios(phi, sample, p, z, based);
  let sum = 0;
  for (const [j, i] of sample.entries()) {
    let base = 0;
    if (based) {
      base = p[j]! * f[j]!;
      for (let l = 0; l < sample.length; l++) if (l !== j) base += p[l]! * pair(j, l) * f[l]!;
    }
    const g = p[j]! * single[j]! * (f[j]! - base);
    out[i]! += g;
    sum += g;
  }
  for (let i = 0; i < out.length; i++) out[i]! -= sum * Math.exp(phi[i]! - z);
  return out;
}

/** R(S, s) for each word of a set, and R(S without s, s') for pairs of them. */
function setRatios(
  phi: ArrayLike<number>,
  sample: readonly number[],
  p: readonly number[],
  z: number,
  pairs: boolean,
): { single: Float64Array; pair: (s: number, other: number) => number } {
  const k = sample.length;
  const inside = new Set(sample);
  let rest = -Infinity;
  for (let i = 0; i < phi.length; i++) if (!inside.has(i)) rest = logAddExp(rest, phi[i]!);
  const r = Math.exp(rest - z);
  // Nothing else can be drawn, or nearly so: the sum over the set is the sum over all.
  if (r < 1e-12) return { single: new Float64Array(k).fill(1), pair: () => 1 };
  /** log(1 - exp(-t p)) at t = e^x. */
  const arrived = (x: number, j: number): number => Math.log(-Math.expm1(-Math.exp(x) * p[j]!));
  const log = (x: number): number => {
    let sum = x - r * Math.exp(x);
    for (let j = 0; j < k; j++) sum += arrived(x, j);
    return sum;
  };
  // The same without the two least likely words falls most slowly to the left: its range holds all others.
  const least = Array.from(p.keys())
    .sort((a, b) => p[a]! - p[b]!)
    .slice(0, pairs ? 2 : 1);
  const slow = (x: number): number => log(x) - least.reduce((sum, j) => sum + arrived(x, j), 0);
  // Both are concave in x, so the top is found by thirds, and the ends by halves.
  let [low, high] = [-700, Math.log(700 / r)];
  while (high - low > 1e-3) {
    const [a, b] = [low + (high - low) / 3, high - (high - low) / 3];
    if (slow(a) < slow(b)) low = a;
    else high = b;
  }
  const top = (low + high) / 2;
  const floor = slow(top) - 40;
  const end = (inner: number, outer: number): number => {
    let [a, b] = [inner, outer];
    for (let i = 0; i < 60; i++) {
      const middle = (a + b) / 2;
      if (slow(middle) > floor) a = middle;
      else b = middle;
    }
    return b;
  };
  const [from, to] = [end(top, -700), end(top, Math.log(700 / r) + 1)];
  const nodes = 200;
  const xs = Array.from({ length: nodes + 1 }, (_, i) => from + ((to - from) * i) / nodes);
  const logs = xs.map(log);
  const scale = slow(top);
  let whole = 0;
  const single = new Float64Array(k);
  const both = pairs ? new Float64Array(k * k) : new Float64Array(0);
  for (const [at, x] of xs.entries()) {
    whole += Math.exp(logs[at]! - scale);
    const own = Float64Array.from({ length: k }, (_, j) => arrived(x, j));
    for (let j = 0; j < k; j++) {
      single[j]! += Math.exp(logs[at]! - scale - own[j]!);
      if (pairs)
        for (let l = 0; l < j; l++) both[j * k + l]! += Math.exp(logs[at]! - scale - own[j]! - own[l]!);
    }
  }
  const sums = single.slice();
  for (let j = 0; j < k; j++) single[j]! /= whole;
  return { single, pair: (s, other) => both[Math.max(s, other) * k + Math.min(s, other)]! / sums[s]! };
}
