import { gamma, minNormal, unitNearest, unitWgsl } from '../../bounds.ts';
import type { Relaxation } from '../../ops/gumbelTopK.ts';

/**
 * How far f32 kernels of the relaxations may be from exact results, to first order in the roundings of each step, from
 * the data of one row. All of this runs in f64, by Newton's method and plain recursions; it shares nothing with the
 * twins. u = 2^-23 stands for one rounding, and exp is within (3 + 2|x|) u, as WGSL grants.
 */
export interface RowBound {
  readonly values: Float64Array;
  /** The sharper line for arithmetic that rounds to nearest. */
  readonly valuesSuspect?: Float64Array;
  /** Bounds of the gradient for dKHot = g. */
  gradient(g: Float64Array): Float64Array;
  /** Of the thresholds: how far temperature lambda may be off, and sum(w g) / sum(w). */
  readonly threshold?: number;
  byK?(g: Float64Array): number;
  /** Of the iterated softmax, whose Jacobian is not symmetric: bounds of its product with a vector. */
  forward?(v: Float64Array): Float64Array;
}

const u = unitWgsl;

/**
 * @param scores finite numbers, those that take part
 * @param blur what is not known of the scores (their noise is only recomputed by the formula here)
 */
export function boundRow(
  relaxation: Relaxation,
  scores: Float64Array,
  k: number,
  temperature: number,
  blur: number,
): RowBound {
  const n = scores.length;
  if (relaxation === 'relaxedTopK') return boundSteps(scores, k, temperature);
  if (k === 0 || k === n) return { values: new Float64Array(n), gradient: () => new Float64Array(n) };
  const kind = relaxation === 'exactK' ? 'thresholdSigmoid' : relaxation;
  const t = thresholdOf(kind, scores, k, temperature, blur);
  return relaxation === 'exactK' ? boundExactK(t, k, temperature) : boundThreshold(kind, t, temperature);
}

/** p and w at the threshold, and how far rounding moves the argument of exp in each term. */
interface Threshold {
  readonly p: Float64Array;
  readonly w: Float64Array;
  readonly y: Float64Array;
  /** Relative error of e^-|y|. */
  readonly exp: Float64Array;
  /** Error of y, and of sum p in units that 1 / sum w turns into an error of lambda. */
  readonly moved: Float64Array;
  readonly sum: number;
  readonly blur: number;
}

const sigmoid = (y: number): number => (y < 0 ? Math.exp(y) / (1 + Math.exp(y)) : 1 / (1 + Math.exp(-y)));
const shapes: Readonly<Record<string, readonly [(y: number) => number, (y: number) => number]>> = {
  thresholdExp: [(y) => Math.min(1, Math.exp(y)), (y) => (y < 0 ? Math.exp(y) : 0)],
  thresholdSigmoid: [sigmoid, (y) => sigmoid(y) * sigmoid(-y)],
  thresholdLaplace: [
    (y) => (y < 0 ? Math.exp(y) / 2 : 1 - Math.exp(-y) / 2),
    (y) => Math.exp(-Math.abs(y)) / 2,
  ],
  thresholdClip: [(y) => Math.min(Math.max(y, 0), 1), (y) => (y > 0 && y < 1 ? 1 : 0)],
};

function thresholdOf(
  kind: Relaxation,
  scores: Float64Array,
  k: number,
  temperature: number,
  blur: number,
): Threshold {
  const n = scores.length;
  const [f, slope] = shapes[kind]!;
  const kth = scores.slice().sort()[n - k]!;
  const x = scores.map((s) => (s - kth) / temperature);
  // Newton in e^-lambda, climbing from the left; see docs/gumbelTopK.md.
  const all = Math.log(x.reduce((sum, v) => sum + Math.exp(Math.min(v, 700)), 0)) - Math.log(k);
  let lambda = kind === 'thresholdClip' ? clipRoot(x, k) : Math.min(all, Math.log(n - k + 1));
  for (let step = 0; step < 2000 && kind !== 'thresholdClip'; step++) {
    let sum = 0;
    let total = 0;
    for (const v of x) {
      sum += f(v - lambda);
      total += slope(v - lambda);
    }
    const next = lambda - Math.log1p((k - sum) / total);
    if (!(k - sum > 1e-14 * k && next < lambda)) break;
    lambda = next;
  }
  const y = x.map((v) => v - lambda);
  const p = y.map(f);
  const w = y.map(slope);
  const moved = x.map((v, i) => u * (Math.abs(v) + 4 * Math.abs(y[i]!)));
  const exp = y.map((v, i) => (kind === 'thresholdClip' ? 0 : (3 + 2 * Math.abs(v)) * u) + moved[i]!);
  // Every term's own error, the sum over 32 + chunk / 32 terms and then over chunks, and what the solver leaves.
  let sum = gamma(160 + n / 16384) * k + 5e-7 * k;
  let total = 0;
  for (let i = 0; i < n; i++) {
    sum += w[i]! * exp[i]! + 6 * u * p[i]!;
    total += w[i]!;
  }
  sum += total * 2.5e-7 * Math.max(Math.abs(lambda), 0.1);
  return { p, w, y, exp, moved, sum, blur: blur / temperature };
}

