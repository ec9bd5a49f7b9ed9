import type { FormatError } from '../errors.ts';

/** What the JSON of a header says, before anything in it is believed. */
export interface RawHeader {
  readonly tensors: Map<string, RawEntry>;
  readonly metadata: Map<string, string>;
}

/** One tensor as the header describes it. The numbers are safe integers >= 0; nothing else is known. */
export interface RawEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Read the JSON of a safetensors header. `JSON.parse` is not used: it keeps the last of two equal names, gives
 * `__proto__` a meaning where objects are copied, rounds integers beyond 2^53 and builds any nesting it is sent.
 * This reads exactly the one shape the format has: `{"name": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}`.
 * @param fail makes the error for a message
 */
export function scanHeader(bytes: Uint8Array, fail: (message: string) => FormatError): RawHeader {
  if (bytes[0] !== 0x7b) throw fail('the header does not begin with {; not a safetensors file?');
  const scan = new Scanner(decodeUtf8(bytes, fail), fail);
  const tensors = new Map<string, RawEntry>();
  const metadata = new Map<string, string>();
  let seenMetadata = false;
  scan.object('the header', (name) => {
    if (name !== '__metadata__') {
      if (tensors.has(name)) throw fail(`tensor ${JSON.stringify(name)}: the name appears twice`);
      tensors.set(name, scanEntry(scan, name, fail));
      return;
    }
    if (seenMetadata) throw fail('__metadata__ appears twice');
    seenMetadata = true;
    scan.object('__metadata__', (key) => {
      if (metadata.has(key)) throw fail(`__metadata__: the key ${JSON.stringify(key)} appears twice`);
      metadata.set(key, scan.string(`__metadata__ ${JSON.stringify(key)}`));
    });
  });
  scan.end();
  return { tensors, metadata };
}

function scanEntry(scan: Scanner, name: string, fail: (message: string) => FormatError): RawEntry {
  const label = `tensor ${JSON.stringify(name)}`;
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  scan.object(label, (field) => {
    const known = field === 'dtype' ? dtype : field === 'shape' ? shape : offsets;
    if (!['dtype', 'shape', 'data_offsets'].includes(field)) {
      throw fail(`${label}: unknown field ${JSON.stringify(field)}`);
    }
    if (known !== undefined) throw fail(`${label}: ${field} appears twice`);
    if (field === 'dtype') dtype = scan.string(`${label}: dtype`);
    else if (field === 'shape') shape = scan.integers(`${label}: shape`);
    else offsets = scan.integers(`${label}: data_offsets`);
  });
  if (dtype === undefined) throw fail(`${label}: dtype is missing`);
  if (shape === undefined) throw fail(`${label}: shape is missing`);
  if (offsets === undefined) throw fail(`${label}: data_offsets is missing`);
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined || offsets.length > 2) {
    throw fail(`${label}: data_offsets has ${offsets.length} numbers; it takes two`);
  }
  return { dtype, shape, begin, end };
}

function decodeUtf8(bytes: Uint8Array, fail: (message: string) => FormatError): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw fail('the header is not valid UTF-8');
  }
}

const codes = (text: string): number[] => [...text].map((char) => char.charCodeAt(0));
const [quote, backslash] = codes('"\\');
const spaces = new Set(codes(' \t\n\r'));
const delimiters = new Set(codes(' \t\n\r,[]{}:"'));

/** A reader of the few JSON forms a header may have. Depth is bounded by the callers, so nothing recurses. */
class Scanner {
  readonly #text: string;
  readonly #fail: (message: string) => FormatError;
  #at = 0;

  constructor(text: string, fail: (message: string) => FormatError) {
    this.#text = text;
    this.#fail = fail;
  }

  /** `{"name": value, ...}`: calls `member` with each name, standing before its value. */
  object(label: string, member: (name: string) => void): void {
    this.#expect('{', label);
    if (this.#accept('}')) return;
    do {
      const name = this.string(`${label}: a name`);
      this.#expect(':', label);
      member(name);
    } while (this.#accept(','));
    this.#expect('}', label);
  }

  /** `[0, 1, ...]` of integers from 0 to 2^53 - 1. */
  integers(label: string): number[] {
    const values: number[] = [];
    this.#expect('[', label);
    if (this.#accept(']')) return values;
    do {
      const token = this.#bareWord();
      if (!/^(?:0|[1-9][0-9]*)$/.test(token)) {
        throw this.#fail(`${label}: ${this.#show(token)} is not an integer >= 0`);
      }
      const value = Number(token);
      if (!Number.isSafeInteger(value)) throw this.#fail(`${label}: ${this.#show(token)} is too large`);
      values.push(value);
    } while (this.#accept(','));
    this.#expect(']', label);
    return values;
  }

  string(label: string): string {
    this.#expect('"', label);
    const start = this.#at - 1;
    // To the next quote that no backslash hides. A regular expression would run out of stack on long names.
    const text = this.#text;
    let at = this.#at;
    while (at < text.length && text.charCodeAt(at) !== quote) at += text.charCodeAt(at) === backslash ? 2 : 1;
    this.#at = at + 1;
    const token = text.slice(start, this.#at);
    let value: unknown;
    try {
      value = JSON.parse(token);
    } catch {
      throw this.#fail(`${label}: ${this.#show(token)} is not a JSON string`);
    }
    if (!(value as string).isWellFormed()) {
      throw this.#fail(`${label}: ${this.#show(token)} holds half a surrogate pair`);
    }
    return value as string;
  }

  /** Only padding may follow. */
  end(): void {
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#fail(`the header goes on after its end: ${this.#show()}`);
  }

  #accept(char: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #expect(char: string, label: string): void {
    if (!this.#accept(char)) throw this.#fail(`${label}: ${this.#show()} stands where ${char} should`);
  }

  #skipSpace(): void {
    while (spaces.has(this.#text.charCodeAt(this.#at))) this.#at++;
  }

  /** Whatever stands where a number should, taken whole so that the message can show it. */
  #bareWord(): string {
    this.#skipSpace();
    const start = this.#at;
    let at = start;
    while (at < this.#text.length && !delimiters.has(this.#text.charCodeAt(at))) at++;
    this.#at = at;
    return this.#text.slice(start, at);
  }

  /** A short piece of the text, for messages: what was taken last, or what comes next. */
  #show(taken?: string): string {
    const text = taken || this.#text.slice(this.#at, this.#at + 21);
    if (text === '') return 'the end of the header';
    return text.length > 20 ? `${JSON.stringify(text.slice(0, 20))}...` : JSON.stringify(text);
  }
}
