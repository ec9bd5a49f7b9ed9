import { ArgumentError } from '../core/errors.ts';
import { requireFinite } from '../core/finite.ts';
import { foldIn } from '../core/key.ts';
import type { AnnTensors } from '../core/ops/hierarchicalAnn.ts';
import {
  type LazyGumbelTopKOptions,
  type LazyGumbelTopKOutputs,
  type LazyGumbelTopKPlan,
  type ListBalls,
  lazyRounds,
  planLazyGumbelTopK,
  planLazyGumbelTopKBalls,
} from '../core/ops/lazyGumbelTopK.ts';
import { type Outputs, outputs, Tensor } from '../core/tensor.ts';
import { segmentSize, walkSegment } from './lib/wordNoise.ts';

/**
 * An exact sample of k words without replacement from the softmax over all words of an index (Plackett-Luce): the k largest
 * of score / temperature + Gumbel noise. Most words need no score.
 *
 * The score of a word is at most that of its list's ball, b = (q . centre + |q| radius) / temperature. Once `threshold` is
 * reached by k + 1 words, a word can only matter if b + noise reaches it, and the noise of a list comes in falling order
 * (`walkSegment`), so that the rest of a list is passed over without a look. Lists are taken in four rounds, those with the
 * largest bounds first, and each round goes by the threshold of those before it.
 *
 * Since the noise of a word depends on nothing but the key, the query's number and the word's place in the index, the
 * result is the top-k of all sums, whatever the balls, as long as they hold.
 *
 * @param index of metric 'ip'
 * @param balls from {@link lazyGumbelTopKBalls}
 * @param queries f32 [q, d], finite
 * @param k from 0 to n
 * @param options.key query i draws from foldIn(key, i)
 * @param options.temperature from 0.001 to 1000, default 1
 * @returns ids i32 and perturbed f32 [q, k], in the order in which the words were drawn; threshold f32 [q], the (k+1)-th sum;
 * scored i32 [q]
 * @throws ShapeError, DTypeError, ArgumentError (NaN, infinities, a negative radius)
 * @accuracy scores in f64, sums rounded once; the density of the noise within a relative 4e-6
 * @edge Equal sums: the lower id first. k = n: all words, and the threshold -Infinity.
 * @source Mussmann, Levy, Ermon (2017) for k = 1; Maddison, Tarlow, Minka (2014) for noise in falling order
 */
export function lazyGumbelTopK(
  index: AnnTensors<Tensor>,
  balls: ListBalls<Tensor>,
  queries: Tensor,
  k: number,
  options: LazyGumbelTopKOptions,
): LazyGumbelTopKOutputs<Tensor> {
  const op = 'lazyGumbelTopK';
  const plan = planLazyGumbelTopK(index, balls, queries, k, options);
  requireFinite(op, 'queries', queries);
  requireFinite(op, 'centres', balls.centres);
  requireFinite(op, 'radii', balls.radii);
  const negative = balls.radii.data.findIndex((r) => r < 0);
  if (negative >= 0) {
    const radius = balls.radii.data[negative];
    throw new ArgumentError(op, `radii holds ${radius} for list ${negative}; a radius is 0 or more`);
  }
  const { queries: count } = plan;
  const ids = new Int32Array(count * k);
  const perturbed = new Float32Array(count * k);
  const threshold = new Float32Array(count);
  const scored = new Int32Array(count);
  for (let q = 0; q < count; q++) {
    const sample = drawFor(plan, index, balls, queries, q);
    ids.set(sample.ids.subarray(0, k), q * k);
    perturbed.set(sample.sums.subarray(0, k), q * k);
    threshold[q] = sample.sums[k] ?? Number.NEGATIVE_INFINITY;
    scored[q] = sample.scored;
  }
  return outputs({
    ids: new Tensor('i32', [count, k], ids),
    perturbed: new Tensor('f32', [count, k], perturbed),
    threshold: new Tensor('f32', [count], threshold),
    scored: new Tensor('i32', [count], scored),
  });
}

interface Sum {
  readonly id: number;
  readonly value: number;
}

