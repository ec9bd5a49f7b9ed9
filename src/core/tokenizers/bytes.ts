import { ArgumentError } from '../errors.ts';
import type { Tokenizer } from './tokenizer.ts';

/** The special tokens, with the ids from 256 on. */
export const byteSpecials: readonly string[] = [
  '<begin>',
  '<end>',
  '<separator>',
  '<pad>',
  ...Array.from({ length: 8 }, (_, i) => `<reserved${i}>`),
];

const single = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
const none = new Uint8Array(0);
const encoder = new TextEncoder();

/**
 * One id per byte of UTF-8, then 12 special ones: 0 to 255 are the bytes, 256 begins a text, 257 ends one, 258 separates,
 * 259 is the padding, and 260 to 267 are free. Nothing to train, and every text has ids.
 *
 * The seed has 8,460 = 8,192 + 268 ids and the padding index 259. That is what this follows: bytes, special ids, and from
 * 268 on 8,192 learned tokens (`trainBpe` with the layout 'bytes' makes these, and keeps the ids of bytes). The seed's loss
 * ignores the target 3, which here is the control character U+0003: usual text has none, and where it occurs the loss
 * passes over it. Padding is another id, so whoever pads must also set the targets there to the ignored one.
 */
export const bytesTokenizer: Tokenizer = {
  kind: 'bytes',
  vocabulary: 256 + byteSpecials.length,
  beginIndex: 256,
  paddingIndex: 259,
  encode: (text) => Int32Array.from(encoder.encode(text)),
  restores(text, ids) {
    const bytes = encoder.encode(text);
    // Half of a surrogate pair has no bytes of its own in UTF-8.
    return text.isWellFormed() && bytes.length === ids.length && bytes.every((byte, i) => byte === ids[i]);
  },
  bytesOf(id) {
    const bytes = single[id] ?? (id >= 256 && id < 268 && Number.isInteger(id) ? none : undefined);
    if (bytes === undefined)
      throw new ArgumentError(
        'bytesTokenizer',
        `${id} is no id of a byte or special token; they are 0 to 267`,
      );
    return bytes;
  },
};
