import { compareBound, sumBound } from '../bounds.ts';
import { planSubVocabHead, type SubVocabHeadPlan } from '../ops/subVocabHead.ts';
import type { Tensor } from '../tensor.ts';
import { flushing, lostProduct } from './flushing.ts';
import type { Judge } from './judge.ts';

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
  const lost = new Float64Array(absolute.length);
  forPairs(plan, words!, (i, word, at) => {
    for (let d = 0; d < width; d++) {
      const [v, w] = [x!.data[i * width + d]!, table!.data[word * width + d]!];
      absolute[at]! += Math.abs(v * w);
      lost[at]! += lostProduct(v, w);
    }
  });
  const bound = flushing(sumBound(absolute, width, 'gamma_D(2^-23) * sum |x||table|'), lost);
  return { logits: compareBound(want.logits!, got.logits!, { ...bound, statistics: independent }) };
};

/** dx: a sum over the words. dTable: one over the tokens of each row, added up over rows that share a word. */
export const judgeSubVocabHeadBackward: Judge = ({ inputs, options, want, got, independent = false }) => {
  const { dLogits, x, table, words } = inputs as Record<string, Tensor>;
  const plan = planSubVocabHead(x!, table!, words!, options);
  const { width } = plan;
  const [ofX, lostOfX] = [new Float64Array(x!.size), new Float64Array(x!.size)];
  const [ofTable, lostOfTable] = [new Float64Array(table!.size), new Float64Array(table!.size)];
  const terms = new Float64Array(table!.size);
  forPairs(plan, words!, (i, word, at) => {
    const g = dLogits!.data[at]!;
    for (let d = 0; d < width; d++) {
      const [ofToken, ofWord] = [i * width + d, word * width + d];
      const [v, w] = [x!.data[ofToken]!, table!.data[ofWord]!];
      ofX[ofToken]! += Math.abs(g * w);
      lostOfX[ofToken]! += lostProduct(g, w);
      ofTable[ofWord]! += Math.abs(g * v);
      lostOfTable[ofWord]! += lostProduct(g, v);
      terms[ofWord]! += 1;
    }
  });
  const chunks = Math.ceil(plan.k / plan.chunk);
  const compare = (name: 'dx' | 'dTable', of: Float64Array, lost: Float64Array, n: number | Float64Array) => {
    const bound = flushing(sumBound(of, n, 'gamma_n(2^-23) * the sum of the sizes of its n terms'), lost);
    return compareBound(want[name]!, got[name]!, { ...bound, statistics: independent });
  };
  return {
    dx: compare('dx', ofX, lostOfX, plan.k + chunks),
    dTable: compare(
      'dTable',
      ofTable,
      lostOfTable,
      terms.map((n) => n + plan.rows + chunks),
    ),
  };
};
