import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { trainBpe } from '../src/core/tokenizers/bpe.ts';
import { bytesTokenizer } from '../src/core/tokenizers/bytes.ts';
import { decode, StreamDecoder, type Tokenizer } from '../src/core/tokenizers/tokenizer.ts';
import { jsonTokenizer } from '../src/core/tokenizers/tokenizerJson.ts';
import { trainUnigram } from '../src/core/tokenizers/unigram.ts';
import { inProcess, workspace } from './support/cli.ts';

// Plan: the native `tokenizers` library is the oracle: the same ids and texts on awkward strings, and the merges that its own
// trainer learns. Then laws: every text comes back from byte-level tokenizers, however the ids are cut while streaming;
// training does not depend on how the text is cut. What is wrong is refused in one line, here and by the commands.

interface Oracle {
  readonly corpus: string;
  readonly strings: readonly string[];
  readonly nativeBpe: { readonly vocab: Record<string, number>; readonly merges: readonly string[][] };
  readonly tokenizers: readonly {
    readonly name: string;
    readonly json: { model: { vocab: unknown; merges: unknown } };
    readonly cases: readonly { readonly ids: readonly number[]; readonly text: string }[];
  }[];
}
const oracle: Oracle = JSON.parse(
  readFileSync(new URL('./vectors/tokenizerJson.json', import.meta.url), 'utf8'),
);
const specials = ['<begin>', '<end>', '<pad>'];
const ours: readonly [string, Tokenizer][] = [
  ['bpe', jsonTokenizer(JSON.stringify(trainBpe([oracle.corpus], { size: 420, specials }).json))],
  ['unigram', jsonTokenizer(JSON.stringify(trainUnigram([oracle.corpus], { size: 400, specials }).json))],
];

describe('against the native library', () => {
  test.each(oracle.tokenizers)('$name: ids and texts', ({ json, cases }) => {
    const tokenizer = jsonTokenizer(JSON.stringify(json));
    for (const [i, { ids, text }] of cases.entries()) {
      const given = oracle.strings[i]!;
      expect([...tokenizer.encode(given)], given).toEqual(ids);
      expect(decode(tokenizer, ids), given).toBe(text);
    }
  });

  test('our BPE trainer learns the merges and the numbers of the native one', () => {
    const { model } = trainBpe([oracle.corpus], { size: 420, specials }).json;
    expect((model as { merges: unknown }).merges).toEqual(oracle.nativeBpe.merges);
    expect(model.vocab).toEqual(oracle.nativeBpe.vocab);
  });

  test('the files that the native library read are those that our trainers write today', () => {
    const unigram = trainUnigram([oracle.corpus], { size: 400, specials }).json.model.vocab as [
      string,
      number,
    ][];
    const read = oracle.tokenizers[1]!.json.model.vocab as [string, number][];
    expect(unigram.map(([token]) => token)).toEqual(read.map(([token]) => token));
    for (const [i, [, score]] of unigram.entries()) expect(score).toBeCloseTo(read[i]![1], 9);
    const bpe = trainBpe([oracle.corpus], { size: 420, specials }).json.model;
    expect(bpe.vocab).toEqual(oracle.tokenizers[0]!.json.model.vocab);
  });
});

