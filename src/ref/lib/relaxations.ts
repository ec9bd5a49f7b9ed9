import type { Relaxation } from '../../core/ops/gumbelTopK.ts';

/**
 * A smooth top-k of one row, in f64: `values`, and the product of its transposed Jacobian with a gradient.
 * All but relaxedTopK add up to k with every entry in [0, 1], and have a symmetric Jacobian whose rows add up to 0.
 */
export interface Relaxed {
  readonly values: Float64Array;
  backward(g: Float64Array): Float64Array;
  /** Of the thresholds: temperature lambda, in units of the scores. */
  readonly threshold?: number;
  /** Of the thresholds: the product of g with the derivative of the values by k. */
  byK?(g: Float64Array): number;
}

/**
 * Relax the top-k of a row.
 * @param scores finite numbers: logits + noise
 * @param k from 0 to the length of the row
 */
export function relax(relaxation: Relaxation, scores: Float64Array, k: number, temperature: number): Relaxed {
  if (relaxation === 'relaxedTopK') return relaxedTopK(scores, k, temperature);
  const n = scores.length;
  // Nothing to choose: a constant, so its Jacobian is zero.
  if (k === 0 || k === n) {
    return { values: new Float64Array(n).fill(k > 0 ? 1 : 0), backward: () => new Float64Array(n) };
  }
  // Relative to the k-th largest, which lambda is close to: far from 0 the differences would lose digits. Beyond 1000 an entry
  // is in or out for certain, however far it is, and next to larger numbers a logarithm would be lost.
  const kth = scores.slice().sort()[n - k]!;
  const x = scores.map((s) => Math.min(Math.max((s - kth) / temperature, -1000), 1000));
  const relaxed = relaxation === 'exactK' ? exactK(x, k) : threshold(relaxation, x, k);
  return {
    ...relaxed,
    ...(relaxed.threshold === undefined ? {} : { threshold: kth + relaxed.threshold * temperature }),
    backward: (g) => relaxed.backward(g).map((d) => d / temperature),
  };
}

/**
 * p[i] = f(x[i] - lambda), lambda such that sum p = k.
 *
 * With w[i] = f'(x[i] - lambda) and W = sum w, lambda moves by w[j]/W with x[j], so J = diag(w) - w w^T / W.
 * @source kexue.fm 10373 (ThreTopK); the sigmoid: Amos et al. (2019), the limited multi-label projection
 */
function threshold(relaxation: Relaxation, x: Float64Array, k: number): Relaxed {
  const [lambdaOf, f, slope] =
    relaxation === 'thresholdExp'
      ? [lambdaExp, (y: number) => Math.min(1, Math.exp(y)), (y: number) => (y < 0 ? Math.exp(y) : 0)]
      : relaxation === 'thresholdSigmoid'
        ? [lambdaSigmoid, sigmoid, (y: number) => sigmoid(y) * sigmoid(-y)]
        : relaxation === 'thresholdLaplace'
          ? [lambdaLaplace, laplace, (y: number) => Math.exp(-Math.abs(y)) / 2]
          : [lambdaClip, clip, (y: number) => (y > 0 && y < 1 ? 1 : 0)];
  const lambda = lambdaOf(x, k);
  const w = x.map((v) => slope(v - lambda));
  // With total 0 all entries are saturated: nothing moves.
  const total = sum(w);
  const mean = (g: Float64Array): number => (total === 0 ? 0 : dot(w, g) / total);
  return {
    values: x.map((v) => f(v - lambda)),
    threshold: lambda,
    backward: (g) => {
      const m = mean(g);
      return g.map((v, i) => w[i]! * (v - m));
    },
    byK: mean,
  };
}

const sigmoid = (y: number): number => (y < 0 ? Math.exp(y) / (1 + Math.exp(y)) : 1 / (1 + Math.exp(-y)));
const clip = (y: number): number => Math.min(Math.max(y, 0), 1);
const laplace = (y: number): number => (y < 0 ? Math.exp(y) / 2 : 1 - Math.exp(-y) / 2);

