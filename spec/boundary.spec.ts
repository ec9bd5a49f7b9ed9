import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { foldIn, key } from '../src/core/key.ts';
import { PrefixConstraint } from '../src/models/boundary/constraint.ts';
import { boundaryNextByte, exactNextByte, type TokenModel } from '../src/models/boundary/oracle.ts';
import { PrefixTable, sortWords } from '../src/models/boundary/prefixTable.ts';
import { mayFollow, rollBack, type Words } from '../src/models/boundary/rollBack.ts';
import { samOutTokens } from '../src/models/boundary/samOutTokens.ts';
import { segmenter } from '../src/models/boundary/segmentation.ts';
import { samOutConfig } from '../src/models/samOut/config.ts';
import { generate } from '../src/models/samOut/generate.ts';
import { SamOut } from '../src/models/samOut/model.ts';
import { initialParameters } from '../src/models/samOut/parameters.ts';
import { refBackend } from '../src/ref/backend.ts';
import { noise } from '../src/verify/case.ts';
import { describeDevice } from './support/device.ts';

// Plan: what is taken back, on cases by hand; the oracle against a sum over positions that needs no tree, on models that
// look one token back; the ladder's order on a model that knows only one way to cut; drawn segmentations against counted
// ones; text that is generated under a constraint spells the prefix, on both twins alike.

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const special = new Uint8Array(0);

describe('what is taken back', () => {
  const words: Words = [special, ...['i', 'm', 'p', ' im', 'po', 'rt', ' import', 'é', 'n'].map(bytes)];
  const id = (text: string): number => words.findIndex((w, v) => v > 0 && Buffer.from(w).toString() === text);
  const ids = (...tokens: string[]): Int32Array => Int32Array.from([0, ...tokens.map(id)]);

  test('nothing, one token, or as many as a word covers', () => {
    const prompt = ids('n', ' im', 'po');
    expect(rollBack(words, prompt, 'none').prefix).toHaveLength(0);
    expect(rollBack(words, prompt, 'heal-1')).toEqual({ kept: ids('n', ' im'), prefix: bytes('po') });
    expect(rollBack(words, prompt, 'heal-n')).toEqual({ kept: ids('n'), prefix: bytes(' impo') });
  });

  test('heal-n takes one token back where no longer word fits, and never the first id or a special one', () => {
    expect(rollBack(words, ids('n', 'm'), 'heal-n')).toEqual({ kept: ids('n'), prefix: bytes('m') });
    expect(rollBack(words, Int32Array.of(0), 'heal-n').prefix).toHaveLength(0);
    expect(rollBack(words, Int32Array.of(id('n'), 0), 'heal-1').kept).toHaveLength(2);
    expect(rollBack(words, ids(' im', 'po'), 'heal-n', 3).prefix).toEqual(bytes('po'));
  });

  test('unknown rungs and ids are refused', () => {
    expect(() => rollBack(words, ids('n'), 'heal-2' as never)).toThrow('there is no boundary "heal-2"');
    expect(() => rollBack(words, Int32Array.of(0, 99), 'heal-1')).toThrow('id 99 is no word; there are 10');
  });
});

/** A model that looks one token back: a table of probabilities. */
function bigram(size: number, seed: number): { model: TokenModel<number>; table: number[][] } {
  const next = noise(seed);
  const table = Array.from({ length: size }, () => {
    const row = Array.from({ length: size }, () => Math.exp(3 * next()));
    const sum = row.reduce((a, b) => a + b);
    return row.map((p) => p / sum);
  });
  const at = (id: number) => Promise.resolve({ state: id, logProbs: table[id]!.map(Math.log) });
  return { table, model: { begin: (ids) => at(ids.at(-1)!), next: (_, id) => at(id), release: () => {} } };
}

/** Probability that the bytes after token 0 begin with `s`: a sum over positions and last tokens, no tree. */
function prefixProbability(words: Words, table: number[][], s: Uint8Array): number {
  const reach = Array.from({ length: s.length + 1 }, () => new Float64Array(words.length));
  reach[0]![0] = 1;
  let total = 0;
  for (let at = 0; at < s.length; at++) {
    for (let last = 0; last < words.length; last++) {
      if (reach[at]![last] === 0) continue;
      for (let v = 1; v < words.length; v++) {
        const word = words[v]!;
        const p = reach[at]![last]! * table[last]![v]!;
        const rest = s.subarray(at);
        if (word.length >= rest.length && rest.every((b, i) => b === word[i])) total += p;
        else if (word.every((b, i) => b === rest[i])) reach[at + word.length]![v]! += p;
      }
    }
  }
  return total;
}

