import { ArgumentError } from '../errors.ts';
import { byteChars } from './alphabet.ts';
import { byteSpecials } from './bytes.ts';
import { byteLevelJson, requireSize, requireSpecials, type TokenizerJson } from './format.ts';
import { countPretokens } from './pretokens.ts';

export interface BpeOptions {
  /** Number of ids, bytes and special tokens included. */
  readonly size: number;
  /** Default: none; with layout 'bytes' those of the byte tokenizer. */
  readonly specials?: readonly string[];
  /** Pairs that occur less often are not merged. @defaultValue 2 */
  readonly minFrequency?: number;
  /**
   * `standard`: special tokens, then bytes in the order of their characters, then merges, as the `tokenizers` library
   * numbers them. `bytes`: bytes as their own ids, then special tokens, then merges: the ids of the byte tokenizer stay what
   * they are. @defaultValue 'standard'
   */
  readonly layout?: 'standard' | 'bytes';
  /** Distinct pieces of text to keep count of. @defaultValue 2^20 */
  readonly limit?: number;
}

export interface Trained {
  /** Write it with `JSON.stringify`. */
  readonly json: TokenizerJson;
  /** Bytes of text that were read. */
  readonly bytes: number;
  /** Pieces of text that did not fit the limit and were forgotten. */
  readonly dropped: number;
}

/**
 * Learn byte-pair encoding: from single bytes, again and again join the pair of neighbours that occurs most often.
 *
 * Counts are over pieces of text (`pretokens`), which no token crosses. Ties go to the pair with the smaller first id, then
 * second id, in the order of ids that the `tokenizers` library uses, so both learn the same merges from the same text.
 *
 * @param texts any pieces of the text; how it is cut makes no difference
 * @throws ArgumentError
 * @source Sennrich, Haddow, Birch (2016); byte level as in Radford et al. (2019)
 */
export function trainBpe(texts: Iterable<string>, options: BpeOptions): Trained {
  const op = 'trainBpe';
  const { size, layout = 'standard', minFrequency = 2 } = options;
  const specials = options.specials ?? (layout === 'bytes' ? byteSpecials : []);
  if (layout !== 'standard' && layout !== 'bytes')
    throw new ArgumentError(op, `layout is ${layout}; it must be standard or bytes`);
  requireSpecials(op, specials, new Set(byteChars));
  requireSize(op, size, specials.length);
  const { counts, bytes, dropped } = countPretokens(op, texts, options);

  // Symbols: the 256 bytes in the order of their characters, then one for each merge.
  const order = [...byteChars.keys()].sort((a, b) => (byteChars[a]! < byteChars[b]! ? -1 : 1));
  const symbolOfByte = new Uint16Array(256);
  const names = order.map((byte, symbol) => {
    symbolOfByte[byte] = symbol;
    return byteChars[byte]!;
  });
  const merges = learn(words(counts, symbolOfByte), names, size - 256 - specials.length, minFrequency);

  // Without a prototype: a token may be called "constructor" or "__proto__".
  const vocab: Record<string, number> = Object.create(null);
  const ids = new Map<string, number>();
  let next = 0;
  const number = (token: string): void => {
    if (vocab[token] === undefined) vocab[token] = next++;
  };
  const numberSpecials = (): void => {
    for (const content of specials) {
      ids.set(content, next);
      number(content);
    }
  };
  if (layout === 'standard') numberSpecials();
  for (const char of layout === 'standard' ? names.slice(0, 256) : byteChars) number(char);
  if (layout === 'bytes') numberSpecials();
  for (const [a, b] of merges) number(a + b);
  const model = {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    vocab,
    merges,
  } as const;
  return { json: byteLevelJson(model, ids), bytes, dropped };
}

interface Word {
  symbols: number[];
  readonly count: number;
}

function words(counts: ReadonlyMap<string, number>, symbolOfByte: ArrayLike<number>): Word[] {
  const encoder = new TextEncoder();
  return [...counts].map(([piece, count]) => ({
    symbols: Array.from(encoder.encode(piece), (byte) => symbolOfByte[byte]!),
    count,
  }));
}

