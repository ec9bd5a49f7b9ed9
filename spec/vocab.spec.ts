import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { FileError, FormatError } from '../src/core/errors.ts';
import { safetensorsChunks } from '../src/core/formats/safetensors.ts';
import { toBytes } from '../src/core/formats/source.ts';
import { tensor } from '../src/core/tensor.ts';
import { hierarchicalAnn } from '../src/ref/hierarchicalAnn.ts';
import { noiseArray } from '../src/verify/case.ts';
import { flatIndex, memoryIndex } from '../src/vocab/memoryIndex.ts';
import { openSource, type SourceSpec, type WordNoise } from '../src/vocab/rowSource.ts';
import { createSubVocabCache } from '../src/vocab/subVocabCache.ts';
import type { VocabIndex } from '../src/vocab/vocabIndex.ts';
import { buildWords, type WordBuildOptions } from '../src/vocab/words/buildWords.ts';
import { createDots, plainDots } from '../src/vocab/words/dots.ts';
import { exactWords } from '../src/vocab/words/exactWords.ts';
import { emptyModel, measureList } from '../src/vocab/words/listModel.ts';
import { openWords, type WordIndex } from '../src/vocab/words/wordIndex.ts';
import { inProcess } from './support/cli.ts';

// Plan: the WebAssembly sums are those of a plain loop; made words do not depend on how they are cut; an index does not depend
// on pieces, threads or a build that was stopped; a search is the plain search over what is stored, in the total order, never
// short; a changed byte is refused or harmless; two builders and other settings are refused; a certified answer of the cache
// is the exact set, always; the commands.

const folder = fs.mkdtempSync(join(tmpdir(), 'subvocab-words-'));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));
let made = 0;
const runCli = (args: readonly string[]) => inProcess(args, folder);
const fresh = (): string => join(folder, `index-${made++}`);

const spec: SourceSpec = { kind: 'made', n: 3000, d: 20, seed: 7 };
const small: WordBuildOptions = { lists: 32, roots: 8, sample: 1000, iterations: 2, chunk: 1000, threads: 1 };
const bytesOf = (path: string): Buffer[] =>
  ['meta.json', 'heads.bin', 'lists.bin'].map((name) => fs.readFileSync(join(path, name)));

const path = fresh();
await buildWords(path, spec, small);
const queries = new Float32Array(5 * 20);
openSource({ ...spec, draw: 1 }).fill(0, 5, queries);

/** All stored words, decoded. */
function stored(index: WordIndex): Map<number, Float64Array> {
  const words = new Map<number, Float64Array>();
  for (const { count, stride, codes, scales, ids } of index.lists()) {
    for (let i = 0; i < count; i++)
      words.set(
        ids[i]!,
        Float64Array.from({ length: index.dim }, (_, j) => codes[i * stride + j]! * scales[i]!),
      );
  }
  return words;
}

describe('sums of bytes', () => {
  test('are those of a plain loop, at the extremes as well', () => {
    const byte = fc.oneof(fc.constantFrom(-128, -127, 0, 127), fc.integer({ min: -128, max: 127 }));
    const short = fc.oneof(fc.constantFrom(-32768, 0, 32767), fc.integer({ min: -32768, max: 32767 }));
    fc.assert(
      fc.property(
        fc.constantFrom(1, 15, 16, 17, 64, 100, 496),
        fc.integer({ min: 0, max: 9 }),
        fc.infiniteStream(byte),
        fc.infiniteStream(short),
        (d, count, bytes, shorts) => {
          const dots = createDots(d, 12);
          for (let i = 0; i < dots.rows.length; i++) dots.rows[i] = bytes.next().value;
          for (let j = 0; j < dots.stride; j++) dots.query[j] = shorts.next().value;
          dots.sums.fill(7);
          dots.run(2, count);
          expect(dots.sums.slice(0, count)).toEqual(plainDots(dots.rows, dots.stride, dots.query, 2, count));
          expect([...dots.sums.subarray(count)]).toEqual(Array(12 - count).fill(7));
          const plain = [...dots.sums.subarray(0, count)];
          expect(dots.largest(count)).toBe(Math.max(plain.indexOf(Math.max(...plain)), 0));
        },
      ),
      { numRuns: 60 },
    );
    const most = createDots(496, 1);
    most.rows.fill(-128);
    most.query.fill(-32768);
    most.run(0, 1);
    expect(most.sums[0]).toBe(496 * 128 * 32768);
    expect(() => createDots(497, 1)).toThrow('d is 497');
    expect(() => most.run(1, 1)).toThrow(RangeError);
    expect(() => most.largest(2)).toThrow(RangeError);
    const equal = createDots(16, 7);
    equal.sums.set([-(2 ** 31), -5, -5, 3, 3, -9, 2 ** 31 - 1]);
    expect([0, 1, 2, 3, 6, 7].map((count) => equal.largest(count))).toEqual([0, 0, 1, 1, 3, 6]);
  });
});

