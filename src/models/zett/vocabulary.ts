import type { Backend } from '../../core/backend.ts';
import { ArgumentError } from '../../core/errors.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import { costOfScore, type PieceTable, packStrings, pieceTable } from '../../core/tokenizers/pieceTable.ts';
import type { Tokenizer } from '../../core/tokenizers/tokenizer.ts';

/** What is needed of a source's tokenizer: its ids as bytes, and what its special ones are. */
export type SourceTokenizer = Pick<
  Tokenizer,
  'vocabulary' | 'paddingIndex' | 'beginIndex' | 'json' | 'bytesOf'
>;

/** The source's tokens as pieces that new tokens are spelled with. */
export interface SourceVocabulary {
  readonly table: PieceTable;
  /** Rows of the source's tables. Ids from here on are extra bytes. */
  readonly size: number;
  /** Single bytes that the source has no token for; the i-th has the id size + i. */
  readonly extra: readonly number[];
  /** Ids by the bytes of their token, one character per byte; the lowest id where two are the same. */
  readonly ids: ReadonlyMap<string, number>;
  readonly tokenizer: SourceTokenizer;
}

/** Bytes of a token as the key of a map. */
const keyOf = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/** The bytes of every id; none for special ones. @throws ArgumentError where tokens have no bytes of their own */
function wordsOf(op: string, tokenizer: SourceTokenizer): Uint8Array[] {
  try {
    return Array.from({ length: tokenizer.vocabulary }, (_, id) => tokenizer.bytesOf(id));
  } catch (error) {
    throw new ArgumentError(
      op,
      `${(error as Error).message}; a transfer needs a tokenizer whose tokens are bytes, such as byte-level BPE or Unigram`,
    );
  }
}

/**
 * The pieces of a source tokenizer. A Unigram model's pieces cost what their scores say, so that words are cut as it would
 * cut them; all others cost the same, so that a word is cut into the fewest.
 */
export function sourceVocabulary(tokenizer: SourceTokenizer): SourceVocabulary {
  const words = wordsOf('zett', tokenizer);
  const size = tokenizer.vocabulary;
  const ids = new Map<string, number>();
  for (const [id, bytes] of words.entries()) {
    const at = keyOf(bytes);
    if (bytes.length > 0 && !ids.has(at)) ids.set(at, id);
  }
  const extra = Array.from({ length: 256 }, (_, byte) => byte).filter(
    (byte) => !ids.has(String.fromCharCode(byte)),
  );
  const pieces = words.map((bytes, id) => ({ id, bytes }));
  for (const [i, byte] of extra.entries()) pieces.push({ id: size + i, bytes: Uint8Array.of(byte) });
  const scores = unigramScores(tokenizer);
  const dearest = 16 * 1024;
  const cost =
    scores === undefined
      ? undefined
      : (id: number) => (scores[id] === undefined ? dearest : costOfScore(scores[id]));
  return { table: pieceTable(pieces, cost), size, extra, ids, tokenizer };
}

/** Scores of a Unigram tokenizer.json by id. */
function unigramScores({ json }: SourceTokenizer): number[] | undefined {
  if (json === undefined) return undefined;
  const { model } = JSON.parse(json) as { model?: { type?: string; vocab?: [string, number][] } };
  return model?.type === 'Unigram' ? model.vocab?.map(([, score]) => score) : undefined;
}

/** A word of which no more is read than this. */
const longest = 255;

/** The source pieces of words: i32 [words, length], -1 = padding. Runs on the backend. */
export async function formsOf<T extends AnyTensor>(
  backend: Backend<T>,
  { table }: SourceVocabulary,
  words: readonly Uint8Array[],
  length: number,
): Promise<Tensor> {
  const { bytes, offsets } = packStrings(words.map((w) => w.subarray(0, longest)));
  const given = [bytes, offsets, table.pieces, table.pieceOffsets, table.ids, table.costs].map((t) =>
    backend.upload(t),
  );
  const [a, b, c, d, e, f] = given as [T, T, T, T, T, T];
  const made = backend.ops.surfaceForms(a, b, c, d, e, f, { length });
  const forms = await backend.read(made.forms);
  for (const t of [...given, made.forms, made.counts]) t[Symbol.dispose]();
  return forms;
}

/** A vocabulary whose tables are to be made. */
export interface TargetVocabulary {
  /** What is predicted: the tokens that have bytes. */
  readonly words: readonly Uint8Array[];
  /** i32 [V']: the row among `words` of each id, or -1. */
  readonly rows: Tensor;
  /** i32 [V']: the source's row for each special id, or -1. */
  readonly copies: Tensor;
  /** i32 [words]: the source's id for the same bytes, or -1. */
  readonly same: Tensor;
  readonly paddingIndex: number;
  /** Special tokens that the source has none like: they got the row of its begin token. */
  readonly strangers: number;
}

/**
 * The ids of a tokenizer, apart into tokens to predict and special ones to copy: padding and begin from the source's own, others
 * from the source's special token of the same name, else from its begin token.
 */
export function targetVocabulary(tokenizer: Tokenizer, source: SourceVocabulary): TargetVocabulary {
  const own = specialNames(source.tokenizer);
  const names = new Map([...specialNames(tokenizer)].map(([name, id]) => [id, name]));
  let strangers = 0;
  const copyOf = (id: number): number => {
    if (id === tokenizer.paddingIndex) return source.tokenizer.paddingIndex;
    if (id === tokenizer.beginIndex) return source.tokenizer.beginIndex;
    const named = own.get(names.get(id) ?? '');
    if (named === undefined) strangers++;
    return named ?? source.tokenizer.beginIndex;
  };
  const made = divide(wordsOf('zett', tokenizer), copyOf, source);
  return { ...made, paddingIndex: tokenizer.paddingIndex, strangers };
}

/** The same for pieces that were sampled: their ids first, then begin and padding. */
export function sampledVocabulary(pieces: readonly Uint8Array[], source: SourceVocabulary): TargetVocabulary {
  const none = new Uint8Array(0);
  const { beginIndex, paddingIndex } = source.tokenizer;
  const made = divide(
    [...pieces, none, none],
    (id) => (id === pieces.length ? beginIndex : paddingIndex),
    source,
  );
  return { ...made, paddingIndex: pieces.length + 1, strangers: 0 };
}

function divide(all: readonly Uint8Array[], copyOf: (id: number) => number, source: SourceVocabulary) {
  const words: Uint8Array[] = [];
  const rows = new Int32Array(all.length).fill(-1);
  const copies = new Int32Array(all.length).fill(-1);
  for (const [id, bytes] of all.entries()) {
    if (bytes.length === 0) copies[id] = copyOf(id);
    else rows[id] = words.push(bytes) - 1;
  }
  const same = Int32Array.from(words, (w) => source.ids.get(keyOf(w)) ?? -1);
  return {
    words,
    rows: tensor([all.length], rows),
    copies: tensor([all.length], copies),
    same: tensor([words.length], same),
  };
}

/** Special tokens of a tokenizer.json by name. */
function specialNames({ json }: SourceTokenizer): Map<string, number> {
  if (json === undefined) return new Map();
  const { added_tokens: added = [] } = JSON.parse(json) as {
    added_tokens?: { id: number; content: string; special?: boolean }[];
  };
  return new Map(added.filter((a) => a.special === true).map((a) => [a.content, a.id]));
}
