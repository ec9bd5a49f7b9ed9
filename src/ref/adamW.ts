import { type AdamWOptions, planAdamW } from '../core/ops/adamW.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';

/**
 * One step of AdamW, or of Adam with its weight decay inside of the gradient.
 *
 *     g      = factor grad                        + weightDecay param    if not decoupled (Adam)
 *     m'     = beta1 m + (1 - beta1) g
 *     v'     = beta2 v + (1 - beta2) g^2
 *     param' = param (1 - lr weightDecay)         the bracket only if decoupled (AdamW)
 *              - lr / (1 - beta1^step) * m' / (sqrt(v') / sqrt(1 - beta2^step) + eps)
 *
 * @param param f32 or f64, any shape
 * @param grad, m, v like param; m and v are zeros before the first step
 * @param step the number of this step, from 1
 * @param options.factor a scalar that multiplies the gradient first
 * @param options.lr 0.001; beta1 0.9; beta2 0.999; eps 1e-8; weightDecay 0.01; decoupled true
 * @returns new tensors param, m, v
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 inside, rounded once
 * @edge The inputs are not changed. eps is added outside of the root, after the correction of the bias, as in torch.
 * @source torch.optim.AdamW (decoupled) and torch.optim.Adam
 */
export function adamW(
  param: Tensor,
  grad: Tensor,
  m: Tensor,
  v: Tensor,
  step: number,
  options: AdamWOptions<Tensor> = {},
): Outputs<{ param: Tensor; m: Tensor; v: Tensor }> {
  const plan = planAdamW(param, grad, m, v, step, options);
  const factor = options.factor?.data[0] ?? 1;
  const newParam = allocate(param.dtype, plan.size);
  const newM = allocate(param.dtype, plan.size);
  const newV = allocate(param.dtype, plan.size);
  for (let i = 0; i < plan.size; i++) {
    const p = param.data[i]!;
    const g = factor * grad.data[i]! + plan.coupledDecay * p;
    const mean = plan.beta1 * m.data[i]! + (1 - plan.beta1) * g;
    const square = plan.beta2 * v.data[i]! + (1 - plan.beta2) * g * g;
    newM[i] = mean;
    newV[i] = square;
    newParam[i] =
      plan.shrink * p - (plan.stepSize * mean) / (Math.sqrt(square) / plan.rootCorrection + plan.eps);
  }
  return outputs({
    param: new Tensor(param.dtype, param.shape, newParam),
    m: new Tensor(param.dtype, param.shape, newM),
    v: new Tensor(param.dtype, param.shape, newV),
  });
}