/** A pair of symbols as one number: there are fewer than 2^26 symbols. */
const pairOf = (a: number, b: number): number => a * 2 ** 26 + b;

/** How often a pair occurs, and in which words it did at some time. */
interface Pair {
  count: number;
  readonly words: Set<number>;
}

/** The merges, in order; `names` grows by the new symbols. */
function learn(all: Word[], names: string[], room: number, minFrequency: number): [string, string][] {
  const symbols = new Map(names.map((name, symbol) => [name, symbol]));
  const pairs = new Map<number, Pair>();
  const change = (word: number, sign: 1 | -1): void => {
    const { symbols, count } = all[word]!;
    for (let i = 1; i < symbols.length; i++) {
      const key = pairOf(symbols[i - 1]!, symbols[i]!);
      let pair = pairs.get(key);
      if (pair === undefined) {
        pair = { count: 0, words: new Set() };
        pairs.set(key, pair);
      }
      pair.count += sign * count;
      if (sign > 0) pair.words.add(word);
    }
  };
  for (let w = 0; w < all.length; w++) change(w, 1);
  const heap = new PairHeap();
  for (const [key, pair] of pairs) heap.push(pair.count, key);

  const merges: [string, string][] = [];
  let made = 0;
  while (made < room) {
    const top = heap.pop();
    if (top === undefined) break;
    const pair = pairs.get(top.key);
    if (pair === undefined || pair.count < 1) continue;
    // Counts only fall for pairs that wait in the heap: an entry that is too high goes back to its place.
    if (pair.count !== top.count) {
      heap.push(pair.count, top.key);
      continue;
    }
    if (top.count < minFrequency) break;
    const [a, b] = [Math.floor(top.key / 2 ** 26), top.key % 2 ** 26];
    const name = names[a]! + names[b]!;
    let symbol = symbols.get(name);
    if (symbol === undefined) {
      symbol = names.push(name) - 1;
      symbols.set(name, symbol);
      made++;
    }
    merges.push([names[a]!, names[b]!]);
    const touched = new Set<number>();
    for (const w of pair.words) {
      const before = all[w]!.symbols;
      const after = joined(before, a, b, symbol);
      if (after.length === before.length) continue;
      change(w, -1);
      all[w]!.symbols = after;
      change(w, 1);
      for (let i = 1; i < after.length; i++) {
        if (after[i] === symbol || after[i - 1] === symbol) touched.add(pairOf(after[i - 1]!, after[i]!));
      }
    }
    pairs.delete(top.key);
    for (const key of touched) {
      const { count } = pairs.get(key)!;
      if (count > 0) heap.push(count, key);
    }
  }
  return merges;
}

/** Every a followed by b becomes `symbol`, from left to right. */
function joined(symbols: readonly number[], a: number, b: number, symbol: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === a && symbols[i + 1] === b) {
      out.push(symbol);
      i++;
    } else out.push(symbols[i]!);
  }
  return out;
}

/** Pairs by count, the largest first; of equal counts the smallest pair. */
class PairHeap {
  readonly #counts: number[] = [];
  readonly #keys: number[] = [];

  push(count: number, key: number): void {
    let at = this.#counts.length;
    this.#counts.push(count);
    this.#keys.push(key);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(at, parent)) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): { count: number; key: number } | undefined {
    if (this.#counts.length === 0) return undefined;
    this.#swap(0, this.#counts.length - 1);
    const top = { count: this.#counts.pop()!, key: this.#keys.pop()! };
    const n = this.#counts.length;
    for (let at = 0; ; ) {
      let best = at;
      for (const child of [2 * at + 1, 2 * at + 2]) if (child < n && this.#before(child, best)) best = child;
      if (best === at) return top;
      this.#swap(at, best);
      at = best;
    }
  }

  #before(i: number, j: number): boolean {
    const [a, b] = [this.#counts[i]!, this.#counts[j]!];
    return a > b || (a === b && this.#keys[i]! < this.#keys[j]!);
  }

  #swap(i: number, j: number): void {
    [this.#counts[i], this.#counts[j]] = [this.#counts[j]!, this.#counts[i]!];
    [this.#keys[i], this.#keys[j]] = [this.#keys[j]!, this.#keys[i]!];
  }
}
