import { ArgumentError, FormatError } from '../core/errors.ts';
import { openBin } from '../core/formats/fbin.ts';
import { openFile } from '../core/formats/files.ts';

/** Where vectors come from, as plain data: a worker thread can open the same source. */
export type SourceSpec =
  | {
      readonly kind: 'made';
      readonly n: number;
      readonly d: number;
      readonly seed: number;
      readonly draw?: number;
      /** @defaultValue 'isotropic' */
      readonly noise?: WordNoise;
    }
  | { readonly kind: 'fbin'; readonly path: string };

/** Vectors that are read or made piece by piece; word i is row i. */
export interface RowSource extends Disposable {
  readonly n: number;
  readonly d: number;
  /** Rows first to first + count - 1, into `out` [count, d]. */
  fill(first: number, count: number, out: Float32Array): void;
}

/** Vectors in memory, [n, d], as a source. @param name what messages call them @throws FormatError for NaN, Infinity */
export function memorySource(name: string, vectors: Float32Array, d: number): RowSource {
  return {
    n: vectors.length / d,
    d,
    fill(first, count, out) {
      const rows = vectors.subarray(first * d, (first + count) * d);
      requireFiniteRows(name, rows, first, d);
      out.set(rows);
    },
    [Symbol.dispose]: () => {},
  };
}

/** Open a source. @throws FileError, FormatError */
export function openSource(spec: SourceSpec): RowSource {
  if (spec.kind === 'made') return madeWords(spec);
  const file = openFile('index build', spec.path);
  const rows = openBin(file, 'fbin');
  return {
    n: rows.rows,
    d: rows.columns,
    fill(first, count, out) {
      const { data } = rows.read(first, first + count);
      requireFiniteRows(spec.path, data as Float32Array, first, rows.columns);
      out.set(data as Float32Array);
    },
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

function requireFiniteRows(name: string, data: Float32Array, first: number, d: number): void {
  const bad = data.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0)
    throw new FormatError('index build', `${name}: row ${first + Math.floor(bad / d)} holds ${data[bad]}`);
}

/**
 * How words lie around the centre of their cluster. `spectrum`: along axes of the cluster, with a strength that falls by
 * rank, as in real embeddings. `isotropic`: alike in all directions, which no list can follow.
 */
export type WordNoise = 'spectrum' | 'isotropic';

/**
 * A made-up vocabulary of any size: word i depends on i and the seed alone, so that any part can be made anywhere, again.
 *
 * sqrt(n) clusters whose sizes fall like 1 / (rank + 10); a word is its cluster's centre plus noise as strong as the centre,
 * times a length from 0.7 to 1.3. Noise is a sum of two uniform numbers per axis. The axes of a cluster are the columns of
 * S H, with H the Hadamard matrix and S signs drawn for the cluster. Only +, -, *, /, shifts and square roots: all machines
 * make the same bits. Another `draw` gives other words of the same clusters, which serve as queries.
 */
function madeWords({
  n,
  d,
  seed,
  draw = 0,
  noise = 'isotropic',
}: Extract<SourceSpec, { kind: 'made' }>): RowSource {
  for (const [name, value] of Object.entries({ n, d, seed, draw }))
    if (!Number.isSafeInteger(value) || value < 0)
      throw new ArgumentError(
        'index build',
        `${name} of made-up words is ${value}; it must be an integer from 0 on`,
      );
  const clusters = Math.max(Math.round(Math.sqrt(n)), 1);
  const centres = new Float32Array(clusters * d);
  const signs = new Int8Array(noise === 'spectrum' ? clusters * d : 0);
  const reach = new Float64Array(clusters);
  let total = 0;
  for (let c = 0; c < clusters; c++) {
    let state = startOf(mix(c) ^ mix(seed));
    for (let j = 0; j < d; j++) {
      state = step(state);
      centres[c * d + j] = spread(state);
    }
    if (noise === 'spectrum')
      for (let j = 0; j < d; j++) {
        state = step(state);
        signs[c * d + j] = state < 0 ? -1 : 1;
      }
    reach[c] = total += 1 / (c + 10);
  }
  const root = mix(mix(seed + 0x5bd1e995) + draw);
  const axes = 2 ** Math.ceil(Math.log2(d));
  const strength = spectrum(d);
  const z = new Float64Array(axes);
  return {
    n,
    d,
    fill(first, count, out) {
      for (let i = 0; i < count; i++) {
        let state = startOf(mix(first + i) ^ root);
        const goal = ((state >>> 0) / 2 ** 32) * total;
        let [low, high] = [0, clusters - 1];
        while (low < high) {
          const middle = (low + high) >> 1;
          if (reach[middle]! > goal) high = middle;
          else low = middle + 1;
        }
        state = step(state);
        const length = 1 + 0.3 * spread(state);
        const from = low * d;
        if (noise === 'isotropic') {
          for (let j = 0; j < d; j++) {
            state = step(state);
            out[i * d + j] = length * (centres[from + j]! + spread(state));
          }
          continue;
        }
        for (let j = 0; j < d; j++) {
          state = step(state);
          z[j] = strength[j]! * spread(state);
        }
        z.fill(0, d);
        hadamard(z);
        for (let j = 0; j < d; j++) out[i * d + j] = length * (centres[from + j]! + signs[from + j]! * z[j]!);
      }
    },
    [Symbol.dispose]: () => {},
  };
}

/** Strength 1 / sqrt(r + 1) along axis r, scaled so that an element has the power that strength 1 in all axes gives it. */
function spectrum(d: number): Float64Array {
  const strength = Float64Array.from({ length: d }, (_, r) => 1 / Math.sqrt(r + 1));
  const power = strength.reduce((sum, s) => sum + s * s, 0);
  return strength.map((s) => s / Math.sqrt(power));
}

/** In place: z becomes H z. The length is a power of two. */
function hadamard(z: Float64Array): void {
  for (let half = 1; half < z.length; half *= 2)
    for (let from = 0; from < z.length; from += 2 * half)
      for (let j = from; j < from + half; j++) {
        const a = z[j]!;
        const b = z[j + half]!;
        z[j] = a + b;
        z[j + half] = a - b;
      }
}

/** A 32-bit mixer: every bit of the input reaches every bit of the output. */
function mix(value: number): number {
  let h = Math.imul(value ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
  h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
  return h ^ (h >>> 15);
}

/** Marsaglia's xorshift has one fixed point, 0. */
function startOf(state: number): number {
  return step(mix(state) || 1);
}

function step(state: number): number {
  let s = state ^ (state << 13);
  s ^= s >>> 17;
  return s ^ (s << 5);
}

/** From -1 to 1, triangular: the sum of the two halves of 32 bits. */
function spread(state: number): number {
  return ((state & 0xffff) + (state >>> 16)) / 65535 - 1;
}
