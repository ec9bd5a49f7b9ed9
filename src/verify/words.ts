import { type Tensor, tensor } from '../core/tensor.ts';
import { noise } from './case.ts';

/** The shape of a made-up vocabulary. */
export interface Words {
  readonly n: number;
  readonly d: number;
  readonly queries: number;
  /** @defaultValue 1024 */
  readonly clusters?: number;
  readonly seed?: number;
}

/**
 * Vectors that look like word embeddings, and queries like them, from a seed: directions around cluster centres, cluster
 * sizes that fall like 1 / (rank + 10), lengths that differ. Additions and multiplications only, so that every machine
 * makes the same bits.
 */
export function wordVectors({ n, d, queries, clusters = 1024, seed = 1 }: Words): {
  vectors: Tensor;
  queries: Tensor;
} {
  const uniform = noise(seed);
  // The sum of three numbers from [-1, 1) has variance 1, and is as good as normal for this purpose.
  const normal = (): number => uniform() + uniform() + uniform();
  const centres = Float32Array.from({ length: clusters * d }, normal);
  const reach = new Float64Array(clusters);
  let total = 0;
  for (let c = 0; c < clusters; c++) reach[c] = total += 1 / (c + 10);
  const draw = (rows: number): Tensor => {
    const out = new Float32Array(rows * d);
    for (let i = 0; i < rows; i++) {
      const goal = ((uniform() + 1) / 2) * total;
      let [low, high] = [0, clusters - 1];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (reach[middle]! > goal) high = middle;
        else low = middle + 1;
      }
      const length = Math.max(0.2, 1 + 0.15 * normal());
      for (let j = 0; j < d; j++) out[i * d + j] = length * (centres[low * d + j]! + normal());
    }
    return tensor([rows, d], out);
  };
  return { vectors: draw(n), queries: draw(queries) };
}

/** A value that is made when it is first asked for. */
export function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
