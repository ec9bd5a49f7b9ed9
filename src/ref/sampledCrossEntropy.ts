import { ArgumentError } from '../core/errors.ts';
import { requireRows } from '../core/ops/gatherRows.ts';
import {
  planSampledCrossEntropy,
  planSampledCrossEntropyBackward,
  type SampledCrossEntropyOptions,
  type SampledCrossEntropyPlan,
} from '../core/ops/sampledCrossEntropy.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';

/** One word that the sum over a token's sub-vocabulary runs over. */
interface Term {
  /** The word's place among the words of the row; -1: the target, which is not among them. */
  readonly place: number;
  readonly word: number;
  /** Its corrected logit. */
  readonly s: number;
}

/**
 * Mean cross entropy over a sampled sub-vocabulary and the target y, which always takes part.
 *
 *     s[j] = x . table[words[j]] + log gates[j] - logInclusion[j]       for words other than y
 *     s[y] = x . table[y] (- targetLogInclusion for tf) (+ log gates[j] if y = words[j])
 *     loss = mean over tokens that count of log(exp s[y] + sum exp s[j]) - s[y]
 *
 * With log-inclusion probabilities of a Gumbel top-k and the correction `ht`, exp(lse) is an unbiased estimate of the sum over
 * all words. With all words and no correction it is the full softmax.
 *
 * @param x f32 or f64 [..., T, D]: T tokens share a sub-vocabulary
 * @param table like x [N, D]
 * @param words i32 [..., k], in [-1, N), distinct within a row but for -1, which is no word
 * @param targets i32 [..., T], in [0, N) or ignoreIndex
 * @param options.logInclusion, options.gates [..., k]; options.targetLogInclusion [..., T]
 * @returns loss, a scalar; count, i32; lse [..., T], of ignored tokens without a target
 * @throws ShapeError, DTypeError, ArgumentError (also for a word or target that is not there, and a negative gate)
 * @accuracy f64 inside, rounded once
 * @edge No token counts: loss 0. No word for an ignored token: its lse is NaN.
 * @source math of Kool et al. (2019), section 4; tf.nn.sampled_softmax_loss
 */
export function sampledCrossEntropy(
  x: Tensor,
  table: Tensor,
  words: Tensor,
  targets: Tensor,
  options: SampledCrossEntropyOptions<Tensor> = {},
): Outputs<{ loss: Tensor; count: Tensor; lse: Tensor }> {
  const op = 'sampledCrossEntropy';
  const plan = planSampledCrossEntropy(x, table, words, targets, options);
  requireContents(op, plan, words, targets, options);
  const lse = allocate(x.dtype, targets.size);
  let total = 0;
  let count = 0;
  for (let i = 0; i < targets.size; i++) {
    const terms = termsOf(plan, i, x, table, words, targets, options);
    const all = logSumExp(terms);
    lse[i] = all;
    const target = targets.data[i]!;
    if (target === plan.ignoreIndex) continue;
    total += all - terms.find((t) => t.word === target)!.s;
    count++;
  }
  const loss = allocate(x.dtype, 1);
  loss[0] = total / Math.max(count, 1);
  return outputs({
    loss: new Tensor(x.dtype, [], loss),
    count: new Tensor('i32', [], Int32Array.of(count)),
    lse: new Tensor(x.dtype, plan.tokenShape, lse),
  });
}

/**
 * Gradient of {@link sampledCrossEntropy}: g = dLoss / count (softmax(s) - one-hot of the target), followed through the
 * products to dx and dTable, and added up over tokens to dGates[j] = sum of g[t, j] / gates[j].
 *
 * @param lse, count as sampledCrossEntropy returned them
 * @returns dx, dTable, and dGates if there are gates
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 sums, rounded once
 */
