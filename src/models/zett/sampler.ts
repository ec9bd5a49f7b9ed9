import { ArgumentError } from '../../core/errors.ts';
import { foldIn, type Key, key } from '../../core/key.ts';
import { byteChars, bytesOfToken } from '../../core/tokenizers/alphabet.ts';
import { pretokens } from '../../core/tokenizers/pretokens.ts';
import { pieceTrie } from '../../core/tokenizers/trie.ts';
import { noise } from './noise.ts';

/** A vocabulary with a log-probability per piece: what a Unigram tokenizer is. */
export interface ScoredVocabulary {
  readonly pieces: readonly Uint8Array[];
  readonly scores: Float64Array;
}

export interface SamplerOptions {
  /** Batches whose counts are kept. @defaultValue 16 */
  readonly window?: number;
  /** Bytes of a piece at most. @defaultValue 15 */
  readonly longest?: number;
  /** Every so manieth character of a word begins substrings, apart from the first. @defaultValue 4 */
  readonly stride?: number;
  /** Mean and deviation of the logarithm of the noise. @defaultValue log(1e-5) and 4 */
  readonly noise?: { readonly mean: number; readonly sigma: number };
  /** Distinct substrings of a batch that are kept. @defaultValue 2^18 */
  readonly limit?: number;
}

const encoder = new TextEncoder();
const spaces = new Set([0x20, 0x0a, 0x09]);

/**
 * Samples tokenizers from text that streams by. It keeps how often each substring of a word occurred in the last batches; a
 * vocabulary is the 256 bytes and the substrings with the largest noisy frequencies.
 *
 * Where this departs from the published code: substrings begin at the first character and at every `stride`-th after it, by
 * bytes of the word itself, whereas its offsets are shifted behind characters of several bytes.
 */
export class TokenizerSampler {
  readonly #window: number;
  readonly #longest: number;
  readonly #stride: number;
  readonly #noise: { readonly mean: number; readonly sigma: number };
  readonly #limit: number;
  readonly #queue: Map<string, number>[] = [];
  readonly #sum = new Map<string, number>();

  constructor(options: SamplerOptions = {}) {
    this.#window = options.window ?? 16;
    this.#longest = options.longest ?? 15;
    this.#stride = options.stride ?? 4;
    this.#noise = options.noise ?? { mean: Math.log(1e-5), sigma: 4 };
    this.#limit = options.limit ?? 2 ** 18;
    for (const [name, value] of Object.entries({
      window: this.#window,
      longest: this.#longest,
      stride: this.#stride,
    })) {
      if (!Number.isInteger(value) || value < 1) {
        throw new ArgumentError(
          'TokenizerSampler',
          `${name} is ${value}; it must be an integer of at least 1`,
        );
      }
    }
  }

  /** Distinct substrings in the window. */
  get size(): number {
    return this.#sum.size;
  }