/** The root of the sum of clipped entries by halving; x is relative to the k-th largest. */
function clipRoot(x: Float64Array, k: number): number {
  let [low, high] = [-1, 0];
  for (let step = 0; step < 200; step++) {
    const middle = (low + high) / 2;
    const sum = x.reduce((a, v) => a + Math.min(Math.max(v - middle, 0), 1), 0);
    if (sum >= k) low = middle;
    else high = middle;
  }
  return low;
}

/** What flushed subnormals can take away from a gradient, with room for a few of them. */
function flushed(g: Float64Array, temperature: number): number {
  const largest = g.reduce((a, v) => Math.max(a, Math.abs(v)), 1);
  return (64 * minNormal * largest) / Math.min(temperature, 1);
}

/** The error of lambda, in units of y. */
function shiftOf({ w, sum }: Threshold): number {
  return sum / w.reduce((a, b) => a + b, 0);
}

function boundThreshold(kind: Relaxation, t: Threshold, temperature: number): RowBound {
  const { p, w, y, exp, moved } = t;
  const shift = shiftOf(t);
  // At the kink of min(1, e^y) the slope jumps; y may be on the other side of it.
  const kink = (i: number): boolean => {
    const reach = moved[i]! + Math.min(shift, 1) + t.blur + 1e-6;
    if (kind === 'thresholdClip' && Math.abs(y[i]! - 1) <= reach) return true;
    return (kind === 'thresholdExp' || kind === 'thresholdClip') && Math.abs(y[i]!) <= reach;
  };
  const values = p.map((v, i) => {
    const slope = kink(i) ? 1 : w[i]!;
    // All entries move the same way with lambda, so none by more than the sum does.
    const byLambda = Math.min(shift < 0.25 ? 1.3 * slope * shift : Infinity, t.sum);
    return slope * exp[i]! + byLambda + 7 * u * v + minNormal;
  });
  // Where the sum is flat lambda may move far, and w with it: by as much as p, which moves by no more than the sum.
  const byShift = (v: number): number => (shift < 0.25 ? 1.3 * v * shift : t.sum);
  const dw = w.map((v, i) => (kink(i) ? 1 : Math.min(v * (exp[i]! + 7 * u) + byShift(v), 1)));
  const meanOf = (g: Float64Array): { mean: number; dMean: number } => {
    const largest = g.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
    let total = 0;
    let dTotal = 0;
    let product = 0;
    let dProduct = 0;
    for (let i = 0; i < w.length; i++) {
      total += w[i]!;
      dTotal += dw[i]!;
      product += w[i]! * g[i]!;
      dProduct += dw[i]! * Math.abs(g[i]!) + gamma(160 + w.length / 16384) * w[i]! * Math.abs(g[i]!);
    }
    const mean = total > 0 ? product / total : 0;
    const left = total - dTotal;
    const dMean = left > 0 ? Math.min((dProduct + Math.abs(mean) * dTotal) / left, 2 * largest) : 2 * largest;
    return { mean, dMean };
  };
  const gradient = (g: Float64Array): Float64Array => {
    const { mean, dMean } = meanOf(g);
    const flush = flushed(g, temperature);
    return g.map((v, i) => {
      const away = Math.abs(v - mean) + dMean;
      const rounding = w[i]! * (dMean + 6 * u * (Math.abs(v) + Math.abs(mean)));
      return (dw[i]! * away + rounding) / temperature + flush;
    });
  };
  // Where the sum is flat lambda may be anywhere, and nothing else depends on it.
  const threshold = shift < 0.25 ? temperature * (1.3 * shift + t.blur + 1e-6) : 3e38;
  return {
    values,
    gradient,
    threshold,
    byK: (g) => {
      const { mean, dMean } = meanOf(g);
      return dMean + 8 * u * Math.abs(mean) + minNormal;
    },
  };
}

