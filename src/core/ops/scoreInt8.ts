import { ShapeError } from '../errors.ts';
import { type AnyTensor, requireDType, requireShape, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface ScoreInt8Ops<T extends AnyTensor> {
  /** Inner products of rows of bytes, packed four per word, times a scale per row. */
  scoreInt8(queries: T, queryScales: T, codes: T, scales: T): T;
}

/** Most words per row: 4 * 256 products of at most 2^14 make at most 2^24, which f32 holds exactly. */
const mostWords = 256;

export const scoreInt8Contract: Contract = {
  name: 'scoreInt8',
  summary: 'Inner products of rows of bytes, packed four per word, times a scale per row.',
  formula:
    'scores[q, i] = (sum over j of queries[q, j] * codes[i, j]) * scales[i] * queryScales[q], the sum in integers',
  params: ['queries', 'queryScales', 'codes', 'scales'],
  inputs: [
    {
      name: 'queries',
      dtypes: ['u32'],
      shape: '[q, w]',
      about: 'element 4 v + b is byte b of word v, signed',
    },
    { name: 'queryScales', dtypes: ['f32'], shape: '[q]', about: 'what a query is multiplied with' },
    { name: 'codes', dtypes: ['u32'], shape: '[n, w]', about: 'the words, packed like the queries' },
    { name: 'scales', dtypes: ['f32'], shape: '[n]', about: 'what a row is multiplied with' },
  ],
  options: [],
  outputs: [{ name: 'scores', dtypes: ['f32'], shape: '[q, n]', about: 'higher is better' }],
  accuracy: 'the sum is exact; two products are rounded: gamma_2 |score|',
  edge: '-128 is a byte like any other; w = 0 gives zeros; at most 256 words, 1,024 elements',
  source: 'scalar quantisation with a scale per vector, as in FAISS QT_8bit and LanceDB SQ',
};

/** Sizes of a call. */
export interface ScoreInt8Plan {
  readonly queries: number;
  readonly n: number;
  readonly words: number;
}

/** Check a scoreInt8 call and work out its sizes. @throws DTypeError, ShapeError */
export function planScoreInt8(
  queries: AnyTensor,
  queryScales: AnyTensor,
  codes: AnyTensor,
  scales: AnyTensor,
): ScoreInt8Plan {
  const op = 'scoreInt8';
  requireDType(op, 'queries', queries, ['u32']);
  requireDType(op, 'queryScales', queryScales, ['f32']);
  requireDType(op, 'codes', codes, ['u32']);
  requireDType(op, 'scales', scales, ['f32']);
  for (const [name, t] of Object.entries({ queries, codes })) {
    if (t.shape.length !== 2)
      throw new ShapeError(op, `${name} has shape ${show(t.shape)}; it must be rows of packed words`);
  }
  const [count = 0, words = 0] = queries.shape;
  const [n = 0] = codes.shape;
  requireShape(op, 'codes', codes, [n, words]);
  requireShape(op, 'queryScales', queryScales, [count]);
  requireShape(op, 'scales', scales, [n]);
  if (words > mostWords)
    throw new ShapeError(op, `a row has ${words} words; at most ${mostWords} keep the sum exact in f32`);
  return { queries: count, n, words };
}
