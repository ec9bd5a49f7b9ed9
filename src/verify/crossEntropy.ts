import { type Tensor, tensor } from '../core/tensor.ts';
import { crossEntropy, crossEntropyLogits } from '../ref/crossEntropy.ts';
import { type Case, noiseArray } from './case.ts';

const width = 512;
const vocabulary = 8460;
/** A third of a document of the seed's batch: whole ones would take software drivers too long. */
const tokens = 16;
/** The seed's loss leaves out this word. */
const options = { ignoreIndex: 3 };

function targets(shape: number[], words: number, seed: number): Tensor {
  const n = shape.reduce((a, b) => a * b, 1);
  const ids = Int32Array.from(noiseArray(n, seed), (v, i) =>
    i % 9 === 0 ? 3 : Math.floor(((v + 1) / 2) * words),
  );
  return tensor(shape, ids);
}

function linear(n: number, words: number, d: number, seed: number): Record<string, Tensor> {
  const size = Math.sqrt(3 / d);
  return {
    x: tensor(
      [n, d],
      noiseArray(n * d, seed).map((v) => 2 * v),
    ),
    w: tensor(
      [words, d],
      noiseArray(words * d, seed + 1).map((v) => size * v),
    ),
    targets: targets([n], words, seed + 2),
  };
}

/** What the backward needs from the forward. */
function saved(inputs: Record<string, Tensor>): Record<string, Tensor> {
  const { x, w, targets, bias } = inputs;
  const { lse, count } = crossEntropy(x!, w!, targets!, { ...options, ...(bias ? { bias } : {}) });
  return { ...inputs, lse, count, dLoss: tensor([], [1]) };
}

export const cases: readonly Case[] = [
  {
    op: 'crossEntropy',
    label: "a third of a document, the seed's vocabulary",
    shape: `[${tokens}, ${width}] x [${vocabulary}, ${width}]`,
    inputs: () => linear(tokens, vocabulary, width, 1),
    options,
    flops: 2 * tokens * vocabulary * width,
  },
  {
    op: 'crossEntropyBackward',
    label: "some tokens, the seed's vocabulary",
    shape: `[6, ${width}] x [${vocabulary}, ${width}]`,
    inputs: () => saved(linear(6, vocabulary, width, 4)),
    options,
    flops: 6 * 6 * vocabulary * width,
  },
  {
    op: 'crossEntropy',
    label: 'odd sizes, a bias, several chunks',
    shape: '[7, 33] x [201, 33]',
    inputs: () => ({ ...linear(7, 201, 33, 7), bias: tensor([201], noiseArray(201, 8)) }),
    options: { ...options, chunk: 64 },
  },
  {
    op: 'crossEntropyBackward',
    label: 'odd sizes, a bias, several chunks, a gradient of lse',
    shape: '[7, 33] x [201, 33]',
    inputs: () => ({
      ...saved({ ...linear(7, 201, 33, 7), bias: tensor([201], noiseArray(201, 8)) }),
      dLse: tensor([7], noiseArray(7, 9)),
    }),
    options: { ...options, chunk: 64 },
  },
  {
    op: 'crossEntropyLogits',
    label: "logits of the seed's vocabulary",
    shape: `[64, ${vocabulary}]`,
    inputs: () => ({
      logits: tensor(
        [64, vocabulary],
        noiseArray(64 * vocabulary, 10).map((v) => 6 * v),
      ),
      targets: targets([64], vocabulary, 11),
    }),
    options,
    bytes: 64 * vocabulary * 4,
  },
  {
    op: 'crossEntropyLogitsBackward',
    label: "logits of the seed's vocabulary",
    shape: `[64, ${vocabulary}]`,
    inputs: () => {
      const logits = tensor(
        [64, vocabulary],
        noiseArray(64 * vocabulary, 10).map((v) => 6 * v),
      );
      const goals = targets([64], vocabulary, 11);
      const { lse, count } = crossEntropyLogits(logits, goals, options);
      return { dLoss: tensor([], [1]), logits, targets: goals, lse, count };
    },
    options,
    bytes: 64 * vocabulary * 8,
  },
  {
    op: 'crossEntropyLogits',
    label: 'excluded words, ignored tokens, large logits',
    shape: '[9, 130]',
    inputs: () => ({
      logits: tensor(
        [9, 130],
        noiseArray(9 * 130, 12).map((v) => (v > 0.6 ? -Infinity : Math.round(300 * v))),
      ),
      targets: tensor([9], new Int32Array(9).fill(-100).fill(2, 4, 6)),
    }),
  },
  {
    op: 'crossEntropyLogitsBackward',
    label: 'a gradient of lse alone',
    shape: '[5, 70]',
    inputs: () => {
      const logits = tensor(
        [5, 70],
        noiseArray(350, 13).map((v) => 3 * v),
      );
      const goals = tensor([5], new Int32Array(5).fill(3));
      const { lse, count } = crossEntropyLogits(logits, goals, options);
      const dLse = tensor([5], noiseArray(5, 14));
      return { dLoss: tensor([], [1]), logits, targets: goals, lse, count, dLse };
    },
    options,
  },
];
