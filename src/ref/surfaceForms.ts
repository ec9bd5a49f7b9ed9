import { ArgumentError } from '../core/errors.ts';
import { planSurfaceForms, type SurfaceFormsOptions } from '../core/ops/surfaceForms.ts';
import { type Outputs, outputs, type Tensor, tensor } from '../core/tensor.ts';

/**
 * Spell every word with the cheapest sequence of pieces. best[e] is the least cost of the first e bytes; starts are taken
 * in ascending order, and a later start wins only if it is cheaper, so ties go to the longest last piece.
 *
 * @param words, offsets the words' bytes packed into u32, and where each begins; pieces, pieceOffsets the same, sorted bytewise
 * @param ids i32 [P]; costs u32 [P], below 2^24
 * @param options.length places of a form (7); options.padding fills the unused ones (-1)
 * @returns forms i32 [N, length]; counts i32 [N], the pieces before anything was cut off
 * @throws ShapeError, DTypeError, ArgumentError, also where pieces are out of order or a word has more than 255 bytes
 * @accuracy exact
 * @edge A word that cannot be spelled, or an empty one: padding, count 0.
 */
export function surfaceForms(
  words: Tensor,
  offsets: Tensor,
  pieces: Tensor,
  pieceOffsets: Tensor,
  ids: Tensor,
  costs: Tensor,
  options: SurfaceFormsOptions = {},
): Outputs<{ forms: Tensor; counts: Tensor }> {
  const plan = planSurfaceForms(words, offsets, pieces, pieceOffsets, ids, costs, options);
  const known = new Map<string, number>();
  let longest = 0;
  let before = '';
  for (let p = 0; p < plan.pieces; p++) {
    const bytes = stringOf(pieces, pieceOffsets, p);
    if (!(bytes > before)) {
      throw new ArgumentError(
        'surfaceForms',
        `piece ${p} does not come after the one before it; sort the pieces bytewise, without empty or equal ones`,
      );
    }
    if (!(costs.data[p]! < 2 ** 24)) {
      throw new ArgumentError('surfaceForms', `piece ${p} costs ${costs.data[p]}; costs are below 2^24`);
    }
    known.set(bytes, p);
    longest = Math.max(longest, bytes.length);
    before = bytes;
  }
  const forms = new Int32Array(plan.words * plan.length).fill(plan.padding);
  const counts = new Int32Array(plan.words);
  for (let n = 0; n < plan.words; n++) {
    const word = stringOf(words, offsets, n);
    if (word.length > 255) {
      throw new ArgumentError('surfaceForms', `word ${n} has ${word.length} bytes; words have at most 255`);
    }
    const best = new Float64Array(word.length + 1).fill(Infinity);
    const last = new Int32Array(word.length + 1);
    best[0] = 0;
    for (let from = 0; from < word.length; from++) {
      if (best[from] === Infinity) continue;
      for (let to = from + 1; to <= Math.min(word.length, from + longest); to++) {
        const piece = known.get(word.slice(from, to));
        if (piece === undefined) continue;
        const cost = best[from]! + costs.data[piece]!;
        if (cost < best[to]!) {
          best[to] = cost;
          last[to] = piece;
        }
      }
    }
    if (best[word.length] === Infinity) continue;
    const path: number[] = [];
    for (let at = word.length; at > 0; ) {
      const piece = last[at]!;
      path.unshift(piece);
      at -= pieceOffsets.data[piece + 1]! - pieceOffsets.data[piece]!;
    }
    counts[n] = path.length;
    for (const [j, piece] of path.slice(0, plan.length).entries())
      forms[n * plan.length + j] = ids.data[piece]!;
  }
  return outputs({ forms: tensor([plan.words, plan.length], forms), counts: tensor([plan.words], counts) });
}

/** A string of bytes, one character per byte. */
function stringOf(packed: Tensor, offsets: Tensor, n: number): string {
  const [from, to] = [offsets.data[n]!, offsets.data[n + 1]!];
  if (!(from <= to && to <= 4 * packed.size)) {
    throw new ArgumentError(
      'surfaceForms',
      `string ${n} goes from byte ${from} to ${to} of ${4 * packed.size}; offsets must not fall, nor leave the bytes`,
    );
  }
  let out = '';
  for (let at = from; at < to; at++)
    out += String.fromCharCode((packed.data[at >> 2]! >>> (8 * (at & 3))) & 255);
  return out;
}
