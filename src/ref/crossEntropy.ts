import { ArgumentError } from '../core/errors.ts';
import {
  type CrossEntropyBackwardOptions,
  type CrossEntropyLogitsBackwardOptions,
  type CrossEntropyLogitsOptions,
  type CrossEntropyOptions,
  type CrossEntropyPlan,
  planCrossEntropy,
  planCrossEntropyBackward,
  planCrossEntropyLogits,
  planCrossEntropyLogitsBackward,
} from '../core/ops/crossEntropy.ts';
import { allocate, type DType, type Outputs, outputs, Tensor } from '../core/tensor.ts';
import { type Floats, innerProducts } from './lib/scores.ts';

/** The logits of one token, in double precision. The array is reused from token to token. */
type RowOf = (token: number) => Float64Array;

/**
 * Mean cross entropy of softmax(x wᵀ + bias) against the right words.
 *
 *     lse[i] = log sum_j exp(logits[i, j])
 *     loss   = sum over tokens that count of (lse[i] - logits[i, targets[i]]) / count
 *
 * @param x f32 or f64 [..., D]
 * @param w like x [V, D]
 * @param targets i32 [...], in [0, V) or ignoreIndex
 * @param options.ignoreIndex tokens with this target do not count; default -100
 * @param options.bias [V], added to the logits
 * @param options.chunk memory of the kernel; here it is only checked
 * @returns loss, a scalar; count, i32, how many tokens count; lse [...], also of ignored tokens
 * @throws ShapeError, DTypeError, ArgumentError (also for a target that is no word)
 * @accuracy f64 inside, rounded once
 * @edge No token counts: loss 0 and count 0. A logit that is NaN or +Infinity: lse of its token and the loss are NaN. A
 * target with logit -Infinity: loss Infinity.
 * @source torch.nn.functional.cross_entropy, but for the case that no token counts
 */
export function crossEntropy(
  x: Tensor,
  w: Tensor,
  targets: Tensor,
  options: CrossEntropyOptions<Tensor> = {},
): Outputs<{ loss: Tensor; count: Tensor; lse: Tensor }> {
  const plan = planCrossEntropy(x, w, targets, options);
  requireWords('crossEntropy', plan, targets);
  return meanLoss(plan, targets, x.dtype, linear(plan, x, w, options.bias));
}

/**
 * Gradient of {@link crossEntropy}. With a[i] = dLoss / count for tokens that count, else 0:
 *
 *     g[i, j] = exp(logits[i, j] - lse[i]) (a[i] + dLse[i]) - a[i] [j = targets[i]]
 *     dx = g w,   dw = gᵀ x,   dBias[j] = sum_i g[i, j]
 *
 * @param lse, count as crossEntropy returned them
 * @param options.dLse the gradient of lse
 * @returns dx, dw, and dBias if there is a bias
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 sums, rounded once
 */
export function crossEntropyBackward(
  dLoss: Tensor,
  x: Tensor,
  w: Tensor,
  targets: Tensor,
  lse: Tensor,
  count: Tensor,
  options: CrossEntropyBackwardOptions<Tensor> = {},
): Outputs<{ dx: Tensor; dw: Tensor; dBias?: Tensor }> {
  const plan = planCrossEntropyBackward(dLoss, x, w, targets, lse, count, options);
  requireWords('crossEntropyBackward', plan, targets);
  const { tokens, words, width } = plan;
  const { bias } = options;
  const dx = new Float64Array(tokens * width);
  const dw = new Float64Array(words * width);
  const dBias = new Float64Array(words);
  const logits = linear(plan, x, w, bias);
  const [xs, ws] = [x.data, w.data];
  for (let i = 0; i < tokens; i++) {
    const g = gradientRow(plan, i, logits, dLoss, targets, lse, count, options.dLse);
    if (g === undefined) continue;
    const own = new Float64Array(width);
    for (let j = 0; j < words; j++) {
      const gj = g[j]!;
      dBias[j]! += gj;
      for (let d = 0, at = j * width; d < width; d++, at++) {
        own[d]! += gj * ws[at]!;
        dw[at]! += gj * xs[i * width + d]!;
      }
    }
    dx.set(own, i * width);
  }
  return outputs({
    dx: rounded(x.dtype, x.shape, dx),
    dw: rounded(x.dtype, w.shape, dw),
    ...(bias === undefined ? {} : { dBias: rounded(x.dtype, bias.shape, dBias) }),
  });
}

/**
 * Mean cross entropy of given logits: {@link crossEntropy} without the linear layer.
 *
 * @param logits f32 or f64 [..., V]
 * @param targets i32 [...], in [0, V) or ignoreIndex
 * @throws ShapeError, DTypeError, ArgumentError (also for a target that is no word)
 * @accuracy f64 inside, rounded once
 * @source torch.nn.functional.cross_entropy
 */
