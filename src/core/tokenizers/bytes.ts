import type { Tokenizer } from './tokenizer.ts';

/**
 * One id per byte of UTF-8. 0 to 255 are the bytes; 256 begins a text, 257 ends one, 258 is free, and 259 is the padding,
 * which is where the seed has it.
 */
export const bytesTokenizer: Tokenizer = {
  kind: 'bytes',
  vocabulary: 260,
  beginIndex: 256,
  paddingIndex: 259,
  encode: (text) => Int32Array.from(new TextEncoder().encode(text)),
  bytesOf: (id) => (id >= 0 && id < 256 ? Uint8Array.of(id) : new Uint8Array(0)),
};
