import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Cost, fitEscape, natsWithEscape } from '../src/models/subVocab/evaluate.ts';
import { specialIds, WordTable } from '../src/models/subVocab/wordTable.ts';
import { inProcess, subvocab, workspace } from './support/cli.ts';

// Plan: the table of words and phrases writes any text and reads it back; the escape makes a distribution; the demo, small, on the
// reference: its figures and files; sampling from its model; bad calls are refused.

describe('the table of words', () => {
  const table = WordTable.build(
    ['the red cat sat on the red mat; the red cat sat.\nthe red cat sat again on the red mat'],
    {
      leastPhrase: 2,
    },
  );

  test('any text is read back as it was', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.constantFrom('the red cat', ' the\tred\r\ncat sat!!', ' 词\u0301 ก\u0e31 \u0e31\u0301 々ー'),
          fc
            .array(fc.constantFrom('词', ' ', 'ก', '\u0e31', '\u0301', 'a', '_', '!', '\n', 'カ'))
            .map((v) => v.join('')),
        ),
        (text) => {
          const whole = text.toWellFormed();
          expect(table.decode(table.encode(whole))).toBe(whole);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('phrases of up to five words, longest first; what is unknown becomes bytes', () => {
    const shown = [...table.encode('the red cat sat zo')].map((id) => table.show(id));
    expect(shown).toEqual(['the red cat sat', '<0x20>', '<0x7a>', '<0x6f>']);
    expect(Math.max(...table.toJSON().map((w) => w.trim().split(/\s+/).length))).toBeLessThanOrEqual(5);
  });

  test('where words are not written apart, they are found as phrases', () => {
    const text = '动态词表很好,词表很大。我们训练词表,动态词表有用。ภาษาไทยภาษาดี';
    const own = WordTable.build([text], { leastPhrase: 2 });
    expect(own.toJSON()).toEqual(expect.arrayContaining(['词表', '动态词表', 'ภาษา']));
    const shown = [...own.encode('词表,动态词表')].map((id) => own.show(id));
    expect(shown).toEqual(['词表', ',', '动态词表']);
    expect(own.decode(own.encode(text))).toBe(text);
    expect(own.with(['下一个词']).encode('下一个词').length).toBe(1);
    expect(() => own.with(['一二三四五六'])).toThrow('has 6 parts');
    // Accents that are written as marks belong to their word.
    const marks = WordTable.build(['a cafe\u0301 cafe\u0301']);
    expect([...marks.encode(' cafe\u0301')].length).toBe(1);
  });

  test('what is to be left out is not in the table, and read in its pieces', () => {
    const text = 'the red cat sat on the red mat; the red cat sat';
    const whole = WordTable.build([text], { leastPhrase: 2 });
    const without = WordTable.build([text], { leastPhrase: 2, without: new Set([' red cat', ' red']) });
    expect(without.toJSON()).toEqual(whole.toJSON().filter((w) => w !== ' red cat' && w !== ' red'));
    expect(without.size).toBe(whole.size - 2);
    // What is left out leaves its place to others where only so many are kept.
    const most = whole.size - specialIds.count - 256 - 2;
    const kept = WordTable.build([text], { leastPhrase: 2, most, without: new Set([' red cat', ' red']) });
    expect(kept.toJSON()).toEqual(without.toJSON());
    expect(without.decode(without.encode(text))).toBe(text);
  });

  test('a table is read back, and what is none is refused', () => {
    const again = WordTable.fromJSON(JSON.parse(JSON.stringify(table)));
    expect(again.encode('the red mat')).toEqual(table.encode('the red mat'));
    expect(() => WordTable.fromJSON(['a', 'a'])).toThrow('a list of different texts');
    expect(() => table.bytes(table.size)).toThrow('there is no id');
    expect(table.bytes(specialIds.subVocab).length).toBe(0);
  });
});

describe('what a set of words costs', () => {
  const shares = [0.4, 0.1, 0.3, 0.2];
  const said = [1, 3];
  const costOf = (w: number): Cost => ({
    nats: -Math.log(shares[w]!),
    said: said.includes(w),
    saidWords: said.length,
  });

  test.each([0, 0.2, 0.5])(
    'with an escape and a share of %f for said words all probabilities add up to 1',
    (again) => {
      const all = [...shares.keys(), ...Array.from({ length: 7 }, () => undefined)];
      const given = all.map((w) =>
        Math.exp(-natsWithEscape([w === undefined ? w : costOf(w)], { miss: 0.1, outside: 7, again })),
      );
      expect(given.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
      expect(given[1]).toBeCloseTo(0.9 * ((1 - again) * 0.1 + again / 2), 12);
    },
  );

  test('a set without said words keeps its softmax', () => {
    const cost = { nats: 1.5, said: false, saidWords: 0 };
    expect(natsWithEscape([cost], { miss: 0, outside: 0, again: 0.3 })).toBe(1.5);
  });

  test('the share is fitted to how often said words come again', () => {
    // 6 of 8 targets were said: 0.3 (1 - a) + a is 3/4 where a = 0.643, which is more than the half that is tried.
    expect(fitEscape([1, 3, 3, 1, 3, 1, 0, 2].map(costOf), 0).again).toBe(0.5);
    const { again, miss } = fitEscape([...[1, 3, 0, 2, 1].map(costOf), undefined], 7);
    expect(miss).toBeCloseTo(2 / 8, 12);
    expect(again).toBeGreaterThan(0.3);
    expect(fitEscape([0, 2, 2].map(costOf), 0)).toEqual({ miss: 0, outside: 0, again: 0 });
  });
});

describe('the commands, on the reference', () => {
  const { path, at } = workspace();
  const sentences = Array.from(
    { length: 400 },
    (_, i) => `the ${['red', 'old', 'big'][i % 3]} cat sat on mat ${i % 7}.`,
  );
  const other = Array.from({ length: 300 }, (_, i) => `a small fish swims in lake ${i % 5}.`);
  const model = ['--width', '8', '--layers', '1', '--batch', '2', '--twin', 'ref'];

  test('demo text trains, compares and writes a report; sample reads its model', async () => {
    writeFileSync(at('cats.txt'), sentences.join('\n'));
    writeFileSync(at('fish.txt'), other.join('\n'));
    writeFileSync(at('short.txt'), 'one two three one two three');
    const made = await inProcess(
      [
        'demo',
        'text',
        'cats.txt',
        'fish.txt',
        '--out',
        'demo',
        '--k',
        '12',
        '--steps',
        '4',
        ...model,
        '--json',
      ],
      path,
    );
    expect(made.stderr).toContain('12 per sub-vocabulary');
    expect(made.code).toBe(0);
    const figures = JSON.parse(made.stdout);
    expect(figures.steps).toHaveLength(4);
    expect(figures.steps[0].k).toBe(24);
    expect(figures.steps[3].k).toBe(12);
    expect(figures.splits.map((s: { name: string }) => s.name)).toEqual(['same domain', 'shifted domain']);
    for (const { coverage, bitsPerByte, curve } of figures.splits) {
      for (const v of [...Object.values<number>(coverage), ...Object.values<number>(bitsPerByte)])
        expect(v).toBeGreaterThanOrEqual(0);
      // The curve at k is the coverage, and with more words never less.
      expect(curve.find((c: { k: number }) => c.k === 12)).toEqual({ k: 12, ...coverage });
      const rising = curve.map((c: { dynamic: number }) => c.dynamic);
      expect([...rising].sort((a, b) => a - b)).toEqual(rising);
    }
    const report = readFileSync(at('demo/report.html'), 'utf8');
    expect(report).toContain('<svg');
    // Each word of the sample is shown with its score.
    expect(report.match(/<sub>-?\d+\.\d<\/sub>/g)).toHaveLength(figures.sentence.words.length);
    const drawn = await inProcess(
      ['sample', '--model', 'demo', '--text', 'the red cat', '--twin', 'ref', '--json'],
      path,
    );
    const list = JSON.parse(drawn.stdout);
    expect(list).toHaveLength(12);
    expect(new Set(list.map((d: { id: number }) => d.id)).size).toBe(12);
    const again = await inProcess(
      ['sample', '--model', 'demo', '--text', 'the red cat', '--twin', 'ref', '--json'],
      path,
    );
    expect(again.stdout).toBe(drawn.stdout);
    const best = await inProcess(
      [
        'sample',
        '--model',
        'demo',
        '--text',
        'the red cat',
        '--twin',
        'ref',
        '--best',
        '--exact',
        '--k',
        '3',
      ],
      path,
    );
    expect(best.stdout.trim().split('\n')).toHaveLength(3);
    const exact = await inProcess(
      ['sample', '--model', 'demo', '--text', 'the red cat', '--twin', 'ref', '--exact', '--json'],
      path,
    );
    expect(exact.stderr).toMatch(/exact sample: \d+ of \d+ words scored \(\d+\.\d %\)/);
    const sampled = JSON.parse(exact.stdout) as { id: number; score: number; logInclusion: number }[];
    expect(new Set(sampled.map((w) => w.id)).size).toBe(12);
    expect(sampled.every((w) => Number.isFinite(w.score) && w.logInclusion <= 0)).toBe(true);
  });

  test('a signal in the middle of training leaves a whole model, and says so', async () => {
    const args = ['demo', 'text', 'cats.txt', '--out', 'half', '--k', '12', '--steps', '100000', ...model];
    const shell = '"$@" & p=$!; until [ -d half ]; do sleep 0.05; done; sleep 1; kill -TERM $p; wait $p';
    const { code, stderr } = await subvocab(args, { cwd: path, shell });
    expect(code).toBe(130);
    expect(stderr).toMatch(/stopped after \d+ steps; the model is in half/);
    const drawn = await inProcess(['sample', '--model', 'half', '--text', 'the', '--twin', 'ref'], path);
    expect(drawn.stdout.trim().split('\n')).toHaveLength(12);
  });

  test('a model with the words of another one is refused', async () => {
    const call = ['sample', '--model', 'swapped', '--text', 'the', '--twin', 'ref', '--k', '3'];
    cpSync(at('demo'), at('swapped'), { recursive: true });
    expect((await inProcess(call, path)).code).toBe(0);
    const words = at('swapped/words.json');
    writeFileSync(words, JSON.stringify(JSON.parse(readFileSync(words, 'utf8')).reverse()));
    const { code, stderr } = await inProcess(call, path);
    expect(code).toBe(2);
    expect(stderr).toContain('words.json has another SHA-256; it is damaged, or of another model');
  });

  test.each([
    [['demo', 'text', 'none.txt', '--out', 'x'], 'none.txt'],
    [['demo', 'text', 'short.txt', '--out', 'x', '--k', '2'], 'the texts are too short: a part of them has'],
    [['demo', 'text', 'cats.txt', '--out', 'x', '--k', '100000'], '--k is 100000, but the text has'],
    [['demo', 'text', 'cats.txt', '--out', 'demo'], 'demo holds a model already; choose another folder'],
    [
      ['demo', 'text', 'cats.txt', '--out', 'cats.txt/x', '--k', '12', '--steps', '1', ...model],
      'cannot write cats.txt/x: a part of the path is not a folder',
    ],
    [['sample', '--model', 'nowhere', '--text', 'a'], 'nowhere'],
    [
      ['sample', '--model', 'demo', '--text', 'a', '--k', '9999', '--twin', 'ref'],
      '--k is 9999; the model has',
    ],
  ])('%s is refused', async (args, message) => {
    const { code, stderr } = await inProcess(args, path);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
