import { compareBound, sumBound } from '../bounds.ts';
import type { Judge } from './judge.ts';

/** Each element of the table's gradient is a sum of the m gradients of the tokens that name its row. */
export const judgeEmbeddingBackward: Judge = ({ inputs, want, got, independent = false }) => {
  const { dy, ids, table } = inputs;
  const width = table!.shape[1]!;
  const sums = new Float64Array(table!.size);
  const terms = new Float64Array(table!.size);
  for (let t = 0; t < ids!.size; t++) {
    for (let d = 0; d < width; d++) {
      sums[ids!.data[t]! * width + d]! += Math.abs(dy!.data[t * width + d]!);
      terms[ids!.data[t]! * width + d]! += 1;
    }
  }
  const bound = sumBound(sums, terms, 'gamma_m(2^-23) * sum |dy| over the m tokens that name the row');
  return { dTable: compareBound(want.dTable!, got.dTable!, { ...bound, statistics: independent }) };
};
