import { ArgumentError } from '../../core/errors.ts';
import { show, type Tensor } from '../../core/tensor.ts';

/**
 * Step 1: which tokens of a batch belong to which [SUBVOCAB].
 *
 * A [SUBVOCAB] at position p governs the predictions from p on, up to the next one of its row; what comes before the first one,
 * or stands in a row without any, is predicted over all words.
 */
export interface Segments {
  readonly batch: number;
  /** Positions that predict: one less than there are tokens. */
  readonly length: number;
  /** Most [SUBVOCAB] of a row. */
  readonly queries: number;
  /** [batch, queries]: where each [SUBVOCAB] stands; -1 fills up. */
  readonly positions: Int32Array;
  /** [count]: the number of each sub-vocabulary among batch * queries. */
  readonly owners: Int32Array;
  /** How many sub-vocabularies there are. */
  readonly count: number;
  /** Most positions that one of them governs. */
  readonly longest: number;
  /** [count, longest]: the governed positions as rows of [batch * length]; -1 fills up. */
  readonly places: Int32Array;
  /** [count, longest]: what they predict, or `ignored`. */
  readonly targets: Int32Array;
  /** Positions before any [SUBVOCAB], and what they predict. */
  readonly freePlaces: Int32Array;
  readonly freeTargets: Int32Array;
}

/** Targets of this id count nowhere. */
export const ignored = -100;

/**
 * @param tokens i32 [batch, length + 1]: position t predicts token t + 1
 * @param never ids that are never predicted: padding, and [SUBVOCAB] itself
 */
export function segmentsOf(tokens: Tensor, subVocabId: number, never: readonly number[] = []): Segments {
  const [batch = 0, width = 0] = tokens.shape;
  if (tokens.dtype !== 'i32' || tokens.shape.length !== 2 || batch === 0 || width < 2) {
    throw new ArgumentError(
      'subVocab',
      `tokens have shape ${show(tokens.shape)} and dtype ${tokens.dtype}; they must be i32 [batch >= 1, length >= 2]`,
    );
  }
  const length = width - 1;
  const found: { row: number; position: number; end: number }[] = [];
  const freePlaces: number[] = [];
  const freeTargets: number[] = [];
  const target = (row: number, t: number): number => {
    const id = tokens.data[row * width + t + 1]!;
    return id === subVocabId || never.includes(id) ? ignored : id;
  };
  const perRow: number[] = [];
  for (let row = 0; row < batch; row++) {
    let own = 0;
    for (let t = 0; t < length; t++) {
      if (tokens.data[row * width + t] === subVocabId) {
        found.push({ row, position: t, end: t });
        own++;
      }
      if (own > 0) found.at(-1)!.end = t + 1;
      else if (target(row, t) !== ignored) {
        freePlaces.push(row * length + t);
        freeTargets.push(target(row, t));
      }
    }
    perRow.push(own);
  }
  const queries = Math.max(0, ...perRow);
  const longest = Math.max(0, ...found.map((f) => f.end - f.position));
  const positions = new Int32Array(batch * queries).fill(-1);
  const owners = new Int32Array(found.length);
  const places = new Int32Array(found.length * longest).fill(-1);
  const targets = new Int32Array(found.length * longest).fill(ignored);
  const next = new Int32Array(batch);
  found.forEach(({ row, position, end }, i) => {
    const at = row * queries + next[row]!++;
    positions[at] = position;
    owners[i] = at;
    for (let t = position; t < end; t++) {
      places[i * longest + t - position] = row * length + t;
      targets[i * longest + t - position] = target(row, t);
    }
  });
  return {
    batch,
    length,
    queries,
    positions,
    owners,
    count: found.length,
    longest,
    places,
    targets,
    freePlaces: Int32Array.from(freePlaces),
    freeTargets: Int32Array.from(freeTargets),
  };
}

/** The words of a text, the last one first, each once: what was said is likely to be said again. */
export function contextWords(ids: Int32Array, specials: number): Int32Array {
  return Int32Array.from(new Set(Array.from(ids).reverse())).filter((id) => id >= specials);
}

/** Some words, then others that are not among them, k in all. */
export function joined(first: Int32Array, then: Int32Array, k: number): Int32Array {
  return Int32Array.from(new Set([...first, ...then])).subarray(0, k);
}
