import { type Bound, compareBound, sumBound } from '../bounds.ts';
import { planCummaxBackward } from '../ops/cummax.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';

/**
 * Error bounds of cummaxBackward: each output is a sum of m gradients in some order, so it is within
 * gamma_m * sum |dValues| of the exact sum. m and the sum of absolute values are counted here, per run of indices.
 */
export function cummaxBackwardBound(
  dValues: Tensor,
  indices: Tensor,
  options: { axis?: number; dCarryOut?: Tensor } = {},
): { dx: Bound; dCarryIn: Bound } {
  const { outer, length, inner } = planCummaxBackward(dValues, indices, options);
  const sums = new Float64Array(dValues.size);
  const terms = new Float64Array(dValues.size);
  const carrySums = new Float64Array(outer * inner);
  const carryTerms = new Float64Array(outer * inner);
  for (let row = 0; row < outer * inner; row++) {
    const base = Math.floor(row / inner) * length * inner + (row % inner);
    const add = (owner: number, gradient: number): void => {
      if (owner >= 0) {
        sums[base + owner * inner]! += Math.abs(gradient);
        terms[base + owner * inner]! += 1;
      } else {
        carrySums[row]! += Math.abs(gradient);
        carryTerms[row]! += 1;
      }
    };
    for (let t = 0; t < length; t++) add(indices.data[base + t * inner]!, dValues.data[base + t * inner]!);
    const last = length > 0 ? indices.data[base + (length - 1) * inner]! : -1;
    if (options.dCarryOut !== undefined) add(last, options.dCarryOut.data[row]!);
  }
  const why = 'gamma_m(2^-23) * sum |dValues| over the m positions that the maximum owns';
  return { dx: sumBound(sums, terms, why), dCarryIn: sumBound(carrySums, carryTerms, why) };
}

export const judgeCummaxBackward: Judge = ({ inputs, options, want, got, independent = false }) => {
  const bounds = cummaxBackwardBound(inputs.dValues!, inputs.indices!, { ...options, ...inputs });
  return {
    dx: compareBound(want.dx!, got.dx!, { ...bounds.dx, statistics: independent }),
    dCarryIn: compareBound(want.dCarryIn!, got.dCarryIn!, { ...bounds.dCarryIn, statistics: independent }),
  };
};
