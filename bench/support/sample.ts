import { type Tensor, tensor } from '../../src/core/tensor.ts';
import type { Benchmark } from './benchmark.ts';

/** Every so many rows of the named inputs and outputs, for operators that treat rows independently. */
export function everyRow(
  every: number,
  inputs: readonly string[],
  outputs: readonly string[],
): NonNullable<Benchmark['sample']> {
  const pick =
    (names: readonly string[]) =>
    (all: Readonly<Record<string, Tensor>>): Record<string, Tensor> => {
      const out = { ...all };
      for (const name of names) {
        const t = out[name];
        if (t === undefined) continue;
        const width = t.shape.at(-1)!;
        const count = Math.ceil(t.size / width / every);
        const data = new Float32Array(count * width);
        for (let i = 0; i < count; i++) {
          data.set((t.data as Float32Array).subarray(i * every * width, (i * every + 1) * width), i * width);
        }
        out[name] = tensor([count, width], data);
      }
      return out;
    };
  return { inputs: pick(inputs), outputs: pick(outputs) };
}
