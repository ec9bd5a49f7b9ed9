import { ArgumentError, FormatError } from '../../core/errors.ts';

/** Ids that are no words: padding and [SUBVOCAB]. */
export const specialIds = { padding: 0, subVocab: 1, count: 2 } as const;

const encoder = new TextEncoder();

/**
 * A word with the space before it, a run of signs, or one space or line end: put together again, they are the text. Where words are
 * not written apart (Chinese, Japanese, Thai and their like), each letter is a word, and words are found as phrases.
 */
const unitPattern =
  / ?[[\p{L}\p{N}\p{M}_]--[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmr}\p{sc=Mymr}]]+| ?[[\p{L}\p{N}]&&[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmr}\p{sc=Mymr}]]\p{M}*| ?[^\s\p{L}\p{N}\p{M}_]+| ?\p{M}+|\s/gv;

/** Most words of a phrase. */
const longest = 5;

export interface WordTableOptions {
  /** Most words and phrases, bytes not counted. @defaultValue 20000 */
  readonly most?: number;
  /** How often a word, and a phrase, must occur. @defaultValue 2 and 4 */
  readonly leastWord?: number;
  readonly leastPhrase?: number;
  /** Words and phrases that are left out. @defaultValue none */
  readonly without?: ReadonlySet<string>;
}

/**
 * Words and phrases of up to five words as ids, and back. The 256 bytes are words too, so any text can be written: what is not in
 * the table becomes bytes.
 */
export class WordTable {
  /** What each id stands for; of a byte, undefined. */
  readonly texts: readonly (string | undefined)[];
  readonly #ids: ReadonlyMap<string, number>;

  private constructor(words: readonly string[]) {
    this.texts = [...new Array<undefined>(specialIds.count + 256).fill(undefined), ...words];
    this.#ids = new Map(words.map((w, i) => [w, specialIds.count + 256 + i]));
  }

  /** Count the words and phrases of texts, and keep those that occur most. */
  static build(texts: readonly string[], options: WordTableOptions = {}): WordTable {
    const { most = 20_000, leastWord = 2, leastPhrase = 4, without = new Set<string>() } = options;
    const counts = new Map<string, number>();
    const phrases = new Map<string, number>();
    const add = (to: Map<string, number>, text: string): void => void to.set(text, (to.get(text) ?? 0) + 1);
    for (const text of texts) {
      const units = text.match(unitPattern) ?? [];
      units.forEach((unit, i) => {
        add(counts, unit);
        let phrase = unit;
        for (let n = 1; n < longest && isWord(units[i]!) && i + n < units.length; n++) {
          if (!isWord(units[i + n]!)) break;
          phrase += units[i + n]!;
          add(phrases, phrase);
        }
      });
    }
    const kept = [
      ...[...counts].filter(([, n]) => n >= leastWord),
      ...[...phrases].filter(([, n]) => n >= leastPhrase),
    ].filter(([text]) => !without.has(text));
    // Most frequent first; by text where equally frequent, so that the table depends on the texts alone.
    kept.sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
    return new WordTable(kept.slice(0, most).map(([text]) => text));
  }

  /** Read back what `toJSON` gave. @throws FormatError */
  static fromJSON(json: unknown): WordTable {
    if (!Array.isArray(json) || !json.every((w) => typeof w === 'string') || new Set(json).size < json.length)
      throw new FormatError('wordTable', 'a table of words is a list of different texts');
    return new WordTable(json as string[]);
  }

  /**
   * A table with more words behind those that there are, whose ids stay.
   * @throws ArgumentError for a word that is empty, has more than five parts, or is there already
   */
  with(words: readonly string[]): WordTable {
    const fail = (word: string, reason: string): ArgumentError =>
      new ArgumentError('wordTable', `${JSON.stringify(word)} ${reason}`);
    const seen = new Set<string>();
    for (const word of words) {
      const parts = word.match(unitPattern)?.length ?? 0;
      if (!word.isWellFormed()) throw fail(word, 'is no well-formed text');
      if (parts === 0) throw fail(word, 'is empty; give a word');
      if (parts > longest) throw fail(word, `has ${parts} parts; text is read by ${longest} at most`);
      if (this.#ids.has(word) || seen.has(word)) throw fail(word, 'is there already; leave it out');
      seen.add(word);
    }
    return new WordTable([...this.toJSON(), ...words]);
  }

  toJSON(): string[] {
    return this.texts.slice(specialIds.count + 256) as string[];
  }

  /** How many ids there are, special ones and bytes included. */
  get size(): number {
    return this.texts.length;
  }

  /** The ids of a text: at each place the longest phrase that is in the table. */
  encode(text: string): Int32Array {
    const units = text.match(unitPattern) ?? [];
    const ids: number[] = [];
    for (let i = 0; i < units.length; ) {
      let taken = 0;
      let id: number | undefined;
      let joined = '';
      for (let n = 0; n < longest && i + n < units.length; n++) {
        joined += units[i + n]!;
        const found = this.#ids.get(joined);
        if (found !== undefined) [id, taken] = [found, n + 1];
      }
      if (id !== undefined) ids.push(id);
      else {
        for (const byte of encoder.encode(units[i]!)) ids.push(specialIds.count + byte);
        taken = 1;
      }
      i += taken;
    }
    return Int32Array.from(ids);
  }

  /** The bytes that an id stands for; none for special ids. @throws ArgumentError */
  bytes(id: number): Uint8Array {
    if (!Number.isInteger(id) || id < 0 || id >= this.size)
      throw new ArgumentError('wordTable', `there is no id ${id}; there are ${this.size}`);
    if (id < specialIds.count) return new Uint8Array(0);
    const text = this.texts[id];
    return text === undefined ? Uint8Array.of(id - specialIds.count) : encoder.encode(text);
  }

  /** The text of ids; bytes that are no UTF-8 become U+FFFD. */
  decode(ids: ArrayLike<number>): string {
    return Buffer.concat(Array.from(ids, (id) => this.bytes(id))).toString('utf8');
  }

  /** A word as people read it: quoted bytes, and text with its space. */
  show(id: number): string {
    const text = this.texts[id];
    return (
      text ?? (id < specialIds.count ? '' : `<0x${(id - specialIds.count).toString(16).padStart(2, '0')}>`)
    );
  }
}

function isWord(unit: string): boolean {
  return /[\p{L}\p{N}_]\p{M}*$/u.test(unit);
}
