import { Tokenizer as Library } from '@huggingface/tokenizers';
import { ArgumentError, FormatError } from '../errors.ts';
import { byteChars, bytesOfToken } from './alphabet.ts';
import type { TextStream, Tokenizer } from './tokenizer.ts';

/** Names under which tokenizers keep the token that begins a text, and the one that fills rows. */
const beginNames = ['<begin>', '<s>', '<bos>', '[BOS]', '<|begin_of_text|>', '<|startoftext|>', '[CLS]'];
const paddingNames = ['<pad>', '[PAD]', '<|pad|>', '<|finetune_right_pad_id|>', '<|padding|>'];
/** An embedding has a row for every id up to the largest one. */
const idLimit = 2 ** 24;
/** Ids that a decoder may look back at: a continuation of a word looks at one, a character of bytes at three. */
const window = 4;

const encoder = new TextEncoder();
const none = new Uint8Array(0);

type Fields = Readonly<Record<string, unknown>>;

/** What is used of the library; its own declarations do not resolve under Node's rules. */
interface Coder {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[]; tokens: string[] };
  decode(ids: readonly number[]): string;
}

interface Added {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/**
 * A tokenizer.json of any kind: BPE, Unigram, WordPiece or WordLevel, with its normaliser, pre-tokenizer and decoder. The ids
 * are those of the `tokenizers` library.
 *
 * A text begins with the file's token for that, and rows are filled with its padding token. What it lacks of the two gets
 * the ids after its last one, so the vocabulary is up to two larger than the file's.
 *
 * @param text the content of the file; @param name what messages call it
 * @throws FormatError if it is no tokenizer.json, contradicts itself, or lacks bytes that a text may hold
 */
export function jsonTokenizer(text: string, name = 'tokenizer.json'): Tokenizer {
  const fail = (reason: string): FormatError => new FormatError('tokenizer', `${name}: ${reason}`);
  let json: Fields;
  try {
    json = fields(JSON.parse(text));
  } catch (error) {
    throw fail(`it is not JSON: ${(error as Error).message}`);
  }
  const model = fields(json.model);
  const kinds = ['BPE', 'Unigram', 'WordPiece', 'WordLevel'];
  if (!kinds.includes(String(model.type))) {
    throw fail(`it has no model of the type ${kinds.join(', ')}; is it a tokenizer.json?`);
  }
  const added = addedTokens(json, fail);
  const tokens = vocabularyOf(model, added, fail);
  checkModel(model, tokens, fail);
  checkBytes(json, model, tokens, fail);

  let library: Coder;
  try {
    const parts = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
    const whole = {
      ...parts,
      ...json,
      model: { merges: [], ...model },
      added_tokens: json.added_tokens ?? [],
    };
    library = new Library(whole, {
      clean_up_tokenization_spaces: false,
      unk_token: model.unk_token,
    }) as Coder;
  } catch (error) {
    throw fail(`it cannot be read: ${(error as Error).message}`);
  }

  const size = 1 + [...tokens.keys()].reduce((a, b) => Math.max(a, b), -1);
  const byContent = new Map(added.map(({ content, id }) => [content, id]));
  const padId = fields(json.padding).pad_id;
  let vocabulary = size;
  const named = (names: readonly string[]): number => {
    const found = names.find((n) => byContent.has(n));
    return found === undefined ? vocabulary++ : byContent.get(found)!;
  };
  const paddingIndex = tokens.has(padId as number) ? (padId as number) : named(paddingNames);
  const beginIndex = named(beginNames);

  const content = new Map(added.map((token) => [token.id, token]));
  const decoders = flat(json.decoder);
  const spelled = spelling(decoders);
  const prefixed =
    dropsFirstSpace(decoders) ||
    flat(json.pre_tokenizer).some((p) => p.type === 'ByteLevel' && p.add_prefix_space === true);
  const spellings = new Map<number, Uint8Array>();
  /** What an id stands for, a special token's name included. */
  const spell = (id: number): Uint8Array => {
    let bytes = spellings.get(id);
    if (bytes === undefined) {
      const own = content.get(id)?.content;
      const token = tokens.get(id);
      bytes = own !== undefined ? encoder.encode(own) : token === undefined ? none : spelled!(token);
      spellings.set(id, bytes);
    }
    return bytes;
  };
  const requireId = (id: number): void => {
    if (!Number.isInteger(id) || id < 0 || id >= vocabulary) {
      throw new ArgumentError('tokenizer', `${id} is no id of ${name}; they are 0 to ${vocabulary - 1}`);
    }
  };
  const decodeAll = (ids: readonly number[]): string => {
    const known = ids.filter((id) => tokens.has(id));
    return known.length === 0 ? '' : library.decode(known);
  };

  return {
    kind: 'tokenizer.json',
    vocabulary,
    paddingIndex,
    beginIndex,
    json: text,
    encode(given) {
      const { ids, tokens: made } = library.encode(given, { add_special_tokens: false });
      const bad = ids.findIndex((id) => !tokens.has(id));
      if (bad >= 0) {
        throw new ArgumentError(
          'tokenizer',
          `${name} has no token for ${JSON.stringify(made[bad])}, and none for what is unknown`,
        );
      }
      return Int32Array.from(ids);
    },
    bytesOf(id) {
      requireId(id);
      if (spelled === undefined) {
        throw new ArgumentError(
          'tokenizer',
          `the ids of ${name} have no bytes of their own; its decoder joins words`,
        );
      }
      return content.get(id)?.special ? none : spell(id);
    },
    restores(given, ids) {
      if (spelled === undefined) return decodeAll([...ids]) === given;
      const wanted = encoder.encode(given);
      let at = 0;
      for (const [i, id] of ids.entries()) {
        const bytes = spell(id);
        // A space that the tokenizer puts before every text is no part of it.
        for (let j = i === 0 && prefixed && bytes[0] === 0x20 ? 1 : 0; j < bytes.length; j++) {
          if (bytes[j] !== wanted[at++]) return false;
        }
      }
      return at === wanted.length;
    },
    stream(before) {
      if (spelled === undefined) return words(decodeAll, Array.from(before), skipped, requireId);
      return pieces((id) => this.bytesOf(id), prefixed && before.length === 0);
    },
  };

  function skipped(id: number): boolean {
    return content.get(id)?.special === true || !tokens.has(id);
  }
}

/** Text from the bytes of ids; at the beginning of a text without the space that its tokenizer put there. */
function pieces(bytesOf: (id: number) => Uint8Array, drop: boolean): TextStream {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let first = drop;
  return {
    push(id) {
      const text = decoder.decode(bytesOf(id), { stream: true });
      if (!first || text === '') return text;
      first = false;
      return text.startsWith(' ') ? text.slice(1) : text;
    },
    end: () => decoder.decode(),
  };
}

/** Text from a decoder that joins words: what an id adds to the text of the ids before it. */
function words(
  decodeAll: (ids: readonly number[]) => string,
  before: readonly number[],
  skipped: (id: number) => boolean,
  requireId: (id: number) => void,
): TextStream {
  // `told` ids of `recent` are in the text already; the others wait for the rest of a character.
  let recent = before.filter((id) => !skipped(id)).slice(-window);
  let told = recent.length;
  const next = (last: boolean): string => {
    const old = decodeAll(recent.slice(0, told));
    const all = decodeAll(recent);
    if (all.endsWith('\ufffd') && !last && recent.length - told < window) return '';
    recent = recent.slice(-window);
    told = recent.length;
    return all.startsWith(old) ? all.slice(old.length) : '';
  };
  return {
    push(id) {
      requireId(id);
      if (skipped(id)) return '';
      recent.push(id);
      return next(false);
    },
    end: () => next(true),
  };
}

/** How tokens spell bytes under these decoders; undefined where text depends on more than the token. */
function spelling(decoders: readonly Fields[]): ((token: string) => Uint8Array) | undefined {
  const types = decoders.map((d) => d.type);
  if (types.includes('ByteLevel') && types.every((t) => t === 'ByteLevel' || t === 'Fuse')) {
    return (token) => bytesOfToken(token) ?? encoder.encode(token);
  }
  const understood = (d: Fields): boolean =>
    d.type === 'ByteFallback' ||
    d.type === 'Fuse' ||
    d.type === 'Metaspace' ||
    isSpaceStrip(d) ||
    spaceOf(d) !== undefined;
  const marks = decoders.flatMap((d) => spaceOf(d) ?? []);
  if (decoders.length === 0 || marks.length === 0 || !decoders.every(understood)) return undefined;
  const fallback = types.includes('ByteFallback');
  return (token) => {
    const byte = fallback ? /^<0x([0-9A-F]{2})>$/i.exec(token) : null;
    if (byte !== null) return Uint8Array.of(Number.parseInt(byte[1]!, 16));
    return encoder.encode(marks.reduce((t, mark) => t.replaceAll(mark, ' '), token));
  };
}

/** The character that a decoder turns into a space. */
function spaceOf(d: Fields): string | undefined {
  if (d.type === 'Metaspace') return String(d.replacement ?? '\u2581');
  const pattern = fields(d.pattern).String;
  return d.type === 'Replace' && d.content === ' ' && typeof pattern === 'string' && pattern !== ''
    ? pattern
    : undefined;
}

const isSpaceStrip = (d: Fields): boolean => d.type === 'Strip' && d.content === ' ' && d.stop === 0;

const dropsFirstSpace = (decoders: readonly Fields[]): boolean =>
  decoders.some(
    (d) => (isSpaceStrip(d) && d.start === 1) || (d.type === 'Metaspace' && d.prepend_scheme !== 'never'),
  );

/** The parts of a pre-tokenizer or decoder, sequences taken apart. */
function flat(part: unknown): Fields[] {
  const p = fields(part);
  const list = p.decoders ?? p.pretokenizers;
  if (Array.isArray(list)) return list.flatMap(flat);
  return typeof p.type === 'string' ? [p] : [];
}

function addedTokens(json: Fields, fail: (reason: string) => FormatError): Added[] {
  const list = json.added_tokens ?? [];
  if (!Array.isArray(list)) throw fail('added_tokens is no list');
  return list.map((given, i) => {
    const { id, content, special } = fields(given);
    if (typeof content !== 'string') throw fail(`added token ${i} has no content`);
    return { id: requireNumber(id, content, fail), content, special: special === true };
  });
}

/** Tokens by their ids, those of the model and the added ones. */
function vocabularyOf(
  model: Fields,
  added: readonly Added[],
  fail: (reason: string) => FormatError,
): Map<number, string> {
  const { vocab } = model;
  const tokens = new Map<number, string>();
  const take = (id: number, token: string): void => {
    const other = tokens.get(id);
    if (other !== undefined && other !== token) {
      throw fail(`the id ${id} belongs to both ${JSON.stringify(other)} and ${JSON.stringify(token)}`);
    }
    tokens.set(id, token);
  };
  if (model.type === 'Unigram') {
    if (!Array.isArray(vocab)) throw fail('its Unigram model has no list of pieces as vocab');
    for (const [id, piece] of vocab.entries()) {
      const [token, score] = Array.isArray(piece) ? piece : [];
      if (typeof token !== 'string' || typeof score !== 'number')
        throw fail(`piece ${id} of its vocab is not [token, score]`);
      take(id, token);
    }
  } else {
    if (typeof vocab !== 'object' || vocab === null || Array.isArray(vocab))
      throw fail(`its ${model.type} model has no vocab of tokens and ids`);
    for (const [token, id] of Object.entries(vocab)) take(requireNumber(id, token, fail), token);
  }
  if (tokens.size === 0) throw fail('its vocabulary is empty');
  for (const { id, content } of added) take(id, content);
  return tokens;
}

function requireNumber(id: unknown, token: string, fail: (reason: string) => FormatError): number {
  if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= idLimit) {
    throw fail(
      `the token ${JSON.stringify(token)} has the id ${id}; ids are integers from 0 to ${idLimit - 1}`,
    );
  }
  return id as number;
}

