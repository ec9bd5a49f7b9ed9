import { expect, test } from 'vitest';
import { measureRoof, probeArithmetic, readWgsl } from '../src/gpu/index.ts';
import { describeDevice } from './support/device.ts';

// Plan: what is said about an adapter is found by asking it. The probe must tell a device that rounds otherwise, fuses,
// or loses subnormals, zeros and NaN from one that does not; to see that it can, the questions are replaced by ones that
// such a device would answer so. The roof must be positive, finite and, for the same adapter, of one order of magnitude.

const file = 'runtime/probe.wgsl';

describeDevice(
  'probeArithmetic',
  (gpu) => {
    test('both software drivers round to nearest, and say so twice', async () => {
      const first = await probeArithmetic(gpu());
      expect(first).toMatchObject({ add: 'nearest', multiply: 'nearest', divide: 'nearest' });
      expect(first.roundsToNearest).toBe(true);
      expect(first.infinity).toBe('made and kept');
      expect(first.rows.every((r) => r.question && r.answer)).toBe(true);
      expect(await probeArithmetic(gpu())).toEqual(first);
    });

    const cut = (e: string): string => `(bitcast<u32>(${e}) & 0xfffff000u)`;
    const up = (e: string): string => `bitcast<u32>(abs(${e})) + 1u`;
    const wrong: [string, string, string, object][] = [
      [
        'lost bits in +',
        'bitcast<u32>(v.x + v.y)',
        cut('v.x + v.y'),
        { add: 'mixed', roundsToNearest: false },
      ],
      [
        'lost bits in *',
        'bitcast<u32>(v.x * v.y)',
        cut('v.x * v.y'),
        { multiply: 'mixed', roundsToNearest: false },
      ],
      ['a quotient one too far', 'bitcast<u32>(v.x / v.y)', up('v.x / v.y'), { divide: 'mixed' }],
      [
        'a product in fma that lost bits',
        'fma(v.x, v.y, v.z)',
        'fma(v.x * 1.0001, v.y, v.z)',
        { fma: 'mixed' },
      ],
      [
        'a subnormal input flushed',
        'bitcast<u32>(subnormal * one)',
        '0u',
        { subnormals: /flushed|results only/ },
      ],
      ['the sign of zero lost', 'bitcast<u32>(negativeZero * one)', '0u', { negativeZero: 'lost' }],
      [
        'an overflow that saturates',
        'bitcast<u32>(huge * huge)',
        'bitcast<u32>(huge)',
        { infinity: 'not reliable' },
      ],
      ['NaN lost in a sum', 'bitcast<u32>(nan + one)', 'bitcast<u32>(one)', { nan: 'not reliable' }],
    ];
    test.each(wrong)('it notices %s', async (_, right, replacement, seen) => {
      const text = readWgsl(file);
      expect(text).toContain(right);
      using _wrong = gpu().override(file, text.replace(right, replacement));
      const found = await probeArithmetic(gpu());
      for (const [name, value] of Object.entries(seen)) {
        if (value instanceof RegExp) expect(found[name as 'add']).toMatch(value);
        else expect(found[name as 'add']).toBe(value);
      }
    });

    test('directed rounding is told from rounding to nearest', async () => {
      // Round toward zero what is exact in integers: the sum of two multiples of 2^-26 below 4 fits into 28 bits.
      const text = readWgsl(file);
      const chopped = 'chopped(v.x, v.y)';
      const body = `
fn chopped(x: f32, y: f32) -> u32 {
  let sum = i32(x * 67108864.0) + i32(y * 67108864.0);
  var size = u32(abs(sum));
  let keep = 32u - countLeadingZeros(size);
  if (keep > 24u) { size = size & ~((1u << (keep - 24u)) - 1u); }
  return bitcast<u32>(f32(size) / 67108864.0) | select(0u, 0x80000000u, sum < 0);
}`;
      using _wrong = gpu().override(file, text.replace('bitcast<u32>(v.x + v.y)', chopped) + body);
      expect((await probeArithmetic(gpu())).add).toBe('toward zero');
    });
  },
  ['cpu-vulkan'],
);

describeDevice('measureRoof', (gpu) => {
  test('figures are positive and finite, the copy of all copies is the fastest, and nothing is left behind', async () => {
    const roof = await measureRoof(gpu());
    for (const v of [roof.copyGBs, roof.copyKernelGBs, roof.fmaGFlops, roof.dispatchUs, roof.submitUs]) {
      expect(Number.isFinite(v) && v > 0).toBe(true);
    }
    expect(roof.copyGBs).toBeGreaterThanOrEqual(roof.copyKernelGBs);
    expect(roof.note).toMatch(/copy: .* MiB.*multiply-add: fma/);
    expect(gpu().liveTensors).toBe(0);
  });
});
