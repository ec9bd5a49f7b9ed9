/**
 * The work that is timed: plain arrays and sizes, so that a peer needs nothing of this package.
 * Weights are stored [in, out] here, which is what the peers take without a transposition.
 */
export type Work =
  | { readonly kind: 'matmul'; m: number; k: number; n: number; a: Float32Array; b: Float32Array }
  | {
      readonly kind: 'gatedFfn';
      rows: number;
      width: number;
      hidden: number;
      x: Float32Array;
      /** [width, hidden] */
      w1: Float32Array;
      b1: Float32Array;
      /** [width, hidden] */
      wg: Float32Array;
      bg: Float32Array;
      /** [hidden, width] */
      w2: Float32Array;
      b2: Float32Array;
    }
  /** Running maximum (or sum) along the middle axis of [outer, length, inner]. */
  | { readonly kind: 'cummax' | 'cumsum'; outer: number; length: number; inner: number; x: Float32Array }
  | { readonly kind: 'topK'; rows: number; n: number; k: number; x: Float32Array }
  /**
   * Top-k of logits + noise. Both given: every participant selects from the same numbers. Without noise each draws its own.
   */
  | { readonly kind: 'gumbelTopK'; n: number; k: number; logits: Float32Array; noise?: Float32Array }
  /** For each point the centroid with the greatest x.c - half. */
  | {
      readonly kind: 'nearest';
      n: number;
      dim: number;
      k: number;
      x: Float32Array;
      /** [dim, k] */
      cT: Float32Array;
      half: Float32Array;
    }
  /** n words of Threefry-2x32 in the order of `jax.random.bits` (partitionable). */
  | { readonly kind: 'randomBits'; seed: number; n: number }
  /** n numbers of the standard Gumbel distribution, by whatever generator the participant has. */
  | { readonly kind: 'gumbelNoise'; seed: number; n: number }
  /**
   * Steps of Adam with PyTorch's defaults on one batch [batch, length + 1]: the model of docs/samOut.md. `start` gives the
   * parameters in the order of `listParameters`, weights [out, in]. The result is the loss of the first step.
   */
  | ({
      readonly kind: 'samOutTrain';
      batch: number;
      length: number;
      tokens: Int32Array;
      start(): Promise<Float32Array[]>;
    } & SamOutSizes)
  /** The `count` most probable tokens, one after another, after the prompt; reading the prompt is not timed. */
  | ({
      readonly kind: 'samOutStep';
      count: number;
      prompt: Int32Array;
      start(): Promise<Float32Array[]>;
    } & SamOutSizes)
  /** Exact search: the k greatest inner products of each query with the base vectors. */
  | {
      readonly kind: 'flatSearch';
      queries: number;
      count: number;
      dim: number;
      k: number;
      q: Float32Array;
      /** [dim, count] */
      baseT: Float32Array;
    };

/** A SamOut model without options, 8 heads, which do nothing. */
export interface SamOutSizes {
  readonly vocabulary: number;
  readonly width: number;
  readonly layers: number;
  readonly paddingIndex: number;
}

/** Host arrays that a participant hands back. */
export type Result = readonly (Float32Array | Int32Array | Uint32Array)[];

/** A work that a participant has prepared: inputs uploaded, shaders compiled on the first `run`. */
export interface Prepared {
  /** Do the work once and wait until it is done. */
  run(): Promise<void>;
  /** The results of the last run. */
  read(): Promise<Result>;
  /** What of the time this participant could not leave out, or how it does the work if not by one operator. */
  readonly note?: string;
  dispose(): Promise<void> | void;
}

/** Something else that can do the work. */
export interface Peer {
  readonly name: string;
  readonly version: string;
  readonly kind: 'webgpu' | 'wasm' | 'cpu' | 'native';
  /** `null` when the peer has no way to do this work. */
  prepare(work: Work): Promise<Prepared | null>;
}

/** Floats in [-1, 1) that depend on the seed alone: 24 bits of a 32-bit mixer, so each is exact in f32. */
export function uniform(length: number, seed: number, scale = 1): Float32Array {
  const out = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    let h = (Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(seed + 1, 0x85ebca6b)) >>> 0;
    h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
    h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
    h = (h ^ (h >>> 15)) >>> 8;
    out[i] = (h / 0x800000 - 1) * scale;
  }
  return out;
}

/** Up to 2^24 floats in [-1, 1), no two alike, in no order: every selection from them has one answer. */
export function distinct(length: number, seed: number): Float32Array {
  const out = new Float32Array(length);
  const start = Math.imul(seed + 1, 0x85ebca6b);
  for (let i = 0; i < length; i++) {
    // Every step is a bijection of 24 bits: an odd factor, and the upper half xored into the lower.
    let h = Math.imul(i + start, 0x9e3779b1) & 0xffffff;
    h = Math.imul(h ^ (h >>> 12), 0x21f0aaad) & 0xffffff;
    h = Math.imul(h ^ (h >>> 13), 0x735a2d97) & 0xffffff;
    out[i] = (h ^ (h >>> 12)) / 0x800000 - 1;
  }
  return out;
}

/** [count, dim]: point i lies around centre (i * 2654435761 mod 2^32) mod clusters, within +-spread per coordinate. */
export function clustered(
  count: number,
  dim: number,
  clusters: number,
  spread: number,
  seed: number,
): Float32Array {
  const centres = uniform(clusters * dim, seed);
  const out = uniform(count * dim, seed + 1, spread);
  for (let i = 0; i < count; i++) {
    const centre = ((Math.imul(i, 2654435761) >>> 0) % clusters) * dim;
    for (let d = 0; d < dim; d++) out[i * dim + d]! += centres[centre + d]!;
  }
  return out;
}

/**
 * [count, dim], like word embeddings: point i lies around centre floor(clusters u^2), so that a few clusters hold many points;
 * lengths differ by a factor of up to 2. In f64, rounded once.
 */
export function wordLike(
  count: number,
  dim: number,
  clusters: number,
  centreSeed: number,
  seed: number,
): Float32Array {
  const centres = uniform(clusters * dim, centreSeed);
  const which = uniform(count, seed);
  const length = uniform(count, seed + 1);
  const out = uniform(count * dim, seed + 2);
  for (let i = 0; i < count; i++) {
    const u = (which[i]! + 1) / 2;
    const centre = Math.floor(clusters * u * u) * dim;
    const scale = 1 + length[i]! / 3;
    for (let d = 0; d < dim; d++) out[i * dim + d] = (centres[centre + d]! + out[i * dim + d]!) * scale;
  }
  return out;
}

/** Rows and columns swapped: [rows, columns] to [columns, rows]. */
export function transposed(x: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(x.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = x[i * columns + j]!;
  return out;
}
