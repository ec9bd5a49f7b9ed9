import { ArgumentError } from '../core/errors.ts';
import { foldIn, type Key } from '../core/key.ts';
import { type AnnIndex, shapeOfIndex } from '../core/ops/hierarchicalAnn.ts';
import type { Tensor } from '../core/tensor.ts';
import { innerProducts } from '../ref/lib/scores.ts';
import { randomBits } from '../ref/randomBits.ts';

const who = 'lazyGumbelTopK';

/** A ball around the vectors of each list: what bounds their scores. */
export interface ListBalls {
  readonly centres: Float64Array;
  readonly radii: Float64Array;
}

/** The smallest ball around the mean of each list. One pass over the index; good until its vectors change. */
export function listBalls(index: AnnIndex<Tensor>): ListBalls {
  const { n, d, lists, levels } = shapeOfIndex(who, index);
  const offsets = levels.at(-1)?.offsets.data ?? [0, n];
  const x = index.vectors.data;
  const centres = new Float64Array(lists * d);
  const radii = new Float64Array(lists);
  for (let l = 0; l < lists; l++) {
    const [first, last] = [offsets[l]!, offsets[l + 1]!];
    const centre = centres.subarray(l * d, (l + 1) * d);
    for (let i = first; i < last; i++)
      for (let j = 0; j < d; j++) centre[j]! += x[i * d + j]! / (last - first);
    for (let i = first; i < last; i++) {
      let squares = 0;
      for (let j = 0; j < d; j++) squares += (x[i * d + j]! - centre[j]!) ** 2;
      radii[l] = Math.max(radii[l]!, Math.sqrt(squares));
    }
  }
  return { centres, radii };
}

/** A sample of k words without replacement, in the order in which they were drawn. */
export interface LazySample {
  readonly ids: Int32Array;
  /** q . e / temperature + Gumbel noise, falling. */
  readonly perturbed: Float64Array;
  /** Words whose score was computed, of all. */
  readonly scored: number;
  readonly fraction: number;
}

/**
 * An exact Gumbel top-k over the whole vocabulary that scores a part of it.
 *
 * With phi_i = q . e_i / temperature and independent Gumbel noise G_i, the k largest phi_i + G_i are a sample without
 * replacement from softmax(phi) (Plackett-Luce). Lists are opened in order of the bound of their scores,
 * b_l = (q . centre + |q| radius) / temperature; opened words get noise. Let t be the k-th largest so far. A word of a list
 * that is not open can only come in with G_i > t - b_l, which has the probability p_l = 1 - exp(-exp(b_l - t)). So for each
 * such list the words that pass are drawn (every word with p_l, by gaps), scored, and given noise under that condition;
 * who did not pass stays below t. Whatever lists are open, the result has exactly the distribution; opening goes on while a
 * list is expected to let more than `share` of its words pass.
 *
 * @param query [d]
 * @param options.temperature above 0, default 1
 * @param options.lists lists to open at least, default 1
 * @param options.share default 0.5
 * @throws ArgumentError
 * @accuracy f64; noise of 53 bits
 * @edge k >= n: all words, in the order of a sample. Equal sums: the lower id first.
 * @source Mussmann, Levy, Ermon, Fast amortized inference and learning in log-linear models (2017), for k = 1; here for k, per list
 */
