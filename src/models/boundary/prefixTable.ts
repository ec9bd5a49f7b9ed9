import type { Backend } from '../../core/backend.ts';
import { compareBytes, packByteStrings, packBytes } from '../../core/byteStrings.ts';
import { ArgumentError } from '../../core/errors.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import type { Words } from './rollBack.ts';

/** Words in bytewise order, end to end: no object per word, so that 10^8 of them fit. */
export interface SortedWords {
  readonly bytes: Uint8Array;
  /** [count + 1]: word i is bytes starts[i] to starts[i + 1] - 1. */
  readonly starts: Uint32Array | Float64Array;
  /** [count]: what the words are called. */
  readonly ids: Int32Array;
}

/** The words that have bytes, in bytewise order, equal ones by id. */
export function sortWords(words: Words): SortedWords {
  const ids = [...words.keys()].filter((id) => words[id]!.length > 0);
  ids.sort((a, b) => compareBytes(words[a]!, words[b]!) || a - b);
  const starts = new Float64Array(ids.length + 1);
  for (const [i, id] of ids.entries()) starts[i + 1] = starts[i]! + words[id]!.length;
  const bytes = new Uint8Array(starts.at(-1)!);
  for (const [i, id] of ids.entries()) bytes.set(words[id]!, starts[i]!);
  return { bytes, starts, ids: Int32Array.from(ids) };
}

/** A stretch of the table that fits one binding. */
interface Part<T> {
  readonly bytes: T;
  readonly offsets: T;
}

/**
 * A vocabulary sorted by its bytes, on a backend: which words may come next while a prefix is to be spelled, as ids. Two
 * bisections per prefix, whatever the size of the vocabulary, where a mask would look at every word.
 *
 * A vocabulary of 10^8 words is larger than what a kernel can see at once, so the table is cut into parts. Each part counts
 * how many of its words come before the range and how many before its end; these counts add up, since the parts are in order.
 *
 * What it gives are candidates for the selection of a sub-vocabulary: `SubVocab.select` takes them in the place of what the
 * index finds, so that the right continuation cannot be missing because it did not seem likely before the prefix was known.
 */
export class PrefixTable<T extends AnyTensor> implements Disposable {
  readonly #backend: Backend<T>;
  readonly #words: SortedWords;
  readonly #parts: Part<T>[] = [];

  /**
   * @param options.partBytes most bytes of words, and of their offsets, in a part; default 64 MiB, which every adapter can bind
   * @throws ArgumentError: a word is longer than a part
   */
  constructor(backend: Backend<T>, words: SortedWords, { partBytes = 2 ** 26 }: { partBytes?: number } = {}) {
    this.#backend = backend;
    this.#words = words;
    const { bytes, starts, ids } = words;
    try {
      for (let first = 0; first < ids.length; ) {
        const begin = starts[first]!;
        let end = first;
        while (
          end < ids.length &&
          starts[end + 1]! - begin <= partBytes &&
          4 * (end - first + 2) <= partBytes
        )
          end++;
        if (end === first) {
          const own = starts[first + 1]! - begin;
          throw new ArgumentError(
            'PrefixTable',
            `the word ${ids[first]} has ${own} bytes; a part holds ${partBytes}`,
          );
        }
        const offsets = Uint32Array.from({ length: end - first + 1 }, (_, i) => starts[first + i]! - begin);
        this.#parts.push({
          bytes: backend.upload(packBytes(bytes.subarray(begin, starts[end]!))),
          offsets: backend.upload(tensor([offsets.length], offsets)),
        });
        first = end;
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** How many parts the vocabulary was cut into. */
  get parts(): number {
    return this.#parts.length;
  }

  /**
   * Ids of the words that begin with the prefix, in bytewise order.
   * @param covers also the words that the prefix begins with, shorter ones first
   * @returns i32 [1, count]
   */
  async allowed(prefix: Uint8Array, covers: boolean): Promise<Tensor> {
    // The words equal to a beginning of the prefix are the first of those that begin with it, being the shortest.
    const asked = covers ? Array.from(prefix, (_, i) => prefix.subarray(0, i + 1)) : [prefix];
    if (asked.length === 0) asked.push(prefix);
    const { starts, ids } = this.#words;
    const { first, end } = await this.#ranges(asked);
    const found: number[] = [];
    for (const [q, piece] of asked.entries()) {
      const whole = q === asked.length - 1;
      for (let at = first[q]!; at < end[q]!; at++) {
        if (!whole && starts[at + 1]! - starts[at]! > piece.length) break;
        found.push(ids[at]!);
      }
    }
    return tensor([1, found.length], Int32Array.from(found));
  }

  /** Where the words that begin with each of some prefixes lie: places first[q] to end[q] - 1 of the table. */
  async #ranges(prefixes: readonly Uint8Array[]): Promise<{ first: Int32Array; end: Int32Array }> {
    const { bytes, offsets } = packByteStrings(prefixes);
    using asked = this.#backend.upload(bytes);
    using ends = this.#backend.upload(offsets);
    const made = this.#parts.map((part) =>
      this.#backend.ops.prefixMaskRange(part.bytes, part.offsets, asked, ends),
    );
    const sum = async (which: 'first' | 'end'): Promise<Int32Array> => {
      const total = new Int32Array(prefixes.length);
      for (const ranges of made) {
        const { data } = await this.#backend.read(ranges[which]);
        for (const [q, count] of data.entries()) total[q]! += count;
      }
      return total;
    };
    try {
      return { first: await sum('first'), end: await sum('end') };
    } finally {
      for (const ranges of made) {
        ranges.first[Symbol.dispose]();
        ranges.end[Symbol.dispose]();
      }
    }
  }

  [Symbol.dispose](): void {
    for (const { bytes, offsets } of this.#parts) {
      bytes[Symbol.dispose]();
      offsets[Symbol.dispose]();
    }
  }
}
