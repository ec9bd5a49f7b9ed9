import { ArgumentError } from '../../core/errors.ts';
import { type Boundary, mayFollow, restAfter, rollBack, type Words } from './rollBack.ts';

/** A place in a text: what the model knows there, and its log-probabilities of the next token. */
export interface Place<S> {
  readonly state: S;
  readonly logProbs: ArrayLike<number>;
}

/** A language model over tokens, one step at a time. States are kept by the caller of `next`, so a tree can be walked. */
export interface TokenModel<S> {
  begin(ids: Int32Array): Promise<Place<S>>;
  next(state: S, id: number): Promise<Place<S>>;
  /** A state that is not needed any more. */
  release(state: S): void;
}

export interface OracleOptions {
  /** Spell at least so many of the last bytes in every way; all before stays as the tokenizer cut it. @defaultValue all */
  readonly window?: number;
  /** Leave out segmentations whose probability is below this share of what was found. @defaultValue 0 */
  readonly floor?: number;
}

/** Probabilities of the next byte, and how many places the model was asked at. */
export interface NextByte {
  readonly probs: Float64Array;
  readonly places: number;
}

/**
 * The model's own distribution of the next byte after a text, whatever the tokens:
 *
 *     P(b | s) = sum over covers of s + b of P(cover) / sum over covers of s of P(cover)
 *
 * A cover of s is a sequence of tokens whose bytes extend s and whose proper beginnings do not. This is what continuing
 * with a cut token approximates. The number of covers grows with 2^bytes: for small windows and for measuring only.
 *
 * @source Vieira et al., arXiv 2412.03719
 */
export async function exactNextByte<S>(
  model: TokenModel<S>,
  words: Words,
  ids: Int32Array,
  { window = Infinity, floor = 0 }: OracleOptions = {},
): Promise<NextByte> {
  let kept = ids.length;
  let bytes = 0;
  while (kept > 1 && bytes < window && (words[ids[kept - 1]!]?.length ?? 0) > 0) {
    kept--;
    bytes += words[ids[kept]!]!.length;
  }
  const prefix = concat(Array.from(ids.subarray(kept), (id) => words[id]!));
  return walk(model, words, ids.subarray(0, kept), prefix, { covers: true, local: false, floor });
}

/** The distribution of the next byte that a rung of the ladder gives, every choice of tokens summed instead of drawn. */
export async function boundaryNextByte<S>(
  model: TokenModel<S>,
  words: Words,
  ids: Int32Array,
  rung: Boundary,
  { floor = 0 }: Pick<OracleOptions, 'floor'> = {},
): Promise<NextByte> {
  const { kept, prefix } = rollBack(words, ids, rung);
  return walk(model, words, kept, prefix, { covers: rung === 'heal-n', local: true, floor });
}

/**
 * Sum over all ways to spell `prefix` and go on. `local`: at each step the probabilities of the words that may follow are
 * made to sum to 1, as sampling under a mask does; else they are taken as they are, and the sum is normalised at the end.
 */
async function walk<S>(
  model: TokenModel<S>,
  words: Words,
  kept: Int32Array,
  prefix: Uint8Array,
  { covers, local, floor }: { covers: boolean; local: boolean; floor: number },
): Promise<NextByte> {
  if (kept.length === 0)
    throw new ArgumentError('nextByte', 'there are no ids; begin with the one that begins a text');
  const probs = new Float64Array(256);
  let places = 0;
  let found = 0;
  const visit = async (place: Place<S>, rest: Uint8Array, weight: number): Promise<void> => {
    places++;
    const { logProbs } = place;
    let allowed = 0;
    for (let v = 0; v < words.length; v++) {
      if (mayFollow(words[v]!, rest, covers)) allowed += Math.exp(logProbs[v]!);
    }
    if (allowed === 0) return;
    const scale = local ? weight / allowed : weight;
    const open: { id: number; p: number }[] = [];
    for (let v = 0; v < words.length; v++) {
      const word = words[v]!;
      if (!mayFollow(word, rest, covers)) continue;
      const p = scale * Math.exp(logProbs[v]!);
      if (word.length > rest.length) {
        probs[word[rest.length]!]! += p;
        found += p;
      } else open.push({ id: v, p });
    }
    // The probable ones first: what they find is what the others are measured by.
    open.sort((a, b) => b.p - a.p);
    for (const { id, p } of open) {
      if (p <= floor * found) break;
      const next = await model.next(place.state, id);
      await visit(next, restAfter(words[id]!, rest), p);
      model.release(next.state);
    }
  };
  const root = await model.begin(kept);
  await visit(root, prefix, 1);
  model.release(root.state);
  for (let b = 0; b < 256; b++) probs[b]! /= found;
  return { probs, places };
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}
