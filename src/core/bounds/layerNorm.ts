import {
  type Bound,
  compareBound,
  gamma,
  minNormal,
  unitNearest,
  unitWgsl,
  type Verdict,
} from '../bounds.ts';
import { planLayerNorm, planLayerNormBackward } from '../ops/layerNorm.ts';
import type { Tensor } from '../tensor.ts';
import { lostProduct } from './flushing.ts';
import type { Judge } from './judge.ts';

/** One of the two lines: the error of a sum of n terms relative to their absolute sum, and of one operation. */
interface Line {
  readonly sum: (n: number) => number;
  readonly unit: number;
}
const failLine: Line = { sum: (n) => gamma(n), unit: unitWgsl };
const suspectLine: Line = {
  sum: (n) => Math.min((6 * Math.sqrt(n) + 1) * unitNearest, gamma(n)),
  unit: unitNearest,
};
/** inverseSqrt is good to 2 ulp everywhere; an ulp is at most 2^-23 of the value. */
const inverseSqrtError = 2 * unitWgsl;

/** What the forward pass knows of a row, with errors of the mean, the variance and 1 / sqrt(variance + eps). */
interface RowError {
  readonly mean: number;
  readonly meanError: number;
  readonly rstd: number;
  readonly rstdError: number;
}

/**
 * A row's mean is a sum of `width` terms, so its error is sum(n) * mean |x|: relative to the deviation that is the
 * condition number sqrt(1 + mean^2 / variance) of the problem. Centring passes it on to the variance, and the root halves
 * the relative error.
 */
function rowError(x: Tensor, row: number, width: number, eps: number, line: Line): RowError {
  const first = row * width;
  let mean = 0;
  let absolute = 0;
  for (let j = 0; j < width; j++) {
    mean += x.data[first + j]! / width;
    absolute += Math.abs(x.data[first + j]!) / width;
  }
  // Flushing takes 2^-126 from each of the terms, which are divided by their number, and as much from the quotient.
  const meanError = line.sum(width + 2) * absolute + 2 * minNormal;
  let variance = 0;
  let varianceError = 0;
  for (let j = 0; j < width; j++) {
    const c = Math.abs(x.data[first + j]! - mean);
    const e = meanError + line.unit * (c + meanError) + 3 * minNormal;
    variance += c ** 2 / width;
    varianceError += (2 * c * e + e * e) / width;
  }
  varianceError += line.sum(width + 4) * (variance + varianceError) + line.unit * eps + 4 * minNormal;
  const rstd = 1 / Math.sqrt(variance + eps);
  const up = 1 / Math.sqrt(Math.max(variance - varianceError, 0) + eps * (1 - line.unit));
  const down = 1 / Math.sqrt(variance + varianceError + eps * (1 + line.unit));
  const rstdError = Math.max(up - rstd, rstd - down) + (inverseSqrtError + 2 * line.unit) * up;
  return { mean, meanError, rstd, rstdError };
}

/** Error bounds of layerNorm, per output. */
export function layerNormBound(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  options: { eps?: number } = {},
): { y: Bound; mean: Bound; rstd: Bound } {
  const { rows, width, eps } = planLayerNorm(x, gamma, beta, options);
  const bounds = {
    y: bound(x.size, 'condition number of the row * error of a sum of its width, then 4 roundings'),
    mean: bound(rows, 'gamma_n(2^-23) * mean |x|'),
    rstd: bound(rows, 'half the relative error of the variance, and inverseSqrt of 2 ulp'),
  };
  for (const [key, line] of lines) {
    for (let row = 0; row < rows; row++) {
      const { mean, meanError, rstd, rstdError } = rowError(x, row, width, eps, line);
      bounds.mean[key][row] = meanError + line.unit * Math.abs(mean);
      bounds.rstd[key][row] = rstdError;
      for (let j = 0; j < width; j++) {
        const c = Math.abs(x.data[row * width + j]! - mean);
        const g = Math.abs(gamma.data[j]!);
        const top = rstd + rstdError;
        // x, the mean and their difference may be flushed.
        const centred = meanError + 2 * line.unit * c + 3 * minNormal;
        bounds.y[key][row * width + j] =
          g * (centred * top + c * rstdError + 3 * line.unit * c * top) +
          2 * line.unit * (g * c * top + Math.abs(beta.data[j]!)) +
          lostProduct(gamma.data[j]!, c * top) +
          minNormal * (4 + g);
      }
    }
  }
  return bounds;
}

