import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import { queriesOf, type SubVocab } from './model.ts';
import { contextWords, ignored, joined, segmentsOf } from './segments.ts';

/** One predicted token: how good the sub-vocabulary was for it. */
export interface Prediction {
  readonly target: number;
  /** How many words come before the target: those of the context, then those that the query scores higher. */
  readonly rank: number;
  /** Nats of the target within the sub-vocabulary of k words, and within the static one; undefined where it is not inside. */
  readonly inside?: number;
  readonly insideStatic?: number;
}

/** What a split costs. */
export interface SplitResult {
  readonly predictions: readonly Prediction[];
  /** Nats of all predictions together with a softmax over the whole vocabulary. */
  readonly fullNats: number;
}

/**
 * Predict what follows each [SUBVOCAB] of some rows: within k words, which are those of the text before it and then those that its
 * query scores highest (exact, without noise); within a fixed set of words; and within all words.
 * @param tokens i32 [B, S + 1]
 */
export async function evaluateRows<T extends AnyTensor>(
  model: SubVocab<T>,
  tokens: Tensor,
  k: number,
  fixed: Int32Array,
): Promise<SplitResult> {
  const { backend, config } = model;
  const { ops } = backend;
  const seg = segmentsOf(tokens, config.subVocabId, [config.samOut.paddingIndex]);
  const { batch, length, count, longest } = seg;
  const ids = Int32Array.from(
    { length: batch * length },
    (_, i) => tokens.data[Math.floor(i / length) * (length + 1) + (i % length)]!,
  );
  const encoded = model.encode(tensor([batch, length], ids));
  using features = encoded.features;
  encoded.state[Symbol.dispose]();
  const bring = (shape: number[], data: Int32Array): T => backend.upload(tensor(shape, data));
  using positions = bring([batch, seg.queries], seg.positions);
  using asked = queriesOf(ops, config, model.parameters.query, features, positions);
  using owners = bring([count], seg.owners);
  using queries = ops.gatherRows(asked, owners);
  using scores = ops.matmul(queries, model.table, { transposeB: true });
  const phi = (await backend.read(scores)).data as Float32Array;
  const n = config.samOut.vocabulary;
  const words = new Int32Array(count * k);
  const ranks = new Int32Array(count * n);
  for (let r = 0; r < count; r++) {
    const own = phi.subarray(r * n, (r + 1) * n);
    const order = Int32Array.from({ length: n - config.specials }, (_, i) => i + config.specials);
    order.sort((a, b) => own[b]! - own[a]! || a - b);
    const row = Math.floor(seg.owners[r]! / seg.queries) * length;
    const context = ids.subarray(row, row + seg.positions[seg.owners[r]!]!);
    const all = joined(contextWords(context, config.specials), order, n);
    words.set(all.subarray(0, k), r * k);
    all.forEach((id, rank) => {
      ranks[r * n + id] = rank;
    });
  }
  using places = bring([count, longest], seg.places);
  using states = ops.gatherRows(features, places);
  const nats = async (set: Int32Array, size: number): Promise<(number | undefined)[]> => {
    using own = bring([count, size], set);
    using made = ops.subVocabHead(states, model.table, own);
    const logits = (await backend.read(made)).data;
    return Array.from(seg.targets, (target, i) => {
      const first = Math.floor(i / longest) * size;
      const at = target === ignored ? -1 : set.subarray(first, first + size).indexOf(target);
      if (at < 0) return undefined;
      const row = logits.subarray(i * size, (i + 1) * size);
      let top = -Infinity;
      for (const v of row) top = Math.max(top, v);
      let sum = 0;
      for (const v of row) sum += Math.exp(v - top);
      return top + Math.log(sum) - row[at]!;
    });
  };
  const inside = await nats(words, k);
  const repeated = new Int32Array(count * fixed.length);
  for (let r = 0; r < count; r++) repeated.set(fixed, r * fixed.length);
  const insideStatic = await nats(repeated, fixed.length);
  using targets = bring([count, longest], seg.targets);
  using full = ops.crossEntropy(states, model.table, targets, { ignoreIndex: ignored });
  const predictions: Prediction[] = [];
  for (const [i, target] of seg.targets.entries()) {
    if (target === ignored) continue;
    predictions.push({
      target,
      rank: ranks[Math.floor(i / longest) * n + target]!,
      ...(inside[i] === undefined ? {} : { inside: inside[i] }),
      ...(insideStatic[i] === undefined ? {} : { insideStatic: insideStatic[i] }),
    });
  }
  return { predictions, fullNats: (await backend.read(full.loss)).data[0]! * predictions.length };
}

/** Nats of predictions where a share `miss` of the probability goes to the words outside, all alike. */
export function natsWithEscape(
  predictions: readonly Prediction[],
  inside: (p: Prediction) => number | undefined,
  miss: number,
  outside: number,
): number {
  return predictions.reduce((sum, p) => {
    const own = inside(p);
    return sum + (own === undefined ? Math.log(outside / miss) : own - Math.log(1 - miss));
  }, 0);
}