describe('laws', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.constantFrom(...oracle.strings),
    fc.string({
      unit: fc.constantFrom('a', ' ', '\n', 'é', '最', '🙂', "'", 's', '1', '<', 'pad>'),
      maxLength: 40,
    }),
  );

  test.each([['bytes', bytesTokenizer] as const, ...ours])(
    '%s: a text comes back from its ids',
    (_, tokenizer) => {
      fc.assert(
        fc.property(texts, (text) => {
          const whole = text.toWellFormed();
          const ids = tokenizer.encode(whole);
          expect(tokenizer.restores(whole, ids)).toBe(true);
          const named = /<(begin|end|pad)>/.test(whole);
          if (!named) expect(decode(tokenizer, ids)).toBe(whole);
          if (ids.length > 0 && !named) expect(tokenizer.restores(whole, ids.slice(1))).toBe(false);
        }),
        { numRuns: 150 },
      );
    },
  );

  test.each(ours)('%s: no piece of a stream ends within a character', (_, tokenizer) => {
    const text = 'é最🙂 𝔘 \u{10ffff}!';
    // One id per byte, as a model may well choose them.
    const ids = [...new TextEncoder().encode(text)].map(
      (byte) =>
        Array.from({ length: tokenizer.vocabulary }, (_, id) => id).find((id) => {
          const bytes = tokenizer.bytesOf(id);
          return bytes.length === 1 && bytes[0] === byte;
        })!,
    );
    const decoder = new StreamDecoder(tokenizer);
    const pieces = ids.map((id) => decoder.push(id));
    expect(pieces.filter((p) => p !== '' && [...p].length !== 1)).toEqual([]);
    expect(pieces.join('') + decoder.end()).toBe(text);
    expect(pieces.join('')).not.toContain('\ufffd');
    const cut = new StreamDecoder(tokenizer);
    expect(cut.push(ids[0]!) + cut.end()).toBe('\ufffd');
  });

  test('a decoder that joins words goes on from the prompt', () => {
    const tokenizer = jsonTokenizer(JSON.stringify(oracle.tokenizers[3]!.json));
    const whole = tokenizer.encode('the running maximum only ever rises');
    const decoder = new StreamDecoder(tokenizer, whole.slice(0, 4));
    const rest = [...whole.slice(4)].map((id) => decoder.push(id)).join('') + decoder.end();
    expect(decode(tokenizer, whole.slice(0, 4)) + rest).toBe(decode(tokenizer, whole));
    expect(tokenizer.restores('Upper Case', tokenizer.encode('Upper Case'))).toBe(false);
  });

  test('a tokenizer that lacks them gets an id to begin with and one to fill with', () => {
    const { model, ...rest } = trainBpe([oracle.corpus], { size: 300 }).json;
    const tokenizer = jsonTokenizer(JSON.stringify({ ...rest, model }));
    expect([tokenizer.vocabulary, tokenizer.paddingIndex, tokenizer.beginIndex]).toEqual([302, 300, 301]);
    expect(tokenizer.bytesOf(301)).toHaveLength(0);
    expect(() => tokenizer.bytesOf(302)).toThrow('302 is no id of tokenizer.json; they are 0 to 301');
  });

  test.each([['bpe', trainBpe] as const, ['unigram', trainUnigram] as const])(
    '%s: how the text is cut makes no difference',
    (_, train) => {
      const whole = train([oracle.corpus], { size: 330 });
      const cut = oracle.corpus.match(/.{1,7}/gsu)!;
      expect(train(cut, { size: 330 })).toEqual(whole);
    },
  );
});

describe('what is wrong is refused', () => {
  const good = trainBpe([oracle.corpus], { size: 300, specials }).json;
  const pieces = trainUnigram([oracle.corpus], { size: 300, specials }).json;
  const without = (token: string) => {
    const vocab = Object.fromEntries(Object.entries(good.model.vocab).filter(([t]) => t !== token));
    return { ...good, model: { ...good.model, vocab, merges: [] } };
  };
  const withVocab = (extra: Record<string, unknown>) => ({
    ...good,
    model: { ...good.model, vocab: { ...good.model.vocab, ...extra } },
  });
  test.each<[string, unknown, string]>([
    ['no object', [], 'it has no model of the type BPE'],
    ['another model', { model: { type: 'Neural' } }, 'it has no model of the type BPE'],
    ['a missing byte', without('!'), 'its vocabulary lacks 1 of the 256 bytes (0x21)'],
    ['a negative id', withVocab({ no: -1 }), 'the token "no" has the id -1'],
    ['an id that is none', withVocab({ no: 'x' }), 'the token "no" has the id x'],
    ['a vast id', withVocab({ no: 4_000_000_000 }), 'the token "no" has the id 4000000000'],
    ['an id that is taken', withVocab({ no: 5 }), 'the id 5 belongs to both'],
    [
      'a merge of unknown tokens',
      { ...good, model: { ...good.model, merges: [['!', 'zzz']] } },
      'merge 0 needs the token "zzz"',
    ],
    ['no merges', { ...good, model: { ...good.model, merges: 3 } }, 'its BPE model has no list of merges'],
    [
      'an unknown token outside',
      { ...pieces, model: { ...pieces.model, unk_id: 9999 } },
      'its unk_id 9999 is outside the vocabulary of 300 tokens',
    ],
    [
      'a piece without a score',
      { ...pieces, model: { ...pieces.model, vocab: [['a']] } },
      'piece 0 of its vocab',
    ],
    [
      'an unknown part',
      { ...good, decoder: { type: 'Riddle' } },
      'it cannot be read: Unknown Decoder type: Riddle',
    ],
    ['an empty vocabulary', { ...good, model: { ...good.model, vocab: {} } }, 'its vocabulary is empty'],
  ])('%s', (_, json, message) => {
    expect(() => jsonTokenizer(JSON.stringify(json), 'mine.json')).toThrow(
      `tokenizer: mine.json: ${message}`,
    );
  });

  test('text that is no JSON', () => {
    expect(() => jsonTokenizer('{"model": ', 'cut.json')).toThrow('tokenizer: cut.json: it is not JSON');
  });

  test('text that it has no token for', () => {
    const vocab = [...oracle.corpus.slice(0, 20)].map((c, i) => [c, -i - 1]);
    const plain = {
      model: { type: 'Unigram', unk_id: null, vocab: [...new Map(vocab as [string, number][])] },
    };
    expect(() => jsonTokenizer(JSON.stringify(plain)).encode('最')).toThrow('has no token for "最"');
  });
});

