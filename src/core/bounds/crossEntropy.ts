import {
  type Bound,
  compareBound,
  compareExact,
  gamma,
  minNormal,
  unitNearest,
  unitWgsl,
} from '../bounds.ts';
import {
  type CrossEntropyPlan,
  planCrossEntropy,
  planCrossEntropyBackward,
  planCrossEntropyLogits,
  planCrossEntropyLogitsBackward,
} from '../ops/crossEntropy.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';

type Inputs = Readonly<Record<string, Tensor | undefined>>;

/** The logits in double precision, with how far each may be off, for the two lines of a verdict. */
export interface Logits {
  readonly values: Float64Array;
  error(line: Line, token: number, word: number): number;
}

/** The error of + - *, and the relative error of a sum of n terms. */
export interface Line {
  readonly unit: number;
  sum(n: number): number;
}

export const allowed: Line = { unit: unitWgsl, sum: (n) => gamma(n) };
export const nearest: Line = { unit: unitNearest, sum: (n) => (6 * Math.sqrt(n) + 1) * unitNearest };

/**
 * The logits of the linear layer. Each is a sum of D products: within gamma_D of sum |x||w|, which is at most |x||w| as
 * lengths of vectors (Cauchy and Schwarz); that costs nothing beside the logits themselves.
 */
function linearLogits({ tokens, words, width }: CrossEntropyPlan, { x, w, bias }: Inputs): Logits {
  const values = new Float64Array(tokens * words);
  const ws = w!.data;
  for (let i = 0; i < tokens; i++) {
    const row = Float64Array.from(x!.data.subarray(i * width, (i + 1) * width));
    for (let j = 0; j < words; j++) {
      let even = 0;
      let odd = 0;
      let d = 0;
      for (let at = j * width; d + 1 < width; d += 2, at += 2) {
        even += row[d]! * ws[at]!;
        odd += row[d + 1]! * ws[at + 1]!;
      }
      if (d < width) even += row[d]! * ws[j * width + d]!;
      values[i * words + j] = even + odd + (bias?.data[j] ?? 0);
    }
  }
  const ofX = lengths(x!.data, tokens, width, 1, width);
  const ofW = lengths(w!.data, words, width, 1, width);
  return {
    values,
    error: (line, i, j) =>
      line.sum(width + 2) * (ofX[i]! * ofW[j]! + Math.abs(bias?.data[j] ?? 0)) + (width + 2) * minNormal,
  };
}

function givenLogits({ logits }: Inputs): Logits {
  return { values: Float64Array.from(logits!.data), error: () => 0 };
}

/** Euclidean lengths of vectors of n numbers, `step` apart, that begin every `stride`. */
function lengths(
  data: ArrayLike<number>,
  count: number,
  n: number,
  step: number,
  stride: number,
): Float64Array {
  const out = new Float64Array(count);
  for (let v = 0; v < count; v++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += data[v * stride + i * step]! ** 2;
    out[v] = Math.sqrt(sum);
  }
  return out;
}

const lossWhy =
  'gamma of the logits, exponentials within 3 + 2|x| ulp, a sum of V terms, a logarithm within 2^-21 or 3 ulp';

