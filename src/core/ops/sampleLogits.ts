import { ArgumentError, ShapeError } from '../errors.ts';
import { type Key, requireKey } from '../key.ts';
import { type AnyTensor, type Outputs, requireDType, requireInteger, type Shape, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface SampleLogitsOptions {
  /** Two u32 words; use a key once. Needed unless the temperature is 0. */
  readonly key?: Key;
  /** Divides the logits, 0 takes the largest. @defaultValue 1 */
  readonly temperature?: number;
  /** Only the k largest logits take part. @defaultValue all */
  readonly topK?: number;
  /** Of these, only the smallest set of largest probabilities that reaches this sum takes part. @defaultValue 1, all */
  readonly topP?: number;
}

export interface SampleLogitsOps<T extends AnyTensor> {
  /** Draw one word per row of logits. */
  sampleLogits(logits: T, options?: SampleLogitsOptions): Outputs<{ ids: T; logProbs: T }>;
}

export const sampleLogitsContract: Contract = {
  name: 'sampleLogits',
  summary: 'Draw one word per row of logits: temperature, top-k, top-p, or the largest.',
  formula:
    'ids = argmax over the words that take part of logits[j] / temperature + gumbelNoise(key, shape)[j]; logProbs = logits[id] - log sum exp logits',
  params: ['logits'],
  inputs: [
    {
      name: 'logits',
      dtypes: ['f32', 'f64'],
      shape: '[..., V]',
      about: 'the scores of all words; -Infinity excludes a word',
      refuses: ['NaN', 'Infinity'],
    },
  ],
  options: [
    { name: 'key', type: 'key', about: 'two u32 words, used once; needed unless temperature is 0' },
    {
      name: 'temperature',
      type: 'number',
      default: 1,
      about: 'divides the logits, from 0.001 to 1000; 0 takes the largest logit, the first of equal ones',
    },
    { name: 'topK', type: 'integer', about: 'only the k largest logits take part, >= 1; absent: all' },
    {
      name: 'topP',
      type: 'number',
      default: 1,
      about: 'then only the fewest largest probabilities whose sum reaches topP of the rest, in (0, 1]',
    },
  ],
  outputs: [
    { name: 'ids', dtypes: ['i32'], shape: 'logits without the last axis', about: 'the words' },
    {
      name: 'logProbs',
      dtypes: ['f32', 'f64'],
      shape: 'logits without the last axis',
      about: 'log-probability of the word under the plain softmax of logits, whatever the options',
    },
  ],
  accuracy:
    'the noise is exact; another word only where two perturbed scores, or a sum of probabilities and topP, are closer than their rounding; temperature 0 is exact',
  edge: 'equal logits: the lower index is larger, for topK, topP and temperature 0; topP keeps at least one word; a topK above V keeps all; a row with NaN or +Infinity, or without any word, is an error of the reference, and id -1 with log-probability NaN on the GPU',
  source:
    'Gumbel (1954) and Maddison et al. (2014) for the maximum; Holtzman et al. (2020) for topP; Fan et al. (2018) for topK',
};

/** Sizes of a sampleLogits call. */
export interface SampleLogitsPlan {
  readonly rows: number;
  readonly words: number;
  readonly shape: Shape;
  readonly temperature: number;
  /** undefined: no limit. */
  readonly topK: number | undefined;
  /** undefined: no limit. */
  readonly topP: number | undefined;
}

/** Check a sampleLogits call and work out its sizes. @throws ShapeError, DTypeError, ArgumentError */
export function planSampleLogits<T extends AnyTensor>(
  logits: T,
  options: SampleLogitsOptions = {},
): SampleLogitsPlan {
  const op = 'sampleLogits';
  requireDType(op, 'logits', logits, ['f32', 'f64']);
  const words = logits.shape.at(-1);
  if (words === undefined || words === 0)
    throw new ShapeError(
      op,
      `logits has shape ${show(logits.shape)}; its last axis must hold at least one word`,
    );
  const { key, temperature = 1, topK, topP = 1 } = options;
  if (!(temperature === 0 || (temperature >= 1e-3 && temperature <= 1e3)))
    throw new ArgumentError(op, `temperature is ${temperature}; it must be 0, or from 0.001 to 1000`);
  if (key !== undefined) requireKey(op, key);
  else if (temperature !== 0)
    throw new ArgumentError(op, 'there is no key; give one made by key(seed), or temperature 0');
  if (topK !== undefined) requireInteger(op, 'topK', topK, 1, 2 ** 31 - 1);
  if (!(topP > 0 && topP <= 1))
    throw new ArgumentError(op, `topP is ${topP}; it must be above 0 and at most 1`);
  return {
    rows: logits.size / words,
    words,
    shape: logits.shape.slice(0, -1),
    temperature,
    topK: topK === undefined || topK >= words ? undefined : topK,
    topP: topP === 1 ? undefined : topP,
  };
}
