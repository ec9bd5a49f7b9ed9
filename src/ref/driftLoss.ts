import {
  type DriftLossOptions,
  type DriftLossPlan,
  planDriftLoss,
  planDriftLossBackward,
} from '../core/ops/driftLoss.ts';
import { allocate, type Outputs, outputs, Tensor, tensor } from '../core/tensor.ts';

/**
 * How far predicted rows are from the source rows, over the tokens that the source knows as one piece:
 * loss = weight * sum |x[n] - table[id n]|^2 / count / norm, with norm the mean length of these source rows.
 *
 * @param x f32 or f64 [N, D]; table [V, D]; forms i32 [N, L]
 * @returns loss, count and norm, scalars
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 inside, rounded once
 * @edge Ids from V on are tokens that the source lacks: they never count. None counts: loss 0.
 * @source ZeTT
 */
export function driftLoss(
  x: Tensor,
  table: Tensor,
  forms: Tensor,
  options: DriftLossOptions = {},
): Outputs<{ loss: Tensor; count: Tensor; norm: Tensor }> {
  const plan = planDriftLoss(x, table, forms, options);
  const { width, weight } = plan;
  let sum = 0;
  let lengths = 0;
  let count = 0;
  forCounted(plan, forms, (n, id) => {
    let square = 0;
    for (let d = 0; d < width; d++) {
      sum += (x.data[n * width + d]! - table.data[id * width + d]!) ** 2;
      square += table.data[id * width + d]! ** 2;
    }
    lengths += Math.sqrt(square);
    count++;
  });
  const norm = count === 0 ? 0 : lengths / count;
  const scalar = (v: number): Tensor =>
    new Tensor(x.dtype, [], allocate(x.dtype, 1).fill(v) as typeof x.data);
  return outputs({
    loss: scalar(norm === 0 ? 0 : (weight * sum) / count / norm),
    count: tensor([], [count], 'i32'),
    norm: scalar(norm),
  });
}

/**
 * Gradient of {@link driftLoss}: dx[n] = dLoss * 2 weight / (count norm) * (x[n] - table[id n]) for counted tokens, else 0.
 *
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 inside, rounded once
 */
export function driftLossBackward(
  dLoss: Tensor,
  x: Tensor,
  table: Tensor,
  forms: Tensor,
  count: Tensor,
  norm: Tensor,
  options: DriftLossOptions = {},
): Tensor {
  const plan = planDriftLossBackward(dLoss, x, table, forms, count, norm, options);
  const { width, weight } = plan;
  const dx = allocate(x.dtype, x.size);
  const scale = count.data[0]! * norm.data[0]!;
  const factor = scale === 0 ? 0 : (2 * weight * dLoss.data[0]!) / scale;
  forCounted(plan, forms, (n, id) => {
    for (let d = 0; d < width; d++) {
      dx[n * width + d] = factor * (x.data[n * width + d]! - table.data[id * width + d]!);
    }
  });
  return new Tensor(x.dtype, x.shape, dx);
}

/** Call the body for every token that is one piece of the source. */
function forCounted(
  { rows, length, source, padding }: DriftLossPlan,
  forms: Tensor,
  body: (n: number, id: number) => void,
): void {
  for (let n = 0; n < rows; n++) {
    const form = forms.data.subarray(n * length, (n + 1) * length);
    const id = form[0]!;
    if (id >= 0 && id < source && id !== padding && form.subarray(1).every((v) => v === padding)) body(n, id);
  }
}
