import { ArgumentError } from '../core/errors.ts';
import {
  type GumbelTopKBackwardOptions,
  type GumbelTopKOptions,
  type GumbelTopKOutputs,
  type NoiseOptions,
  placeOf,
  planGumbelTopK,
  planGumbelTopKBackward,
  planGumbelTopKRelaxed,
  type RelaxationOptions,
} from '../core/ops/gumbelTopK.ts';
import { allocate, outputs, Tensor } from '../core/tensor.ts';
import { gumbelAt } from './gumbelNoise.ts';
import { relax } from './lib/relaxations.ts';
import { topK } from './topK.ts';

/**
 * A sample of k positions without replacement: the k largest of logits + Gumbel noise, per row.
 *
 * score = logits + noise, rounded to nearest; indices = the first k by (score descending, index ascending);
 * threshold = the next score; logInclusion = log q, q = P(logits + Gumbel > threshold) = 1 - exp(-exp(logits - threshold)).
 * For i in the sample 1/q[i] has the expectation 1, so sum of p[i]/q[i] f[i] over it estimates sum of p[i] f[i].
 *
 * @param logits f32 or f64 [..., N]; -Infinity takes no part
 * @param k from 0 to N
 * @param options.key draw the noise `gumbelNoise(key, logits.shape)`
 * @param options.noise or take this, shaped like logits
 * @param options.mask u32 shaped like logits, nonzero = takes part
 * @param options.kHot also return zeros and ones over all positions
 * @returns indices (i32), scores and logInclusion [..., k]; threshold and counts (i32) [...]; kHot on request
 * @throws ShapeError, DTypeError; ArgumentError also for NaN or +Infinity in logits, and for noise that is not finite
 * @accuracy exact for f32, but for logInclusion, which is rounded once
 * @edge Ties: the smaller index. Rows where fewer take part: index -1, score -Infinity, logInclusion 0; their threshold
 * is -Infinity, and q is 1.
 * @source Vieira (2014); Kool, van Hoof, Welling (2019)
 */
export function gumbelTopK(
  logits: Tensor,
  k: number,
  options: GumbelTopKOptions<Tensor>,
): GumbelTopKOutputs<Tensor> {
  const { rows, length, shape, rowShape } = planGumbelTopK(logits, k, options);
  const perturbed = perturb('gumbelTopK', logits, options);
  // One more than k, whose score is the threshold.
  const more = Math.min(k + 1, length);
  const best = topK(perturbed.scores, more, { mask: perturbed.mask });
  const { dtype } = logits;
  const indices = new Int32Array(rows * k).fill(-1);
  const scores = allocate(dtype, rows * k).fill(Number.NEGATIVE_INFINITY);
  const logInclusion = allocate(dtype, rows * k);
  const threshold = allocate(dtype, rows).fill(Number.NEGATIVE_INFINITY);
  const counts = new Int32Array(rows);
  const kHot = options.kHot ? allocate(dtype, logits.size) : undefined;
  for (let r = 0; r < rows; r++) {
    const found = best.counts.data[r]!;
    if (found > k) threshold[r] = best.values.data[r * more + k]!;
    counts[r] = Math.min(found, k);
    for (let j = 0; j < counts[r]!; j++) {
      const i = best.indices.data[r * more + j]!;
      indices[r * k + j] = i;
      scores[r * k + j] = best.values.data[r * more + j]!;
      if (found > k) logInclusion[r * k + j] = logSurvival(logits.data[r * length + i]! - threshold[r]!);
      if (kHot !== undefined) kHot[r * length + i] = 1;
    }
  }
  return outputs({
    indices: new Tensor('i32', shape, indices),
    scores: new Tensor(dtype, shape, scores),
    logInclusion: new Tensor(dtype, shape, logInclusion),
    threshold: new Tensor(dtype, rowShape, threshold),
    counts: new Tensor('i32', rowShape, counts),
    kHot: kHot === undefined ? undefined : new Tensor(dtype, logits.shape, kHot),
  });
}

/**
 * A smooth top-k of x = (logits + noise) / temperature, per row.
 *
 * thresholdExp, thresholdSigmoid, thresholdLaplace: f(x - lambda) with sum k, for f = min(1, e^x), 1/(1 + e^-x), and the
 * distribution function of Laplace. exactK: the marginals of the law on subsets of k with weight e^(sum of x).
 * relaxedTopK: k softmax steps, each without what the steps before took.
 *
 * @param logits f32 or f64 [..., N]; -Infinity takes no part
 * @param k from 0 to N
 * @param options.key or options.noise as in {@link gumbelTopK}; neither: the logits as they are
 * @param options.relaxation default 'thresholdExp'
 * @param options.temperature default 1
 * @returns the smooth selection, shaped like logits, each row adding up to k
 * @throws as {@link gumbelTopK}
 * @accuracy f64 inside, rounded once
 * @edge 0 where a position takes no part; 1 elsewhere once k reaches what takes part (relaxedTopK: its k steps)
 * @source kexue.fm 10373; Amos (2019); Paulus (2020); Ahmed (2023); Xie and Ermon (2019)
 */
