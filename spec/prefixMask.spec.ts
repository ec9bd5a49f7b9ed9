import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareBytes, packByteStrings } from '../src/core/byteStrings.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import * as ref from '../src/ref/index.ts';
import { cases } from '../src/verify/prefixMask.ts';
import { describeDevice } from './support/device.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { anyFloat, tensorOf } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from Python's own bytes; the range of a sorted vocabulary holds exactly the words that the mask allows; the
// backward keeps what the forward keeps; kernels equal to the reference bit for bit, NaN included; wrong kernels are
// rejected; bad lists are refused.

describeVectors('prefixMask');

// Two letters and a byte above 127: words that begin alike are the rule.
const bytes = fc.array(fc.constantFrom(97, 98, 0xff), { maxLength: 6 }).map((list) => Uint8Array.from(list));
const lists = fc.record({
  words: fc.array(bytes, { minLength: 1, maxLength: 150 }),
  prefixes: fc.array(bytes, { minLength: 1, maxLength: 9 }),
  covers: fc.boolean(),
});

function strings(words: readonly Uint8Array[], prefixes: readonly Uint8Array[]): Record<string, Tensor> {
  const list = packByteStrings(words);
  const asked = packByteStrings(prefixes);
  return {
    words: list.bytes,
    offsets: list.offsets,
    prefixes: asked.bytes,
    prefixOffsets: asked.offsets,
  };
}

describe('the reference', () => {
  test('a range holds exactly the words that a mask allows', () => {
    fc.assert(
      fc.property(lists, ({ words, prefixes }) => {
        const sorted = words.filter((w) => w.length > 0).sort(compareBytes);
        const { words: w, offsets, prefixes: p, prefixOffsets } = strings(sorted, prefixes);
        const ones = tensor(
          [prefixes.length, sorted.length],
          new Float32Array(prefixes.length * sorted.length).fill(1),
        );
        const masked = ref.prefixMask(ones, w!, offsets!, p!, prefixOffsets!);
        const { first, end } = ref.prefixMaskRange(w!, offsets!, p!, prefixOffsets!);
        for (let q = 0; q < prefixes.length; q++) {
          for (let v = 0; v < sorted.length; v++) {
            const inside = first.data[q]! <= v && v < end.data[q]!;
            expect(masked.data[q * sorted.length + v]).toBe(inside ? 1 : -Infinity);
          }
        }
      }),
    );
  });

  test('the gradient passes where the value does', () => {
    fc.assert(
      fc.property(lists, ({ words, prefixes, covers }) => {
        const { words: w, offsets, prefixes: p, prefixOffsets } = strings(words, prefixes);
        const ones = tensor(
          [prefixes.length, words.length],
          new Float32Array(prefixes.length * words.length).fill(1),
        );
        const y = ref.prefixMask(ones, w!, offsets!, p!, prefixOffsets!, { covers });
        const d = ref.prefixMaskBackward(ones, w!, offsets!, p!, prefixOffsets!, { covers });
        expect([...d.data]).toEqual([...y.data].map((v) => (v === 1 ? 1 : 0)));
      }),
    );
  });

  test('bad calls are refused', () => {
    const { words, offsets, prefixes, prefixOffsets } = strings(
      [Uint8Array.of(98), Uint8Array.of(97)],
      [Uint8Array.of(97)],
    );
    const logits = tensor([1, 2], [1, 2]);
    const falling = tensor([3], Uint32Array.of(0, 2, 1));
    const call =
      (...args: Parameters<typeof ref.prefixMask>) =>
      () =>
        ref.prefixMask(...args);
    expect(call(logits, words!, falling, prefixes!, prefixOffsets!)).toThrow(
      'prefixMask: offsets has 2 and 1 at element 1; offsets must not fall, nor pass the 4 bytes',
    );
    expect(call(tensor([1, 3], [1, 2, 3]), words!, offsets!, prefixes!, prefixOffsets!)).toThrow(
      'prefixMask: logits has shape [1, 3]; it must be [1, 2]',
    );
    expect(call(tensor([2, 2], [1, 2, 3, 4]), words!, offsets!, prefixes!, prefixOffsets!)).toThrow(
      'there are 1 prefixes',
    );
    expect(() => ref.prefixMaskRange(words!, offsets!, prefixes!, prefixOffsets!)).toThrow(
      'prefixMaskRange: word 1 sorts before word 0; sort the words bytewise',
    );
  });
});

