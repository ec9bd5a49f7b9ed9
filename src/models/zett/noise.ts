import type { Key } from '../../core/key.ts';

/**
 * Uniform numbers in (0, 1) from a key, one after another (mulberry32): for what is drawn on the host as it is needed. Parameters
 * come from `randomBits`.
 */
export function uniforms(drawn: Key): () => number {
  let state = (drawn[0] ^ Math.imul(drawn[1], 0x9e3779b1)) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
}

/** Standard normal numbers from a key, one after another (Box and Muller). */
export function noise(drawn: Key): () => number {
  const uniform = uniforms(drawn);
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}