/**
 * f = min(1, e^x). With the m largest at 1: m + e^-lambda sum of e^x over the others = k, so
 * lambda = log(sum) - log(k - m). The right m is the first whose lambda is not below the next largest x.
 */
function lambdaExp(x: Float64Array, k: number): number {
  const sorted = x.slice().sort().reverse();
  const rest = sumsFromEnd(sorted);
  for (let m = 0; ; m++) {
    const lambda = rest[m]! - Math.log(k - m);
    if (m === k - 1 || lambda >= sorted[m]!) return lambda;
  }
}

/**
 * f = e^x/2 below 0, 1 - e^-x/2 above. With the m largest above lambda, A = sum of e^-x over them, B = sum of e^x over
 * the others, D = k - m and s = e^-lambda: D = s B/2 - A/(2s). The root is taken in the form that does not cancel.
 */
function lambdaLaplace(x: Float64Array, k: number): number {
  const sorted = x.slice().sort().reverse();
  const n = sorted.length;
  const logB = sumsFromEnd(sorted);
  let logA = -Infinity;
  for (let m = 0; ; m++) {
    const d = k - m;
    const root = Math.sqrt(d * d + Math.exp(logA + logB[m]!));
    const lambda =
      d > 0 ? logB[m]! - Math.log(d + root) : d < 0 ? Math.log(root - d) - logA : (logB[m]! - logA) / 2;
    if (m === n || lambda >= sorted[m]!) return lambda;
    logA = logAddExp(logA, -sorted[m]!);
  }
}

/**
 * f = clip(x, 0, 1). The sum over the entries is linear between neighbours among all x and x - 1, and falls. So the two that
 * enclose k are looked for by halving; between them m entries are 1, r lie inside, and r lambda = sum of these r - (k - m).
 */
function lambdaClip(x: Float64Array, k: number): number {
  const bends = Float64Array.from([...x, ...x.map((v) => v - 1)]).sort();
  const at = (lambda: number): number => sum(x.map((v) => clip(v - lambda)));
  let [low, high] = [0, bends.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (at(bends[middle]!) >= k) low = middle;
    else high = middle;
  }
  const m = x.filter((v) => v - 1 >= bends[high]!).length;
  const inside = x.filter((v) => v >= bends[high]! && v - 1 <= bends[low]!);
  return (sum(inside) - (k - m)) / inside.length;
}

/**
 * f = 1/(1 + e^-x). In s = e^-lambda each term s e^x / (1 + s e^x) is concave and grows, so Newton's method, started
 * left of the root, climbs to it without overshooting. Left of the root are s = k / sum e^x, and the s at which the k
 * largest count 1 and the k-th, which is 0 here, and all below it no more than 1 / (n - k + 1) each.
 */
function lambdaSigmoid(x: Float64Array, k: number): number {
  let lambda = Math.min(sumsFromEnd(x)[0]! - Math.log(k), Math.log(x.length - k));
  for (;;) {
    let total = 0;
    let slope = 0;
    for (const v of x) {
      const p = sigmoid(v - lambda);
      total += p;
      slope += p * sigmoid(lambda - v);
    }
    // s grows by the factor 1 + (k - total)/slope. The end: it no longer moves, or the sum is k but for its rounding.
    const next = lambda - Math.log1p((k - total) / slope);
    if (!(k - total > 1e-14 * k && next < lambda)) return lambda;
    lambda = next;
  }
}

/**
 * Marginals of the law on subsets of exactly k entries with probability proportional to e^(sum of x):
 * values[i] = e^x[i] e_{k-1}(others) / e_k(all), with elementary symmetric polynomials e_j of the e^x.
 *
 * f[i][j] = log e_j of the first i entries, b[j] = log e_j of the entries after i. The Jacobian is the covariance of the
 * law, which is symmetric, so its product with g is a directional derivative: the same tables with a tangent beside.
 * @source Paulus et al. (2020); Ahmed et al. (2023, SIMPLE); kexue.fm 10373 (GradTopK)
 */
