import { key } from '../core/key.ts';
import { tensor } from '../core/tensor.ts';
import { type Case, noiseArray } from './case.ts';

const vocabulary = 8460;

/** Logits of a model that has an opinion: most words far below a few good ones. */
function logits(rows: number, words: number, seed: number): Float32Array {
  return noiseArray(rows * words, seed).map((x) => 8 * x ** 3 + 2 * x);
}

export const cases: readonly Case[] = [
  {
    op: 'sampleLogits',
    label: "one word from the seed's vocabulary",
    shape: '[8460]',
    inputs: () => ({ logits: tensor([vocabulary], logits(1, vocabulary, 1)) }),
    options: { key: key(1) },
    bytes: vocabulary * 4,
  },
  {
    op: 'sampleLogits',
    label: 'temperature, top-k and top-p',
    shape: '[8, 8460]',
    inputs: () => ({ logits: tensor([8, vocabulary], logits(8, vocabulary, 2)) }),
    options: { key: key(2), temperature: 0.8, topK: 200, topP: 0.9 },
    bytes: 8 * vocabulary * 4,
  },
  {
    op: 'sampleLogits',
    label: 'greedy, ties, excluded words',
    shape: '[5, 300]',
    inputs: () => ({
      logits: tensor(
        [5, 300],
        noiseArray(1500, 3).map((x) => (x > 0.4 ? -Infinity : Math.round(4 * x))),
      ),
    }),
    options: { temperature: 0 },
  },
  {
    op: 'sampleLogits',
    label: 'ties at both limits, excluded words',
    shape: '[5, 300]',
    inputs: () => ({
      logits: tensor(
        [5, 300],
        noiseArray(1500, 4).map((x) => (x > 0.4 ? -Infinity : Math.round(4 * x))),
      ),
    }),
    options: { key: key(4), topK: 100, topP: 0.5, temperature: 2 },
  },
];
