import { type Tensor, tensor } from '../tensor.ts';

/** Byte strings as `surfaceForms` and `prefixMask` take them. */
export interface PackedStrings {
  /** u32, four bytes per element, the first in the lowest bits. */
  readonly bytes: Tensor;
  /** u32 [n + 1] */
  readonly offsets: Tensor;
}

/** Pieces sorted bytewise, with their ids and costs. */
export interface PieceTable {
  readonly pieces: Tensor;
  readonly pieceOffsets: Tensor;
  readonly ids: Tensor;
  readonly costs: Tensor;
}

/** Put byte strings one after another. */
export function packStrings(strings: readonly Uint8Array[]): PackedStrings {
  const offsets = new Uint32Array(strings.length + 1);
  for (const [i, s] of strings.entries()) offsets[i + 1] = offsets[i]! + s.length;
  const words = new Uint32Array(Math.max(Math.ceil(offsets[strings.length]! / 4), 1));
  const bytes = new Uint8Array(words.buffer);
  for (const [i, s] of strings.entries()) bytes.set(s, offsets[i]!);
  // Little-endian, on any host.
  const view = new DataView(words.buffer);
  for (let i = 0; i < words.length; i++) words[i] = view.getUint32(4 * i, true);
  return { bytes: tensor([words.length], words), offsets: tensor([strings.length + 1], offsets) };
}

/**
 * Sort pieces for `surfaceForms`. Empty ones (special tokens) are left out; of two with the same bytes the one with the lower
 * id stays.
 * @param costOf cost of a piece by its id; default 1 for each: fewest pieces
 */
export function pieceTable(
  pieces: readonly { readonly id: number; readonly bytes: Uint8Array }[],
  costOf: (id: number) => number = () => 1,
): PieceTable {
  const sorted = pieces
    .filter(({ bytes }) => bytes.length > 0)
    .toSorted((a, b) => compareBytes(a.bytes, b.bytes) || a.id - b.id)
    .filter(({ bytes }, i, all) => i === 0 || compareBytes(all[i - 1]!.bytes, bytes) !== 0);
  const { bytes, offsets } = packStrings(sorted.map((p) => p.bytes));
  return {
    pieces: bytes,
    pieceOffsets: offsets,
    ids: tensor(
      [sorted.length],
      sorted.map((p) => p.id),
      'i32',
    ),
    costs: tensor(
      [sorted.length],
      sorted.map((p) => costOf(p.id)),
      'u32',
    ),
  };
}

/** A log-probability as an integer cost: 1024 per nat, so ties of rounding cannot depend on the device. */
export function costOfScore(score: number): number {
  return Math.min(Math.max(Math.round(-1024 * score), 0), 2 ** 24 - 1);
}

/** Bytewise, shorter first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}
