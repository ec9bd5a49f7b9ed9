import { ArgumentError } from '../../core/errors.ts';
import type { Tokenizer } from '../../core/tokenizers/tokenizer.ts';

/**
 * How a text is continued whose last token may be cut short by the end of the prompt.
 * - `none`: as if the prompt's tokens were final.
 * - `heal-1`: take back one token, choose the first new one among the words that begin with its bytes.
 * - `heal-n`: take back as many tokens as some word can cover, then spell their bytes with any pieces.
 */
export const boundaries = ['none', 'heal-1', 'heal-n'] as const;
export type Boundary = (typeof boundaries)[number];

/** A prompt whose last tokens were taken back. */
export interface RolledBack {
  /** The ids that stay. */
  readonly kept: Int32Array;
  /** The bytes of those that do not, which what follows must begin with. Empty: nothing was taken back. */
  readonly prefix: Uint8Array;
}

/** The bytes of each word by its id; special tokens have none. */
export type Words = readonly Uint8Array[];

/** The bytes of every id that a model knows; ids beyond the tokenizer's have none. @throws ArgumentError if tokens are no bytes */
export function wordsOf(tokenizer: Tokenizer, vocabulary: number): Words {
  const none = new Uint8Array(0);
  return Array.from({ length: vocabulary }, (_, id) =>
    id < tokenizer.vocabulary ? tokenizer.bytesOf(id) : none,
  );
}

/**
 * Take back the tokens that a rung of the ladder wants back. Special tokens are never taken back, nor is the first id:
 * something must be left to predict from.
 * @param maxBytes heal-n takes back no more bytes than this
 * @throws ArgumentError for an unknown rung or an id that is no word
 * @source Su, kexue.fm 9762, for one token; guidance and llama.cpp for several
 */
export function rollBack(words: Words, ids: Int32Array, rung: Boundary, maxBytes = 64): RolledBack {
  if (!boundaries.includes(rung))
    throw new ArgumentError('rollBack', `there is no boundary "${rung}"; there are ${boundaries.join(', ')}`);
  const none = { kept: ids, prefix: new Uint8Array(0) };
  if (rung === 'none') return none;
  let best = none;
  let prefix = new Uint8Array(0);
  const most = rung === 'heal-1' ? 1 : ids.length - 1;
  for (let taken = 1; taken <= most && taken < ids.length; taken++) {
    const id = ids[ids.length - taken]!;
    const word = words[id];
    if (word === undefined)
      throw new ArgumentError('rollBack', `id ${id} is no word; there are ${words.length}`);
    if (word.length === 0 || word.length + prefix.length > maxBytes) break;
    prefix = joinBytes(word, prefix);
    // One token back is always right: the token itself begins with its bytes. More are worth it where a longer word fits.
    const longer = taken === 1 || words.some((w) => w.length > prefix.length && beginsWith(w, prefix));
    if (longer) best = { kept: ids.subarray(0, ids.length - taken), prefix };
  }
  return best;
}

/** What is left to spell of `prefix` after a word: nothing when the word covers it. */
export function restAfter(word: Uint8Array, prefix: Uint8Array): Uint8Array {
  return prefix.subarray(Math.min(word.length, prefix.length));
}

/** Whether a word may come next while `prefix` is to be spelled; `covers`: also pieces of it. Words without bytes never. */
export function mayFollow(word: Uint8Array, prefix: Uint8Array, covers: boolean): boolean {
  return word.length > 0 && (beginsWith(word, prefix) || (covers && beginsWith(prefix, word)));
}

function beginsWith(word: Uint8Array, prefix: Uint8Array): boolean {
  if (word.length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (word[i] !== prefix[i]) return false;
  return true;
}

function joinBytes(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}
