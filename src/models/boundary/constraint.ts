import type { Backend } from '../../core/backend.ts';
import { packByteStrings } from '../../core/byteStrings.ts';
import type { AnyTensor } from '../../core/tensor.ts';
import { restAfter, type Words } from './rollBack.ts';

/**
 * Lets a model choose only among words that agree with the bytes that were taken back, until these are spelled. The
 * vocabulary is brought to the backend once; each step masks the logits there.
 */
export class PrefixConstraint<T extends AnyTensor> implements Disposable {
  readonly #backend: Backend<T>;
  readonly #words: Words;
  readonly #covers: boolean;
  readonly #bytes: T;
  readonly #offsets: T;
  #rest: Uint8Array;

  /** @param covers also allow pieces of the prefix (heal-n); else the first word must hold all of it (heal-1) */
  constructor(backend: Backend<T>, words: Words, prefix: Uint8Array, covers: boolean) {
    this.#backend = backend;
    this.#words = words;
    this.#covers = covers;
    this.#rest = prefix;
    const { bytes, offsets } = packByteStrings(words);
    this.#bytes = backend.upload(bytes);
    this.#offsets = backend.upload(offsets);
  }

  /** The bytes that are still to be spelled. */
  get rest(): Uint8Array {
    return this.#rest;
  }

  /** Logits [..., V] of one row with every word excluded that may not come next; undefined when all may. */
  mask(logits: T): T | undefined {
    if (this.#rest.length === 0) return undefined;
    const { bytes, offsets } = packByteStrings([this.#rest]);
    using prefix = this.#backend.upload(bytes);
    using ends = this.#backend.upload(offsets);
    return this.#backend.ops.prefixMask(logits, this.#bytes, this.#offsets, prefix, ends, {
      covers: this.#covers,
    });
  }

  /** A word was chosen. @returns its bytes beyond those that were to be spelled */
  accept(id: number): Uint8Array {
    const word = this.#words[id]!;
    const fresh = word.subarray(Math.min(this.#rest.length, word.length));
    this.#rest = restAfter(word, this.#rest);
    return fresh;
  }

  [Symbol.dispose](): void {
    this.#bytes[Symbol.dispose]();
    this.#offsets[Symbol.dispose]();
  }
}
