import { compareBound, sumBound } from '../bounds.ts';
import { planMixHeads } from '../ops/mixHeads.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';
import { flushing } from './matmul.ts';

/** Sums over heads of the absolute products. */
function absoluteMix(x: Tensor, weight: Tensor, transposed: boolean): Float64Array {
  const { rows, heads, channels } = planMixHeads(x, weight);
  const out = new Float64Array(x.size);
  for (let r = 0; r < rows; r++) {
    for (let h = 0; h < heads; h++) {
      for (let g = 0; g < heads; g++) {
        const w = Math.abs(weight.data[transposed ? g * heads + h : h * heads + g]!);
        for (let c = 0; c < channels; c++) {
          out[(r * heads + h) * channels + c]! += w * Math.abs(x.data[(r * heads + g) * channels + c]!);
        }
      }
    }
  }
  return out;
}

/** A sum of H products. */
export const judgeMixHeads: Judge = ({ inputs, want, got, independent = false }) => {
  const heads = inputs.weight!.shape[0]!;
  const bound = flushing(
    sumBound(absoluteMix(inputs.x!, inputs.weight!, false), heads, 'gamma_(H+1)(2^-23) * sum |weight||x|'),
    heads,
    inputs.x!,
    inputs.weight!,
  );
  return { y: compareBound(want.y!, got.y!, { ...bound, statistics: independent }) };
};

/** dx: a sum of H products; dWeight: a sum over all positions and channels, in any order. */
export const judgeMixHeadsBackward: Judge = ({ inputs, want, got, independent = false }) => {
  const { dy, x, weight } = inputs as Record<'dy' | 'x' | 'weight', Tensor>;
  const { rows, heads, channels } = planMixHeads(x, weight);
  const dx = flushing(
    sumBound(absoluteMix(dy, weight, true), heads, 'gamma_(H+1)(2^-23) * sum |weight||dy|'),
    heads,
    dy,
    weight,
  );
  const sums = new Float64Array(heads * heads);
  for (let r = 0; r < rows; r++) {
    for (let h = 0; h < heads; h++) {
      for (let g = 0; g < heads; g++) {
        for (let c = 0; c < channels; c++) {
          sums[h * heads + g]! += Math.abs(
            dy.data[(r * heads + h) * channels + c]! * x.data[(r * heads + g) * channels + c]!,
          );
        }
      }
    }
  }
  const n = rows * channels;
  const why = 'gamma_n(2^-23) * sum |dy||x|, n positions and channels';
  const dWeight = flushing(sumBound(sums, n, why), n, dy, x);
  return {
    dx: compareBound(want.dx!, got.dx!, { ...dx, statistics: independent }),
    dWeight: compareBound(want.dWeight!, got.dWeight!, dWeight),
  };
};
