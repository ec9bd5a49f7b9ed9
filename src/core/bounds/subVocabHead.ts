import { compareBound, sumBound } from '../bounds.ts';
import { planSubVocabHead, type SubVocabHeadPlan } from '../ops/subVocabHead.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';
import { flushing } from './matmul.ts';

/** Call the body for every token and word that is there. */
function forPairs(
  { rows, tokens, k }: SubVocabHeadPlan,
  words: Tensor,
  body: (token: number, word: number, at: number) => void,
): void {
  for (let i = 0; i < rows * tokens; i++) {
    for (let j = 0; j < k; j++) {
      const word = words.data[Math.floor(i / tokens) * k + j]!;
      if (word >= 0) body(i, word, i * k + j);
    }
  }
}

/** A logit is a sum of D products. */
export const judgeSubVocabHead: Judge = ({ inputs, options, want, got, independent = false }) => {
  const { x, table, words } = inputs as Record<string, Tensor>;
  const plan = planSubVocabHead(x!, table!, words!, options);
  const { width } = plan;
  const absolute = new Float64Array(want.logits!.size);
  forPairs(plan, words!, (i, word, at) => {
    for (let d = 0; d < width; d++)
      absolute[at]! += Math.abs(x!.data[i * width + d]! * table!.data[word * width + d]!);
  });
  const bound = flushing(sumBound(absolute, width, 'gamma_D(2^-23) * sum |x||table|'), width, x!, table!);
  return { logits: compareBound(want.logits!, got.logits!, { ...bound, statistics: independent }) };
};

/** dx: a sum over the words. dTable: one over the tokens of each row, added up over rows that share a word. */
export const judgeSubVocabHeadBackward: Judge = ({ inputs, options, want, got, independent = false }) => {
  const { dLogits, x, table, words } = inputs as Record<string, Tensor>;
  const plan = planSubVocabHead(x!, table!, words!, options);
  const { width } = plan;
  const ofX = new Float64Array(x!.size);
  const ofTable = new Float64Array(table!.size);
  const terms = new Float64Array(table!.size);
  forPairs(plan, words!, (i, word, at) => {
    const g = Math.abs(dLogits!.data[at]!);
    for (let d = 0; d < width; d++) {
      ofX[i * width + d]! += g * Math.abs(table!.data[word * width + d]!);
      ofTable[word * width + d]! += g * Math.abs(x!.data[i * width + d]!);
      terms[word * width + d]! += 1;
    }
  });
  const chunks = Math.ceil(plan.k / plan.chunk);
  const compare = (
    name: 'dx' | 'dTable',
    absolute: Float64Array,
    n: number | Float64Array,
    most: number,
    factor: Tensor,
  ) => {
    const sums = sumBound(absolute, n, 'gamma_n(2^-23) * the sum of the sizes of its n terms');
    const bound = flushing(sums, most, dLogits!, factor);
    return compareBound(want[name]!, got[name]!, { ...bound, statistics: independent });
  };
  return {
    dx: compare('dx', ofX, plan.k + chunks, plan.k, table!),
    dTable: compare(
      'dTable',
      ofTable,
      terms.map((n) => n + plan.rows + chunks),
      terms.reduce((most, n) => Math.max(most, n), 0),
      x!,
    ),
  };
};
