import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareExact } from '../src/core/bounds.ts';
import { type Key, key, threefry2x32 } from '../src/core/key.ts';
import { Tensor } from '../src/core/tensor.ts';
import { type Gpu, openGpu } from '../src/gpu/index.ts';
import { randomBits } from '../src/ref/randomBits.ts';
import { cases } from '../src/verify/randomBits.ts';
import { describeDevice } from './support/device.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { size } from './support/tensors.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from JAX; laws of the reference (prefix, shape, uniform bits); the kernel equals it bit for bit, also
// in windows and for counters beyond 32 bits; wrong kernels are rejected; bad calls are refused.

describeVectors('randomBits');

const word = fc.oneof(fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1), fc.nat(2 ** 32 - 1));
const anyKey = fc.tuple(word, word) as fc.Arbitrary<Key>;

describe('the reference', () => {
  test('a longer tensor starts with the shorter one, whatever the shape', () => {
    fc.assert(
      fc.property(anyKey, size(200), fc.nat(50), (k, n, more) => {
        const long = randomBits(k, [n + more]);
        expect(randomBits(k, [n]).data).toEqual(long.data.slice(0, n));
        expect(randomBits(k, [1, n, 1]).data).toEqual(long.data.slice(0, n));
      }),
    );
  });

  test('every bit is set half of the time, and neighbours are independent', () => {
    const n = 1 << 17;
    const { data } = randomBits(key(3), [n]);
    const set = new Float64Array(32);
    const changed = new Float64Array(32);
    for (let i = 0; i < n; i++) {
      for (let b = 0; b < 32; b++) {
        set[b]! += (data[i]! >>> b) & 1;
        changed[b]! += ((data[i]! ^ data[(i + 1) % n]!) >>> b) & 1;
      }
    }
    // 64 counts of n fair coins each: 6 standard deviations have a probability below 1.3e-7 in all.
    for (const count of [...set, ...changed]) {
      expect(Math.abs(count - n / 2)).toBeLessThan(6 * Math.sqrt(n / 4));
    }
  });
});

describe('bad calls are refused before any work', () => {
  test.each([
    [() => randomBits([1, 2, 3] as unknown as Key, [2]), 'randomBits: key is [1, 2, 3]; make one with'],
    [() => randomBits([1, 2 ** 32], [2]), 'randomBits: key is [1, 4294967296]'],
    [() => randomBits(key(1), [-1]), 'randomBits: shape [-1] has the size -1'],
  ])('%s', (run, message) => {
    expect(run).toThrow(message);
  });
});

const wrongCipher: readonly Mutant[] = [
  { name: 'a rotation is off by one', from: 'vec4u(13u, 15u, 26u, 6u)', to: 'vec4u(13u, 15u, 26u, 7u)' },
  {
    name: 'the two sets of rotations are swapped',
    from: 'const even = vec4u(17u, 29u, 16u, 24u)',
    to: 'const even = vec4u(13u, 15u, 26u, 6u)',
  },
  { name: 'the number of a group is not added', from: 'vec2u(key.x, key.y + 3u)', to: 'vec2u(key.x, key.y)' },
  {
    name: 'the last key injection is missing',
    from: 'threefryRounds(x, odd) + vec2u(parity, key.x + 5u)',
    to: 'threefryRounds(x, odd)',
  },
  { name: 'the parity lacks its constant', from: ' ^ 0x1bd11bdau', to: '' },
  { name: 'the second key word is ignored', from: 'counter + key', to: 'counter + vec2u(key.x, 0u)' },
  { name: 'the counter does not carry', from: 'base.x + select(0u, 1u, low < i)', to: 'base.x' },
  { name: 'the high counter word is ignored', from: 'return vec2u(base.x + ', to: 'return vec2u(' },
];
const wrongKernel: readonly Mutant[] = [
  { name: 'one word instead of both', from: 'words.x ^ words.y', to: 'words.x' },
  { name: 'a step is left out', from: 'step < PER', to: 'step < PER - 1u' },
  { name: 'the last element is left out', from: 'i < params.count', to: 'i + 1u < params.count' },
  {
    name: 'the windows all start at zero',
    from: 'vec2u(params.baseHigh, params.baseLow)',
    to: 'vec2u(0u, 0u)',
  },
  {
    name: 'the key words are swapped',
    from: 'vec2u(params.key0, params.key1)',
    to: 'vec2u(params.key1, params.key0)',
  },
];

/** The kernel on a window that starts at a position no buffer reaches. */
async function farWindow(gpu: Gpu): Promise<ReturnType<typeof compareExact>> {
  const [k, start, n] = [[7, 9] as const, 2 ** 33 - 100, 300];
  using out = gpu.zeros('u32', [n]);
  gpu.dispatch({
    file: 'randomBits.wgsl',
    entry: 'randomBits',
    params: [n, Math.floor(start / 2 ** 32), start >>> 0, ...k],
    writes: [out],
    groups: [2],
  });
  const words = new Uint32Array(2);
  const want = Uint32Array.from({ length: n }, (_, i) => {
    threefry2x32(k, Math.floor((start + i) / 2 ** 32), (start + i) >>> 0, words);
    return words[0]! ^ words[1]!;
  });
  return compareExact(new Tensor('u32', [n], want), await out.read());
}

describeDevice('the kernel', (gpu, family) => {
  test('equals the reference bit for bit', async () => {
    await fc.assert(
      fc.asyncProperty(anyKey, size(5000), fc.constantFrom(1, 3), (k, n, rows) =>
        expectTwins(gpu(), 'randomBits', {}, { key: k, shape: [rows, n] }),
      ),
      { numRuns: 60 },
    );
  });

  test('counts beyond 2^32', async () => {
    const v = await farWindow(gpu());
    expect(v.verdict, v.message).toBe('PASS');
  });

  test('gives the same bits twice', async () => {
    for (const c of cases) await expectSameBits(gpu(), c.op, {}, c.options);
  });

  test('fills a tensor that no binding covers, window after window', async () => {
    await using small = await openGpu({ family, maxBindingBytes: 4096 });
    await expectTwins(small, 'randomBits', {}, { key: [5, 6], shape: [3, 1025] });
    expect(small.liveTensors).toBe(0);
  });

  test('wrong kernels are rejected', async () => {
    // Fresh buffers: a recycled one may hold the right answer from the call before.
    await using small = await openGpu({ family, maxBindingBytes: 4096, poolBytes: 0 });
    const checks = {
      'an odd length in windows': () =>
        compareTwins(small, 'randomBits', {}, { key: [0x13198a2e, 0x03707344], shape: [4099] }),
      'beyond 2^32': () => farWindow(small),
    };
    await expectKills(small, 'randomBits.wgsl', wrongKernel, checks);
    await expectKills(small, 'lib/threefry.wgsl', wrongCipher, checks);
  });
});
