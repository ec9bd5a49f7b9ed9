import { key } from '../core/key.ts';
import { type Tensor, tensor } from '../core/tensor.ts';
import { gumbelNoise } from '../ref/gumbelNoise.ts';
import { gumbelTopK } from '../ref/gumbelTopK.ts';
import { type Case, noiseArray } from './case.ts';

const million = 1_000_000;
const k = 8192;

/** Logits of a sampler: spread over some natural units. */
function logitsOf(shape: readonly number[], seed: number): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    shape,
    noiseArray(size, seed).map((v) => 4 * v),
  );
}

/** Many ties, positions that take no part, values far apart, both zeros. */
function hardLogits(shape: readonly number[], seed: number): Tensor {
  const values = [0, -0, 1, 1, 1, -Infinity, 2, 30, -1e30, 2 ** -140, 1.5, -Infinity];
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    shape,
    noiseArray(size, seed).map((v) => values[Math.floor((v + 1) * 6)]!),
  );
}

function maskOf(shape: readonly number[], seed: number): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    shape,
    Uint32Array.from(noiseArray(size, seed), (v) => (v > -0.5 ? 1 : 0)),
  );
}

const relaxations = [
  'thresholdExp',
  'thresholdSigmoid',
  'thresholdLaplace',
  'exactK',
  'relaxedTopK',
] as const;

export const cases: readonly Case[] = [
  {
    op: 'gumbelTopK',
    label: 'the sub-vocabulary of the seed',
    shape: '[1000000], k = 8192',
    inputs: () => ({ logits: logitsOf([million], 1) }),
    options: { k, key: key(42) },
    // Logits once; indices, scores and weights of the selected.
    bytes: million * 4 + k * 12,
  },
  {
    op: 'gumbelTopK',
    label: 'a batch, with noise from a tensor',
    shape: '[32, 8460], k = 256',
    inputs: () => ({ logits: logitsOf([32, 8460], 2), noise: gumbelNoise(key(7), [32, 8460]) }),
    options: { k: 256 },
    bytes: 32 * 8460 * 8 + 32 * 256 * 12,
  },
  {
    op: 'gumbelTopK',
    label: 'ties, short rows, values far apart; a mask; the selection as zeros and ones',
    shape: '[5, 700], k = 430',
    inputs: () => {
      const noise = tensor([5, 700], noiseArray(3500, 4).map(Math.round));
      return { logits: hardLogits([5, 700], 3), noise, mask: maskOf([5, 700], 5) };
    },
    options: { k: 430, kHot: true },
  },
  {
    op: 'gumbelTopKBackward',
    label: 'the sub-vocabulary of the seed, gradient at the selected',
    shape: '[1000000], k = 8192',
    inputs: () => {
      const logits = logitsOf([million], 1);
      const { indices: positions } = gumbelTopK(logits, k, { key: key(42) });
      return { logits, positions, dKHot: tensor([k], noiseArray(k, 6)) };
    },
    options: { k, key: key(42) },
    bytes: million * 8 + k * 12,
  },
  ...relaxations.flatMap((relaxation): Case[] => {
    const options = { k: 24, key: key(9), relaxation, temperature: 0.7 };
    const inputs = () => ({ logits: hardLogits([4, 260], 8), mask: maskOf([4, 260], 9) });
    return [
      {
        op: 'gumbelTopKRelaxed',
        label: `${relaxation}: ties, short rows, values far apart`,
        shape: '[4, 260], k = 24',
        inputs,
        options,
      },
      {
        op: 'gumbelTopKBackward',
        label: `${relaxation}: the same`,
        shape: '[4, 260], k = 24',
        inputs: () => ({ ...inputs(), dKHot: tensor([4, 260], noiseArray(1040, 10)) }),
        options,
      },
    ];
  }),
];
