import { type Tensor, tensor } from '../core/tensor.ts';
import { inclusionLoss } from '../ref/inclusionLoss.ts';
import { type Case, noiseArray } from './case.ts';

type Inputs = Record<string, Tensor>;

/** Rows of candidates with ties, masked ones and targets near the threshold of k. */
function rows(count: number, n: number, seed: number, perturbed: boolean): Inputs {
  const scores = noiseArray(count * n, seed).map((v, i) =>
    i % 17 === 3 ? -Infinity : Math.round(40 * v) / 8,
  );
  const noise = noiseArray(count * n, seed + 1).map((v) => Math.round(16 * v) / 8);
  return {
    scores: tensor([count, n], scores),
    targets: tensor(
      [count],
      Int32Array.from({ length: count }, (_, i) => (i % 5 === 4 ? -1 : (i * 31) % n)),
    ),
    ...(perturbed
      ? {
          perturbed: tensor(
            [count, n],
            scores.map((v, i) => v + noise[i]!),
          ),
        }
      : {}),
  };
}

/** Relaxed inclusions lie in [0, 1]. */
const soft = (given: Inputs): Inputs => ({
  ...given,
  scores: tensor(
    given.scores!.shape,
    (given.scores!.data as Float32Array).map((v) => 1 / (1 + Math.exp(-v))),
  ),
});

function saved(given: Inputs, options: Readonly<Record<string, unknown>>): Inputs {
  const { scores, targets, ...rest } = given;
  const { count, threshold, rival } = inclusionLoss(scores!, targets!, options.k as number, {
    ...options,
    ...rest,
  });
  return { ...given, dLoss: tensor([], [0.6]), count, threshold, rival };
}

const forms = (['nll', 'soft', 'hinge', 'forced'] as const).flatMap((form): Case[] => {
  const options = { k: 7, form, ...(form === 'hinge' ? { margin: 2 } : {}) };
  const inputs = (): Inputs =>
    form === 'soft' ? soft(rows(23, 31, 1, true)) : rows(23, 31, 1, form !== 'hinge');
  return [
    { op: 'inclusionLoss', label: form, shape: '[23, 31], k 7', inputs, options },
    {
      op: 'inclusionLossBackward',
      label: form,
      shape: '[23, 31], k 7',
      inputs: () => saved(inputs(), options),
      options,
    },
  ];
});

export const cases: readonly Case[] = [
  {
    op: 'inclusionLoss',
    label: '8,192 of 16,384 candidates',
    shape: '[8, 16384], k 8192',
    inputs: () => rows(8, 16_384, 3, true),
    options: { k: 8192 },
    bytes: 8 * 16_384 * 4,
  },
  ...forms,
  {
    op: 'inclusionLossBackward',
    label: 'a constant threshold, scores alone',
    shape: '[9, 20], k 3',
    inputs: () => saved(rows(9, 20, 5, false), { k: 3 }),
    options: { k: 3, stopThreshold: true },
  },
  {
    op: 'inclusionLossBackward',
    label: 'nll of the scores alone',
    shape: '[9, 20], k 3',
    inputs: () => saved(rows(9, 20, 5, false), { k: 3 }),
    options: { k: 3 },
  },
  {
    op: 'inclusionLoss',
    label: 'more are selected than there are',
    shape: '[5, 6], k 6',
    inputs: () => rows(5, 6, 7, false),
    options: { k: 6 },
  },
];
