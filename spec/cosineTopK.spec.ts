import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { cosineTopK } from '../src/ref/cosineTopK.ts';
import { noiseArray } from '../src/verify/case.ts';
import { cases } from '../src/verify/cosineTopK.ts';
import { describeDevice } from './support/device.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors from torch; lengths do not matter; ties and zeros; the kernel selects what its bounds allow; wrong kernels are
// rejected; bad calls are refused.

describeVectors('cosineTopK');

const random = (rows: number, width: number, seed: number, scale = 1): Tensor =>
  tensor(
    [rows, width],
    noiseArray(rows * width, seed).map((v, i) => scale * (1 + (Math.floor(i / width) % 7)) * v),
  );

describe('the reference', () => {
  test('does not mind lengths, and a row is nearest to itself', () => {
    const table = random(20, 5, 1);
    const { indices, values } = cosineTopK(random(20, 5, 1, 100), table, 2);
    for (let m = 0; m < 20; m++) {
      expect(indices.data[2 * m]).toBe(m);
      expect(values.data[2 * m]).toBeCloseTo(1, 6);
    }
  });

  test('ties go to the lower row, and zeros have cosine 0', () => {
    const { q, table } = cases[1]!.inputs();
    const { indices, values } = cosineTopK(q!, table!, 6);
    expect([...indices.data.slice(0, 6)]).toEqual([1, 3, 0, 2, 5, 4]);
    expect([...values.data.slice(6, 12)]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test('bad calls are refused', () => {
    const q = random(2, 3, 1);
    expect(() => cosineTopK(q, random(4, 2, 1), 1)).toThrow(
      'cosineTopK: table has shape [4, 2]; it must be [N, 3]',
    );
    expect(() => cosineTopK(q, q, 3)).toThrow('k is 3; it must be an integer from 0 to 2');
  });
});

const wrong: readonly Mutant[] = [
  { name: 'not divided by the length', from: 'x[origin + d] * factor', to: 'x[origin + d]' },
  {
    name: 'the square of the length',
    from: 'inverseSqrt(max(squares, LEAST))',
    to: '(1.0 / max(squares, LEAST))',
  },
  {
    name: 'the last feature is left out',
    from: 'd < params.width; d++) { squares',
    to: 'd + 1u < params.width; d++) { squares',
  },
];

describeDevice('the kernel', (gpu) => {
  test('selects what the bounds allow', async () => {
    const call = fc.record({
      queries: fc.constantFrom(0, 1, 9, 17),
      rows: fc.constantFrom(1, 5, 33, 100),
      width: fc.constantFrom(1, 6, 32),
    });
    await fc.assert(
      fc.asyncProperty(call, ({ queries, rows, width }) =>
        expectTwins(
          gpu(),
          'cosineTopK',
          { q: random(queries, width, 2), table: random(rows, width, 3) },
          { k: Math.min(rows, 5) },
        ),
      ),
      { numRuns: 10 },
    );
    await expectTwins(gpu(), 'cosineTopK', cases[1]!.inputs(), cases[1]!.options);
  });

  test('gives the same bits twice', async () => {
    await expectSameBits(gpu(), 'cosineTopK', { q: random(5, 8, 4), table: random(40, 8, 5) }, { k: 3 });
  });

  test('wrong kernels are rejected', async () => {
    const inputs = { q: random(20, 6, 6), table: random(50, 6, 7) };
    await expectKills(gpu(), 'cosineTopK.wgsl', wrong, {
      rows: () => compareTwins(gpu(), 'cosineTopK', inputs, { k: 4 }),
    });
  });
});
