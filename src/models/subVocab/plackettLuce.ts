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