/** Bounds of lse and loss. */
export function lossBounds(
  plan: CrossEntropyPlan,
  logits: Logits,
  targets: Tensor,
): { lse: Bound; loss: Bound } {
  const { tokens, words, ignoreIndex } = plan;
  const bounds = [allowed, nearest].map((line) => {
    const lse = new Float64Array(tokens);
    let errors = 0;
    let sizes = 0;
    let count = 0;
    // A sum is scaled anew for each chunk, and each part of it once.
    const scalings = Math.ceil(words / plan.chunk) + 2;
    for (let i = 0; i < tokens; i++) {
      const row = logits.values.subarray(i * words, (i + 1) * words);
      let top = -Infinity;
      for (let j = 0; j < words; j++) top = Math.max(top, row[j]!);
      let sum = 0;
      let inside = 0;
      for (let j = 0; j < words; j++) {
        const size = top - row[j]!;
        if (size === Infinity) continue;
        const weight = Math.exp(-size);
        const exponentials = 2 * (line.unit * size + 2 * size * unitWgsl) + scalings * 4 * unitWgsl;
        sum += weight;
        inside += weight * (Math.expm1(logits.error(line, i, j)) + exponentials);
      }
      const logSum = Math.log(sum);
      const value = top + logSum;
      const log = Math.max(sum < 2.001 ? 2 ** -21 : 0, 3 * unitWgsl * logSum);
      const relative = inside / sum + line.sum(words + scalings);
      lse[i] = relative + log + line.unit * Math.abs(value) + unitNearest * Math.abs(value);
      const target = targets.data[i]!;
      if (target === ignoreIndex) continue;
      const own = Math.abs(value - row[target]!);
      errors += lse[i]! + logits.error(line, i, target) + line.unit * own;
      sizes += own;
      count++;
    }
    // Tokens are added up 64 at a time, and so are these sums.
    const depth = 64 * Math.max(1, Math.ceil(Math.log(count) / Math.log(64)));
    const mean = sizes / Math.max(count, 1);
    const loss = errors / Math.max(count, 1) + mean * (line.sum(Math.min(count, depth) + 1) + 4 * unitWgsl);
    return { lse, loss: Float64Array.of(loss) };
  });
  const bound = (name: 'lse' | 'loss'): Bound => ({
    fail: bounds[0]![name],
    suspect: bounds[1]![name],
    why: lossWhy,
  });
  return { lse: bound('lse'), loss: bound('loss') };
}

/** The gradient of the logits, and the error that each of its elements may have. */
export function gradients(
  plan: CrossEntropyPlan,
  logits: Logits,
  inputs: Inputs,
  line: Line,
): { g: Float64Array; error: Float64Array } {
  const { tokens, words, ignoreIndex } = plan;
  const g = new Float64Array(tokens * words);
  const error = new Float64Array(tokens * words);
  const { dLoss, lse, count, targets, dLse } = inputs as Record<string, Tensor>;
  for (let i = 0; i < tokens; i++) {
    const target = targets!.data[i]!;
    const own = target === ignoreIndex ? 0 : dLoss!.data[0]! / count!.data[0]!;
    const ownError = 3 * unitWgsl * Math.abs(own);
    const factor = own + (dLse?.data[i] ?? 0);
    const factorError = ownError + line.unit * Math.abs(factor);
    for (let j = 0; j < words; j++) {
      const at = i * words + j;
      const below = Math.abs(logits.values[at]! - lse!.data[i]!);
      const p = below === Infinity ? 0 : Math.exp(logits.values[at]! - lse!.data[i]!);
      const relative =
        Math.expm1(logits.error(line, i, j) + (below === Infinity ? 0 : line.unit * below)) +
        (below === Infinity ? 0 : (3 + 2 * below) * unitWgsl);
      g[at] = p * factor - (j === target ? own : 0);
      // A probability below the normal numbers may be flushed.
      error[at] =
        Math.abs(p * factor) * (relative + line.unit) +
        p * (1 + relative) * factorError +
        (j === target ? ownError : 0) +
        2 * minNormal * (1 + Math.abs(factor)) +
        line.unit * Math.abs(g[at]!);
    }
  }
  return { g, error };
}

const gradientWhy =
  'the error of each probability (its logit, 3 + 2|x| ulp of exp) followed through the product, gamma of its length';

export const judgeCrossEntropy: Judge = ({ inputs, options, want, got }) => {
  const fused = inputs.logits === undefined;
  const all = inputs as Record<string, Tensor>;
  const plan = fused
    ? planCrossEntropy(all.x!, all.w!, all.targets!, { ...options, ...pick(inputs, 'bias') })
    : planCrossEntropyLogits(all.logits!, all.targets!, options);
  const bounds = lossBounds(plan, fused ? linearLogits(plan, inputs) : givenLogits(inputs), all.targets!);
  return Object.fromEntries(
    Object.keys(want).map((name) => {
      const [a, b] = [want[name]!, got[name]!];
      return [
        name,
        name === 'count' ? compareExact(a, b) : compareBound(a, b, bounds[name as 'lse' | 'loss']),
      ];
    }),
  );
};

