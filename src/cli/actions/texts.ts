import { readFileSync } from 'node:fs';
import { ArgumentError, FileError, FormatError } from '../../core/errors.ts';
import { openFile } from '../../core/formats/files.ts';
import { bytesTokenizer } from '../../core/tokenizers/bytes.ts';
import type { Tokenizer } from '../../core/tokenizers/tokenizer.ts';

/** Bytes of a text that are read at a time. */
const PIECE = 2 ** 20;

/** A text file in pieces, so that it need not fit into memory. @throws FileError; FormatError if it is not UTF-8 */
export function* textPieces(command: string, path: string): Generator<string> {
  using file = openFile(command, path);
  if (file.size === 0) throw new ArgumentError(command, `${path} is empty; it must hold text`);
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  try {
    for (let at = 0; at < file.size; at += PIECE) {
      const bytes = new Uint8Array(Math.min(PIECE, file.size - at));
      file.readInto(at, bytes);
      yield decoder.decode(bytes, { stream: at + PIECE < file.size });
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new FormatError(command, `${path} is not UTF-8 text`);
  }
}

/** A text file and its size. @throws like {@link textPieces} */
export function readText(command: string, path: string): { text: string; bytes: number } {
  const text = [...textPieces(command, path)].join('');
  return { text, bytes: new TextEncoder().encode(text).length };
}

/** The different lines of a text that are not blank. @throws like {@link textPieces}; ArgumentError where there is none */
export function readWords(command: string, path: string): string[] {
  const words = [...new Set(readText(command, path).text.split(/\r?\n/))].filter((w) => w.trim() !== '');
  if (words.length === 0) throw new ArgumentError(command, `${path} has no words; it needs one per line`);
  return words;
}

/** The tokenizer of a tokenizer.json, or that of bytes. */
export async function readTokenizer(command: string, path: string | undefined): Promise<Tokenizer> {
  if (path === undefined) return bytesTokenizer;
  let json: string;
  try {
    json = readFileSync(path, 'utf8');
  } catch (error) {
    throw new FileError(command, `cannot read ${path}: ${(error as Error).message}`);
  }
  const { jsonTokenizer } = await import('../../core/tokenizers/tokenizerJson.ts');
  return jsonTokenizer(json, path);
}
