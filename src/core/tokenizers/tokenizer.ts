/** Text to ids and back. */
export interface Tokenizer {
  /** What a model folder records of it. */
  readonly kind: 'bytes' | 'tokenizer.json';
  /** Number of ids: one more than the largest. */
  readonly vocabulary: number;
  /** The id that fills short rows. */
  readonly paddingIndex: number;
  /** The id that stands before every text. */
  readonly beginIndex: number;
  /** The file it was made from, to be stored beside a model; only of kind 'tokenizer.json'. */
  readonly json?: string;
  /** Ids of a text. Nothing is added at its ends. */
  encode(text: string): Int32Array;
  /** Bytes of one id; none for special ids. @throws ArgumentError for what is no id */
  bytesOf(id: number): Uint8Array;
  /** Whether the ids say the whole text. False where it was normalised, or held what the tokenizer does not know. */
  restores(text: string, ids: Int32Array): boolean;
  /**
   * How ids become text where they are not simply bytes: a space that depends on the token before, for instance.
   * @param before the ids of the text that is to be continued
   */
  stream?(before: ArrayLike<number>): TextStream;
}

/** Ids in, text out, as soon as it is sure. */
export interface TextStream {
  push(id: number): string;
  end(): string;
}

/**
 * Turns ids into text as they come. A character may be spread over several ids: its bytes are held back until it is
 * whole. Bytes that can never become a character come out as U+FFFD. The pieces together are what `decode` gives.
 */
export class StreamDecoder {
  readonly #stream: TextStream;

  /** @param before the ids of the text that is to be continued; none: a text begins */
  constructor(tokenizer: Tokenizer, before: ArrayLike<number> = []) {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    this.#stream = tokenizer.stream?.(before) ?? {
      push: (id) => decoder.decode(tokenizer.bytesOf(id), { stream: true }),
      end: () => decoder.decode(),
    };
  }

  /** The text that this id completes, often empty. @throws ArgumentError for what is no id */
  push(id: number): string {
    return this.#stream.push(id);
  }

  /** What is left of an unfinished character at the end. */
  end(): string {
    return this.#stream.end();
  }
}

/** The text of ids; special ones have none. @throws ArgumentError for what is no id */
export function decode(tokenizer: Tokenizer, ids: ArrayLike<number>): string {
  const decoder = new StreamDecoder(tokenizer);
  let text = '';
  for (let i = 0; i < ids.length; i++) text += decoder.push(ids[i]!);
  return text + decoder.end();
}
