import { failure, gamma, minNormal, pass, unitWgsl, type Verdict } from '../bounds.ts';
import type { Judge } from './judge.ts';
import { checkSelection } from './selection.ts';

/**
 * Both rows are scaled to length 1 (gamma_D / 2 from the sum of squares, a root and a product), then multiplied (gamma_D). So a
 * cosine is off by at most (2 gamma_D + 30 ulp) sum |q||t| / (|q||t|); a swap of rows is legal inside of that.
 */
export const judgeCosineTopK: Judge = ({ inputs, want, got }) => {
  const { q, table } = inputs;
  const [queries = 0, width = 0] = q!.shape;
  const rows = table!.shape[0]!;
  const k = want.values!.shape[1]!;
  const verdicts: Verdict[] = [];
  const sameShape = got.values!.size === want.values!.size && got.indices!.size === want.indices!.size;
  if (!sameShape) return { values: failure('the shapes differ') };
  const length = (data: ArrayLike<number>, row: number): number => {
    let sum = 0;
    for (let d = 0; d < width; d++) sum += data[row * width + d]! ** 2;
    return sum >= 2 ** -100 ? Math.sqrt(sum) : Infinity;
  };
  const lengths = Array.from({ length: rows }, (_, n) => length(table!.data, n));
  for (let m = 0; m < queries && k > 0; m++) {
    const own = length(q!.data, m);
    const scores = new Float64Array(rows);
    const slack = new Float64Array(rows);
    for (let n = 0; n < rows; n++) {
      let sum = 0;
      let absolute = 0;
      for (let d = 0; d < width; d++) {
        const term = q!.data[m * width + d]! * table!.data[n * width + d]!;
        sum += term;
        absolute += Math.abs(term);
      }
      scores[n] = sum / own / lengths[n]!;
      slack[n] =
        (2 * gamma(width + 2) + 30 * unitWgsl) * (absolute / own / lengths[n]!) + (width + 4) * minNormal;
    }
    const selection = {
      ids: got.indices!.data.subarray(m * k, (m + 1) * k),
      scores: got.values!.data.subarray(m * k, (m + 1) * k),
      count: k,
    };
    const ids = Int32Array.from({ length: rows }, (_, n) => n);
    verdicts.push(checkSelection(selection, { ids, scores, slack }, k, true, `query ${m}: `));
  }
  const bad = verdicts.find((v) => v.verdict === 'FAIL');
  const worst = Math.max(0, ...verdicts.map((v) => v.worst));
  return {
    values: bad ?? pass(worst, 'cosines within their bounds; every swap is inside of the bounds of two'),
  };
};
