/** Finds all pieces that begin at a place. */
export interface PieceTrie {
  /** Call `found` with each piece that `bytes` continue with at `from`, shortest first, and where it ends. */
  walk(bytes: Uint8Array, from: number, found: (piece: number, to: number) => void): void;
}

/** A prefix tree over byte strings, its edges in one open hash table of (node, byte). */
export function pieceTrie(pieces: readonly Uint8Array[]): PieceTrie {
  const total = pieces.reduce((n, p) => n + p.length, 1);
  const size = 2 ** Math.ceil(Math.log2(2 * total + 2));
  const mask = size - 1;
  // An edge's key is node * 256 + byte + 1, 0 = free; nodes are numbered from 0, the root.
  const keys = new Float64Array(size);
  const targets = new Int32Array(size);
  const pieceAt = new Int32Array(total).fill(-1);
  let nodes = 1;
  const slotOf = (node: number, byte: number): number => {
    const key = node * 256 + byte + 1;
    let slot = (Math.imul(node, 0x9e3779b1) ^ Math.imul(byte + 1, 0x85ebca6b)) & mask;
    while (keys[slot] !== 0 && keys[slot] !== key) slot = (slot + 1) & mask;
    return slot;
  };
  for (const [piece, bytes] of pieces.entries()) {
    let node = 0;
    for (const byte of bytes) {
      const slot = slotOf(node, byte);
      if (keys[slot] === 0) {
        keys[slot] = node * 256 + byte + 1;
        targets[slot] = nodes++;
      }
      node = targets[slot]!;
    }
    pieceAt[node] = piece;
  }
  return {
    walk(bytes, from, found) {
      let node = 0;
      for (let at = from; at < bytes.length; at++) {
        const slot = slotOf(node, bytes[at]!);
        if (keys[slot] === 0) return;
        node = targets[slot]!;
        if (pieceAt[node]! >= 0) found(pieceAt[node]!, at + 1);
      }
    },
  };
}