/**
 * exactK: tables of products and sums of positive numbers. Each path through them has one factor p or 1 - p per entry, so
 * relative errors add up over the entries; shifting all scores changes nothing, so lambda's error does not count.
 */
function boundExactK(t: Threshold, k: number, temperature: number): RowBound {
  const { p, exp } = t;
  const n = p.length;
  let relative = gamma(64 + k);
  for (const e of exp) relative += 2 * (e + 9 * u);
  const suspect = 6 * Math.sqrt(2 * n * 16 + k) * 2 * unitNearest + 64 * unitNearest;
  const marginals = conditional(p, k);
  const scale = (r: number) => marginals.map((m) => m * r + 2 * unitNearest * m + minNormal);
  return {
    values: scale(relative),
    valuesSuspect: scale(Math.min(suspect, relative)),
    gradient: (g) => {
      const total = t.w.reduce((a, b) => a + b, 0);
      const mean = total > 0 ? t.w.reduce((a, w, i) => a + w * g[i]!, 0) / total : 0;
      const around = g.map((v) => Math.abs(v - mean) + 1e-3 * Math.abs(mean));
      const all = marginals.reduce((a, m, i) => a + m * around[i]!, 0);
      const flush = flushed(g, temperature);
      // The entry's covariance with the sum of g is the difference of two such terms.
      return marginals.map((m, i) => (relative * m * (around[i]! + 2 * all)) / temperature + flush);
    },
  };
}

/** P(entry i is in | exactly k are in), for independent entries with the probabilities p. */
function conditional(p: Float64Array, k: number): Float64Array {
  const n = p.length;
  const width = k + 1;
  const before = new Float64Array((n + 1) * width);
  before[0] = 1;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= k; j++) {
      const joined = j > 0 ? before[i * width + j - 1]! : 0;
      before[(i + 1) * width + j] = (1 - p[i]!) * before[i * width + j]! + p[i]! * joined;
    }
  }
  const after = new Float64Array(width);
  after[0] = 1;
  const out = new Float64Array(n);
  for (let i = n - 1; i >= 0; i--) {
    for (let j = 0; j < k; j++)
      out[i]! += (p[i]! * before[i * width + j]! * after[k - 1 - j]!) / before[n * width + k]!;
    for (let j = k; j >= 0; j--) after[j] = (1 - p[i]!) * after[j]! + (j > 0 ? p[i]! * after[j - 1]! : 0);
  }
  return out;
}

/** relaxedTopK: the steps again, with an error beside every number; twice the first order. */
function boundSteps(scores: Float64Array, k: number, temperature: number): RowBound {
  const n = scores.length;
  const w = scores.slice();
  const dw = new Float64Array(n);
  // Each step may flush what it adds.
  const values = new Float64Array(n).fill(Math.max(k, 1) * minNormal);
  const steps: {
    p: Float64Array;
    rel: Float64Array;
    free: Float64Array;
    relFree: Float64Array;
    top: number;
  }[] = [];
  for (let j = 0; j < k; j++) {
    const last = steps.at(-1);
    if (last !== undefined) {
      for (let i = 0; i < n; i++) {
        const l = Math.log(Math.max(last.free[i]!, minNormal));
        w[i]! += l;
        dw[i]! += last.relFree[i]! + 6 * u * Math.abs(l) + u * Math.abs(w[i]!);
      }
    }
    const top = w.reduce((best, v, i) => (v > w[best]! ? i : best), 0);
    const e = w.map((v) => Math.exp((v - w[top]!) / temperature));
    const total = e.reduce((a, b) => a + b, 0);
    const p = e.map((v) => v / total);
    const blur = p.reduce((a, v, i) => a + (v * dw[i]!) / temperature, 0);
    const own = w.map((v, i) => {
      const arg = Math.abs(v - w[top]!) / temperature;
      return (dw[i]! + dw[top]!) / temperature + (6 + 6 * arg) * u;
    });
    const rel = own.map((r) => r + blur + gamma(16 + n / 8));
    const others = e.reduce((a, v, i) => (i === top ? a : a + v), 0);
    const free = p.map((v, i) => (i === top ? others / total : 1 - v));
    // Of the largest: the mean error of the others. Of others: p is at most 1/2 of what is left.
    const among = others > 0 ? rel.reduce((a, r, i) => (i === top ? a : a + (r * e[i]!) / others), 0) : 0;
    const relFree = p.map((v, i) => (i === top ? among + 4 * u : (v * rel[i]!) / free[i]! + 2 * u));
    for (let i = 0; i < n; i++) values[i]! += 2 * p[i]! * rel[i]! + u * (j + 1) * p[i]!;
    steps.push({ p, rel, free, relFree, top });
  }
  return { values, gradient: (g) => boundHandBack(g, steps, temperature) };
}

