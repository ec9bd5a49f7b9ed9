import type { Backend } from '../../core/backend.ts';
import { foldIn, key } from '../../core/key.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import { featureStatistics, type SourceTables } from './model.ts';
import { noise } from './noise.ts';

/** How a new token's rows are made without training. */
export type Baseline = 'random' | 'lexical' | 'fvt' | 'focus';

export const baselines: readonly Baseline[] = ['random', 'lexical', 'fvt', 'focus'];

/** What the baselines know of the tokens. */
export interface BaselineTokens {
  /** i32 [N, length]: source pieces, -1 = padding; ids without a source row do not count. */
  readonly forms: Tensor;
  /** i32 [N]: the source's id for the very same bytes, or -1. */
  readonly same: Tensor;
  /** [N, D]: vectors of the tokens in a space of their own, for focus: see `contextVectors`. */
  readonly vectors?: Tensor;
}

/**
 * Rows for new tokens by a rule.
 *
 * - random: N(mean, std) of the source's rows, feature by feature.
 * - lexical: the row of the same bytes; else random.
 * - fvt (fast vocabulary transfer): the row of the same bytes; else the mean of its pieces' rows.
 * - focus: the row of the same bytes; else the convex combination of the rows of all tokens that both have, by sparsemax of the
 *   cosines of their vectors; random for a token without a vector.
 */
export async function baselineRows<T extends AnyTensor>(
  backend: Backend<T>,
  kind: Baseline,
  source: SourceTables,
  tokens: BaselineTokens,
  seed: number,
): Promise<SourceTables> {
  const mixture = kind === 'focus' ? await focusMixture(backend, tokens) : undefined;
  const table = (from: Tensor, salt: number): Tensor => rowsOf(kind, from, tokens, seed, salt, mixture);
  return { in: table(source.in, 1), ...(source.out === undefined ? {} : { out: table(source.out, 2) }) };
}

/** For each token, which source rows are mixed and how. */
type Mixture = readonly (readonly { readonly id: number; readonly weight: number }[])[];

function rowsOf(
  kind: Baseline,
  from: Tensor,
  { forms, same }: BaselineTokens,
  seed: number,
  salt: number,
  mixture?: Mixture,
): Tensor {
  const [source = 0, width = 0] = from.shape;
  const [count = 0, length = 0] = forms.shape;
  const { mean, std } = featureStatistics(from);
  const drawn = foldIn(key(seed), salt);
  const random = noise(drawn);
  const out = new Float32Array(count * width);
  const add = (n: number, id: number, weight: number): void => {
    for (let d = 0; d < width; d++) out[n * width + d]! += weight * from.data[id * width + d]!;
  };
  for (let n = 0; n < count; n++) {
    // Drawn for every token, so that the random rows do not depend on which others are copied.
    const row = Float64Array.from({ length: width }, (_, d) => mean[d]! + std[d]! * random());
    const own = same.data[n]!;
    const pieces = Array.from(forms.data.subarray(n * length, (n + 1) * length)).filter(
      (id) => id >= 0 && id < source,
    );
    if (kind !== 'random' && own >= 0) add(n, own, 1);
    else if (kind === 'fvt' && pieces.length > 0) for (const id of pieces) add(n, id, 1 / pieces.length);
    else if (kind === 'focus' && mixture![n]!.length > 0)
      for (const { id, weight } of mixture![n]!) add(n, id, weight);
    else out.set(row, n * width);
  }
  return tensor([count, width], out);
}

/** Neighbours that sparsemax chooses from: with more, the rest would get 0 nearly always. */
const neighbours = 64;

async function focusMixture<T extends AnyTensor>(
  backend: Backend<T>,
  { same, vectors }: BaselineTokens,
): Promise<Mixture> {
  const count = same.size;
  const width = vectors?.shape[1] ?? 0;
  const known = (n: number): boolean =>
    vectors?.data.subarray(n * width, (n + 1) * width).some((v) => v !== 0) ?? false;
  const shared = Array.from({ length: count }, (_, n) => n).filter((n) => same.data[n]! >= 0 && known(n));
  const fresh = Array.from({ length: count }, (_, n) => n).filter((n) => same.data[n]! < 0 && known(n));
  const mixture: { id: number; weight: number }[][] = Array.from({ length: count }, () => []);
  if (shared.length === 0 || fresh.length === 0) return mixture;
  const { ops } = backend;
  const rows = (which: readonly number[]): Tensor =>
    tensor(
      [which.length, width],
      Float32Array.from(which.flatMap((n) => [...vectors!.data.subarray(n * width, (n + 1) * width)])),
    );
  using q = backend.upload(rows(fresh));
  using table = backend.upload(rows(shared));
  const k = Math.min(neighbours, shared.length);
  const best = ops.cosineTopK(q, table, k);
  using values = best.values;
  using indices = best.indices;
  using weights = ops.sparsemax(values);
  const [chosen, share] = await Promise.all([backend.read(indices), backend.read(weights)]);
  for (const [i, n] of fresh.entries()) {
    for (let j = 0; j < k; j++) {
      const weight = share.data[i * k + j]!;
      if (weight > 0) mixture[n]!.push({ id: same.data[shared[chosen.data[i * k + j]!]!]!, weight });
    }
  }
  return mixture;
}

/**
 * Vectors of tokens from text alone, as a stand-in for fastText's: each token's neighbours within `reach` places, counted, weighted
 * by positive pointwise mutual information, and projected by random signs to `width` numbers. Tokens that occur less than
 * three times get zeros: no vector.
 * @param ids of the text, in the numbers of the tokens; @param count how many tokens there are
 */
export function contextVectors(
  ids: ArrayLike<number>,
  count: number,
  width = 64,
  reach = 3,
  seed = 1,
): Tensor {
  const times = new Float64Array(count);
  const pairs = new Map<number, number>();
  let total = 0;
  for (let i = 0; i < ids.length; i++) {
    times[ids[i]!]!++;
    for (let j = Math.max(i - reach, 0); j < i; j++) {
      for (const pair of [ids[i]! * count + ids[j]!, ids[j]! * count + ids[i]!])
        pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
      total += 2;
    }
  }
  const sums = new Float64Array(count);
  for (const [pair, n] of pairs) sums[Math.floor(pair / count)]! += n;
  const random = noise(key(seed));
  const signs = Int8Array.from({ length: count * width }, () => (random() < 0 ? -1 : 1));
  const out = new Float32Array(count * width);
  for (const [pair, n] of pairs) {
    const [a, b] = [Math.floor(pair / count), pair % count];
    if (times[a]! < 3) continue;
    const information = Math.log((n * total) / (sums[a]! * sums[b]!));
    if (information > 0)
      for (let d = 0; d < width; d++) out[a * width + d]! += information * signs[b * width + d]!;
  }
  return tensor([count, width], out);
}
