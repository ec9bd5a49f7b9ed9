import { planMixHeads, planMixHeadsBackward } from '../core/ops/mixHeads.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';

/**
 * Give every head a weighted sum of all heads: y[r, h, c] = sum over g of weight[h, g] x[r, g, c].
 *
 * @param x f32 or f64 [..., H * C], the heads side by side
 * @param weight [H, H]
 * @returns shaped like x
 * @throws DTypeError, ShapeError
 * @accuracy f64 sums, rounded once
 * @edge The identity as weight gives x.
 * @source the head_linear of the later versions of SamOut
 */
export function mixHeads(x: Tensor, weight: Tensor): Tensor {
  const { rows, heads, channels } = planMixHeads(x, weight);
  const y = allocate(x.dtype, x.size);
  for (let r = 0; r < rows; r++) {
    for (let h = 0; h < heads; h++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let g = 0; g < heads; g++) {
          sum += weight.data[h * heads + g]! * x.data[(r * heads + g) * channels + c]!;
        }
        y[(r * heads + h) * channels + c] = sum;
      }
    }
  }
  return new Tensor(x.dtype, x.shape, y);
}

/**
 * Gradients of {@link mixHeads}: dx mixes dy by the transposed weight, dWeight[h, g] = sum over r and c of
 * dy[r, h, c] x[r, g, c].
 *
 * @param dy, x [..., H * C]; @param weight [H, H]
 * @returns dx shaped like x, dWeight [H, H]
 * @throws DTypeError, ShapeError
 * @accuracy f64 sums, rounded once
 */
export function mixHeadsBackward(
  dy: Tensor,
  x: Tensor,
  weight: Tensor,
): Outputs<{ dx: Tensor; dWeight: Tensor }> {
  const { rows, heads, channels } = planMixHeadsBackward(dy, x, weight);
  const dx = allocate(x.dtype, x.size);
  const sums = new Float64Array(heads * heads);
  for (let r = 0; r < rows; r++) {
    for (let g = 0; g < heads; g++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let h = 0; h < heads; h++) {
          const d = dy.data[(r * heads + h) * channels + c]!;
          sum += weight.data[h * heads + g]! * d;
          sums[h * heads + g]! += d * x.data[(r * heads + g) * channels + c]!;
        }
        dx[(r * heads + g) * channels + c] = sum;
      }
    }
  }
  const dWeight = allocate(x.dtype, sums.length);
  dWeight.set(sums);
  return outputs({
    dx: new Tensor(x.dtype, x.shape, dx),
    dWeight: new Tensor(x.dtype, weight.shape, dWeight),
  });
}
