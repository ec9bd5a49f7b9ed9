import { planGradientClip, planGradientClipFactor } from '../core/ops/gradientClip.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';

/**
 * Scale all gradients of a model by one factor, so that together their L2 norm is at most `maxNorm`.
 *
 *     norm   = sqrt(sum of g^2 over all elements of all gradients)
 *     factor = min(1, maxNorm / (norm + 1e-6))
 *     clipped = factor g
 *
 * @param grads f32 or f64, any shapes, one dtype
 * @param maxNorm >= 0
 * @returns clipped, one for each gradient; norm, a scalar
 * @throws DTypeError, ArgumentError
 * @accuracy f64 sums, rounded once
 * @edge A NaN makes everything NaN. An infinity makes the norm infinite and the factor 0: finite gradients become 0, the
 * infinite ones NaN. The 1e-6 makes the new norm fall short of maxNorm by a part in 10^6 / norm.
 * @source torch.nn.utils.clip_grad_norm_
 */
export function gradientClip(
  grads: readonly Tensor[],
  maxNorm: number,
): Outputs<{ clipped: Tensor[]; norm: Tensor }> {
  planGradientClip(grads, maxNorm);
  const { norm, factor } = measure(grads, maxNorm);
  const clipped = grads.map((g) => {
    const data = allocate(g.dtype, g.size);
    for (let i = 0; i < g.size; i++) data[i] = factor * g.data[i]!;
    return new Tensor(g.dtype, g.shape, data);
  });
  return outputs({ clipped, norm: scalar(grads, norm) });
}

/**
 * The factor and the norm of {@link gradientClip} alone: an optimizer that multiplies by the factor itself saves writing
 * the gradients again.
 *
 * @throws DTypeError, ArgumentError
 * @source torch.nn.utils.get_total_norm, clip_grads_with_norm_
 */
export function gradientClipFactor(
  grads: readonly Tensor[],
  maxNorm: number,
): Outputs<{ factor: Tensor; norm: Tensor }> {
  planGradientClipFactor(grads, maxNorm);
  const { norm, factor } = measure(grads, maxNorm);
  return outputs({ factor: scalar(grads, factor), norm: scalar(grads, norm) });
}

function measure(grads: readonly Tensor[], maxNorm: number): { norm: number; factor: number } {
  let sum = 0;
  for (const { data } of grads) for (let i = 0; i < data.length; i++) sum += data[i]! ** 2;
  const norm = Math.sqrt(sum);
  return { norm, factor: Math.min(1, maxNorm / (norm + 1e-6)) };
}

function scalar([like]: readonly Tensor[], value: number): Tensor {
  const data = allocate(like!.dtype, 1);
  data[0] = value;
  return new Tensor(like!.dtype, [], data);
}