function boundHandBack(
  g: Float64Array,
  steps: readonly {
    p: Float64Array;
    rel: Float64Array;
    free: Float64Array;
    relFree: Float64Array;
    top: number;
  }[],
  temperature: number,
): Float64Array {
  const n = g.length;
  const d = new Float64Array(n);
  const dError = new Float64Array(n).fill(flushed(g, temperature));
  let handed = new Float64Array(n);
  let handedError = new Float64Array(n);
  for (let j = steps.length - 1; j >= 0; j--) {
    const { p, rel, free, relFree, top } = steps[j]!;
    const gp = g.map((v, i) => v + handed[i]!);
    const gpError = gp.map((v, i) => handedError[i]! + u * Math.abs(v));
    let others = 0;
    let othersError = 0;
    for (let i = 0; i < n; i++) {
      if (i === top) continue;
      others += p[i]! * gp[i]!;
      othersError += p[i]! * (gpError[i]! + (rel[i]! + gamma(16 + n / 8)) * Math.abs(gp[i]!));
    }
    const topError = p[top]! * (gpError[top]! + (rel[top]! + 4 * u) * Math.abs(gp[top]!));
    for (let i = 0; i < n; i++) {
      const away = i === top ? free[i]! * gp[i]! - others : gp[i]! - others - p[top]! * gp[top]!;
      const error =
        i === top
          ? free[i]! * (gpError[i]! + (relFree[i]! + 4 * u) * Math.abs(gp[i]!)) + othersError
          : gpError[i]! + othersError + topError + 3 * u * (Math.abs(gp[i]!) + Math.abs(others));
      d[i]! += (p[i]! * away) / temperature;
      dError[i]! +=
        (p[i]! * (error + (rel[i]! + 6 * u) * Math.abs(away))) / temperature + u * Math.abs(d[i]!);
    }
    const before = steps[j - 1];
    if (before === undefined) continue;
    handed = d.map((v, i) => (before.free[i]! > minNormal ? -v / before.free[i]! : 0));
    handedError = dError.map((e, i) => {
      if (!(before.free[i]! > minNormal)) return 0;
      return e / before.free[i]! + Math.abs(handed[i]!) * (before.relFree[i]! + 4 * u);
    });
  }
  return dError.map((e) => 2 * e);
}