export function lazyGumbelTopK(
  index: AnnIndex<Tensor>,
  balls: ListBalls,
  query: Float32Array,
  k: number,
  key: Key,
  options: { readonly temperature?: number; readonly lists?: number; readonly share?: number } = {},
): LazySample {
  const { n, d, lists, levels, metric } = shapeOfIndex(who, index);
  const { temperature = 1, lists: least = 1, share = 0.5 } = options;
  if (metric !== 'ip')
    throw new ArgumentError(who, `the index is for ${metric}; words are sampled by inner product`);
  if (query.length !== d || !query.every(Number.isFinite))
    throw new ArgumentError(who, `the query must be ${d} finite numbers; it has ${query.length}`);
  if (!Number.isInteger(k) || k < 0)
    throw new ArgumentError(who, `k is ${k}; it must be an integer from 0 on`);
  if (!(temperature > 0 && temperature < Infinity))
    throw new ArgumentError(who, `temperature is ${temperature}; it must be above 0`);
  if (!(share >= 0 && share <= 1)) throw new ArgumentError(who, `share is ${share}; it must be from 0 to 1`);
  if (balls.radii.length !== lists || balls.centres.length !== lists * d)
    throw new ArgumentError(
      who,
      `the balls are those of ${balls.radii.length} lists, the index has ${lists}`,
    );
  const wanted = Math.min(k, n);
  const offsets = levels.at(-1)?.offsets.data ?? Int32Array.of(0, n);
  const x = index.vectors.data as Float32Array;
  const q = Float64Array.from(query);
  const uniform = uniforms(key);

  // The bound is raised by what rounding may have taken: relative to all that was added.
  const norm = Math.hypot(...q);
  const bounds = Float64Array.from({ length: lists }, (_, l) => {
    let product = 0;
    let absolute = norm * balls.radii[l]!;
    for (let j = 0; j < d; j++) {
      product += q[j]! * balls.centres[l * d + j]!;
      absolute += Math.abs(q[j]! * balls.centres[l * d + j]!);
    }
    return (product + norm * balls.radii[l]! + 1e-9 * absolute) / temperature;
  });
  const order = Int32Array.from({ length: lists }, (_, l) => l).sort(
    (a, b) => bounds[b]! - bounds[a]! || a - b,
  );

  const found: { id: number; perturbed: number }[] = [];
  const put = (at: number, score: number, noise: number): void => {
    found.push({ id: index.ids.data[index.order.data[at]!]!, perturbed: score / temperature + noise });
  };
  const keepBest = (): number => {
    found.sort((a, b) => b.perturbed - a.perturbed || a.id - b.id);
    if (found.length > wanted) found.length = wanted;
    return found.length < wanted || wanted === 0 ? Number.NEGATIVE_INFINITY : found[wanted - 1]!.perturbed;
  };
  let scored = 0;
  let opened = 0;
  let threshold = keepBest();
  const passes = (l: number): number => -Math.expm1(-Math.exp(bounds[l]! - threshold));
  for (; opened < lists && wanted > 0; opened++) {
    const l = order[opened]!;
    const [first, last] = [offsets[l]!, offsets[l + 1]!];
    if (opened >= least && threshold > Number.NEGATIVE_INFINITY && passes(l) <= share) break;
    const scores = new Float64Array(last - first);
    innerProducts(x, d, first, last, q, scores);
    for (let i = first; i < last; i++) put(i, scores[i - first]!, -Math.log(-Math.log(uniform())));
    scored += last - first;
    threshold = keepBest();
  }
  // The threshold stays as it is from here on: the condition of the noise is relative to it.
  const one = new Float64Array(1);
  if (wanted > 0)
    for (; opened < lists; opened++) {
      const l = order[opened]!;
      const rate = Math.exp(bounds[l]! - threshold);
      // Each word passes with 1 - exp(-rate): the gap to the next that does is geometric.
      for (let at = offsets[l]! - 1; rate > 0; ) {
        at += 1 + Math.floor(-Math.log(uniform()) / rate);
        if (!(at < offsets[l + 1]!)) break;
        innerProducts(x, d, at, at + 1, q, one);
        // Exponential below `rate`: its -log is Gumbel noise above threshold - bound.
        put(at, one[0]!, -Math.log(-Math.log1p(uniform() * Math.expm1(-rate))));
        scored++;
      }
    }
  keepBest();
  return {
    ids: Int32Array.from(found, ({ id }) => id),
    perturbed: Float64Array.from(found, ({ perturbed }) => perturbed),
    scored,
    fraction: n === 0 ? 0 : scored / n,
  };
}

/** Uniform numbers inside of (0, 1) with 53 bits, from a key. */
function uniforms(key: Key): () => number {
  // Few are needed where little is scored: the blocks grow.
  let block = 32;
  let number = 0;
  let at = block;
  let bits: ArrayLike<number> = [];
  return () => {
    if (at === block) {
      block = Math.min(2 * block, 8192);
      bits = randomBits(foldIn(key, number++), [block]).data;
      at = 0;
    }
    const high = bits[at]!;
    const low = bits[at + 1]! >>> 12;
    at += 2;
    return (high * 2 ** 20 + low + 0.5) / 2 ** 52;
  };
}
