import { type Tensor, tensor } from '../core/tensor.ts';
import { sampledCrossEntropy } from '../ref/sampledCrossEntropy.ts';
import { type Case, noiseArray } from './case.ts';
import { oddInputs, subVocabInputs } from './subVocabHead.ts';

type Inputs = Record<string, Tensor>;

/** Every third target is a word of the row, every seventh is ignored, the others may be anything. */
export function withTargets(given: Inputs): Inputs {
  const { x, table, words } = given;
  const [rows = 1, tokens = 1] = x!.shape;
  const [k, n] = [words!.shape[1]!, table!.shape[0]!];
  const targets = Int32Array.from({ length: rows * tokens }, (_, i) => {
    const inside = words!.data[Math.floor(i / tokens) * k + ((i * 37) % k)]!;
    if (i % 7 === 6) return -100;
    return i % 3 === 0 && inside >= 0 ? inside : (i * 7919) % n;
  });
  return { ...given, targets: tensor([rows, tokens], targets) };
}

/** Log-inclusion probabilities and gates. */
function corrected(given: Inputs): Inputs {
  const { shape, size } = given.words!;
  return {
    ...given,
    logInclusion: tensor(
      shape,
      noiseArray(size, 31).map((v) => 3 * (v - 1)),
    ),
    gates: tensor(
      shape,
      noiseArray(size, 32).map((v, i) => (i % 3 === 0 ? 1 : i % 13 === 4 ? 0 : 0.5 + 0.49 * v)),
    ),
  };
}

/** What the backward needs from the forward. */
function saved(inputs: Inputs, options: Case['options'] = {}): Inputs {
  const { x, table, words, targets, ...rest } = inputs;
  const { lse, count } = sampledCrossEntropy(x!, table!, words!, targets!, { ...options, ...rest });
  return { ...inputs, lse, count, dLoss: tensor([], [0.7]) };
}

const odd = (): Inputs => corrected(withTargets(oddInputs()));
const tf = (): Inputs => {
  const made = withTargets(oddInputs());
  const inclusion = noiseArray(21, 33).map((v) => 2 * (v - 1));
  return {
    ...made,
    targetLogInclusion: tensor([3, 7], inclusion),
    logInclusion: corrected(made).logInclusion!,
  };
};
const chunked = { chunk: 64 };
const tfOptions = { chunk: 64, correction: 'tf' } as const;
const oddShape = '[3, 7, 13] x [3, 150] of [301, 13]';

export const cases: readonly Case[] = [
  {
    op: 'sampledCrossEntropy',
    label: 'a document, 8,192 of 20,000 words',
    shape: '[1, 49, 64] x [1, 8192] of [20000, 64]',
    inputs: () => withTargets(subVocabInputs(1, 49, 64, 8192, 20_000, 1)),
    flops: 2 * 49 * 64 * 8193,
  },
  {
    op: 'sampledCrossEntropyBackward',
    label: 'a document, 2,048 of 20,000 words',
    shape: '[1, 49, 64] x [1, 2048] of [20000, 64]',
    inputs: () => saved(withTargets(subVocabInputs(1, 49, 64, 2048, 20_000, 3))),
    flops: 6 * 49 * 64 * 2049,
  },
  {
    op: 'sampledCrossEntropy',
    label: 'odd sizes, several chunks, inclusion and gates',
    shape: oddShape,
    inputs: odd,
    options: chunked,
  },
  {
    op: 'sampledCrossEntropyBackward',
    label: 'odd sizes, several chunks, inclusion and gates',
    shape: oddShape,
    inputs: () => saved(odd(), chunked),
    options: chunked,
  },
  {
    op: 'sampledCrossEntropy',
    label: 'both corrected (tf)',
    shape: oddShape,
    inputs: tf,
    options: tfOptions,
  },
  {
    op: 'sampledCrossEntropyBackward',
    label: 'both corrected (tf)',
    shape: oddShape,
    inputs: () => saved(tf(), tfOptions),
    options: tfOptions,
  },
];
