import { compareBound, gamma, minNormal, unitWgsl } from '../bounds.ts';
import type { Judge } from './judge.ts';

/** A sum of N D positive terms, each good to four roundings. */
export const judgeIdentityLoss: Judge = ({ inputs, want, got }) => {
  const [rows = 0, width = 0] = inputs.x!.shape;
  const n = rows + width + 8;
  const fail = Float64Array.of(gamma(n) * Math.abs(want.loss!.data[0]!) + rows * (width + 2) * minNormal);
  return { loss: compareBound(want.loss!, got.loss!, { fail, why: 'gamma_(N + D + 8) * loss' }) };
};

/** A difference and three products. */
export const judgeIdentityLossBackward: Judge = ({ want, got }) => {
  const fail = Float64Array.from(want.dx!.data, (v) => 7 * unitWgsl * Math.abs(v) + 4 * minNormal);
  return { dx: compareBound(want.dx!, got.dx!, { fail, why: '7 units of the result' }) };
};