  /** Count a batch of texts, and forget the batch that leaves the window. */
  push(texts: Iterable<string>): void {
    const counts = new Map<string, number>();
    for (const text of texts) {
      for (const word of pretokens(` ${text}`)) this.#count(word, counts);
      if (counts.size > 2 * this.#limit) keepLargest(counts, this.#limit);
    }
    if (counts.size > this.#limit) keepLargest(counts, this.#limit);
    this.#queue.push(counts);
    for (const [piece, n] of counts) this.#sum.set(piece, (this.#sum.get(piece) ?? 0) + n);
    if (this.#queue.length <= this.#window) return;
    for (const [piece, n] of this.#queue.shift()!) {
      const left = this.#sum.get(piece)! - n;
      if (left === 0) this.#sum.delete(piece);
      else this.#sum.set(piece, left);
    }
  }

  /**
   * A vocabulary of `size` pieces, or of all there are. Scores are log(p + N(0, s^2)), with log s normal itself: little noise gives
   * nearly the most frequent substrings, much noise any of them.
   * @throws ArgumentError when the size cannot hold all bytes, or nothing was counted
   */
  sample(size: number, drawn: Key): ScoredVocabulary {
    if (!Number.isInteger(size) || size < 256) {
      throw new ArgumentError(
        'TokenizerSampler',
        `size is ${size}; it must be an integer of at least 256: all bytes`,
      );
    }
    if (this.#sum.size === 0)
      throw new ArgumentError('TokenizerSampler', 'no text was counted yet; push some first');
    const random = noise(drawn);
    const sigma = Math.exp(this.#noise.mean + this.#noise.sigma * random());
    let total = 0;
    let least = Infinity;
    for (const n of this.#sum.values()) {
      total += n;
      least = Math.min(least, n);
    }
    const scored: { piece: string; score: number }[] = [];
    // In an order of its own: that of a map depends on what was counted when.
    for (const piece of [...this.#sum.keys()].sort()) {
      const p = this.#sum.get(piece)! / total + sigma * random();
      if (piece.length > 1) scored.push({ piece, score: p > 0 ? Math.log(p) : -100000 });
    }
    scored.sort((a, b) => b.score - a.score || (a.piece < b.piece ? -1 : 1));
    const chosen = scored.slice(0, size - 256);
    return {
      pieces: [
        ...byteChars.map((_, byte) => Uint8Array.of(byte)),
        ...chosen.map(({ piece }) => bytesOfToken(piece)!),
      ],
      scores: Float64Array.from([
        ...new Array<number>(256).fill(Math.log(least / total)),
        ...chosen.map((c) => c.score),
      ]),
    };
  }

  /** Substrings of one word, weighted by their length in the byte alphabet's UTF-8: a space and other rare bytes count two. */
  #count(word: string, counts: Map<string, number>): void {
    const bytes = encoder.encode(word);
    const starts: number[] = [];
    for (let at = 0; at < bytes.length; at++) if ((bytes[at]! & 0xc0) !== 0x80) starts.push(at);
    for (let s = 0; s < starts.length; s += this.#stride) {
      let piece = '';
      let weight = 0;
      let white = 0;
      for (let at = starts[s]!; at < Math.min(bytes.length, starts[s]! + this.#longest); at++) {
        const char = byteChars[bytes[at]!]!;
        piece += char;
        weight += char.charCodeAt(0) < 0x80 ? 1 : 2;
        if (spaces.has(bytes[at]!)) white++;
        // Two white characters or more make no piece: how they group is left to the bytes.
        if (white < 2) counts.set(piece, (counts.get(piece) ?? 0) + weight);
      }
    }
  }
}

function keepLargest(counts: Map<string, number>, most: number): void {
  const kept = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, most);
  counts.clear();
  for (const [piece, n] of kept) counts.set(piece, n);
}

/** The key of a step's draw. */
export function sampleKey(seed: number, step: number): Key {
  return foldIn(foldIn(key(seed), 0x7a65_7474), step);
}

/**
 * Cuts text by a Unigram model over bytes: within each word the sequence of pieces with the largest sum of scores. Starts are taken
 * in ascending order and only a strictly larger sum replaces what is there, so ties keep the longest last piece.
 */
export class UnigramEncoder {
  readonly #trie: ReturnType<typeof pieceTrie>;
  readonly #scores: Float64Array;
  readonly #lengths: Int32Array;
  readonly #cache = new Map<string, readonly number[]>();

  /** @throws ArgumentError unless all 256 bytes are pieces */
  constructor({ pieces, scores }: ScoredVocabulary) {
    const bytes = new Set(pieces.filter((p) => p.length === 1).map((p) => p[0]));
    if (bytes.size !== 256) {
      throw new ArgumentError(
        'UnigramEncoder',
        `the vocabulary has ${bytes.size} of the 256 single bytes; it must have all`,
      );
    }
    this.#trie = pieceTrie(pieces);
    this.#scores = scores;
    this.#lengths = Int32Array.from(pieces, (p) => p.length);
  }

  /** Piece numbers of a text. */
  encode(text: string): Int32Array {
    const out: number[] = [];
    for (const word of pretokens(text)) {
      let cut = this.#cache.get(word);
      if (cut === undefined) {
        cut = this.cut(encoder.encode(word));
        if (this.#cache.size < 2 ** 16) this.#cache.set(word, cut);
      }
      for (const piece of cut) out.push(piece);
    }
    return Int32Array.from(out);
  }

  /** Piece numbers of one word. */
  cut(bytes: Uint8Array): number[] {
    const best = new Float64Array(bytes.length + 1).fill(-Infinity);
    const last = new Int32Array(bytes.length + 1);
    best[0] = 0;
    for (let from = 0; from < bytes.length; from++) {
      this.#trie.walk(bytes, from, (piece, to) => {
        const score = best[from]! + this.#scores[piece]!;
        if (score > best[to]!) {
          best[to] = score;
          last[to] = piece;
        }
      });
    }
    const path: number[] = [];
    for (let at = bytes.length; at > 0; at -= this.#lengths[last[at]!]!) path.push(last[at]!);
    return path.reverse();
  }
}