const wrong: readonly Mutant[] = [
  { name: 'the last element is left out', from: 'if (i < params.size) {', to: 'if (i + 1u < params.size) {' },
  { name: 'words without bytes are allowed', from: 'length > 0u && ', to: '' },
  { name: 'the lengths are not compared', from: '|| length >= prefixLength(q)', to: '|| true' },
  { name: 'covering is always on', from: 'params.covers != 0u ||', to: 'true ||' },
  { name: 'only words longer than the prefix', from: 'length >= prefixLength', to: 'length > prefixLength' },
  { name: 'the last byte is not compared', from: 'i < overlap; i++', to: 'i + 1u < overlap; i++' },
  {
    name: 'the other end of an element first',
    from: 'at % 4u * 8u, 8u); }\nfn prefixByte',
    to: '24u - at % 4u * 8u, 8u); }\nfn prefixByte',
  },
  {
    name: 'bytes above 127 are negative',
    from: 'select(1, -1, a < b)',
    to: 'select(1, -1, i32(a << 24u) < i32(b << 24u))',
  },
  {
    name: 'pieces of the prefix count as inside',
    from: ' || (order == 0 && wordLength(v) < length)',
    to: '',
  },
  { name: 'the range ends one early', from: 'ends[q] = i32(low);', to: 'ends[q] = i32(low) - 1;' },
  {
    name: 'the last word is never looked at',
    from: 'var high = params.words;',
    to: 'var high = params.words - 1u;',
  },
];

describeDevice('the kernel', (gpu) => {
  test('equals the reference on generated lists', async () => {
    const call = lists.chain((l) =>
      fc.record({
        lists: fc.constant(l),
        values: tensorOf(anyFloat, fc.constant([l.prefixes.length, l.words.length])),
      }),
    );
    await fc.assert(
      fc.asyncProperty(call, async ({ lists: { words, prefixes, covers }, values }) => {
        const of = strings(words, prefixes);
        await expectTwins(gpu(), 'prefixMask', { logits: values, ...of }, { covers });
        await expectTwins(gpu(), 'prefixMaskBackward', { dy: values, ...of }, { covers });
        await expectTwins(gpu(), 'prefixMaskRange', strings([...words].sort(compareBytes), prefixes));
      }),
      { numRuns: 30 },
    );
  });

  test('equals the reference on the cases of verify, with the same bits twice', async () => {
    for (const c of cases) await expectTwins(gpu(), c.op, c.inputs(), c.options);
    for (const c of cases) await expectSameBits(gpu(), c.op, c.inputs(), c.options);
  });

  test('wrong kernels are rejected', async () => {
    const text = (s: string): Uint8Array => new TextEncoder().encode(s);
    const words = ['', 'a', 'ab', 'abc', 'b', 'ba', 'é', 'éa', 'z', 'zz'].map(text);
    const prefixes = ['a', 'ab', 'abcd', '', 'é', 'z', 'zz', 'zzz', 'éb'].map(text);
    const of = strings(words, prefixes);
    const logits = tensor(
      [9, 10],
      Float32Array.from({ length: 90 }, (_, i) => i + 1),
    );
    await expectKills(gpu(), 'prefixMask.wgsl', wrong, {
      mask: () => compareTwins(gpu(), 'prefixMask', { logits, ...of }),
      covers: () => compareTwins(gpu(), 'prefixMask', { logits, ...of }, { covers: true }),
      range: () => compareTwins(gpu(), 'prefixMaskRange', strings([...words].sort(compareBytes), prefixes)),
    });
  });
});
