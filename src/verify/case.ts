import type { Tensor } from '../core/tensor.ts';

/** One thing that `subvocab verify` runs on both twins and compares. */
export interface Case {
  /** The contract's name. */
  readonly op: string;
  /** What is special about it, in a few words. */
  readonly label: string;
  /** The main sizes, for the table: `[32, 49, 512]`. */
  readonly shape: string;
  /** Inputs by the contract's names; made anew on each call, from a fixed seed. */
  inputs(): Record<string, Tensor>;
  readonly options?: Readonly<Record<string, unknown>>;
  /** The inputs are random and do not repeat: also test the results for bias and lost precision. @defaultValue false */
  readonly independent?: boolean;
  /** Least bytes that must move to and from memory, for the share of the copy bandwidth. */
  readonly bytes?: number;
  /** Arithmetic operations (a multiply-add counts two), for the share of the FMA peak. */
  readonly flops?: number;
}

/** Numbers in [-1, 1) from a seed, the same everywhere (mulberry32): test data, not randomness for models. */
export function noise(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

/** An f32 array of such numbers. */
export function noiseArray(length: number, seed: number): Float32Array {
  const next = noise(seed);
  return Float32Array.from({ length }, next);
}