function exactK(x: Float64Array, k: number): Relaxed {
  return {
    values: exactKAlong(x, k, new Float64Array(x.length)).values,
    backward: (g) => exactKAlong(x, k, g).tangents,
  };
}

function exactKAlong(
  x: Float64Array,
  k: number,
  g: Float64Array,
): { values: Float64Array; tangents: Float64Array } {
  const n = x.length;
  const width = k + 1;
  const f = new Float64Array((n + 1) * width).fill(-Infinity);
  const df = new Float64Array((n + 1) * width);
  f[0] = 0;
  /** One entry more: out[j] = log(e^from[j] + e^(from[j-1] + x)), with its tangent. */
  const extend = (from: number, to: number, i: number, t: Float64Array, dt: Float64Array): void => {
    for (let j = k; j >= 0; j--) {
      const without = t[from + j]!;
      const withIt = j > 0 ? t[from + j - 1]! + x[i]! : -Infinity;
      const share = withIt === -Infinity ? 0 : sigmoid(withIt - without);
      const dWithIt = j > 0 ? dt[from + j - 1]! + g[i]! : 0;
      t[to + j] = logAddExp(without, withIt);
      dt[to + j] = share * dWithIt + (1 - share) * dt[from + j]!;
    }
  };
  for (let i = 0; i < n; i++) extend(i * width, (i + 1) * width, i, f, df);
  const total = f[n * width + k]!;
  const dTotal = df[n * width + k]!;
  const b = new Float64Array(width).fill(-Infinity);
  const db = new Float64Array(width);
  b[0] = 0;
  const values = new Float64Array(n);
  const tangents = new Float64Array(n);
  for (let i = n - 1; i >= 0; i--) {
    let value = 0;
    let tangent = 0;
    for (let j = 0; j < k; j++) {
      const p = Math.exp(x[i]! - total + f[i * width + j]! + b[k - 1 - j]!);
      value += p;
      if (p > 0) tangent += p * (g[i]! - dTotal + df[i * width + j]! + db[k - 1 - j]!);
    }
    values[i] = value;
    tangents[i] = tangent;
    extend(0, 0, i, b, db);
  }
  return { values, tangents };
}

/** The smallest normal f32, as in the published code: 1 - p counts at least this much. */
const tiny = 2 ** -126;

/**
 * k softmax steps: w += log(1 - p); p = softmax(w / temperature); values += p. Adds up to k, but entries may exceed 1.
 *
 * Only the largest entry of a step can exceed 1/2. Its 1 - p is the sum over the others, so that no digits are lost.
 *
 * Backward, from the last step: with gp the gradient of p (that of the values, plus what the next step's log(1 - p)
 * hands down), the gradient of w grows by p (gp - <p, gp>) / temperature.
 * @source Xie and Ermon (2019), "Reparameterizable subset sampling via continuous relaxations"
 */
function relaxedTopK(scores: Float64Array, k: number, temperature: number): Relaxed {
  const n = scores.length;
  const w = scores.slice();
  const values = new Float64Array(n);
  const steps: { p: Float64Array; free: Float64Array; top: number }[] = [];
  for (let j = 0; j < k; j++) {
    const before = steps.at(-1);
    if (before !== undefined) for (let i = 0; i < n; i++) w[i]! += Math.log(Math.max(before.free[i]!, tiny));
    const top = w.reduce((best, v, i) => (v > w[best]! ? i : best), 0);
    const e = w.map((v, i) => (i === top ? 0 : Math.exp((v - w[top]!) / temperature)));
    const others = sum(e);
    const p = e.map((v, i) => (i === top ? 1 : v) / (1 + others));
    const free = p.map((v, i) => (i === top ? others / (1 + others) : 1 - v));
    for (let i = 0; i < n; i++) values[i]! += p[i]!;
    steps.push({ p, free, top });
  }
  return {
    values,
    backward: (g) => {
      const dw = new Float64Array(n);
      const handed = new Float64Array(n);
      for (let j = k - 1; j >= 0; j--) {
        const { p, free, top } = steps[j]!;
        const gp = g.map((v, i) => v + handed[i]!);
        const others = dot(
          p.map((v, i) => (i === top ? 0 : v)),
          gp,
        );
        for (let i = 0; i < n; i++) {
          const away = i === top ? free[i]! * gp[i]! - others : gp[i]! - (others + p[top]! * gp[top]!);
          dw[i]! += (p[i]! * away) / temperature;
        }
        const before = steps[j - 1];
        if (before === undefined) continue;
        for (let i = 0; i < n; i++) handed[i] = before.free[i]! > tiny ? -dw[i]! / before.free[i]! : 0;
      }
      return dw;
    },
  };
}

