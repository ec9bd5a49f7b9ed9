import { compareBound, sumBound } from '../bounds.ts';
import { planMixHeads } from '../ops/mixHeads.ts';
import type { Tensor } from '../tensor.ts';
import { flushing, lostProduct } from './flushing.ts';
import type { Judge } from './judge.ts';

/** Sums over heads of the absolute products, and what flushing loses of them. */
function absoluteMix(
  x: Tensor,
  weight: Tensor,
  transposed: boolean,
): { sums: Float64Array; lost: Float64Array } {
  const { rows, heads, channels } = planMixHeads(x, weight);
  const sums = new Float64Array(x.size);
  const lost = new Float64Array(x.size);
  for (let r = 0; r < rows; r++) {
    for (let h = 0; h < heads; h++) {
      for (let g = 0; g < heads; g++) {
        const w = weight.data[transposed ? g * heads + h : h * heads + g]!;
        for (let c = 0; c < channels; c++) {
          const v = x.data[(r * heads + g) * channels + c]!;
          const to = (r * heads + h) * channels + c;
          sums[to]! += Math.abs(w * v);
          lost[to]! += lostProduct(w, v);
        }
      }
    }
  }
  return { sums, lost };
}

/** A sum of H products. */
export const judgeMixHeads: Judge = ({ inputs, want, got, independent = false }) => {
  const { sums, lost } = absoluteMix(inputs.x!, inputs.weight!, false);
  const heads = inputs.weight!.shape[0]!;
  const bound = flushing(sumBound(sums, heads, 'gamma_(H+1)(2^-23) * sum |weight||x|'), lost);
  return { y: compareBound(want.y!, got.y!, { ...bound, statistics: independent }) };
};

/** dx: a sum of H products; dWeight: a sum over all positions and channels, in any order. */
export const judgeMixHeadsBackward: Judge = ({ inputs, want, got, independent = false }) => {
  const { dy, x, weight } = inputs as Record<'dy' | 'x' | 'weight', Tensor>;
  const { rows, heads, channels } = planMixHeads(x, weight);
  const ofX = absoluteMix(dy, weight, true);
  const dx = flushing(sumBound(ofX.sums, heads, 'gamma_(H+1)(2^-23) * sum |weight||dy|'), ofX.lost);
  const sums = new Float64Array(heads * heads);
  const lost = new Float64Array(heads * heads);
  for (let r = 0; r < rows; r++) {
    for (let h = 0; h < heads; h++) {
      for (let g = 0; g < heads; g++) {
        for (let c = 0; c < channels; c++) {
          const [d, v] = [dy.data[(r * heads + h) * channels + c]!, x.data[(r * heads + g) * channels + c]!];
          sums[h * heads + g]! += Math.abs(d * v);
          lost[h * heads + g]! += lostProduct(d, v);
        }
      }
    }
  }
  const why = 'gamma_n(2^-23) * sum |dy||x|, n positions and channels';
  const dWeight = flushing(sumBound(sums, rows * channels, why), lost);
  return {
    dx: compareBound(want.dx!, got.dx!, { ...dx, statistics: independent }),
    dWeight: compareBound(want.dWeight!, got.dWeight!, dWeight),
  };
};
