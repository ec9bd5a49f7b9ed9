import { type Bound, compareBound, gamma, minNormal, unitWgsl } from '../bounds.ts';
import { planSparsemax } from '../ops/sparsemax.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';

/**
 * Error bound of sparsemax, absolute. tau is a mean over the k entries of the support: its sum is off by gamma_k times their
 * distances to the maximum (each rounded once), the division by 2.5 ulp. An entry that rounding puts on the other side
 * of tau is within that error of it, and moves tau by no more: hence twice.
 */
export function sparsemaxBound(x: Tensor, y: Tensor): Bound {
  const { rows, length } = planSparsemax(x);
  const fail = new Float64Array(x.size);
  for (let row = 0; row < rows; row++) {
    let top = -Infinity;
    for (let j = 0; j < length; j++) top = Math.max(top, x.data[row * length + j]!);
    let size = 0;
    let distance = 0;
    for (let j = row * length; j < (row + 1) * length; j++) {
      if (!(y.data[j]! > 0)) continue;
      size++;
      distance += top - x.data[j]!;
    }
    const tau = (distance + 1) / Math.max(size, 1);
    const error =
      2 * (gamma(size + 2) * (distance / Math.max(size, 1)) + 8 * unitWgsl * (tau + 1 / Math.max(size, 1)));
    for (let j = row * length; j < (row + 1) * length; j++) {
      const far = Math.min(top - x.data[j]!, 2);
      // Beyond 1 below the maximum no evaluation gives anything but 0.
      fail[j] = far > 1.001 ? 0 : error + 3 * unitWgsl * (far + y.data[j]!) + 4 * minNormal;
    }
  }
  return { fail, why: '2 (gamma_k * mean distance to the maximum + 8 ulp of tau) + 3 ulp of the entry' };
}

/** Error bound of sparsemaxBackward: a mean and a difference. */
export function sparsemaxBackwardBound(dy: Tensor, y: Tensor): Bound {
  const { rows, length } = planSparsemax(y);
  const fail = new Float64Array(dy.size);
  for (let row = 0; row < rows; row++) {
    let size = 0;
    let sum = 0;
    for (let j = row * length; j < (row + 1) * length; j++) {
      if (!(y.data[j]! > 0)) continue;
      size++;
      sum += Math.abs(dy.data[j]!);
    }
    for (let j = row * length; j < (row + 1) * length; j++) {
      if (!(y.data[j]! > 0)) continue;
      fail[j] =
        (gamma(size + 6) * sum) / size + 2 * unitWgsl * (Math.abs(dy.data[j]!) + sum / size) + 4 * minNormal;
    }
  }
  return { fail, why: 'gamma_k * mean |dy| of the support, and two roundings' };
}

// No test for bias: a row shares the error of its tau.
export const judgeSparsemax: Judge = ({ inputs, want, got }) => ({
  y: compareBound(want.y!, got.y!, sparsemaxBound(inputs.x!, want.y!)),
});

export const judgeSparsemaxBackward: Judge = ({ inputs, want, got }) => ({
  dx: compareBound(want.dx!, got.dx!, sparsemaxBackwardBound(inputs.dy!, inputs.y!)),
});
