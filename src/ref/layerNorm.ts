import { type LayerNormOptions, planLayerNorm, planLayerNormBackward } from '../core/ops/layerNorm.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';

/**
 * Each row minus its mean, divided by its standard deviation, scaled and shifted per column.
 *
 * mean = sum x / D; rstd = 1 / sqrt(sum (x - mean)^2 / D + eps); y = gamma (x - mean) rstd + beta.
 *
 * @param x f32 or f64 [..., D], D >= 1
 * @param gamma, beta [D]
 * @param options.eps from 1e-37 to 1e37; default 1e-5
 * @returns y shaped like x; mean and rstd, shaped like x without the last axis, for the backward
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64, rounded once; two passes, so that a large mean costs nothing
 * @edge The variance is biased: divided by D. A constant row, and so D = 1, gives y = beta.
 * @source Ba, Kiros and Hinton, Layer Normalization (2016); torch.nn.LayerNorm
 */
export function layerNorm(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  options: LayerNormOptions = {},
): Outputs<{ y: Tensor; mean: Tensor; rstd: Tensor }> {
  const { rows, width, eps, rowShape } = planLayerNorm(x, gamma, beta, options);
  const y = allocate(x.dtype, x.size);
  const means = allocate(x.dtype, rows);
  const rstds = allocate(x.dtype, rows);
  for (let row = 0; row < rows; row++) {
    const first = row * width;
    let sum = 0;
    for (let j = 0; j < width; j++) sum += x.data[first + j]!;
    const mean = sum / width;
    let squares = 0;
    for (let j = 0; j < width; j++) squares += (x.data[first + j]! - mean) ** 2;
    const rstd = 1 / Math.sqrt(squares / width + eps);
    for (let j = 0; j < width; j++) {
      y[first + j] = gamma.data[j]! * (x.data[first + j]! - mean) * rstd + beta.data[j]!;
    }
    means[row] = mean;
    rstds[row] = rstd;
  }
  return outputs({
    y: new Tensor(x.dtype, x.shape, y),
    mean: new Tensor(x.dtype, rowShape, means),
    rstd: new Tensor(x.dtype, rowShape, rstds),
  });
}

/**
 * Gradient of {@link layerNorm}: u = (x - mean) rstd; g = dy gamma;
 * dx = rstd (g - mean(g) - u mean(g u)); dGamma = sum over rows of dy u; dBeta = sum over rows of dy.
 *
 * The saved mean was rounded, which u would feel where the mean is large against the deviation. What the rounding took
 * is mean(x - saved), and it is put back.
 *
 * @param dy, x [..., D]
 * @param gamma [D]
 * @param mean, rstd [...] as the forward call returned them
 * @returns dx shaped like x; dGamma and dBeta [D]
 * @throws ShapeError, DTypeError
 * @accuracy f64 sums, rounded once
 * @edge No row: dGamma and dBeta are 0. D = 1: g - mean(g) = 0 and u = 0, so dx = 0.
 * @source the derivative of the formula; u has mean 0 and variance close to 1, which simplifies it
 */
export function layerNormBackward(
  dy: Tensor,
  x: Tensor,
  gamma: Tensor,
  mean: Tensor,
  rstd: Tensor,
): Outputs<{ dx: Tensor; dGamma: Tensor; dBeta: Tensor }> {
  const { rows, width } = planLayerNormBackward(dy, x, gamma, mean, rstd);
  const dx = allocate(x.dtype, x.size);
  const dGamma = new Float64Array(width);
  const dBeta = new Float64Array(width);
  const u = new Float64Array(width);
  for (let row = 0; row < rows; row++) {
    const first = row * width;
    let lost = 0;
    for (let j = 0; j < width; j++) lost += (x.data[first + j]! - mean.data[row]!) / width;
    let meanG = 0;
    let meanGU = 0;
    for (let j = 0; j < width; j++) {
      const g = dy.data[first + j]! * gamma.data[j]!;
      u[j] = (x.data[first + j]! - mean.data[row]! - lost) * rstd.data[row]!;
      meanG += g / width;
      meanGU += (g * u[j]!) / width;
    }
    for (let j = 0; j < width; j++) {
      const g = dy.data[first + j]! * gamma.data[j]!;
      dx[first + j] = rstd.data[row]! * (g - meanG - u[j]! * meanGU);
      dGamma[j]! += dy.data[first + j]! * u[j]!;
      dBeta[j]! += dy.data[first + j]!;
    }
  }
  const dGammas = allocate(x.dtype, width);
  const dBetas = allocate(x.dtype, width);
  dGammas.set(dGamma);
  dBetas.set(dBeta);
  return outputs({
    dx: new Tensor(x.dtype, x.shape, dx),
    dGamma: new Tensor(x.dtype, [width], dGammas),
    dBeta: new Tensor(x.dtype, [width], dBetas),
  });
}
