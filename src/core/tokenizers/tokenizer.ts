/** Text to ids and back. */
export interface Tokenizer {
  /** What a model folder records of it. */
  readonly kind: 'bytes' | 'tokenizer.json';
  /** Number of ids. */
  readonly vocabulary: number;
  /** The id that fills short rows. */
  readonly paddingIndex: number;
  /** The id that stands before every text. */
  readonly beginIndex: number;
  /** Ids of a text, without special ones. */
  encode(text: string): Int32Array;
  /** Bytes of one id; none for special ids. */
  bytesOf(id: number): Uint8Array;
}

/**
 * Turns ids into text as they come. A character may be spread over several ids: its bytes are held back until it is
 * whole. Bytes that can never become a character come out as U+FFFD.
 */
export class StreamDecoder {
  readonly #tokenizer: Tokenizer;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  /** The text that this id completes. */
  push(id: number): string {
    return this.#decoder.decode(this.#tokenizer.bytesOf(id), { stream: true });
  }

  /** What is left of an unfinished character at the end. */
  end(): string {
    return this.#decoder.decode();
  }
}
