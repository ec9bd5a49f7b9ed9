import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import { queriesOf, type SubVocab } from './model.ts';
import { contextWords, ignored, joined, segmentsOf } from './segments.ts';

/** What a target costs within one set of words. */
export interface Cost {
  /** -log softmax over the set. */
  readonly nats: number;
  /** Whether the text before [SUBVOCAB] has said the target. */
  readonly said: boolean;
  /** How many words of the set it has said. */
  readonly saidWords: number;
}

/** One predicted token: how good the sub-vocabulary was for it. */
export interface Prediction {
  readonly target: number;
  /** How many words come before the target: those of the context, then those that the query scores higher. */
  readonly rank: number;
  /** Within the sub-vocabulary of k words, and within the static one; undefined where the target is not inside. */
  readonly inside?: Cost;
  readonly insideStatic?: Cost;
  /** Within all words. */
  readonly full: Cost;
}

/**
 * Nats of a target where a share `again` of the probability goes to the words of the set that the text has said, all alike. What
 * was said is likely to be said again, and a head that has seen a rare word a few times cannot know that (the cache of Grave,
 * Joulin and Usunier, 2017, of words alone).
 */
export function natsOf({ nats, said, saidWords }: Cost, again: number): number {
  if (saidWords === 0) return nats;
  return -Math.log((1 - again) * Math.exp(-nats) + (said ? again / saidWords : 0));
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
): Promise<Prediction[]> {
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
  const saidOf = Array.from({ length: count }, (_, r) => {
    const row = Math.floor(seg.owners[r]! / seg.queries) * length;
    return new Set(ids.subarray(row, row + seg.positions[seg.owners[r]!]!));
  });
  const costs = async (set: Int32Array, size: number): Promise<(Cost | undefined)[]> => {
    using own = bring([count, size], set);
    using made = ops.subVocabHead(states, model.table, own);
    const logits = (await backend.read(made)).data;
    return Array.from(seg.targets, (target, i) => {
      const r = Math.floor(i / longest);
      const first = r * size;
      const at = target === ignored ? -1 : set.subarray(first, first + size).indexOf(target);
      if (at < 0) return undefined;
      let top = -Infinity;
      for (let j = 0; j < size; j++) top = Math.max(top, logits[i * size + j]!);
      let sum = 0;
      let saidWords = 0;
      for (let j = 0; j < size; j++) {
        sum += Math.exp(logits[i * size + j]! - top);
        if (saidOf[r]!.has(set[first + j]!)) saidWords++;
      }
      const nats = top + Math.log(sum) - logits[i * size + at]!;
      return { nats, said: saidOf[r]!.has(target), saidWords };
    });
  };
  const forAll = (own: Int32Array): Int32Array =>
    Int32Array.from({ length: count * own.length }, (_, i) => own[i % own.length]!);
  const every = model.allWords();
  const inside = await costs(words, k);
  const insideStatic = await costs(forAll(fixed), fixed.length);
  const full = await costs(forAll(every), every.length);
  const predictions: Prediction[] = [];
  for (const [i, target] of seg.targets.entries()) {
    if (target === ignored) continue;
    predictions.push({
      target,
      rank: ranks[Math.floor(i / longest) * n + target]!,
      ...(inside[i] === undefined ? {} : { inside: inside[i] }),
      ...(insideStatic[i] === undefined ? {} : { insideStatic: insideStatic[i] }),
      full: full[i]!,
    });
  }
  return predictions;
}

/** What turns the logits of a set of words into a distribution over all words. */
export interface Escape {
  /** The share of the probability that goes to the words outside of the set, all alike. */
  readonly miss: number;
  /** How many these are. */
  readonly outside: number;
  /** The share of the rest that goes to the words of the set that the text has said, all alike. */
  readonly again: number;
}

/** Nats of predictions within a set of words, and outside of it. */
export function natsWithEscape(
  costs: readonly (Cost | undefined)[],
  { miss, outside, again }: Escape,
): number {
  return costs.reduce(
    (sum, own) =>
      sum + (own === undefined ? Math.log(outside / miss) : natsOf(own, again) - Math.log(1 - miss)),
    0,
  );
}

/**
 * The shares that suit predictions on some held-out text: how often the target was outside (no set that misses something may
 * claim never to, so 1 is added), and the best hundredth up to a half for what is said again.
 * @param outside how many words are not in the set; with 0 nothing is missed
 */
export function fitEscape(costs: readonly (Cost | undefined)[], outside: number): Escape {
  const missed = costs.filter((own) => own === undefined).length;
  const miss = outside === 0 ? 0 : (missed + 1) / (costs.length + 2);
  let best: Escape = { miss, outside, again: 0 };
  let least = natsWithEscape(costs, best);
  for (let hundredths = 1; hundredths <= 50; hundredths++) {
    const next = { miss, outside, again: hundredths / 100 };
    const nats = natsWithEscape(costs, next);
    if (nats < least) [best, least] = [next, nats];
  }
  return best;
}
