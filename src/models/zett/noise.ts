import type { Key } from '../../core/key.ts';

/**
 * Standard normal numbers from a key, one after another (mulberry32, Box and Muller): for what is drawn on the host as it is
 * needed. Parameters come from `randomBits`.
 */
export function noise(drawn: Key): () => number {
  let state = (drawn[0] ^ Math.imul(drawn[1], 0x9e3779b1)) >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}