/** What a model refers to must be in its vocabulary: the parts and the results of merges, and the unknown token. */
function checkModel(
  model: Fields,
  tokens: ReadonlyMap<number, string>,
  fail: (reason: string) => FormatError,
): void {
  const known = new Set(tokens.values());
  if (model.type === 'BPE') {
    if (!Array.isArray(model.merges)) throw fail('its BPE model has no list of merges');
    const prefix = typeof model.continuing_subword_prefix === 'string' ? model.continuing_subword_prefix : '';
    for (const [i, merge] of model.merges.entries()) {
      const [a, b] = Array.isArray(merge) ? merge : String(merge).split(' ');
      const joined = `${a}${String(b).slice(prefix.length)}`;
      const lost = [a, b, joined].find((t) => !known.has(t));
      if (lost !== undefined)
        throw fail(`merge ${i} needs the token ${JSON.stringify(lost)}, which its vocabulary lacks`);
    }
  }
  const { unk_id: id, unk_token: token } = model;
  if (model.type === 'Unigram' && id !== null && id !== undefined && !tokens.has(id as number))
    throw fail(`its unk_id ${id} is outside the vocabulary of ${tokens.size} tokens`);
  if (typeof token === 'string' && !known.has(token))
    throw fail(`its unknown token ${JSON.stringify(token)} is not in the vocabulary`);
}

/** A tokenizer of bytes must have all of them, unless it has a token for what it does not know. */
function checkBytes(
  json: Fields,
  model: Fields,
  tokens: ReadonlyMap<number, string>,
  fail: (reason: string) => FormatError,
): void {
  const hasUnknown = typeof model.unk_token === 'string' || typeof model.unk_id === 'number';
  const level = flat(json.pre_tokenizer).some((p) => p.type === 'ByteLevel');
  const fallback = model.byte_fallback === true;
  if (hasUnknown || (!level && !fallback)) return;
  const known = new Set(tokens.values());
  const hex = (byte: number): string => byte.toString(16).toUpperCase().padStart(2, '0');
  const missing = byteChars
    .map((char, byte) => ({ token: level ? char : `<0x${hex(byte)}>`, byte }))
    .filter(({ token }) => !known.has(token));
  if (missing.length === 0) return;
  const some = missing.slice(0, 4).map(({ byte }) => `0x${hex(byte)}`);
  throw fail(
    `its vocabulary lacks ${missing.length} of the 256 bytes (${some.join(', ')}${missing.length > 4 ? ', ...' : ''}), so text that holds them would lose them`,
  );
}

/** An object's fields; of anything else, none. */
function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}
