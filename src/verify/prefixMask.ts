import { compareBytes, packByteStrings } from '../core/byteStrings.ts';
import { type Tensor, tensor } from '../core/tensor.ts';
import { type Case, noise, noiseArray } from './case.ts';

/** Words over a small alphabet, so that many begin alike; every hundredth has no bytes, as a special token. */
function vocabulary(count: number, seed: number): Uint8Array[] {
  const next = noise(seed);
  const below = (n: number): number => Math.floor(((next() + 1) / 2) * n);
  return Array.from({ length: count }, (_, v) =>
    Uint8Array.from(
      { length: v % 100 === 99 ? 0 : 1 + below(12) },
      () => [97, 98, 99, 0xe4, 0xff][below(5)]!,
    ),
  );
}

function inputs(words: readonly Uint8Array[], prefixes: readonly Uint8Array[]): Record<string, Tensor> {
  const list = packByteStrings(words);
  const asked = packByteStrings(prefixes);
  return {
    words: list.bytes,
    offsets: list.offsets,
    prefixes: asked.bytes,
    prefixOffsets: asked.offsets,
  };
}

const count = 8460;
const rows = 64;
const withLogits = (name: string) => () => ({
  ...inputs(vocabulary(count, 1), vocabulary(rows, 2)),
  [name]: tensor([rows, count], noiseArray(rows * count, 3)),
});
const shape = `[${rows}, ${count}]`;
const bytes = rows * count * 8;

export const cases: readonly Case[] = [
  { op: 'prefixMask', label: 'words that begin alike', shape, inputs: withLogits('logits'), bytes },
  {
    op: 'prefixMask',
    label: 'and the pieces that spell the prefix',
    shape,
    inputs: withLogits('logits'),
    options: { covers: true },
    bytes,
  },
  { op: 'prefixMaskBackward', label: 'words that begin alike', shape, inputs: withLogits('dy'), bytes },
  {
    op: 'prefixMaskRange',
    label: 'a sorted vocabulary',
    shape: `[100000], ${rows} prefixes`,
    inputs: () => inputs(vocabulary(100_000, 4).sort(compareBytes), vocabulary(rows, 5)),
  },
];