/** The iterated softmax: the steps again, with an error beside every number; twice the first order. */
export function boundIterated(scores: Float64Array, k: number, temperature: number): RowBound {
  const n = scores.length;
  const least = scores.reduce((a, v) => Math.min(a, v), Infinity);
  const owner = scores.indexOf(least);
  const x = scores.map((v) => (v - least) / temperature);
  const taken = new Float64Array(n);
  const error = new Float64Array(n);
  const steps: { taken: Float64Array; error: Float64Array; s: Float64Array; rel: Float64Array }[] = [];
  for (let j = 0; j < k; j++) {
    const y = x.map((v, i) => (1 - taken[i]!) * v);
    const dy = x.map((v, i) => v * (error[i]! + u) + 5 * u * Math.abs(y[i]!));
    const top = y.reduce((a, v) => Math.max(a, v), -Infinity);
    const e = y.map((v) => Math.exp(v - top));
    const total = e.reduce((a, v) => a + v, 0);
    const s = e.map((v) => v / total);
    const dTop = dy.reduce((a, v, i) => (y[i] === top ? Math.max(a, v) : a), 0);
    const own = y.map((v, i) => dy[i]! + dTop + (6 + 6 * Math.abs(v - top)) * u);
    const blur = s.reduce((a, v, i) => a + v * own[i]!, 0);
    const rel = own.map((v) => v + blur + gamma(16 + n));
    steps.push({ taken: taken.slice(), error: error.slice(), s, rel });
    for (let i = 0; i < n; i++) {
      taken[i]! += s[i]!;
      error[i]! += s[i]! * rel[i]! + u * taken[i]!;
    }
  }
  const backward = (g: Float64Array): Float64Array => {
    const dp = g.slice();
    const dpError = new Float64Array(n).fill(flushed(g, temperature));
    const dx = new Float64Array(n);
    const dxError = new Float64Array(n);
    for (const { taken: p, error: pError, s, rel } of steps.toReversed()) {
      const { mean, meanError } = weighted(s, rel, dp, dpError);
      for (let i = 0; i < n; i++) {
        const away = dp[i]! - mean;
        const dy = s[i]! * away;
        const dyError =
          s[i]! *
          (dpError[i]! +
            meanError +
            (rel[i]! + 6 * u) * Math.abs(away) +
            3 * u * (Math.abs(dp[i]!) + Math.abs(mean)));
        dx[i]! += dy * (1 - p[i]!);
        dxError[i]! +=
          dyError * Math.abs(1 - p[i]!) + Math.abs(dy) * (pError[i]! + 4 * u) + u * Math.abs(dx[i]!);
        dp[i]! -= dy * x[i]!;
        dpError[i]! += dyError * x[i]! + 6 * u * Math.abs(dy * x[i]!) + u * Math.abs(dp[i]!);
      }
    }
    let all = 0;
    for (let i = 0; i < n; i++) all += dxError[i]! + gamma(16 + n) * Math.abs(dx[i]!);
    return dxError.map(
      (e, i) =>
        (2 * (e + (i === owner ? all : 0)) + 6 * u * Math.abs(dx[i]!)) / temperature +
        flushed(g, temperature),
    );
  };
  const forward = (v: Float64Array): Float64Array => {
    const dx = v.map((w) => (w - v[owner]!) / temperature);
    const dp = new Float64Array(n);
    const dpError = new Float64Array(n).fill(flushed(v, temperature));
    for (const { taken: p, error: pError, s, rel } of steps) {
      const dy = dx.map((w, i) => (1 - p[i]!) * w - dp[i]! * x[i]!);
      const dyError = dx.map(
        (w, i) =>
          Math.abs(w) * (pError[i]! + 6 * u * Math.abs(1 - p[i]!) + u) +
          dpError[i]! * x[i]! +
          6 * u * (Math.abs(dp[i]! * x[i]!) + Math.abs(dy[i]!)),
      );
      const { mean, meanError } = weighted(s, rel, dy, dyError);
      for (let i = 0; i < n; i++) {
        const away = dy[i]! - mean;
        dp[i]! += s[i]! * away;
        dpError[i]! +=
          s[i]! *
            (dyError[i]! +
              meanError +
              (rel[i]! + 6 * u) * Math.abs(away) +
              3 * u * (Math.abs(dy[i]!) + Math.abs(mean))) +
          u * Math.abs(dp[i]!);
      }
    }
    return dpError.map((e) => 2 * e);
  };
  // Each step may flush what it adds.
  return { values: error.map((e) => 2 * e + (steps.length + 1) * minNormal), gradient: backward, forward };
}

/** sum of s v, and how far it may be off. */
function weighted(
  s: Float64Array,
  rel: Float64Array,
  v: Float64Array,
  vError: Float64Array,
): { mean: number; meanError: number } {
  let mean = 0;
  let meanError = 0;
  for (let i = 0; i < s.length; i++) {
    mean += s[i]! * v[i]!;
    meanError += s[i]! * (vError[i]! + (rel[i]! + gamma(16 + s.length)) * Math.abs(v[i]!));
  }
  return { mean, meanError };
}