export function gumbelTopKRelaxed(
  logits: Tensor,
  k: number,
  options: RelaxationOptions<Tensor> = {},
): Tensor {
  const plan = planGumbelTopKRelaxed(logits, k, options);
  const { scores, mask } = perturb('gumbelTopKRelaxed', logits, options);
  const relaxed = allocate(logits.dtype, logits.size);
  for (let r = 0; r < plan.rows; r++) {
    const taking = positionsOf(mask, r, plan.length);
    const row = Float64Array.from(taking, (at) => scores.data[at]!);
    const { values } = relax(plan.relaxation, row, Math.min(k, row.length), plan.temperature);
    for (let i = 0; i < taking.length; i++) relaxed[taking[i]!] = values[i]!;
  }
  return new Tensor(logits.dtype, logits.shape, relaxed);
}

/**
 * Straight-through gradient of {@link gumbelTopK}: what goes back is J^T dKHot, J the Jacobian of
 * {@link gumbelTopKRelaxed} at the same noise. The forward value stays the hard selection.
 *
 * @param dKHot the gradient of the selection: shaped like logits, or [..., m] with `positions`
 * @param logits, k, key, noise, mask, relaxation, temperature as in the forward calls
 * @param options.positions i32 [..., m], the positions of dKHot; -1 is passed over
 * @returns dLogits, shaped like logits
 * @throws as {@link gumbelTopK}; ArgumentError for an index outside [-1, N)
 * @accuracy f64 inside, rounded once
 * @edge Each row adds up to 0, also where only selected positions have a gradient: the rest pays for it.
 * @source Bengio et al. (2013) for the straight-through estimator
 */
export function gumbelTopKBackward(
  dKHot: Tensor,
  logits: Tensor,
  k: number,
  options: GumbelTopKBackwardOptions<Tensor> = {},
): Tensor {
  const plan = planGumbelTopKBackward(dKHot, logits, k, options);
  const { scores, mask } = perturb('gumbelTopKBackward', logits, options);
  const dense = denseGradient(dKHot, logits, options.positions, plan.length, plan.slots);
  const dLogits = allocate(logits.dtype, logits.size);
  for (let r = 0; r < plan.rows; r++) {
    const taking = positionsOf(mask, r, plan.length);
    const row = Float64Array.from(taking, (at) => scores.data[at]!);
    const g = Float64Array.from(taking, (at) => dense[at]!);
    const d = relax(plan.relaxation, row, Math.min(k, row.length), plan.temperature).backward(g);
    for (let i = 0; i < taking.length; i++) dLogits[taking[i]!] = d[i]!;
  }
  return new Tensor(logits.dtype, logits.shape, dLogits);
}

/** The scores, and which positions take part: those the mask lets through and whose logit is not -Infinity. */
function perturb(
  op: string,
  logits: Tensor,
  { key, noise, mask }: NoiseOptions<Tensor>,
): { scores: Tensor; mask: Tensor } {
  const scores = allocate(logits.dtype, logits.size);
  const taking = new Uint32Array(logits.size);
  for (let at = 0; at < logits.size; at++) {
    const logit = logits.data[at]!;
    if (mask?.data[at] === 0 || logit === Number.NEGATIVE_INFINITY) continue;
    const added = noise !== undefined ? noise.data[at]! : key !== undefined ? gumbelAt(key, at) : 0;
    if (!Number.isFinite(logit)) refuse(op, 'logits', logit, at, logits);
    if (!Number.isFinite(added)) refuse(op, 'noise', added, at, logits);
    taking[at] = 1;
    // A zero counts as +0, whatever it is made of.
    scores[at] = logit + added + 0;
    if (!Number.isFinite(scores[at]!)) refuse(op, 'logits + noise', scores[at]!, at, logits);
  }
  return {
    scores: new Tensor(logits.dtype, logits.shape, scores),
    mask: new Tensor('u32', logits.shape, taking),
  };
}

function refuse(op: string, name: string, value: number, at: number, { shape }: Tensor): never {
  throw new ArgumentError(
    op,
    `${name}${placeOf(at, shape)} is ${value}; repair the input, or mask the position`,
  );
}

/** Flat positions of a row that take part. */
function positionsOf(mask: Tensor, row: number, length: number): number[] {
  const positions: number[] = [];
  for (let at = row * length; at < (row + 1) * length; at++) if (mask.data[at] !== 0) positions.push(at);
  return positions;
}

function denseGradient(
  dKHot: Tensor,
  logits: Tensor,
  positions: Tensor | undefined,
  length: number,
  slots: number,
): ArrayLike<number> {
  if (positions === undefined) return dKHot.data;
  const dense = new Float64Array(logits.size);
  for (let at = 0; at < positions.size; at++) {
    const i = positions.data[at]!;
    if (i < -1 || i >= length) {
      throw new ArgumentError(
        'gumbelTopKBackward',
        `positions${placeOf(at, positions.shape)} is ${i}; it must be in [-1, ${length})`,
      );
    }
    if (i >= 0) dense[Math.floor(at / slots) * length + i]! += dKHot.data[at]!;
  }
  return dense;
}

/**
 * log q(z) = log(1 - exp(-e^z)): the log of the probability that a Gumbel exceeds -z.
 * Below -10 by its series: there e^z is so small that 1 - exp(-e^z) would lose its digits.
 */
function logSurvival(z: number): number {
  const y = Math.exp(z);
  if (z <= -10) return z - y / 2 + y ** 2 / 24 - y ** 4 / 2880;
  return (y < Math.LN2 ? Math.log(-Math.expm1(-y)) : Math.log1p(-Math.exp(-y))) + 0;
}