export function crossEntropyLogits(
  logits: Tensor,
  targets: Tensor,
  options: CrossEntropyLogitsOptions = {},
): Outputs<{ loss: Tensor; count: Tensor; lse: Tensor }> {
  const plan = planCrossEntropyLogits(logits, targets, options);
  requireWords('crossEntropyLogits', plan, targets);
  return meanLoss(plan, targets, logits.dtype, given(plan, logits));
}

/**
 * Gradient of {@link crossEntropyLogits}: the g of {@link crossEntropyBackward}.
 *
 * @returns dLogits
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 inside, rounded once
 */
export function crossEntropyLogitsBackward(
  dLoss: Tensor,
  logits: Tensor,
  targets: Tensor,
  lse: Tensor,
  count: Tensor,
  options: CrossEntropyLogitsBackwardOptions<Tensor> = {},
): Tensor {
  const plan = planCrossEntropyLogitsBackward(dLoss, logits, targets, lse, count, options);
  requireWords('crossEntropyLogitsBackward', plan, targets);
  const dLogits = allocate(logits.dtype, logits.size);
  const rows = given(plan, logits);
  for (let i = 0; i < plan.tokens; i++) {
    const g = gradientRow(plan, i, rows, dLoss, targets, lse, count, options.dLse);
    if (g !== undefined) dLogits.set(g, i * plan.words);
  }
  return new Tensor(logits.dtype, logits.shape, dLogits);
}

function linear({ words, width }: CrossEntropyPlan, x: Tensor, w: Tensor, bias: Tensor | undefined): RowOf {
  const row = new Float64Array(words);
  return (token) => {
    const features = Float64Array.from(x.data.subarray(token * width, (token + 1) * width));
    innerProducts(w.data as Floats, width, 0, words, features, row);
    if (bias !== undefined) for (let j = 0; j < words; j++) row[j]! += bias.data[j]!;
    return row;
  };
}

function given({ words }: CrossEntropyPlan, logits: Tensor): RowOf {
  const row = new Float64Array(words);
  return (token) => {
    row.set(logits.data.subarray(token * words, (token + 1) * words));
    return row;
  };
}

function meanLoss(
  { tokens, shape, ignoreIndex }: CrossEntropyPlan,
  targets: Tensor,
  dtype: DType,
  logits: RowOf,
): Outputs<{ loss: Tensor; count: Tensor; lse: Tensor }> {
  const lse = new Float64Array(tokens);
  let total = 0;
  let count = 0;
  for (let i = 0; i < tokens; i++) {
    const row = logits(i);
    lse[i] = logSumExp(row);
    const target = targets.data[i]!;
    if (target === ignoreIndex) continue;
    total += lse[i]! - row[target]!;
    count++;
  }
  const loss = total / Math.max(count, 1);
  return outputs({
    loss: rounded(dtype, [], Float64Array.of(loss)),
    count: new Tensor('i32', [], Int32Array.of(count)),
    lse: rounded(dtype, shape, lse),
  });
}

/** log of the sum of exp, shifted by the largest. NaN if a number is NaN or +Infinity, or all are -Infinity. */
function logSumExp(row: Float64Array): number {
  let top = -Infinity;
  for (let j = 0; j < row.length; j++) {
    const v = row[j]!;
    if (Number.isNaN(v) || v === Infinity) return Number.NaN;
    if (v > top) top = v;
  }
  let sum = 0;
  for (let j = 0; j < row.length; j++) sum += Math.exp(row[j]! - top);
  return top + Math.log(sum);
}

/** The gradient of one token's logits, in the place of the logits; undefined where it is zero. */
function gradientRow(
  { ignoreIndex }: CrossEntropyPlan,
  token: number,
  logits: RowOf,
  dLoss: Tensor,
  targets: Tensor,
  lse: Tensor,
  count: Tensor,
  dLse: Tensor | undefined,
): Float64Array | undefined {
  const target = targets.data[token]!;
  const own = target === ignoreIndex ? 0 : dLoss.data[0]! / count.data[0]!;
  const factor = own + (dLse?.data[token] ?? 0);
  if (own === 0 && factor === 0) return undefined;
  const row = logits(token);
  for (let j = 0; j < row.length; j++) row[j] = Math.exp(row[j]! - lse.data[token]!) * factor;
  if (target !== ignoreIndex) row[target]! -= own;
  return row;
}

/** Refuse a target that is neither a word nor the one to ignore. */
function requireWords(op: string, { words, ignoreIndex }: CrossEntropyPlan, targets: Tensor): void {
  const at = targets.data.findIndex((t) => t !== ignoreIndex && !(t >= 0 && t < words));
  if (at >= 0) {
    throw new ArgumentError(
      op,
      `targets has ${targets.data[at]} at position ${at}; there are ${words} words, and ignoreIndex is ${ignoreIndex}`,
    );
  }
}

function rounded(dtype: DType, shape: readonly number[], values: Float64Array): Tensor {
  const data = allocate(dtype, values.length);
  data.set(values);
  return new Tensor(dtype, shape, data);
}
