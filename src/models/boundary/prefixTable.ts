import type { Backend } from '../../core/backend.ts';
import { compareBytes, packByteStrings } from '../../core/byteStrings.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import type { Words } from './rollBack.ts';

/**
 * A vocabulary sorted by its bytes, on a backend: which words may come next while a prefix is to be spelled, as ids. Two
 * bisections per prefix, whatever the size of the vocabulary, where a mask would look at every word.
 *
 * What it gives are candidates for the selection of a sub-vocabulary: `SubVocab.select` takes them in the place of what the
 * index finds, so that the right continuation cannot be missing because it did not seem likely before the prefix was known.
 */
export class PrefixTable<T extends AnyTensor> implements Disposable {
  readonly #backend: Backend<T>;
  /** Ids in the order of the table; words without bytes are not in it. */
  readonly #ids: Int32Array;
  readonly #lengths: Int32Array;
  readonly #bytes: T;
  readonly #offsets: T;

  constructor(backend: Backend<T>, words: Words) {
    this.#backend = backend;
    const ids = [...words.keys()].filter((id) => words[id]!.length > 0);
    ids.sort((a, b) => compareBytes(words[a]!, words[b]!) || a - b);
    this.#ids = Int32Array.from(ids);
    this.#lengths = Int32Array.from(ids, (id) => words[id]!.length);
    const { bytes, offsets } = packByteStrings(ids.map((id) => words[id]!));
    this.#bytes = backend.upload(bytes);
    this.#offsets = backend.upload(offsets);
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
    const { bytes, offsets } = packByteStrings(asked);
    using prefixes = this.#backend.upload(bytes);
    using ends = this.#backend.upload(offsets);
    using ranges = this.#backend.ops.prefixMaskRange(this.#bytes, this.#offsets, prefixes, ends);
    const [first, end] = await Promise.all([
      this.#backend.read(ranges.first),
      this.#backend.read(ranges.end),
    ]);
    const found: number[] = [];
    for (const [q, piece] of asked.entries()) {
      const whole = q === asked.length - 1;
      for (let at = first.data[q]!; at < end.data[q]!; at++) {
        if (!whole && this.#lengths[at]! > piece.length) break;
        found.push(this.#ids[at]!);
      }
    }
    return tensor([1, found.length], Int32Array.from(found));
  }

  [Symbol.dispose](): void {
    this.#bytes[Symbol.dispose]();
    this.#offsets[Symbol.dispose]();
  }
}
