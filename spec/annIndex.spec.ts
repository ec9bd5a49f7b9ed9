import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { FileError, FormatError } from '../src/core/errors.ts';
import { readAnnFolder, writeAnnFolder } from '../src/core/formats/annFolder.ts';
import { annFromBytes, annToBytes } from '../src/core/formats/annIndex.ts';
import { type AnnIndex, type AnnOptions, annTensorNames } from '../src/core/ops/hierarchicalAnn.ts';
import { containment, massCoverage, recallIds, recallThreshold } from '../src/core/recall.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { hierarchicalAnn } from '../src/ref/hierarchicalAnn.ts';
import { noiseArray } from '../src/verify/case.ts';

// Plan: an index comes back as it was from bytes and from a folder; every byte of either is guarded (hundreds of mutations,
// every truncation); hostile contents under a right hash are refused by name; folders are replaced whole or not at all.
// And: recall, by hand.

const folder = mkdtempSync(join(tmpdir(), 'subvocab-index-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const kinds: readonly AnnOptions<Tensor>[] = [
  { flat: true, metric: 'l2' },
  { lists: 4 },
  { lists: 6, levels: 2, metric: 'cosine' },
  { lists: 9, levels: 3 },
];
const made = kinds.map((options) =>
  hierarchicalAnn(tensor([40, 3], noiseArray(120, 1)), { ...options, iterations: 1 }),
);

function expectSame(a: AnnIndex<Tensor>, b: AnnIndex<Tensor>): void {
  expect(a.metric).toBe(b.metric);
  for (const name of annTensorNames) {
    expect(a[name]?.shape).toEqual(b[name]?.shape);
    expect(a[name]?.data).toEqual(b[name]?.data);
  }
}

/** Change a copy of the bytes, and make the hash right again. */
function forged(bytes: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const copy = bytes.slice();
  change(new DataView(copy.buffer));
  copy.set(createHash('sha256').update(copy.subarray(0, -32)).digest(), copy.length - 32);
  return copy;
}

describe('one array of bytes', () => {
  test.each(made.map((index, i) => [JSON.stringify(kinds[i]), index] as const))(
    '%s comes back as it was',
    (_, index) => {
      expectSame(annFromBytes(annToBytes(index)), index);
    },
  );

  test('no byte can change, and none can be missing', () => {
    const bytes = annToBytes(made[2]!);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, xor) => {
        const copy = bytes.slice();
        copy[at]! ^= xor;
        expect(() => annFromBytes(copy)).toThrow(FormatError);
      }),
      { numRuns: 400 },
    );
    for (let length = 0; length < bytes.length; length += 7) {
      expect(() => annFromBytes(bytes.slice(0, length))).toThrow(FormatError);
    }
  });

  const bytes = annToBytes(made[1]!);
  const at = {
    order: 64 + 480,
    ids: 64 + 480 + 160,
    centroids: 64 + 480 + 320,
    offsets: 64 + 480 + 320 + 48,
  };
  test.each<[string, (view: DataView) => void, string]>([
    ['another magic', (v) => v.setUint8(0, 0), 'it does not begin like an index'],
    ['another version', (v) => v.setUint32(8, 2, true), 'it has version 2; this package reads version 1'],
    ['an unknown metric', (v) => v.setUint32(12, 9, true), 'metric number 9 is unknown'],
    ['no dimension', (v) => v.setUint32(16, 0, true), 'the dimension is 0'],
    ['too many levels', (v) => v.setUint32(20, 7, true), 'more than three levels'],
    ['more vectors than bytes', (v) => v.setBigUint64(24, 2n ** 30n, true), 'its sizes ask for'],
    ['absurdly many vectors', (v) => v.setBigUint64(24, 2n ** 63n, true), 'are more than an index holds'],
    ['a vector that is NaN', (v) => v.setFloat32(64, Number.NaN, true), 'a vector is not finite'],
    [
      'an order that repeats',
      (v) => v.setInt32(at.order, v.getInt32(at.order + 4, true), true),
      'twice, or there is no such row',
    ],
    [
      'an order beyond the end',
      (v) => v.setInt32(at.order, 40, true),
      'row 40 twice, or there is no such row',
    ],
    ['ids that fall', (v) => v.setInt32(at.ids + 8, 0, true), 'the ids do not rise at row 2'],
    ['a negative id', (v) => v.setInt32(at.ids, -5, true), 'the ids do not rise at row 0'],
    [
      'a centroid that is infinite',
      (v) => v.setFloat32(at.centroids, Number.POSITIVE_INFINITY, true),
      'a centroid of level 0',
    ],
    ['offsets that start late', (v) => v.setInt32(at.offsets, 1, true), 'run from 1 to 40'],
    [
      'offsets that fall',
      (v) => v.setInt32(at.offsets + 4, 41, true),
      'the offsets of level 0 fall at node 1',
    ],
  ])('refuses %s', (_, change, message) => {
    expect(() => annFromBytes(forged(bytes, change))).toThrow(message);
  });
});

