import { type Tensor, tensor } from '../../core/tensor.ts';
import type { SubVocabParameters } from './model.ts';

/** What a layer's normalisation adds to the first feature, all layers together. */
const level = 4;

/**
 * Start values that know how frequent words are: the first feature becomes a constant (a layer's normalisation adds to it and
 * takes nothing from the text), and the output table holds the log-frequencies there. The other features begin small. So an
 * untrained model draws the most frequent words, and training starts from there.
 * @param counts how often each id occurs in the training text
 */
export function withFrequencies(
  { samOut, query }: SubVocabParameters<Tensor>,
  counts: Float64Array,
): SubVocabParameters<Tensor> {
  const [n = 0, d = 0] = samOut.embedding.shape;
  const layers = samOut.layers.length;
  const embedding = Float32Array.from(samOut.embedding.data, (v, i) => (i % d === 0 ? 0 : v));
  const total = counts.reduce((sum, c) => sum + c + 0.5, 0);
  const logs = Float64Array.from(counts, (c) => Math.log((c + 0.5) / total));
  const mean = logs.reduce((sum, v) => sum + v, 0) / n;
  const head = Float32Array.from((samOut.head ?? samOut.embedding).data, (v, i) =>
    i % d === 0 ? (logs[i / d]! - mean) / level : 0.2 * v,
  );
  const first = (t: Tensor, value: number): Tensor =>
    tensor(
      t.shape,
      Float32Array.from(t.data, (v, i) => (i === 0 ? value : v)),
    );
  return {
    samOut: {
      embedding: tensor([n, d], embedding),
      layers: samOut.layers.map((layer) => ({
        ...layer,
        gamma: first(layer.gamma, 0),
        beta: first(layer.beta, level / layers),
      })),
      head: tensor([n, d], head),
    },
    query,
  };
}