describe('the commands', () => {
  const { path, at } = workspace();
  const run = (...args: string[]) => inProcess(args, path);
  const small = '--twin ref --width 8 --layers 1 --heads 1 --batch 2 --length 8'.split(' ');

  test('train a tokenizer, a model on it, generate, evaluate', async () => {
    writeFileSync(at('text.txt'), oracle.corpus);
    const made = await run(
      ...'tokenizer train --text text.txt --model bpe --vocabulary 300 --out t.json --json'.split(' '),
    );
    expect(made).toMatchObject({ code: 0 });
    expect(JSON.parse(made.stdout)).toMatchObject({ vocabulary: 300, dropped: 0 });
    const trained = await run(
      ...'samout train --text text.txt --tokenizer t.json --steps 2 --out m'.split(' '),
      ...small,
    );
    expect(trained.stderr).toContain('wrote m');
    expect(readFileSync(at('m/tokenizer.json'))).toEqual(readFileSync(at('t.json')));
    const resumed = await run(...'samout train --resume m --out m2 --steps 3 --twin ref'.split(' '));
    expect(resumed).toMatchObject({ code: 0 });
    const generated = await run(
      ...'samout generate --model m2 --max-tokens 20 --twin ref --prompt'.split(' '),
      '最大',
    );
    expect(generated).toMatchObject({ code: 0, stdout: expect.stringMatching(/^最大/) });
    const { stdout } = await run(...'samout eval --model m2 --text text.txt --twin ref --json'.split(' '));
    const result = JSON.parse(stdout);
    // A model that knows nothing gives each id the same chance: the bits per byte follow from the number of ids.
    expect(result).toMatchObject({ exact: true, bytes: Buffer.byteLength(oracle.corpus) });
    expect(result.tokens).toBeLessThan(result.bytes);
    expect(result.bitsPerByte).toBeCloseTo(result.nats / Math.LN2 / result.bytes, 12);
    expect(result.natsPerToken).toBeGreaterThan(Math.log(300) / 2);

    for (const [args, message] of [
      ['samout train --resume m --bytes --out m --steps 9', 'm was trained with another tokenizer.json'],
      ['samout train --text text.txt --bytes --tokenizer t.json --out n --steps 9', 'exclude each other'],
      ['samout train --text text.txt --tokenizer gone.json --out n --steps 9', 'cannot read gone.json'],
      ['samout train --text text.txt --tokenizer text.txt --out n --steps 9', 'text.txt: it is not JSON'],
      ['samout eval --model m --text text.txt --tokenizer small.json', 'gives 290 ids'],
    ] as const) {
      writeFileSync(
        at('small.json'),
        JSON.stringify(trainBpe([oracle.corpus], { size: 290, specials }).json),
      );
      const { code, stderr } = await run(...args.split(' '), '--twin', 'ref');
      expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
      expect(stderr.trim().split('\n')).toHaveLength(1);
    }
    expect(existsSync(at('n'))).toBe(false);

    writeFileSync(at('m/tokenizer.json'), readFileSync(at('small.json')));
    const swapped = await run(...'samout eval --model m --text text.txt --twin ref'.split(' '));
    expect(swapped).toMatchObject({ code: 2, stderr: expect.stringContaining('is not the tokenizer') });
  });

  test.each([
    [['--vocabulary', '100'], 'must be an integer from 256'],
    [['--vocabulary', '258'], '--vocabulary is 258; it must be at least 259'],
    [['--vocabulary', '300', '--text', 'latin.txt'], 'latin.txt is not UTF-8 text'],
    [['--vocabulary', '300', '--text', 'empty.txt'], 'empty.txt is empty'],
    [['--vocabulary', '300', '--special', '<a>', '<a>'], 'the special token "<a>" is given twice'],
    [['--vocabulary', '300', '--out', 'nowhere/t.json'], 'the folder'],
  ])('tokenizer train %j is refused', async (args, message) => {
    writeFileSync(at('text.txt'), oracle.corpus);
    writeFileSync(at('empty.txt'), '');
    writeFileSync(at('latin.txt'), Buffer.from([0x61, 0xe9, 0x62]));
    const standard = ['--text', 'text.txt', '--model', 'bpe', '--out', 'x.json'];
    const all = args[2]?.startsWith('--')
      ? standard.filter((_, i) => standard[i & ~1] !== args[2])
      : standard;
    const { code, stderr } = await run('tokenizer', 'train', ...all, ...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
    expect(existsSync(at('x.json'))).toBe(false);
  });
});