describe('a folder', () => {
  test.each(made.map((index, i) => [`index${i}`, index] as const))(
    '%s comes back as it was',
    async (name, index) => {
      await writeAnnFolder(join(folder, name), index, { note: 'kept' });
      expectSame(readAnnFolder(join(folder, name)), index);
      expect(JSON.parse(readFileSync(join(folder, name, 'meta.json'), 'utf8'))).toMatchObject({
        version: 1,
        build: { note: 'kept' },
      });
    },
  );

  test('replaces an older index, and nothing else; leaves nothing behind', async () => {
    const path = join(folder, 'twice');
    await writeAnnFolder(path, made[1]!);
    await writeAnnFolder(path, made[3]!);
    expectSame(readAnnFolder(path), made[3]!);
    const other = join(folder, 'other');
    mkdirSync(other);
    writeFileSync(join(other, 'letter.txt'), 'mine');
    await expect(writeAnnFolder(other, made[1]!)).rejects.toThrow('exists and is not an index');
    expect(readFileSync(join(other, 'letter.txt'), 'utf8')).toBe('mine');
    writeFileSync(join(folder, 'file'), '');
    await expect(writeAnnFolder(join(folder, 'file'), made[1]!)).rejects.toThrow('is not a folder');
    await expect(writeAnnFolder(join(folder, 'no/where'), made[1]!)).rejects.toThrow('does not exist');
    expect(readdirSync(folder).filter((name) => name.includes('tmp'))).toEqual([]);
    // Killed between its two renames: the old index is told of.
    const aside = join(folder, '.twice-0123456789ab.tmp.old');
    renameSync(path, aside);
    expect(() => readAnnFolder(path)).toThrow(
      `there is no ${path}, but ${aside}, which was there when a build`,
    );
    renameSync(aside, path);
  });

  test('is guarded byte by byte', async () => {
    const path = join(folder, 'guarded');
    await writeAnnFolder(path, made[2]!);
    const names = readdirSync(path);
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (name, where, xor) => {
          const file = join(path, name);
          const before = readFileSync(file);
          const copy = Uint8Array.from(before);
          copy[where % copy.length]! ^= xor;
          writeFileSync(file, copy);
          try {
            const read = ((): AnnIndex<Tensor> | undefined => {
              try {
                return readAnnFolder(path);
              } catch (error) {
                expect(error).toBeInstanceOf(FormatError);
                return undefined;
              }
            })();
            // Only what meta.json tells people about the build, and its spaces, can change unnoticed.
            if (read !== undefined) {
              expect(name).toBe('meta.json');
              expectSame(read, made[2]!);
            }
          } finally {
            writeFileSync(file, before);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test.each<[string, (path: string) => void, string]>([
    ['without meta.json', (path) => rmSync(join(path, 'meta.json')), 'cannot read'],
    ['without its vectors', (path) => rmSync(join(path, 'vectors.fbin')), 'cannot read'],
    [
      'with a file cut short',
      (path) => writeFileSync(join(path, 'ids.ibin'), readFileSync(join(path, 'ids.ibin')).subarray(0, -4)),
      'ids.ibin has',
    ],
    [
      'of another kind',
      (path) => writeFileSync(join(path, 'meta.json'), '{"format":"x"}'),
      'it is not that of an index',
    ],
    ['that is not JSON', (path) => writeFileSync(join(path, 'meta.json'), '{'), 'it is not JSON'],
    [
      'of a later version',
      (path) => writeFileSync(join(path, 'meta.json'), '{"format":"subvocab-index","version":2}'),
      'it has version 2',
    ],
  ])('%s is refused', async (name, change, message) => {
    const path = join(folder, name.replaceAll(' ', '-'));
    await writeAnnFolder(path, made[1]!);
    change(path);
    expect(() => readAnnFolder(path)).toThrow(message);
    const kind = message === 'cannot read' ? FileError : FormatError;
    expect(() => readAnnFolder(path)).toThrow(kind);
    expect(existsSync(path)).toBe(true);
  });
});

describe('recall', () => {
  const exact = tensor([2, 4], [7, 3, 9, 1, 5, 6, 2, 8], 'i32');
  const found = tensor([2, 3], [9, 7, 4, 5, -1, -1], 'i32');
  test('counts exact ids that were found, whatever their order', () => {
    expect(recallIds(found, exact)).toMatchObject({ mean: 0.375, min: 0.25, max: 0.5 });
    expect([...containment(found, exact, 1).perQuery]).toEqual([1, 1]);
    expect([...containment(found, exact, 2).perQuery]).toEqual([0.5, 0.5]);
    expect(() => containment(found, exact, 5)).toThrow('m is 5; it must be from 0 to 4');
  });
  test('by score, forgives ties at rank k', () => {
    const best = tensor([2, 2], [3, 2, 1, 1]);
    const scores = tensor([2, 3], [3, 1.5, 1, 1, 1, Number.NEGATIVE_INFINITY]);
    expect([...recallThreshold(scores, best).perQuery]).toEqual([0.5, 1]);
    expect([...recallThreshold(scores, best, 0.5).perQuery]).toEqual([1, 1]);
  });
  test('weighs what was found by the softmax', () => {
    const all = tensor([1, 3], [0, Math.log(3), Math.log(4)], 'f64');
    const some = tensor([1, 2], [Math.log(4), Number.NEGATIVE_INFINITY], 'f64');
    expect(massCoverage(some, all).mean).toBeCloseTo(0.5, 12);
    expect(massCoverage(all, all, 0.1).mean).toBe(1);
  });
});