/**
 * k times: values += softmax((1 - values) x), x relative to the smallest. Kept as the counter-example that it is: entries
 * exceed 1 ([3, 2, 1, 4], k = 3: 1.117), larger scores may get less, and k = n does not give ones.
 * @source kexue.fm 10373
 */
export function iteratedSoftmax(
  scores: Float64Array,
  k: number,
  temperature: number,
): Relaxed & { forward(tangent: Float64Array): Float64Array } {
  const n = scores.length;
  const least = scores.reduce((best, v, i) => (v < scores[best]! ? i : best), 0);
  const x = scores.map((v) => (v - scores[least]!) / temperature);
  const values = new Float64Array(n);
  const steps: { before: Float64Array; s: Float64Array }[] = [];
  for (let j = 0; j < k; j++) {
    const before = values.slice();
    const y = x.map((v, i) => (1 - before[i]!) * v);
    const top = y.reduce((a, v) => Math.max(a, v), -Infinity);
    const e = y.map((v) => Math.exp(v - top));
    const total = sum(e);
    const s = e.map((v) => v / total);
    for (let i = 0; i < n; i++) values[i]! += s[i]!;
    steps.push({ before, s });
  }
  return {
    values,
    forward: (tangent) => {
      const dx = tangent.map((v) => (v - tangent[least]!) / temperature);
      const dp = new Float64Array(n);
      for (const { before, s } of steps) {
        const dy = dx.map((v, i) => (1 - before[i]!) * v - dp[i]! * x[i]!);
        const mean = dot(s, dy);
        for (let i = 0; i < n; i++) dp[i]! += s[i]! * (dy[i]! - mean);
      }
      return dp;
    },
    backward: (g) => {
      const dp = g.slice();
      const dx = new Float64Array(n);
      for (const { before, s } of steps.toReversed()) {
        const mean = dot(s, dp);
        for (let i = 0; i < n; i++) {
          const dy = s[i]! * (dp[i]! - mean);
          dx[i]! += dy * (1 - before[i]!);
          dp[i]! -= dy * x[i]!;
        }
      }
      const all = sum(dx);
      return dx.map((v, i) => (v - (i === least ? all : 0)) / temperature);
    },
  };
}

/** out[m] = log of the sum of e^x over the entries from m on; out[n] = -Infinity. */
function sumsFromEnd(x: Float64Array): Float64Array {
  const out = new Float64Array(x.length + 1).fill(-Infinity);
  for (let m = x.length - 1; m >= 0; m--) out[m] = logAddExp(out[m + 1]!, x[m]!);
  return out;
}

/** log(e^a + e^b) */
function logAddExp(a: number, b: number): number {
  const m = Math.max(a, b);
  return m === -Infinity ? m : m + Math.log1p(Math.exp(Math.min(a, b) - m));
}

function sum(x: Float64Array): number {
  let total = 0;
  for (const v of x) total += v;
  return total;
}

function dot(x: Float64Array, y: Float64Array): number {
  let total = 0;
  for (let i = 0; i < x.length; i++) total += x[i]! * y[i]!;
  return total;
}