describe('a build', () => {
  test('words do not depend on how they are asked for', () => {
    using source = openSource(spec);
    const whole = new Float32Array(3000 * 20);
    source.fill(0, 3000, whole);
    const part = new Float32Array(50 * 20);
    source.fill(1234, 50, part);
    expect(part).toEqual(whole.subarray(1234 * 20, 1284 * 20));
    // Norms vary, and no two words are alike.
    expect(new Set(whole.subarray(0, 20 * 500)).size).toBeGreaterThan(9000);
  });

  test('words are the same bits everywhere; the noise of a cluster falls along its axes', () => {
    const hash = (noise: WordNoise): string => {
      using source = openSource({ kind: 'made', n: 4000, d: 32, seed: 5, noise });
      const x = new Float32Array(1000 * 32);
      source.fill(17, 1000, x);
      return createHash('sha256').update(new Uint8Array(x.buffer)).digest('hex').slice(0, 16);
    };
    expect([hash('spectrum'), hash('isotropic')]).toEqual(['86c4a65ee0ee2a7d', 'b9b866c354d33fe9']);
    // One cluster: its covariance has the eigenvalues of 1 / (r + 1), or equal ones.
    const strongest = (noise: WordNoise): number => {
      using source = openSource({ kind: 'made', n: 1, d: 16, seed: 5, noise });
      const x = new Float32Array(2000 * 16);
      source.fill(0, 2000, x);
      const axis = new Float64Array(16).fill(1);
      const mean = new Float64Array(16);
      for (let i = 0; i < x.length; i++) mean[i % 16]! += x[i]! / 2000;
      let [value, trace] = [0, 0];
      for (let i = 0; i < x.length; i++) trace += (x[i]! - mean[i % 16]!) ** 2 / 2000;
      for (let round = 0; round < 30; round++) {
        const next = new Float64Array(16);
        for (let i = 0; i < 2000; i++) {
          let dot = 0;
          for (let j = 0; j < 16; j++) dot += (x[i * 16 + j]! - mean[j]!) * axis[j]!;
          for (let j = 0; j < 16; j++) next[j]! += (dot * (x[i * 16 + j]! - mean[j]!)) / 2000;
        }
        value = Math.hypot(...next);
        axis.set(next.map((v) => v / value));
      }
      return value / trace;
    };
    // 1 / (1 + 1/2 + ... + 1/16) = 0.296, and the lengths of the words add a little along the centre.
    expect(strongest('spectrum')).toBeGreaterThan(0.25);
    expect(strongest('isotropic')).toBeLessThan(0.15);
  });

  test('does not depend on pieces, threads, or the form of the source', async () => {
    const other = fresh();
    await buildWords(other, spec, { ...small, chunk: 617, threads: 2 });
    expect(bytesOf(other)).toEqual(bytesOf(path));
    using source = openSource(spec);
    const x = new Float32Array(3000 * 20);
    source.fill(0, 3000, x);
    const file = join(folder, 'words.fbin');
    fs.writeFileSync(file, Buffer.concat([Uint32Array.of(3000, 20), x].map((a) => Buffer.from(a.buffer))));
    const read = fresh();
    await buildWords(read, { kind: 'fbin', path: file }, small);
    expect(bytesOf(read).slice(1)).toEqual(bytesOf(path).slice(1));
  });

  test('goes on where it was stopped, and two at once are refused', async () => {
    const target = fresh();
    const stop = new Error('stopped');
    const stopped = buildWords(target, spec, {
      ...small,
      onProgress: (stage, done) => {
        if (stage === 'words' && done === 2) throw stop;
      },
    });
    await expect(stopped).rejects.toBe(stop);
    expect(fs.existsSync(target)).toBe(false);
    expect(() => openWords(target)).toThrow(/was stopped: repeat it/);
    await expect(buildWords(target, spec, { ...small, beam: 3 })).rejects.toThrow(/other settings/);
    // A run that was cut is made again.
    fs.truncateSync(join(`${target}.building`, 'run-0'), 100);
    fs.writeFileSync(join(`${target}.building`, 'lock'), String(process.pid));
    await expect(buildWords(target, spec, small)).rejects.toThrow(`process ${process.pid} is building`);
    // A process that was killed leaves its lock.
    fs.writeFileSync(join(`${target}.building`, 'lock'), '2147483646');
    // So is a tree that was damaged.
    const tree = join(`${target}.building`, 'tree');
    const bytes = fs.readFileSync(tree);
    bytes[bytes.length - 5]! ^= 64;
    fs.writeFileSync(tree, bytes);
    expect((await buildWords(target, spec, small)).resumed).toBe(1);
    expect(bytesOf(target)).toEqual(bytesOf(path));
    expect(fs.existsSync(`${target}.building`)).toBe(false);
  });

  test.each<[string, () => Promise<unknown>, string]>([
    ['no words', () => buildWords(fresh(), { ...spec, n: 0 }), 'there are no vectors'],
    ['too wide', () => buildWords(fresh(), { ...spec, d: 497 }), '497 elements'],
    ['more lists than words', () => buildWords(fresh(), spec, { lists: 3001 }), 'lists is 3001'],
    ['half a column', () => buildWords(fresh(), { ...spec, d: 4.5 }), 'd of made-up words is 4.5'],
    ['no number of words', () => buildWords(fresh(), { ...spec, n: Number.NaN }), 'words is NaN'],
    ['no number to find', async () => exactWords(openWords(path), queries, Number.NaN), 'k is NaN'],
    ['half a query', async () => exactWords(openWords(path), queries.subarray(1), 3), 'no queries of 20'],
    ['half a beam', () => buildWords(fresh(), spec, { beam: 1.5 }), 'beam is 1.5'],
    ['no index there', async () => openWords(join(folder, 'none')), 'cannot read'],
    ['something else there', () => buildWords(folder, spec, small), 'is not an index'],
  ])('refuses %s', async (_, call, message) => {
    await expect(call()).rejects.toThrow(message);
  });

  test('refuses a source that holds NaN, and takes zeros and duplicates', async () => {
    const write = (x: Float32Array): string => {
      const file = join(folder, `x-${made++}.fbin`);
      fs.writeFileSync(
        file,
        Buffer.concat([Uint32Array.of(x.length / 2, 2), x].map((a) => Buffer.from(a.buffer))),
      );
      return file;
    };
    const bad = buildWords(
      fresh(),
      { kind: 'fbin', path: write(Float32Array.of(1, 2, 3, Number.NaN)) },
      { lists: 1 },
    );
    await expect(bad).rejects.toThrow('row 1 holds NaN');
    const target = fresh();
    await buildWords(
      target,
      { kind: 'fbin', path: write(Float32Array.of(0, 0, 1, 1, 0, 0, 1, 1)) },
      { lists: 2 },
    );
    await using index = openWords(target);
    const found = await index.search(Float32Array.of(1, 0), 6);
    expect([...found.ids]).toEqual([1, 3, 0, 2, -1, -1]);
    expect([...found.counts]).toEqual([4]);
    expect(found.scores[5]).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe('a search', () => {
  test('of all lists is the plain search over what is stored, in the total order', async () => {
    await using index = openWords(path);
    const words = stored(index);
    expect(words.size).toBe(3000);
    const longest = Math.max(...[...words.values()].map((e) => Math.hypot(...e)));
    for (const k of [0, 100, 3005]) {
      const found = await index.search(queries, k, { nprobe: 32 });
      for (let q = 0; q < 5; q++) {
        const own = queries.subarray(q * 20, (q + 1) * 20);
        const best = [...words]
          .map(([id, e]) => ({ id, score: e.reduce((sum, v, j) => sum + v * own[j]!, 0) }))
          .sort((a, b) => b.score - a.score || a.id - b.id);
        const count = Math.min(k, 3000);
        expect(found.counts[q]).toBe(count);
        const norm = Math.hypot(...own);
        for (let r = 0; r < count; r++) {
          const at = q * k + r;
          expect(Math.abs(found.scores[at]! - best[r]!.score)).toBeLessThanOrEqual(
            index.relativeError * norm * longest,
          );
          if (r > 0) {
            const [before, here] = [found.scores[at - 1]!, found.scores[at]!];
            expect(before > here || (before === here && found.ids[at - 1]! < found.ids[at]!)).toBe(true);
          }
        }
        expect(new Set(found.ids.subarray(q * k, q * k + count)).size).toBe(count);
        expect([...found.ids.subarray(q * k + count, (q + 1) * k)]).toEqual(Array(k - count).fill(-1));
      }
      const exact = exactWords(index, queries, k);
      expect(exact.ids).toEqual(found.ids);
      expect(exact.scores).toEqual(found.scores);
      const mass = [...words.values()].reduce(
        (sum, e) => sum + Math.exp(e.reduce((s, v, j) => s + v * queries[j]!, 0)),
        0,
      );
      expect(Math.abs(exact.logMass[0]! - Math.log(mass))).toBeLessThan(0.01);
    }
  });

  test('of some lists never returns fewer than k, and a batch is its queries', async () => {
    await using index = openWords(path);
    const found = await index.search(queries, 900, { nprobe: 1 });
    expect([...found.counts]).toEqual(Array(5).fill(900));
    expect(found.ids.every((id) => id >= 0)).toBe(true);
    expect(found.stats.listsProbed).toBeGreaterThan(5 * 5);
    for (let q = 0; q < 5; q++) {
      const own = queries.subarray(q * 20, (q + 1) * 20);
      const alone = await index.search(own, 900, { nprobe: 1 });
      expect(alone.ids).toEqual(found.ids.subarray(q * 900, (q + 1) * 900));
      const rows = index.embeddings(alone, own, { nprobe: 1 });
      const score = rows.subarray(0, 20).reduce((sum, v, j) => sum + v * own[j]!, 0);
      expect(score).toBeCloseTo(alone.scores[0]!, 3);
    }
    const recall = async (nprobe: number): Promise<number> => {
      const [some, all] = [
        await index.search(queries, 50, { nprobe }),
        await index.search(queries, 50, { nprobe: 32 }),
      ];
      let hits = 0;
      for (let q = 0; q < 5; q++) {
        const have = new Set(some.ids.subarray(q * 50, (q + 1) * 50));
        for (const id of all.ids.subarray(q * 50, (q + 1) * 50)) if (have.has(id)) hits++;
      }
      return hits / 250;
    };
    expect(await recall(8)).toBeGreaterThan(await recall(1));
    expect(await recall(8)).toBeGreaterThan(0.7);
  });

  test('with threads finds the same, and hears what a thread finds wrong', async () => {
    await using one = openWords(path);
    await using three = openWords(path, { threads: 3 });
    for (const how of [{ recall: 0.5 }, { nprobe: 2 }, { recall: 1 }]) {
      const [a, b] = [await one.search(queries, 200, how), await three.search(queries, 200, how)];
      expect(b.ids).toEqual(a.ids);
      expect(b.scores).toEqual(a.scores);
      expect(b.stats).toMatchObject({ scanned: a.stats.scanned, bytesRead: a.stats.bytesRead });
    }
    expect((await three.search(queries, 0)).ids.length).toBe(0);
    const target = fresh();
    fs.cpSync(path, target, { recursive: true });
    const file = join(target, 'lists.bin');
    const bytes = fs.readFileSync(file);
    bytes[bytes.length - 30]! ^= 4;
    fs.writeFileSync(file, bytes);
    await using damaged = openWords(target, { threads: 3 });
    await expect(damaged.search(queries, 200, { recall: 1 })).rejects.toThrow(
      /lists.bin: list \d+ has another CRC-32/,
    );
    await expect(damaged.search(queries, 200, { recall: 1 })).rejects.toThrow(FormatError);
    const closed = openWords(path, { threads: 2 });
    await closed.search(queries, 5);
    await closed[Symbol.asyncDispose]();
    await expect(closed.search(queries, 5)).rejects.toThrow('is closed');
    expect(() => openWords(path, { threads: 0 })).toThrow('threads is 0');
  });

  test('by a share of the best looks into as many lists as that needs', async () => {
    await using index = openWords(path);
    const all = await index.search(queries, 50, { recall: 1 });
    expect(all.stats.scanned).toBe(5 * 3000);
    let [before, last] = [0, 0];
    for (const aim of [0.3, 0.6, 0.9, 0.99]) {
      const { ids, stats } = await index.search(queries, 50, { recall: aim });
      let hits = 0;
      for (let q = 0; q < 5; q++) {
        const have = new Set(ids.subarray(q * 50, (q + 1) * 50));
        for (const id of all.ids.subarray(q * 50, (q + 1) * 50)) if (have.has(id)) hits++;
      }
      expect(stats.scanned).toBeGreaterThan(before);
      expect(hits / 250).toBeGreaterThanOrEqual(last);
      [before, last] = [stats.scanned, hits / 250];
      expect(last).toBeGreaterThan(aim - 0.1);
    }
    expect(before).toBeLessThan(0.9 * 5 * 3000);
  });

  test('the models of the lists are those of their words', async () => {
    const model = emptyModel(3, 2);
    // Codes times scales: (2, 0, 0), (4, 0, 0), (3, 1, 0), (3, -1, 0).
    const codes = new Int8Array(4 * 16);
    codes.set([2, 0, 0], 0);
    codes.set([4, 0, 0], 16);
    codes.set([6, 2, 0], 32);
    codes.set([6, -2, 0], 48);
    measureList(model, 1, codes, Float32Array.of(1, 1, 0.5, 0.5), 4);
    const [scale, inverse, along, across] = model.numbers.subarray(4);
    expect(model.codes[16]! * scale!).toBeCloseTo(3, 5);
    expect(inverse).toBeCloseTo(1 / 3, 5);
    expect(along).toBeCloseTo(0.5, 5);
    expect(across).toBeCloseTo(0.25, 5);
    expect([...model.numbers.subarray(0, 4)]).toEqual([0, 0, 0, 0]);
  });

  test('the dimensionality is that of the nearest words', async () => {
    await using index = openWords(path);
    const { dimensionality } = exactWords(index, queries, 1);
    const words = stored(index);
    const own = queries.subarray(0, 20);
    const distances = [...words.values()]
      .map((e) =>
        Math.sqrt(
          2 - (2 * e.reduce((s, v, j) => s + v * own[j]!, 0)) / Math.hypot(...own) / Math.hypot(...e),
        ),
      )
      .sort((a, b) => a - b)
      .slice(0, 100);
    const mean = distances.reduce((sum, r) => sum + Math.log(r / distances[99]!), 0) / 100;
    expect(dimensionality[0]! * -mean).toBeCloseTo(1, 3);
  });

  test.each<[string, (index: WordIndex) => Promise<unknown>, string]>([
    ['recall 0', (index) => index.search(queries, 1, { recall: 0 }), 'recall is 0'],
    ['recall 2', (index) => index.search(queries, 1, { recall: 2 }), 'recall is 2'],
    ['NaN', (index) => index.search(new Float32Array(20).fill(Number.NaN), 1), 'holds NaN'],
    ['half a query', (index) => index.search(new Float32Array(30), 1), '30 numbers'],
    ['half a word', (index) => index.search(queries, 0.5), 'k is 0.5'],
    ['no list', (index) => index.search(queries, 1, { nprobe: 0 }), 'nprobe is 0'],
  ])('refuses %s', async (_, call, message) => {
    await using index = openWords(path);
    await expect(call(index)).rejects.toThrow(message);
  });

  test('no byte can change', async () => {
    const target = fresh();
    fs.cpSync(path, target, { recursive: true });
    const files = ['meta.json', 'heads.bin', 'lists.bin'].map((name) => join(target, name));
    const originals = files.map((file) => fs.readFileSync(file));
    const want = exactWords(openWords(target), queries, 100);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(2),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        async (f, where, xor, cut) => {
          const bytes = Buffer.from(originals[f]!);
          const at = Math.min(Math.floor(where * bytes.length), bytes.length - 1);
          bytes[at]! ^= xor;
          fs.writeFileSync(files[f]!, cut ? bytes.subarray(0, at) : bytes);
          try {
            await using index = openWords(target);
            // Still readable: then all of it must be as it was.
            const got = exactWords(index, queries, 100);
            expect(got.ids).toEqual(want.ids);
            expect(f).toBe(0);
          } catch (error) {
            expect(
              [FormatError, FileError].some((kind) => error instanceof kind),
              String(error),
            ).toBe(true);
          } finally {
            fs.writeFileSync(files[f]!, originals[f]!);
          }
        },
      ),
      { numRuns: 250 },
    );
  });

  test('another version is refused by its number', () => {
    const target = fresh();
    fs.cpSync(path, target, { recursive: true });
    const file = join(target, 'meta.json');
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"version": 2', '"version": 3'));
    expect(() => openWords(target)).toThrow('it has version 3; this package reads version 2');
  });
});

describe('a vocabulary in memory', () => {
  const embeddings = tensor([500, 6], noiseArray(3000, 3));
  test('flat and in lists give the same where all lists are searched', async () => {
    const [flat, lists] = [flatIndex(embeddings), memoryIndex(hierarchicalAnn(embeddings, { lists: 20 }))];
    expect([flat.kind, flat.exact, lists.kind, lists.exact]).toEqual(['flat', true, 'lists', false]);
    const q = noiseArray(12, 5);
    const [a, b] = [await flat.search(q, 40), await lists.search(q, 40, { nprobe: 20 })];
    expect(b.ids).toEqual(a.ids);
    expect(b.scores).toEqual(a.scores);
    expect(a.stats.scanned).toBe(1000);
    expect(() => memoryIndex(hierarchicalAnn(embeddings, { metric: 'l2' }))).toThrow('the index is for l2');
  });
});

describe('the cache', () => {
  const d = 8;
  const embeddings = tensor([400, d], noiseArray(400 * d, 11));
  const longest = Math.max(
    ...Array.from({ length: 400 }, (_, i) => Math.hypot(...embeddings.data.subarray(i * d, (i + 1) * d))),
  );
  const sets = async (index: VocabIndex, query: Float32Array, k: number): Promise<Int32Array> =>
    (await index.search(query, k)).ids.slice().sort();

  test('what is certified is the exact set, always', async () => {
    const index = flatIndex(embeddings);
    let certified = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 14 }),
        async (seed, k, near) => {
          const cache = createSubVocabCache(index, undefined, { longest });
          const first = noiseArray(d, seed);
          await cache.find(first, k);
          const step = noiseArray(d, seed + 1);
          const second = first.map((v, j) => v + step[j]! * 2 ** -near);
          const got = await cache.find(second, k);
          expect(got.ids).toEqual(await sets(index, second, k));
          if (got.from === 'certified') certified++;
        },
      ),
      { numRuns: 300 },
    );
    expect(certified).toBeGreaterThan(30);
  });

  test('with words to spare, what is certified holds the exact set, and more is certified', async () => {
    const index = flatIndex(embeddings);
    const certified = [0, 0];
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 3, max: 9 }),
        async (seed, k, near) => {
          const first = noiseArray(d, seed);
          const step = noiseArray(d, seed + 1);
          const second = first.map((v, j) => v + step[j]! * 2 ** -near);
          const want = await sets(index, second, k);
          for (const [i, spare] of [0, 40].entries()) {
            const cache = createSubVocabCache(index, undefined, { longest, spare });
            await cache.find(first, k);
            const { ids, from } = await cache.find(second, k);
            expect(ids.length).toBe(k + spare);
            expect([...want].filter((id) => !ids.includes(id))).toEqual([]);
            if (from === 'certified') certified[i]!++;
          }
        },
      ),
      { numRuns: 200 },
    );
    expect(certified[1]).toBeGreaterThan(2 * certified[0]! + 20);
  });

  test('the same query is a hit, whatever is tied or close at its end', async () => {
    // Rows come twice, so the second and the third word have the same score.
    const twice = tensor(
      [40, d],
      Float32Array.from({ length: 40 * d }, (_, i) => noiseArray(20 * d, 3)[i % (20 * d)]!),
    );
    const cache = createSubVocabCache(flatIndex(twice), undefined, { longest: 10 });
    const query = noiseArray(d, 5);
    const first = await cache.find(query, 3);
    expect(await cache.find(query, 3)).toEqual({ ids: first.ids, from: 'certified' });
    expect(cache.size).toBe(1);
  });

  test('is bounded, forgets when embeddings change, and audits what is only similar', async () => {
    const index = flatIndex(embeddings);
    const cache = createSubVocabCache(index, undefined, { longest, capacity: 3 });
    const q = (seed: number): Float32Array => noiseArray(d, seed);
    for (const seed of [1, 2, 3, 1, 4]) await cache.find(q(seed), 10);
    expect(cache.size).toBe(3);
    expect(cache.stats).toMatchObject({ certified: 1, searched: 4, hitRate: 0.2 });
    // 2 was used least lately.
    expect((await cache.find(q(1), 10)).from).toBe('certified');
    expect((await cache.find(q(2), 10)).from).toBe('searched');
    const other = tensor([400, d], noiseArray(400 * d, 12));
    index.replace(hierarchicalAnn(other, { flat: true }));
    const after = await cache.find(q(1), 10);
    expect(after.from).toBe('searched');
    expect(after.ids).toEqual(await sets(index, q(1), 10));
    expect(cache.size).toBe(1);

    const loose = createSubVocabCache(index, undefined, { longest, cosine: 0.5, audit: 1 });
    await loose.find(q(1), 50);
    const moved = q(1).map((v, j) => v + 0.3 * q(9)[j]!);
    expect((await loose.find(moved, 50)).from).toBe('similar');
    expect(loose.stats.audited).toBe(1);
    expect(loose.stats.missingMean).toBeGreaterThan(0);
    expect(loose.stats.missingMost).toBeLessThan(0.5);
    // With all words in the set there is nothing to miss.
    await loose.find(q(1), 400);
    expect((await loose.find(q(2), 400)).from).toBe('certified');
  });

  test('works over an index on disk, and refuses nonsense', async () => {
    await using index = openWords(path);
    const { longest: most } = exactWords(index, queries, 1);
    const cache = createSubVocabCache(index, 32, { longest: most });
    const q = queries.slice(0, 20);
    await cache.find(q, 5);
    expect((await cache.find(q, 5)).from).toBe('certified');
    expect(() => createSubVocabCache(index, undefined, { longest: 1 })).toThrow('not exact by itself');
    expect(() => createSubVocabCache(index, 32, { longest: Number.NaN })).toThrow('longest is NaN');
    expect(() => createSubVocabCache(index, 32, { longest: 1, capacity: 0 })).toThrow('capacity is 0');
    expect(() => createSubVocabCache(index, 32, { longest: 1, spare: -1 })).toThrow('spare is -1');
  });
});