export function sampledCrossEntropyBackward(
  dLoss: Tensor,
  x: Tensor,
  table: Tensor,
  words: Tensor,
  targets: Tensor,
  lse: Tensor,
  count: Tensor,
  options: SampledCrossEntropyOptions<Tensor> = {},
): Outputs<{ dx: Tensor; dTable: Tensor; dGates?: Tensor }> {
  const op = 'sampledCrossEntropyBackward';
  const plan = planSampledCrossEntropyBackward(dLoss, x, table, words, targets, lse, count, options);
  requireContents(op, plan, words, targets, options);
  const { tokens, width, k } = plan;
  const { gates } = options;
  const dx = new Float64Array(x.size);
  const dTable = new Float64Array(table.size);
  const dGates = new Float64Array(words.size);
  for (let i = 0; i < targets.size; i++) {
    const target = targets.data[i]!;
    if (target === plan.ignoreIndex) continue;
    const own = dLoss.data[0]! / count.data[0]!;
    for (const { place, word, s } of termsOf(plan, i, x, table, words, targets, options)) {
      const g = own * (Math.exp(s - lse.data[i]!) - (word === target ? 1 : 0));
      for (let d = 0; d < width; d++) {
        dx[i * width + d]! += g * table.data[word * width + d]!;
        dTable[word * width + d]! += g * x.data[i * width + d]!;
      }
      const at = Math.floor(i / tokens) * k + place;
      if (place >= 0 && gates !== undefined && gates.data[at]! > 0) dGates[at]! += g / gates.data[at]!;
    }
  }
  const rounded = (like: Tensor, values: Float64Array): Tensor => {
    const data = allocate(like.dtype, values.length);
    data.set(values);
    return new Tensor(like.dtype, like.shape, data);
  };
  return outputs({
    dx: rounded(x, dx),
    dTable: rounded(table, dTable),
    ...(gates === undefined ? {} : { dGates: rounded(gates, dGates) }),
  });
}

/** The words that one token's sum runs over, with their corrected logits. */
function termsOf(
  { tokens, width, k, ignoreIndex }: SampledCrossEntropyPlan,
  token: number,
  x: Tensor,
  table: Tensor,
  words: Tensor,
  targets: Tensor,
  { logInclusion, targetLogInclusion, gates }: SampledCrossEntropyOptions<Tensor>,
): Term[] {
  const row = Math.floor(token / tokens);
  const target = targets.data[token] === ignoreIndex ? -1 : targets.data[token]!;
  const correction = targetLogInclusion?.data[token] ?? 0;
  const dot = (word: number): number => {
    let sum = 0;
    for (let d = 0; d < width; d++) sum += x.data[token * width + d]! * table.data[word * width + d]!;
    return sum;
  };
  const terms: Term[] = [];
  let hit = false;
  for (let j = 0; j < k; j++) {
    const word = words.data[row * k + j]!;
    if (word < 0) continue;
    const gated = dot(word) + Math.log(gates?.data[row * k + j] ?? 1);
    if (word === target) hit = true;
    const subtract = word === target ? correction : (logInclusion?.data[row * k + j] ?? 0);
    terms.push({ place: j, word, s: gated - subtract });
  }
  if (target >= 0 && !hit) terms.push({ place: -1, word: target, s: dot(target) - correction });
  return terms;
}

/** log of the sum of exp, shifted by the largest; NaN if a logit is NaN or +Infinity, or none is there. */
function logSumExp(terms: readonly Term[]): number {
  let top = -Infinity;
  for (const { s } of terms) {
    if (Number.isNaN(s) || s === Infinity) return Number.NaN;
    top = Math.max(top, s);
  }
  let sum = 0;
  for (const { s } of terms) if (s > -Infinity) sum += Math.exp(s - top);
  return sum === 0 ? Number.NaN : top + Math.log(sum);
}

function requireContents(
  op: string,
  { words: n, rows, k, ignoreIndex }: SampledCrossEntropyPlan,
  words: Tensor,
  targets: Tensor,
  { gates }: SampledCrossEntropyOptions<Tensor>,
): void {
  requireRows(op, 'words', words.data, n);
  for (let row = 0; row < rows; row++) {
    const own = words.data.subarray(row * k, (row + 1) * k).filter((word) => word >= 0);
    if (new Set(own).size === own.length) continue;
    const again = own.find((word, j) => own.indexOf(word) < j);
    throw new ArgumentError(
      op,
      `words has ${again} twice in row ${row}; the words of a row must be distinct`,
    );
  }
  const bad = targets.data.findIndex((t) => t !== ignoreIndex && !(t >= 0 && t < n));
  if (bad >= 0) {
    throw new ArgumentError(
      op,
      `targets has ${targets.data[bad]} at element ${bad}; there are ${n} words, and ignoreIndex is ${ignoreIndex}`,
    );
  }
  const gate = gates?.data.findIndex((g) => !(g >= 0)) ?? -1;
  if (gate >= 0) {
    throw new ArgumentError(op, `gates has ${gates!.data[gate]} at element ${gate}; a gate is at least 0`);
  }
}
