import { compareBound, compareExact, gamma, minNormal, unitWgsl } from '../bounds.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';

/** Sums of positive terms over the features and the tokens, a root, two divisions. */
export const judgeDriftLoss: Judge = ({ inputs, want, got }) => {
  const [rows = 0, width = 0] = inputs.x!.shape;
  const relative = (t: Tensor, n: number) => ({
    fail: Float64Array.of(gamma(n) * Math.abs(t.data[0]!) + rows * (width + 2) * minNormal),
    why: `gamma_${n} of the value`,
  });
  return {
    loss: compareBound(want.loss!, got.loss!, relative(want.loss!, 2 * (rows + width) + 24)),
    count: compareExact(want.count!, got.count!),
    norm: compareBound(want.norm!, got.norm!, relative(want.norm!, rows + width + 12)),
  };
};

/** A difference, a division and four products. */
export const judgeDriftLossBackward: Judge = ({ want, got }) => {
  const fail = Float64Array.from(want.dx!.data, (v) => 10 * unitWgsl * Math.abs(v) + 4 * minNormal);
  return { dx: compareBound(want.dx!, got.dx!, { fail, why: '10 units of the result' }) };
};
