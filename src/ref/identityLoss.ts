import {
  type IdentityLossOptions,
  planIdentityLoss,
  planIdentityLossBackward,
} from '../core/ops/identityLoss.ts';
import { allocate, Tensor } from '../core/tensor.ts';

/**
 * Mean squared distance of rows: loss = weight / N * sum of (x - goal)^2.
 *
 * @param x, goal f32 or f64 [N, D]
 * @returns a scalar
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 inside, rounded once
 * @edge No rows: 0.
 * @source ZeTT's warm-up, after MIMICK
 */
export function identityLoss(x: Tensor, goal: Tensor, options: IdentityLossOptions = {}): Tensor {
  const { rows, weight } = planIdentityLoss(x, goal, options);
  let sum = 0;
  for (let i = 0; i < x.size; i++) sum += (x.data[i]! - goal.data[i]!) ** 2;
  const loss = allocate(x.dtype, 1);
  loss[0] = rows === 0 ? 0 : (weight * sum) / rows;
  return new Tensor(x.dtype, [], loss);
}

/**
 * Gradient of {@link identityLoss}: dx = dLoss * 2 weight / N * (x - goal).
 *
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 inside, rounded once
 */
export function identityLossBackward(
  dLoss: Tensor,
  x: Tensor,
  goal: Tensor,
  options: IdentityLossOptions = {},
): Tensor {
  const { rows, weight } = planIdentityLossBackward(dLoss, x, goal, options);
  const dx = allocate(x.dtype, x.size);
  const factor = (2 * weight * dLoss.data[0]!) / rows;
  for (let i = 0; i < x.size; i++) dx[i] = factor * (x.data[i]! - goal.data[i]!);
  return new Tensor(x.dtype, x.shape, dx);
}