describe('the commands', () => {
  test('index info, verify and export', async () => {
    const out = join(folder, 'exported');
    const [info, verified, exported] = [
      await runCli(['index', 'info', '--index', path]),
      await runCli(['index', 'verify', '--index', path, '--json']),
      await runCli(['index', 'export', '--index', path, '--out', out]),
    ];
    expect([info.code, verified.code, exported.code]).toEqual([0, 0, 0]);
    expect(info.stdout).toContain('3000 of 20 elements');
    expect(JSON.parse(verified.stdout)).toMatchObject({ kind: 'words', vectors: 3000, verified: true });
    const ids = new Int32Array(Uint8Array.from(fs.readFileSync(`${out}.ibin`).subarray(8)).buffer);
    expect(fs.statSync(`${out}.fbin`).size).toBe(8 + 3000 * 20 * 4);
    expect([...ids.slice().sort()]).toEqual(Array.from({ length: 3000 }, (_, i) => i));
    const broken = fresh();
    fs.cpSync(path, broken, { recursive: true });
    const file = join(broken, 'lists.bin');
    const bytes = fs.readFileSync(file);
    bytes[5]! ^= 1;
    fs.writeFileSync(file, bytes);
    const refused = await runCli(['index', 'verify', '--index', broken]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('CRC-32');
  });

  test('index build --on-disk and index search', async () => {
    const vectors = join(folder, 'own.fbin');
    const rows = new Float32Array(400 * 20);
    openSource(spec).fill(0, 400, rows);
    const fbin = (x: Float32Array): Buffer =>
      Buffer.concat(
        [Uint32Array.of(x.length / 20, 20), x].map((a) => Buffer.from(a.buffer, a.byteOffset, a.byteLength)),
      );
    fs.writeFileSync(vectors, fbin(rows));
    fs.writeFileSync(join(folder, 'q.fbin'), fbin(queries));
    const args = [
      'index',
      'build',
      '--vectors',
      vectors,
      '--out',
      join(folder, 'own'),
      '--on-disk',
      '--lists',
      '8',
    ];
    expect(await runCli(args)).toMatchObject({ code: 0 });
    const search = [
      'index',
      'search',
      '--index',
      join(folder, 'own'),
      '--queries',
      join(folder, 'q.fbin'),
      '--k',
      '30',
    ];
    const out = join(folder, 'found');
    expect(await runCli([...search, '--nprobe', '8', '--out', out])).toMatchObject({ code: 0 });
    const ids = new Int32Array(Uint8Array.from(fs.readFileSync(`${out}.ibin`).subarray(8)).buffer);
    await using index = openWords(join(folder, 'own'));
    expect(ids).toEqual((await index.search(queries, 30, { nprobe: 8 })).ids);
    expect(await runCli([...search, '--recall', '0.5', '--out', out])).toMatchObject({ code: 0 });
    const half = new Int32Array(Uint8Array.from(fs.readFileSync(`${out}.ibin`).subarray(8)).buffer);
    expect(half).toEqual((await index.search(queries, 30, { recall: 0.5 })).ids);
    const both = await runCli([...search, '--recall', '0.5', '--nprobe', '3', '--out', out]);
    expect(both.stderr).toContain('stands instead of --nprobe');
    expect((await runCli([...search, '--recall', 'most', '--out', out])).stderr).toContain('recall is NaN');
    expect(await runCli([...search, '--unsorted', '--out', out])).toMatchObject({ code: 0 });
    const refused = await runCli([...search, '--on-short', 'pad', '--out', out]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('always extends');
    const table = join(folder, 'table.safetensors');
    fs.writeFileSync(table, toBytes(safetensorsChunks([['rows', tensor([400, 20], rows)]])));
    const read = ['index', 'build', '--vectors', table, '--out', join(folder, 'table'), '--flat', '--json'];
    expect(JSON.parse((await runCli(read)).stdout)).toMatchObject({ vectors: 400, dimensions: 20 });
    const two = [['a', tensor([1], [0])] as const, ['b', tensor([1], [0])] as const];
    fs.writeFileSync(table, toBytes(safetensorsChunks(two)));
    expect((await runCli(read)).stderr).toContain('holds 2 tensors; it must hold one');
    const metric = await runCli([...args, '--metric', 'l2']);
    expect(metric.stderr).toContain('--on-disk is for --metric ip');
  });

  test('demo 100m, small', async () => {
    const dir = fresh();
    const args = [
      'demo',
      '100m',
      '--words',
      '30000',
      '--k',
      '256',
      '--queries',
      '4',
      '--dimensions',
      '16',
      '--dir',
      dir,
    ];
    const { code, stdout } = await runCli([...args, '--keep', '--json']);
    expect(code).toBe(0);
    const figures = JSON.parse(stdout);
    expect(figures.sweep.at(-1).recall).toBe(1);
    expect(figures.sweep[0].scanned).toBeLessThan(figures.sweep.at(-1).scanned);
    expect(figures.recallOfBytes).toBeGreaterThan(0.95);
    // What was there is used, and left there; what a call builds goes away, unless it is to be kept.
    const again = await runCli(args);
    expect(again.stdout).toContain('30000 words');
    expect(fs.existsSync(join(dir, 'meta.json'))).toBe(true);
    const empty = fresh();
    fs.mkdirSync(empty);
    const fewer = [
      'demo',
      '100m',
      '--words',
      '2000',
      '--k',
      '9',
      '--queries',
      '1',
      '--dimensions',
      '8',
      '--dir',
    ];
    expect((await runCli([...fewer, empty])).code).toBe(0);
    expect(fs.existsSync(empty)).toBe(false);
    fs.mkdirSync(empty);
    fs.writeFileSync(join(empty, 'mine'), '');
    const refused = await runCli([...fewer, empty]);
    expect([refused.code, refused.stderr]).toEqual([
      2,
      expect.stringContaining('exists and is not an index'),
    ]);
    expect(fs.existsSync(join(empty, 'mine'))).toBe(true);
    expect((await runCli(['demo', '100m', '--words', '-1'])).code).toBe(2);
  });
});
