import { type Bound, compareBound, gamma, minNormal, unitNearest, unitWgsl } from '../bounds.ts';
import { planSoftmax, planSoftmaxBackward, type SoftmaxPlan } from '../ops/softmax.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';

/**
 * Error bound of softmax, relative to each probability. With d = x - max: the difference is rounded, which changes the
 * exponential by |d| units, and exp itself is good to 3 + 2 |d| ulp. The sum has N positive terms, each with such an
 * error, so its own is their weighted mean and gamma_N. The division costs up to 2.5 ulp, as a reciprocal one rounding more.
 */
export function softmaxBound(x: Tensor, y: Tensor, options: { axis?: number } = {}): Bound {
  const plan = planSoftmax(x, options);
  const fail = new Float64Array(x.size);
  const suspect = new Float64Array(x.size);
  forRows(plan, (at) => {
    let max = -Infinity;
    for (let j = 0; j < plan.length; j++) max = Math.max(max, x.data[at(j)]!);
    // Of what is masked or vanishes only the flushing counts.
    const error = (j: number): number => {
      const d = max - x.data[at(j)]!;
      return d < 110 ? (3 + 3 * d) * unitWgsl * (1 + 1e-4) : 0;
    };
    let mean = 0;
    for (let j = 0; j < plan.length; j++) mean += y.data[at(j)]! * error(j);
    for (let j = 0; j < plan.length; j++) {
      const p = y.data[at(j)]!;
      const own = (error(j) + mean + 4 * unitWgsl) * (1 + 1e-4);
      const n = plan.length + 2;
      const flushed = minNormal * (1 + n * p);
      fail[at(j)] = p * (own + gamma(n)) + flushed;
      suspect[at(j)] = p * (own + Math.min((6 * Math.sqrt(n) + 1) * unitNearest, gamma(n))) + flushed;
    }
  });
  return {
    fail,
    suspect,
    why: 'y * ((3 + 3 |x - max|) ulp of exp, its mean over the row, gamma_N, a division)',
  };
}

/** Error bound of softmaxBackward: a sum of N products, a difference and a product. */
export function softmaxBackwardBound(dy: Tensor, y: Tensor, options: { axis?: number } = {}): Bound {
  const plan = planSoftmaxBackward(dy, y, options);
  const fail = new Float64Array(dy.size);
  const suspect = new Float64Array(dy.size);
  const n = plan.length + 1;
  forRows(plan, (at) => {
    let sum = 0;
    for (let j = 0; j < plan.length; j++) sum += Math.abs(dy.data[at(j)]! * y.data[at(j)]!);
    for (let j = 0; j < plan.length; j++) {
      const p = Math.abs(y.data[at(j)]!);
      const rest = Math.abs(dy.data[at(j)]!) + sum;
      const flushed = minNormal * (2 + rest + n * p);
      fail[at(j)] = p * (gamma(n) * sum + gamma(4) * rest) + flushed;
      const line = Math.min((6 * Math.sqrt(n) + 1) * unitNearest, gamma(n));
      suspect[at(j)] = p * (line * sum + gamma(4, unitNearest) * rest) + flushed;
    }
  });
  return { fail, suspect, why: '|y| (gamma_N * sum |dy y| + gamma_4 (|dy| + sum |dy y|))' };
}

/** Call the body once per row with the place of its j-th element. */
function forRows({ outer, length, inner }: SoftmaxPlan, body: (at: (j: number) => number) => void): void {
  for (let row = 0; row < outer * inner; row++) {
    const first = Math.floor(row / inner) * length * inner + (row % inner);
    body((j) => first + j * inner);
  }
}

// No test for bias: the errors of a row share those of its sum, and exp has a bias of its own.
export const judgeSoftmax: Judge = ({ inputs, options, want, got }) => {
  const bound = softmaxBound(inputs.x!, want.y!, options);
  return { y: compareBound(want.y!, got.y!, bound) };
};

export const judgeSoftmaxBackward: Judge = ({ inputs, options, want, got }) => {
  const bound = softmaxBackwardBound(inputs.dy!, inputs.y!, options);
  return { dx: compareBound(want.dx!, got.dx!, bound) };
};
