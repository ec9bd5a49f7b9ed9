import { ArgumentError } from '../errors.ts';

/** Words, numbers, punctuation and white space, a space before a word belonging to it: the pattern of GPT-2. */
const pattern = /'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** No piece is longer than this; longer runs (a megabyte without a space) are cut. */
const longest = 1024;

/** The pieces of a text within which a byte-level tokenizer works: it never joins bytes across them. */
export function pretokens(text: string): string[] {
  return text.match(pattern) ?? [];
}

export interface PretokenCounts {
  /** How often each piece occurs. */
  readonly counts: ReadonlyMap<string, number>;
  /** Bytes of UTF-8 in all. */
  readonly bytes: number;
  /** Occurrences that were forgotten because there were more distinct pieces than `limit`. */
  readonly dropped: number;
}

/**
 * Count the pieces of a stream of text, in bounded memory.
 *
 * When there are more than `limit` distinct pieces, the rarest are forgotten until half of them are left (lossy counting):
 * what is frequent stays, and the same text gives the same counts. How the stream is cut makes no difference: the end of a
 * chunk is held back until the next one shows where its last pieces end.
 *
 * @param limit distinct pieces to keep, 2^20 by default
 * @throws ArgumentError when there is no text at all
 */
export function countPretokens(
  op: string,
  texts: Iterable<string>,
  { limit = 2 ** 20 }: { limit?: number } = {},
): PretokenCounts {
  const counts = new Map<string, number>();
  let bytes = 0;
  let dropped = 0;
  const add = (piece: string): void => {
    for (let at = 0; at < piece.length; ) {
      let end = Math.min(at + longest, piece.length);
      // Never between the halves of a surrogate pair.
      if (end < piece.length && (piece.charCodeAt(end) & 0xfc00) === 0xdc00) end--;
      const part = piece.slice(at, end);
      counts.set(part, (counts.get(part) ?? 0) + 1);
      at = end;
    }
    if (counts.size > limit) dropped += forgetRarest(counts, limit / 2);
  };
  const encoder = new TextEncoder();
  let held = '';
  for (const text of texts) {
    bytes += encoder.encode(text).length;
    held += text;
    const pieces = pretokens(held);
    // The last piece may go on, and the one before may turn out to be the start of a contraction ('l before l).
    const kept = held.length > 64 * longest ? 0 : 2;
    const whole = pieces.slice(0, Math.max(pieces.length - kept, 0));
    for (const piece of whole) add(piece);
    held = held.slice(whole.reduce((n, piece) => n + piece.length, 0));
  }
  for (const piece of pretokens(held)) add(piece);
  if (bytes === 0) throw new ArgumentError(op, 'the text is empty; give some to learn from');
  return { counts, bytes, dropped };
}

/** Remove the rarest entries, all of the same count at once, until at most `keep` are left. Returns what was removed. */
export function forgetRarest<K>(counts: Map<K, number>, keep: number): number {
  const sorted = Float64Array.from(counts.values()).sort();
  const threshold = sorted[Math.max(sorted.length - Math.floor(keep) - 1, 0)]!;
  let removed = 0;
  for (const [key, count] of counts) {
    if (count <= threshold) {
      removed += count;
      counts.delete(key);
    }
  }
  return removed;
}
