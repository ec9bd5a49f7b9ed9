/**
 * Bytes as printable characters: the alphabet of byte-level tokenizers, as GPT-2 introduced it. Bytes that are printable
 * in Latin-1 stand for themselves, the others for the characters from U+0100 on, in order.
 */
export const byteChars: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte).map((byte) => {
  const printable = (b: number): boolean =>
    (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
  if (printable(byte)) return String.fromCharCode(byte);
  let before = 0;
  for (let b = 0; b < byte; b++) if (!printable(b)) before++;
  return String.fromCharCode(0x100 + before);
});

const bytesByChar = new Map(byteChars.map((char, byte) => [char, byte]));

/** The bytes that a byte-level token stands for; undefined if one of its characters stands for none. */
export function bytesOfToken(token: string): Uint8Array | undefined {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = bytesByChar.get(token[i]!);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}

/** Bytes as a byte-level token. */
export function tokenOfBytes(bytes: Iterable<number>): string {
  let token = '';
  for (const byte of bytes) token += byteChars[byte]!;
  return token;
}
