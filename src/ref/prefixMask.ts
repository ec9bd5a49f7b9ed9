import { compareBytes } from '../core/byteStrings.ts';
import { ArgumentError } from '../core/errors.ts';
import {
  type PrefixMaskOptions,
  type PrefixMaskPlan,
  planPrefixMask,
  planPrefixMaskBackward,
  planPrefixMaskRange,
} from '../core/ops/prefixMask.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';

/**
 * Exclude the words that do not begin with a row's prefix: y[q, v] = logits[q, v] if word v begins with prefix q, else
 * -Infinity. With `covers`, also words that prefix q begins with are allowed.
 * @param logits f32 or f64 [..., V], Q rows
 * @param words u32, bytes of V words, packed by `packByteStrings`; `offsets` u32 [V + 1]
 * @param prefixes u32, bytes of Q prefixes; `prefixOffsets` u32 [Q + 1]
 * @edge A word without bytes is never allowed; an empty prefix allows every other word.
 * @throws ShapeError, DTypeError; ArgumentError when offsets fall or point past the bytes
 * @accuracy exact
 * @source Su, kexue.fm 9762
 */
export function prefixMask(
  logits: Tensor,
  words: Tensor,
  offsets: Tensor,
  prefixes: Tensor,
  prefixOffsets: Tensor,
  options: PrefixMaskOptions = {},
): Tensor {
  const plan = planPrefixMask(logits, words, offsets, prefixes, prefixOffsets, options);
  const allowed = allowedWords('prefixMask', plan, words, offsets, prefixes, prefixOffsets);
  const y = allocate(logits.dtype, logits.size);
  for (let i = 0; i < y.length; i++) y[i] = allowed[i] ? logits.data[i]! : -Infinity;
  return new Tensor(logits.dtype, logits.shape, y);
}

/**
 * Gradient of {@link prefixMask}: dLogits[q, v] = dy[q, v] where the word is allowed, else 0.
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy exact
 */
export function prefixMaskBackward(
  dy: Tensor,
  words: Tensor,
  offsets: Tensor,
  prefixes: Tensor,
  prefixOffsets: Tensor,
  options: PrefixMaskOptions = {},
): Tensor {
  const plan = planPrefixMaskBackward(dy, words, offsets, prefixes, prefixOffsets, options);
  const allowed = allowedWords('prefixMaskBackward', plan, words, offsets, prefixes, prefixOffsets);
  const dLogits = allocate(dy.dtype, dy.size);
  for (let i = 0; i < dLogits.length; i++) dLogits[i] = allowed[i] ? dy.data[i]! : 0;
  return new Tensor(dy.dtype, dy.shape, dLogits);
}

/**
 * Where the words that begin with a prefix lie in a vocabulary sorted bytewise: words first[q] up to end[q] - 1.
 * @returns first, end: i32 [Q]; equal when no word begins with the prefix
 * @throws ShapeError, DTypeError; ArgumentError when the words are not sorted, naming the first that is out of order
 * @accuracy exact
 */
export function prefixMaskRange(
  words: Tensor,
  offsets: Tensor,
  prefixes: Tensor,
  prefixOffsets: Tensor,
): Outputs<{ first: Tensor; end: Tensor }> {
  const plan = planPrefixMaskRange(words, offsets, prefixes, prefixOffsets);
  const list = unpack('prefixMaskRange', 'offsets', words, offsets);
  for (let v = 1; v < list.length; v++) {
    if (compareBytes(list[v - 1]!, list[v]!) > 0)
      throw new ArgumentError(
        'prefixMaskRange',
        `word ${v} sorts before word ${v - 1}; sort the words bytewise`,
      );
  }
  const first = new Int32Array(plan.prefixes);
  const end = new Int32Array(plan.prefixes);
  for (const [q, prefix] of unpack('prefixMaskRange', 'prefixOffsets', prefixes, prefixOffsets).entries()) {
    let v = 0;
    while (v < list.length && compareBytes(list[v]!, prefix) < 0) v++;
    first[q] = v;
    while (v < list.length && beginsWith(list[v]!, prefix)) v++;
    end[q] = v;
  }
  return outputs({
    first: new Tensor('i32', [plan.prefixes], first),
    end: new Tensor('i32', [plan.prefixes], end),
  });
}

/** For each row and word, 1 when the word is allowed. */
function allowedWords(
  op: string,
  plan: PrefixMaskPlan,
  words: Tensor,
  offsets: Tensor,
  prefixes: Tensor,
  prefixOffsets: Tensor,
): Uint8Array {
  const list = unpack(op, 'offsets', words, offsets);
  const allowed = new Uint8Array(plan.rows * plan.words);
  for (const [q, prefix] of unpack(op, 'prefixOffsets', prefixes, prefixOffsets).entries()) {
    for (const [v, word] of list.entries()) {
      const fits = beginsWith(word, prefix) || (plan.covers && beginsWith(prefix, word));
      if (word.length > 0 && fits) allowed[q * plan.words + v] = 1;
    }
  }
  return allowed;
}

function beginsWith(word: Uint8Array, prefix: Uint8Array): boolean {
  if (word.length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (word[i] !== prefix[i]) return false;
  return true;
}

/** The byte strings of a packed list. */
function unpack(op: string, name: string, packed: Tensor, { data: offsets }: Tensor): Uint8Array[] {
  const bytes = Uint8Array.from(
    { length: packed.size * 4 },
    (_, i) => packed.data[i >>> 2]! >>> (8 * (i & 3)),
  );
  const list: Uint8Array[] = [];
  for (let i = 0; i + 1 < offsets.length; i++) {
    const [from, to] = [offsets[i]!, offsets[i + 1]!];
    if (to < from || to > bytes.length) {
      throw new ArgumentError(
        op,
        `${name} has ${from} and ${to} at element ${i}; offsets must not fall, nor pass the ${bytes.length} bytes`,
      );
    }
    list.push(bytes.subarray(from, to));
  }
  return list;
}
