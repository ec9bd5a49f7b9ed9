import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tensor } from '../src/core/tensor.ts';
import { packStrings, pieceTable } from '../src/core/tokenizers/pieceTable.ts';
import { surfaceForms } from '../src/ref/surfaceForms.ts';
import { cases, formInputs } from '../src/verify/surfaceForms.ts';
import { describeDevice } from './support/device.ts';
import { expectKills, type Mutant } from './support/mutants.ts';
import { compareTwins, expectSameBits, expectTwins } from './support/twins.ts';
import { describeVectors } from './support/vectors.ts';

// Plan: vectors by trying every segmentation; the pieces joined are the word; the table is sorted and without doubles; the
// kernel equals the reference exactly on random vocabularies; wrong kernels are rejected; bad calls are refused.

describeVectors('surfaceForms');

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('the reference', () => {
  test('the pieces joined are the word', () => {
    const inputs = formInputs(80, 60, 12, 3);
    const { words, offsets, pieces, pieceOffsets, ids, costs } = inputs;
    const { forms, counts } = surfaceForms(words!, offsets!, pieces!, pieceOffsets!, ids!, costs!, {
      length: 20,
    });
    const text = (packed: typeof words, from: number, to: number): number[] =>
      Array.from(
        { length: to - from },
        (_, i) => (packed!.data[(from + i) >> 2]! >>> (8 * ((from + i) & 3))) & 255,
      );
    const byId = new Map(Array.from(ids!.data, (id, p) => [id, p]));
    let spelled = 0;
    for (let n = 0; n < 80; n++) {
      const row = [...forms.data.slice(n * 20, n * 20 + counts.data[n]!)];
      if (row.length === 0) continue;
      spelled++;
      const joined = row.flatMap((id) => {
        const p = byId.get(id)!;
        return text(pieces, pieceOffsets!.data[p]!, pieceOffsets!.data[p + 1]!);
      });
      expect(joined).toEqual(text(words, offsets!.data[n]!, offsets!.data[n + 1]!));
    }
    expect(spelled).toBeGreaterThan(30);
  });

  test('a table keeps the lower of two ids for the same bytes, and no empty piece', () => {
    const table = pieceTable([
      { id: 5, bytes: bytesOf('b') },
      { id: 2, bytes: bytesOf('ab') },
      { id: 9, bytes: bytesOf('ab') },
      { id: 1, bytes: new Uint8Array(0) },
      { id: 7, bytes: bytesOf('a') },
    ]);
    expect([...table.ids.data]).toEqual([7, 2, 5]);
    expect([...table.pieceOffsets.data]).toEqual([0, 1, 3, 4]);
  });

  test('bad calls are refused', () => {
    const { bytes, offsets } = packStrings([bytesOf('ab')]);
    const unsorted = packStrings([bytesOf('b'), bytesOf('a')]);
    const ids = tensor([2], [0, 1], 'i32');
    const costs = tensor([2], [1, 1], 'u32');
    const call =
      (o: object, more = costs) =>
      () =>
        surfaceForms(bytes, offsets, unsorted.bytes, unsorted.offsets, ids, more, o);
    expect(call({})).toThrow('piece 1 does not come after the one before it; sort the pieces bytewise');
    expect(call({ length: 0 })).toThrow('length is 0; it must be an integer from 1 to 255');
    expect(call({}, tensor([3], [1, 1, 1], 'u32'))).toThrow('costs has shape [3]; it must be [2]');
    expect(call({}, tensor([2], [2 ** 24, 1], 'u32'))).toThrow(
      'piece 0 costs 16777216; costs are below 2^24',
    );
    const long = packStrings([new Uint8Array(256).fill(97)]);
    const a = pieceTable([{ id: 0, bytes: bytesOf('a') }]);
    expect(() => surfaceForms(long.bytes, long.offsets, a.pieces, a.pieceOffsets, a.ids, a.costs)).toThrow(
      'word 0 has 256 bytes',
    );
  });
});

const wrong: readonly Mutant[] = [
  {
    name: 'ties go to the shortest last piece',
    from: 'if (total < paths[place].x)',
    to: 'if (total <= paths[place].x)',
  },
  { name: 'costs are all 1', from: 'cost + costs[low]', to: 'cost + 1u' },
  {
    name: 'the longest match only',
    from: 'if (cost == NEVER) { continue; }',
    to: 'if (cost == NEVER || s > 2u) { continue; }',
  },
  { name: 'the piece that ends stays in the range', from: '        low++;\n', to: '' },
  {
    name: 'the last form is cut first',
    from: 'if (j <= params.length) { forms[n * params.length + j - 1u] = ids[piece]; }',
    to: 'if (count - j < params.length) { forms[n * params.length + count - j] = ids[piece]; }',
  },
  {
    name: 'what cannot be spelled has pieces',
    from: 'if (found[origin + size].x != NEVER) {',
    to: 'if (size > 0u) {',
  },
  {
    name: 'no padding',
    from: 'forms[n * params.length + j] = params.padding;',
    to: 'forms[n * params.length + j] = 0;',
  },
];

describeDevice('the kernel', (gpu) => {
  test('equals the reference', async () => {
    const call = fc.record({
      words: fc.constantFrom(0, 1, 7, 8, 9, 63, 65),
      pieces: fc.constantFrom(0, 1, 20, 300),
      longest: fc.constantFrom(3, 12, 40),
      seed: fc.integer({ min: 1, max: 999 }),
      length: fc.constantFrom(1, 4, 7),
    });
    await fc.assert(
      fc.asyncProperty(call, ({ words, pieces, longest, seed, length }) =>
        expectTwins(gpu(), 'surfaceForms', formInputs(words, pieces, longest, seed), { length }),
      ),
      { numRuns: 25 },
    );
    await expectTwins(gpu(), 'surfaceForms', cases[1]!.inputs(), cases[1]!.options);
  });

  test('gives the same bits twice', async () => {
    await expectSameBits(gpu(), 'surfaceForms', formInputs(100, 50, 20, 4));
  });

  test('wrong kernels are rejected', async () => {
    await expectKills(gpu(), 'surfaceForms.wgsl', wrong, {
      words: () => compareTwins(gpu(), 'surfaceForms', formInputs(150, 40, 14, 5), { length: 4 }),
    });
  });
});
