import { ArgumentError } from '../errors.ts';

/** A tokenizer.json, as the `tokenizers` library reads it. */
export interface TokenizerJson {
  readonly version: '1.0';
  readonly truncation: null;
  readonly padding: null;
  readonly added_tokens: readonly {
    readonly id: number;
    readonly content: string;
    readonly single_word: boolean;
    readonly lstrip: boolean;
    readonly rstrip: boolean;
    readonly normalized: boolean;
    readonly special: boolean;
  }[];
  readonly normalizer: null;
  readonly pre_tokenizer: object;
  readonly post_processor: null;
  readonly decoder: object;
  readonly model: BpeModel | UnigramModel;
}

export interface BpeModel {
  readonly type: 'BPE';
  readonly dropout: null;
  readonly unk_token: null;
  readonly continuing_subword_prefix: null;
  readonly end_of_word_suffix: null;
  readonly fuse_unk: false;
  readonly byte_fallback: false;
  readonly ignore_merges: false;
  readonly vocab: Readonly<Record<string, number>>;
  readonly merges: readonly (readonly [string, string])[];
}

export interface UnigramModel {
  readonly type: 'Unigram';
  readonly unk_id: null;
  readonly vocab: readonly (readonly [string, number])[];
  readonly byte_fallback: false;
}

/** A byte-level tokenizer.json around a model. `specials` maps contents to ids. */
export function byteLevelJson(
  model: BpeModel | UnigramModel,
  specials: ReadonlyMap<string, number>,
): TokenizerJson {
  const level = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [...specials].map(([content, id]) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: level,
    post_processor: null,
    decoder: level,
    model,
  };
}

/** Refuse special tokens that are empty, given twice, or the same as the token of a byte. */
export function requireSpecials(op: string, specials: readonly string[], taken: ReadonlySet<string>): void {
  const seen = new Set<string>();
  for (const content of specials) {
    if (content === '')
      throw new ArgumentError(op, 'a special token is empty; give it a name, such as <pad>');
    if (seen.has(content)) throw new ArgumentError(op, `the special token "${content}" is given twice`);
    if (taken.has(content))
      throw new ArgumentError(
        op,
        `the special token "${content}" is also the token of a byte; choose another name`,
      );
    seen.add(content);
  }
}

/** Refuse a vocabulary that cannot hold all bytes and special tokens. */
export function requireSize(op: string, size: number, specials: number): void {
  const least = 256 + specials;
  if (!Number.isInteger(size) || size < least || size > 2 ** 25) {
    throw new ArgumentError(
      op,
      `size is ${size}; it must be an integer from ${least} (256 bytes and ${specials} special tokens) to 2^25`,
    );
  }
}