function drawFor(
  plan: LazyGumbelTopKPlan<Tensor>,
  index: AnnTensors<Tensor>,
  balls: ListBalls<Tensor>,
  queries: Tensor,
  q: number,
): { ids: Int32Array; sums: Float32Array; scored: number } {
  const { n, d, kept, temperature, goals } = plan;
  const own = foldIn(plan.key, q);
  const query = queries.data.subarray(q * d, (q + 1) * d);
  const offsets = plan.offsets?.data ?? Int32Array.of(0, n);
  const bounds = scoreBounds(plan, balls, query);
  const order = Int32Array.from(bounds, (_, list) => list);
  order.sort((a, b) => bounds[b]! - bounds[a]! || a - b);

  let best: Sum[] = [];
  let threshold = Number.NEGATIVE_INFINITY;
  let scored = 0;
  let held = 0;
  let next = 0;
  for (let round = 0; round < lazyRounds; round++) {
    for (; next < order.length && held < goals[round]!; next++) {
      const list = order[next]!;
      const end = offsets[list + 1]!;
      for (let start = offsets[list]!; start < end; start += segmentSize) {
        const length = Math.min(segmentSize, end - start);
        walkSegment(own, start, length, threshold - bounds[list]!, (place, noise) => {
          const at = start + place;
          let score = 0;
          for (let j = 0; j < d; j++) score += query[j]! * index.vectors.data[at * d + j]!;
          const id = index.ids.data[index.order.data[at]!]!;
          best.push({ id, value: Math.fround(score / temperature + noise) });
          scored++;
        });
      }
      held += end - offsets[list]!;
    }
    best.sort((a, b) => b.value - a.value || a.id - b.id);
    best = best.slice(0, kept);
    // Fewer than k + 1 words: every one of them is in the sample, and nothing may be left out.
    if (best.length > plan.k) threshold = best[plan.k]!.value;
  }
  return {
    ids: Int32Array.from(best, ({ id }) => id),
    sums: Float32Array.from(best, ({ value }) => value),
    scored,
  };
}

/** An upper bound of score / temperature for the words of each list, also as f32 arithmetic would compute it. */
function scoreBounds(
  { d, lists, temperature }: LazyGumbelTopKPlan<Tensor>,
  { centres, radii }: ListBalls<Tensor>,
  query: ArrayLike<number>,
): Float64Array {
  let squares = 0;
  for (let j = 0; j < d; j++) squares += query[j]! ** 2;
  const norm = Math.sqrt(squares);
  const bounds = new Float64Array(lists);
  for (let list = 0; list < lists; list++) {
    const reach = norm * radii.data[list]!;
    let product = 0;
    let absolute = reach;
    for (let j = 0; j < d; j++) {
      const term = query[j]! * centres.data[list * d + j]!;
      product += term;
      absolute += Math.abs(term);
    }
    const bound = (product + reach + (1e-5 + d * 2 ** -22) * absolute) / temperature;
    // And what rounding takes from a sum with noise, which is below 32.
    bounds[list] = bound + 2 ** -20 * (Math.abs(bound) + 32);
  }
  return bounds;
}

/**
 * A ball around the vectors of each list: its mean, and the largest distance from it, rounded up.
 *
 * @param index of metric 'ip'
 * @returns centres f32 [lists, d], radii f32 [lists]
 * @throws ShapeError, DTypeError, ArgumentError (NaN, infinities)
 * @accuracy f64 inside; the radius is that of the stored centre
 * @edge An empty list has the centre 0 and the radius 0.
 */
export function lazyGumbelTopKBalls(index: AnnTensors<Tensor>): Outputs<{ centres: Tensor; radii: Tensor }> {
  const { n, d, lists, levels } = planLazyGumbelTopKBalls(index);
  requireFinite('lazyGumbelTopKBalls', 'vectors', index.vectors);
  const offsets = levels.at(-1)?.offsets.data ?? Int32Array.of(0, n);
  const x = index.vectors.data;
  const centres = new Float32Array(lists * d);
  const radii = new Float32Array(lists);
  for (let list = 0; list < lists; list++) {
    const [first, last] = [offsets[list]!, offsets[list + 1]!];
    if (first === last) continue;
    for (let j = 0; j < d; j++) {
      let sum = 0;
      for (let i = first; i < last; i++) sum += x[i * d + j]!;
      centres[list * d + j] = sum / (last - first);
    }
    let most = 0;
    for (let i = first; i < last; i++) {
      let squares = 0;
      for (let j = 0; j < d; j++) squares += (x[i * d + j]! - centres[list * d + j]!) ** 2;
      most = Math.max(most, squares);
    }
    radii[list] = Math.sqrt(most) * (1 + 1e-5);
  }
  return outputs({
    centres: new Tensor('f32', [lists, d], centres),
    radii: new Tensor('f32', [lists], radii),
  });
}