/**
 * Error bounds of layerNormBackward. mean and rstd are given, so they are exact as they stand; what the rounding of the
 * mean took may be put back or not, and counts as an error of u.
 */
export function layerNormBackwardBound(
  dy: Tensor,
  x: Tensor,
  gamma: Tensor,
  mean: Tensor,
  rstd: Tensor,
): { dx: Bound; dGamma: Bound; dBeta: Bound } {
  const { rows, width } = planLayerNormBackward(dy, x, gamma, mean, rstd);
  const bounds = {
    dx: bound(x.size, 'errors of u, mean(g) and mean(g u) as sums of the row, then 5 roundings'),
    dGamma: bound(width, 'gamma_n(2^-23) * sum |dy u| and the errors of u'),
    dBeta: bound(width, 'gamma_n(2^-23) * sum |dy|'),
  };
  for (const [key, line] of lines) {
    for (let row = 0; row < rows; row++) {
      const first = row * width;
      const m = mean.data[row]!;
      const r = Math.abs(rstd.data[row]!);
      let lost = 0;
      let spread = 0;
      for (let j = 0; j < width; j++) {
        lost += (x.data[first + j]! - m) / width;
        spread += Math.abs(x.data[first + j]! - m) / width;
      }
      const centre = Math.abs(lost) + line.sum(width + 2) * spread + minNormal;
      // What a sum may contain: |c| before the remainder is taken off, with its rounding.
      // x rstd - mean rstd is a legal way to u, and rounds relative to x and the mean.
      const u = (j: number): { value: number; error: number } => {
        const c = Math.abs(x.data[first + j]! - m) + Math.abs(lost);
        const apart = 2 * line.unit * (Math.abs(x.data[first + j]!) + Math.abs(m));
        return { value: c * r, error: r * (centre + apart + 3 * line.unit * c + minNormal) + minNormal };
      };
      let meanG = 0;
      let meanGU = 0;
      let meanGUError = 0;
      let meanGLost = 0;
      for (let j = 0; j < width; j++) {
        const g = Math.abs(dy.data[first + j]! * gamma.data[j]!);
        const { value, error } = u(j);
        const lostG = lostProduct(dy.data[first + j]!, gamma.data[j]!) + minNormal;
        meanGLost += lostG / width;
        meanGUError += (lostG * value) / width;
        meanG += g / width;
        meanGU += (g * value) / width;
        meanGUError += (g * error) / width;
      }
      const meanGError = line.sum(width + 3) * meanG + meanGLost + minNormal;
      meanGUError += line.sum(width + 6) * (meanGU + r * Math.abs(lost) * meanG) + minNormal * (1 + r);
      for (let j = 0; j < width; j++) {
        const d = Math.abs(dy.data[first + j]!);
        const g = d * Math.abs(gamma.data[j]!);
        const { value, error } = u(j);
        bounds.dx[key][first + j] =
          r *
            (meanGError +
              lostProduct(dy.data[first + j]!, gamma.data[j]!) +
              value * meanGUError +
              error * (meanGU + meanGUError) +
              5 * line.unit * (g + meanG + value * (meanGU + meanGUError)) +
              4 * minNormal) +
          minNormal;
        bounds.dGamma[key][j]! +=
          d * error + line.sum(rows + 6) * d * value + lostProduct(d, value) + minNormal * (1 + d);
        bounds.dBeta[key][j]! += line.sum(rows + 1) * d + minNormal;
      }
    }
  }
  return bounds;
}

const lines = [
  ['fail', failLine],
  ['suspect', suspectLine],
] as const;

function bound(size: number, why: string): Bound & { suspect: Float64Array } {
  return { fail: new Float64Array(size), suspect: new Float64Array(size), why };
}

function judgeEach(
  bounds: Readonly<Record<string, Bound>>,
  { want, got }: Parameters<Judge>[0],
): Record<string, Verdict> {
  const verdicts: Record<string, Verdict> = {};
  for (const name of Object.keys(want)) {
    verdicts[name] = compareBound(want[name]!, got[name]!, bounds[name]!);
  }
  return verdicts;
}

export const judgeLayerNorm: Judge = (call) =>
  judgeEach(layerNormBound(call.inputs.x!, call.inputs.gamma!, call.inputs.beta!, call.options), call);

export const judgeLayerNormBackward: Judge = (call) => {
  const { dy, x, gamma, mean, rstd } = call.inputs;
  return judgeEach(layerNormBackwardBound(dy!, x!, gamma!, mean!, rstd!), call);
};