describe('the oracle', () => {
  const words: Words = [special, ...['a', 'b', 'ab', 'ba', 'abb', 'aa'].map(bytes)];

  test('equals the sum over positions', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(1, 2, 3, 4, 5, 6), { minLength: 1, maxLength: 4 }),
        fc.nat(99),
        async (tail, seed) => {
          const { model, table } = bigram(words.length, seed);
          const { probs } = await exactNextByte(model, words, Int32Array.from([0, ...tail]));
          const s = Uint8Array.from(tail.flatMap((v) => [...words[v]!]));
          const of = (b: number): number => prefixProbability(words, table, Uint8Array.from([...s, b]));
          const [a, b] = [of(97), of(98)];
          expect(probs[97]).toBeCloseTo(a / (a + b), 12);
          expect(probs[98]).toBeCloseTo(b / (a + b), 12);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('every rung gives a distribution, and all agree where tokens are bytes', async () => {
    const single: Words = [special, bytes('a'), bytes('b')];
    const { model } = bigram(3, 5);
    const exact = await exactNextByte(model, single, Int32Array.of(0, 1, 2, 1));
    for (const rung of ['none', 'heal-1', 'heal-n'] as const) {
      const { probs } = await boundaryNextByte(model, single, Int32Array.of(0, 1, 2, 1), rung);
      expect(probs[97]).toBeCloseTo(exact.probs[97]!, 12);
      expect(probs.reduce((x, y) => x + y)).toBeCloseTo(1, 12);
    }
  });

  test('a word that the prompt cuts: none is wrong, heal-1 helps where one token suffices, heal-n everywhere', async () => {
    // The model writes "n" and then always the one token " import"; from " im" or "p" it has learned nothing.
    const list: Words = [special, ...['n', ' import', ' im', 'p', 'o', 'x'].map(bytes)];
    const sure = (id: number): number[] => list.map((_, v) => (v === id ? 0.999 : 0.001 / (list.length - 1)));
    const flat = list.map(() => 1 / list.length);
    const at = (id: number) =>
      Promise.resolve({
        state: id,
        logProbs: (id === 1 ? sure(2) : id === 0 ? sure(1) : flat).map(Math.log),
      });
    const model: TokenModel<number> = {
      begin: (ids) => at(ids.at(-1)!),
      next: (_, id) => at(id),
      release: () => {},
    };
    const chance = async (rung: 'none' | 'heal-1' | 'heal-n', ids: number[]): Promise<number> =>
      (await boundaryNextByte(model, list, Int32Array.from(ids), rung)).probs['o'.charCodeAt(0)]!;
    const cutOnce = [0, 1, 3];
    const cutTwice = [0, 1, 3, 4];
    const after = (await boundaryNextByte(model, list, Int32Array.from(cutOnce), 'heal-1')).probs;
    expect(after['p'.charCodeAt(0)]).toBeGreaterThan(0.99);
    expect(await chance('none', cutTwice)).toBeLessThan(0.3);
    expect(await chance('heal-1', cutTwice)).toBeLessThan(0.3);
    expect(await chance('heal-n', cutTwice)).toBeGreaterThan(0.99);
    const { probs } = await exactNextByte(model, list, Int32Array.from(cutTwice));
    expect(probs['o'.charCodeAt(0)]).toBeGreaterThan(0.99);
  });
});

describe('drawn segmentations', () => {
  const words: Words = [special, ...['a', 'b', 'ab', 'aba', 'ba'].map(bytes)];
  const scores = [0, -1, -1.5, -2, -2.2, -3];
  const text = bytes('ababa');

  /** All segmentations, and their weights. */
  function all(rest: Uint8Array): number[][] {
    if (rest.length === 0) return [[]];
    const ways: number[][] = [];
    for (let v = 1; v < words.length; v++) {
      const word = words[v]!;
      if (word.length > rest.length || !word.every((b, i) => b === rest[i])) continue;
      for (const way of all(rest.subarray(word.length))) ways.push([v, ...way]);
    }
    return ways;
  }

  test.each([0, 0.7, 1.5])('theta %s: frequencies are the probabilities (chi-square)', (theta) => {
    const draw = segmenter(words, scores, theta);
    const ways = all(text);
    const weights = ways.map((way) => Math.exp(theta * way.reduce((s, v) => s + scores[v]!, 0)));
    const total = weights.reduce((a, b) => a + b);
    const names = ways.map(String);
    const counts = new Float64Array(ways.length);
    const n = 6000;
    for (let i = 0; i < n; i++) counts[names.indexOf(String(draw.sample(text, foldIn(key(4), i))))]!++;
    let chi = 0;
    for (let i = 0; i < ways.length; i++) {
      const wanted = (n * weights[i]!) / total;
      chi += (counts[i]! - wanted) ** 2 / wanted;
    }
    // Mean df, variance 2 df: five standard deviations above.
    const df = ways.length - 1;
    expect(chi).toBeLessThan(df + 5 * Math.sqrt(2 * df));
  });

  test('a large theta gives the best one, and bytes without words are refused', () => {
    expect(segmenter(words, scores, 200).sample(text, key(1))).toEqual([3, 4]);
    expect(() => segmenter(words, scores, 1).sample(bytes('abc'), key(1))).toThrow('have no segmentation');
    expect(() => segmenter(words, scores, -1)).toThrow('theta is -1');
  });
});

describeDevice('generation', (gpu) => {
  const words: Words = [special, special, ...['a', 'b', 'c', 'ab', 'abc', 'bca', 'ca'].map(bytes)];
  const config = samOutConfig({ vocabulary: words.length, width: 16, heads: 1, layers: 2, paddingIndex: 1 });
  const parameters = initialParameters(refBackend, config, key(3));

  test('spells the prefix, the same ids on both twins, and asks nobody afterwards', async () => {
    for (const [rung, covers] of [
      ['heal-1', false],
      ['heal-n', true],
    ] as const) {
      const { kept, prefix } = rollBack(words, Int32Array.of(0, 2, 5, 3), rung);
      const made: number[][] = [];
      for (const backend of [refBackend, gpu()]) {
        using model = new SamOut(backend as typeof refBackend, config, await parameters);
        using constraint = new PrefixConstraint(backend as typeof refBackend, words, prefix, covers);
        const ids: number[] = [];
        for await (const id of generate(model, kept, 8, key(7), { temperature: 0 }, constraint)) ids.push(id);
        expect(constraint.rest).toHaveLength(0);
        made.push(ids);
      }
      expect(made[1]).toEqual(made[0]);
      const text = Buffer.concat(made[0]!.map((id) => words[id]!));
      expect(text.subarray(0, prefix.length)).toEqual(Buffer.from(prefix));
    }
  });

  test('a sorted table finds by bisection what a look at every word finds', async () => {
    const bytes = fc
      .array(fc.constantFrom(97, 98, 0xff), { maxLength: 5 })
      .map((list) => Uint8Array.from(list));
    const call = fc.record({
      list: fc.array(bytes, { minLength: 1, maxLength: 60 }),
      prefix: bytes,
      covers: fc.boolean(),
      partBytes: fc.constantFrom(8, 12, 40, 2 ** 26),
    });
    await fc.assert(
      fc.asyncProperty(call, async ({ list, prefix, covers, partBytes }) => {
        using table = new PrefixTable(gpu(), sortWords(list), { partBytes });
        const long = list.reduce((n, word) => n + word.length, 0);
        if (long > partBytes) expect(table.parts).toBeGreaterThan(1);
        const found = await table.allowed(prefix, covers);
        const wanted = [...list.keys()].filter((id) => mayFollow(list[id]!, prefix, covers));
        expect([...found.data].sort((a, b) => a - b)).toEqual(wanted);
      }),
      { numRuns: 25 },
    );
  });

  test('a word that no part can hold is refused, and nothing stays behind', () => {
    const list = ['a', 'abcdefghi'].map((word) => Buffer.from(word));
    expect(() => new PrefixTable(gpu(), sortWords(list), { partBytes: 8 })).toThrow(
      'the word 1 has 9 bytes; a part holds 8',
    );
  });

  test('a snapshot serves any number of steps: the oracle of a real model sums to 1 on both twins', async () => {
    const results: Float64Array[] = [];
    for (const backend of [refBackend, gpu()]) {
      using model = new SamOut(backend as typeof refBackend, config, await parameters);
      const { probs, places } = await exactNextByte(samOutTokens(model), words, Int32Array.of(0, 6, 2, 3));
      expect(places).toBeGreaterThan(5);
      expect(probs.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
      results.push(probs);
    }
    for (const [b, p] of results[0]!.entries()) expect(results[1]![b]).toBeCloseTo(p, 4);
  });
});