export const judgeCrossEntropyLogitsBackward: Judge = ({ inputs, options, want, got }) => {
  const { dLoss, logits, targets, lse, count } = inputs as Record<string, Tensor>;
  const plan = planCrossEntropyLogitsBackward(dLoss!, logits!, targets!, lse!, count!, {
    ...options,
    ...pick(inputs, 'dLse'),
  });
  const [fail, suspect] = [allowed, nearest].map((line) => {
    const { g, error } = gradients(plan, givenLogits(inputs), inputs, line);
    return error.map((e, at) => e + unitNearest * Math.abs(g[at]!));
  });
  const bound: Bound = {
    fail: fail!,
    suspect: suspect!,
    why: 'an exponential, a quotient, two products, a difference',
  };
  return { dLogits: compareBound(want.dLogits!, got.dLogits!, bound) };
};

export const judgeCrossEntropyBackward: Judge = ({ inputs, options, want, got }) => {
  const { dLoss, x, w, targets, lse, count } = inputs as Record<string, Tensor>;
  const plan = planCrossEntropyBackward(dLoss!, x!, w!, targets!, lse!, count!, {
    ...options,
    ...pick(inputs, 'bias', 'dLse'),
  });
  const { tokens, words, width } = plan;
  const logits = linearLogits(plan, inputs);
  const lines = [allowed, nearest].map((line) => {
    const { g, error } = gradients(plan, logits, inputs, line);
    // Of sums of products: lengths again, once of the errors and once of the gradient for the sum's own roundings.
    const rows = (data: Float64Array) => lengths(data, tokens, words, 1, words);
    const columns = (data: Float64Array) => lengths(data, words, tokens, words, 1);
    const ofWords = lengths(w!.data, width, words, width, 1);
    const ofTokens = lengths(x!.data, width, tokens, width, 1);
    const [gRows, eRows, gColumns, eColumns] = [rows(g), rows(error), columns(g), columns(error)];
    const grow = line.sum(words + 2);
    const growTokens = line.sum(tokens + 2);
    const dx = new Float64Array(tokens * width);
    for (let i = 0; i < tokens; i++) {
      for (let d = 0; d < width; d++)
        dx[i * width + d] = ofWords[d]! * (eRows[i]! * (1 + grow) + gRows[i]! * grow) + words * minNormal;
    }
    const dw = new Float64Array(words * width);
    for (let j = 0; j < words; j++) {
      for (let d = 0; d < width; d++)
        dw[j * width + d] =
          ofTokens[d]! * (eColumns[j]! * (1 + growTokens) + gColumns[j]! * growTokens) + tokens * minNormal;
    }
    const dBias = new Float64Array(words);
    for (let i = 0; i < tokens; i++) {
      for (let j = 0; j < words; j++) {
        const at = i * words + j;
        dBias[j]! += error[at]! * (1 + growTokens) + Math.abs(g[at]!) * growTokens + minNormal;
      }
    }
    return { dx, dw, dBias };
  });
  const bound = (name: 'dx' | 'dw' | 'dBias'): Bound => ({
    fail: lines[0]![name],
    suspect: lines[1]![name],
    why: gradientWhy,
  });
  return Object.fromEntries(
    Object.keys(want).map((name) => [
      name,
      compareBound(want[name]!, got[name]!, bound(name as 'dx' | 'dw' | 'dBias')),
    ]),
  );
};

/** Those of the named tensors that are there. */
function pick(inputs: Inputs, ...names: string[]): Record<string, Tensor> {
  const found: Record<string, Tensor> = {};
  for (const name of names) if (inputs[name] !== undefined) found[name] = inputs[name];
  return found;
}
