import { compareBytes, packByteStrings } from '../src/core/byteStrings.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';
import { uniform } from './support/work.ts';

/** Random words of up to 12 letters out of 5, in order. */
function strings(count: number, rows: number): Record<string, Tensor> {
  const letters = uniform(count * 13, 1);
  const list = Array.from({ length: count }, (_, v) =>
    Uint8Array.from(
      { length: 1 + Math.floor((letters[v * 13]! + 1) * 6) },
      (_, i) => 97 + Math.floor((letters[v * 13 + i + 1]! + 1) * 2.5),
    ),
  ).sort(compareBytes);
  const words = packByteStrings(list);
  const prefixes = packByteStrings(
    Array.from({ length: rows }, (_, q) => list[Math.floor((q * count) / rows)]!.subarray(0, 3)),
  );
  return {
    words: words.bytes,
    offsets: words.offsets,
    prefixes: prefixes.bytes,
    prefixOffsets: prefixes.offsets,
  };
}

/** Masks over a vocabulary of a model, and ranges in a large sorted one. */
export function benchmarks(tier: Tier): Benchmark[] {
  const [rows, count] = tier === 'full' ? [64, 32_768] : [8, 8192];
  const large = tier === 'full' ? 2_000_000 : 100_000;
  return [
    {
      op: 'prefixMask',
      shape: `[${rows}, ${count}]`,
      inputs: () => ({ logits: tensor([rows, count], uniform(rows * count, 2)), ...strings(count, rows) }),
      bytes: rows * count * 8,
      naive(gpu, { logits, words, offsets, prefixes, prefixOffsets }) {
        const y = gpu.empty('f32', [rows, count]);
        gpu.dispatch({
          file: `${naiveFolder}/prefixMask.wgsl`,
          entry: 'prefixMask',
          params: [rows * count, count],
          reads: [words!, offsets!, prefixes!, prefixOffsets!, logits!],
          writes: [y],
          groups: gpu.grid(Math.ceil((rows * count) / 64)),
        });
        return { y };
      },
    },
    {
      op: 'prefixMaskRange',
      shape: `[${large}], 64 prefixes`,
      inputs: () => strings(large, 64),
    },
  ];
}
