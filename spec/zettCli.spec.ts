import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readSafetensors } from '../src/core/formats/safetensors.ts';
import { trainBpe } from '../src/core/tokenizers/bpe.ts';
import { trainUnigram } from '../src/core/tokenizers/unigram.ts';
import { type Finished, inProcess } from './support/cli.ts';

// Plan: the commands as people type them, on the reference twin and small sizes. A resumed run gives the files of an unbroken one,
// byte for byte; a transferred model runs with samout eval and generate; its special rows are the source's; what is wrong is
// refused in one line, and nothing is written.

const main = join(import.meta.dirname, '../src/cli/main.ts');
let folder = '';
const at = (name: string): string => join(folder, name);
const run = (...args: string[]): Promise<Finished> => inProcess(args, folder);

async function ok(...args: string[]): Promise<Finished> {
  const r = await run(...args);
  expect(r.code, r.stderr).toBe(0);
  return r;
}

const twin = ['--twin', 'ref'];
const training = [
  'zett',
  'train',
  '--model',
  'body',
  '--text',
  'text.txt',
  ...twin,
  '--vocabulary',
  '280',
  '--heads',
  '2',
  '--batch',
  '2',
  '--length',
  '8',
  '--steps',
  '4',
  '--identity-steps',
  '2',
];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'subvocab-zett-'));
  const text =
    'The running maximum only ever rises; the rising maximum only ever runs. 最大值只升不降。\n'.repeat(40);
  writeFileSync(at('text.txt'), text);
  writeFileSync(
    at('source.json'),
    JSON.stringify(trainUnigram([text], { size: 290, specials: ['<pad>', '<s>', '<mask>'] }).json),
  );
  writeFileSync(
    at('target.json'),
    JSON.stringify(trainBpe([text], { size: 310, specials: ['<s>', '<pad>', '<other>', '<mask>'] }).json),
  );
  await ok(
    'samout',
    'train',
    '--text',
    'text.txt',
    '--tokenizer',
    'source.json',
    ...twin,
    '--width',
    '8',
    '--layers',
    '1',
    '--heads',
    '1',
    '--batch',
    '2',
    '--length',
    '8',
    '--steps',
    '3',
    '--out',
    'body',
  );
  await ok(...training, '--out', 'whole');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('zett', () => {
  test('a run that is stopped and resumed gives the files of an unbroken one, byte for byte', async () => {
    const child = spawn(process.execPath, [main, ...training, '--out', 'again', '--json'], { cwd: folder });
    // After the first line of metrics; the run ends with the step at hand.
    child.stdout.once('data', () => child.kill('SIGINT'));
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect([0, 130]).toContain(code);
    if (code === 130) await ok(...training, '--out', 'again', '--resume');
    for (const file of ['hypernet.safetensors', 'metrics.jsonl']) {
      expect(readFileSync(at(join('again', file))).equals(readFileSync(at(join('whole', file)))), file).toBe(
        true,
      );
    }
    const lines = readFileSync(at('whole/metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l));
    expect(lines.map((l) => l.phase)).toEqual(['identity', 'identity', 'language', 'language']);
    expect(lines.every((l) => Number.isFinite(l.loss))).toBe(true);
  });

  test('a transferred model runs like any other', async () => {
    const made = await ok(
      'zett',
      'transfer',
      '--model',
      'body',
      '--hypernet',
      'whole',
      '--tokenizer',
      'target.json',
      '--out',
      'moved',
      ...twin,
    );
    expect(made.stderr).toContain('1 special tokens are unknown to the source');
    const { stdout } = await ok(
      'samout',
      'eval',
      '--model',
      'moved',
      '--text',
      'text.txt',
      ...twin,
      '--json',
    );
    expect(JSON.parse(stdout).bitsPerByte).toBeGreaterThan(0);
    await ok('samout', 'generate', '--model', 'moved', '--prompt', 'The', '--max-tokens', '3', ...twin);
    expect(readFileSync(at('moved/tokenizer.json'), 'utf8')).toBe(readFileSync(at('target.json'), 'utf8'));
    for (const method of ['fvt', 'lexical', 'random']) {
      await ok(
        'zett',
        'transfer',
        '--model',
        'body',
        '--method',
        method,
        '--tokenizer',
        'target.json',
        '--out',
        method,
        ...twin,
      );
    }
  });

  test('to its own tokenizer, copying gives the very same model', async () => {
    await ok(
      'zett',
      'transfer',
      '--model',
      'body',
      '--method',
      'lexical',
      '--tokenizer',
      'source.json',
      '--out',
      'same',
      ...twin,
    );
    expect(
      readFileSync(at('same/model.safetensors')).equals(readFileSync(at('body/model.safetensors'))),
    ).toBe(true);
  });

  test('eval puts all methods side by side', async () => {
    const args = [
      'zett',
      'eval',
      '--model',
      'body',
      '--hypernet',
      'whole',
      'again',
      '--tokenizer',
      'target.json',
      '--text',
      'text.txt',
      '--context',
      'text.txt',
      '--seeds',
      '2',
      ...twin,
    ];
    const { results } = JSON.parse((await ok(...args, '--json')).stdout);
    expect(results.map((r: { method: string }) => r.method)).toEqual([
      'source',
      'hypernet',
      'fvt',
      'focus',
      'lexical',
      'random',
    ]);
    expect(results[1].runs).toBe(2);
    for (const r of results) expect(r.bitsPerByte).toBeGreaterThan(0);
    expect((await ok(...args)).stdout).toContain('target.json | fvt |');
  });

  test('languages: one per text, named when a vocabulary is predicted; resumed byte for byte', async () => {
    writeFileSync(
      at('de.txt'),
      'Das laufende Maximum steigt nur; nie fällt es, wie lang es auch läuft.\n'.repeat(40),
    );
    const two = training.map((word) => (word === 'text.txt' ? 'de.txt' : word));
    const texts = [
      ...two.slice(0, 6),
      'text.txt',
      ...two.slice(6),
      '--languages',
      '--steps',
      '6',
      '--out',
      'two',
    ];
    await ok(...texts);
    const metrics = readFileSync(at('two/metrics.jsonl'), 'utf8').trim().split('\n');
    expect(metrics).toHaveLength(6);
    const use = ['--model', 'body', '--hypernet', 'two', '--tokenizer', 'target.json', ...twin];
    const bits = async (...language: string[]): Promise<number> => {
      const made = await ok(
        'zett',
        'eval',
        ...use,
        '--text',
        'text.txt',
        '--seeds',
        '1',
        '--json',
        ...language,
      );
      return JSON.parse(made.stdout).results[1].bitsPerByte;
    };
    const [first, second] = [await bits('--language', 'de'), await bits('--language', 'text')];
    expect(first).not.toBe(second);
    expect(await bits('--language', '1')).toBe(second);
    for (const [args, message] of [
      [['--language', 'fr'], 'there is no language "fr"; two knows 0 (de), 1 (text)'],
      [['--language', '2'], 'there is no language "2"'],
      [[], 'two knows languages: say which with --language, of 0 (de), 1 (text)'],
      [
        ['--hypernet', 'whole', '--language', 'de'],
        'whole was trained without languages; leave --language out',
      ],
    ] as const) {
      const r = await run('zett', 'transfer', ...use, '--out', 'n', ...args);
      expect(r.code).toBe(2);
      expect(r.stderr).toContain(message);
    }
    // Stopped after the third step and gone on with: in the middle of the languages' turns.
    const part = [...texts.slice(0, -1), 'parts', '--json'];
    const child = spawn(process.execPath, [main, ...part], { cwd: folder });
    let lines = 0;
    child.stdout.on('data', (data: Buffer) => {
      lines += data.toString().split('\n').length - 1;
      // Once: a second signal ends it without saving.
      if (lines >= 3 && !child.killed) child.kill('SIGINT');
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    if (code === 130) await ok(...texts.slice(0, -1), 'parts', '--resume');
    for (const file of ['hypernet.safetensors', 'metrics.jsonl'])
      expect(readFileSync(at(join('parts', file))).equals(readFileSync(at(join('two', file)))), file).toBe(
        true,
      );
  });

  test('training goes on after a transfer, and eval measures on the way', async () => {
    const shots = [
      '--shots-text',
      'text.txt',
      '--batch',
      '2',
      '--length',
      '8',
      '--shots-lr',
      '0.05',
      ...twin,
    ];
    const source = ['--model', 'body', '--tokenizer', 'target.json'];
    const evaluation = ['zett', 'eval', ...source, '--text', 'text.txt', '--seeds', '1', ...shots];
    const made = JSON.parse((await ok(...evaluation, '--shots', '2,6', '--json')).stdout).results;
    const curve = (method: string) => made.filter((r: { method: string }) => r.method === method);
    expect(curve('random').map((r: { shots: number }) => r.shots)).toEqual([0, 2, 6]);
    expect(curve('source').map((r: { shots: number }) => r.shots)).toEqual([0]);
    expect(curve('random')[2].bitsPerByte).toBeLessThan(curve('random')[0].bitsPerByte);
    const transferred = ['zett', 'transfer', ...source, '--method', 'random', '--out', 'further', ...shots];
    await ok(...transferred, '--shots', '6');
    const measuring = ['samout', 'eval', '--model', 'further', '--text', 'text.txt', ...twin, '--json'];
    // The model that is written is the one that was measured.
    expect(JSON.parse((await ok(...measuring)).stdout).bitsPerByte).toBeCloseTo(
      curve('random')[2].bitsPerByte,
      6,
    );
    for (const [args, message] of [
      [['--shots', '6,2'], 'must be integers from 0 that ascend'],
      [['--shots', '2,x'], 'It must be an integer of at least 1'],
    ] as const) {
      const r = await run(...evaluation, ...args);
      expect(r.code).toBe(2);
      expect(r.stderr).toContain(message);
    }
    const r = await run('zett', 'eval', ...source, '--text', 'text.txt', '--shots', '2', ...twin);
    expect(r.stderr).toContain('give some with --shots-text FILE');
  });

  test.each([
    [
      ['zett', 'train', '--model', 'body', '--text', 'text.txt', '--out', 'whole', ...twin],
      'holds a run already; continue it with --resume',
    ],
    [
      ['zett', 'train', '--model', 'body', '--text', 'target.json', '--out', 'whole', '--resume', ...twin],
      'the text is not the one',
    ],
    [
      [
        'zett',
        'train',
        '--model',
        'body',
        '--text',
        'text.txt',
        '--out',
        'n',
        '--steps',
        '2',
        '--identity-steps',
        '3',
        ...twin,
      ],
      '--identity-steps is 3; it is a part of --steps, which is 2',
    ],
    [
      ['zett', 'transfer', '--model', 'body', '--tokenizer', 'target.json', '--out', 'n', ...twin],
      'say which hypernetwork',
    ],
    [
      [
        'zett',
        'transfer',
        '--model',
        'body',
        '--hypernet',
        'body',
        '--tokenizer',
        'target.json',
        '--out',
        'n',
        ...twin,
      ],
      'hypernet.safetensors',
    ],
    [
      [
        'zett',
        'transfer',
        '--model',
        'body',
        '--method',
        'focus',
        '--tokenizer',
        'target.json',
        '--out',
        'n',
        ...twin,
      ],
      'give some with --context FILE',
    ],
    [
      [
        'zett',
        'transfer',
        '--model',
        'body',
        '--method',
        'fvt',
        '--tokenizer',
        'text.txt',
        '--out',
        'n',
        ...twin,
      ],
      'text.txt: it is not JSON',
    ],
  ])('%s is refused', async (args, message) => {
    const r = await run(...args);
    expect(r.code).toBe(2);
    expect(r.stderr).toContain(message);
    expect(existsSync(at('n/model.safetensors'))).toBe(false);
  });

  test.each([
    [
      'a tokenizer that lacks bytes',
      (j: Record<string, never>) => ({
        ...j,
        model: { ...(j.model as object), vocab: { a: 0 }, merges: [] },
        added_tokens: [],
      }),
      'lacks 255 of the 256 bytes',
    ],
    [
      'a tokenizer that joins words',
      () => ({
        model: { type: 'WordLevel', vocab: { a: 0, '[UNK]': 1 }, unk_token: '[UNK]' },
        decoder: { type: 'WordPiece', prefix: '##' },
      }),
      'a transfer needs a tokenizer whose tokens are bytes',
    ],
    [
      'an unknown pre-tokenizer',
      (j: Record<string, never>) => ({ ...j, pre_tokenizer: { type: 'Riddle' } }),
      'bad.json: it cannot be read: Unknown PreTokenizer type: Riddle',
    ],
    [
      'an id with two tokens',
      (j: { model: { vocab: object } }) => ({
        ...j,
        model: { ...j.model, vocab: { ...j.model.vocab, twice: 7 } },
      }),
      'bad.json: the id 7 belongs to both',
    ],
  ])('%s is refused', async (_, change, message) => {
    writeFileSync(
      at('bad.json'),
      JSON.stringify(change(JSON.parse(readFileSync(at('target.json'), 'utf8')))),
    );
    const r = await run(
      'zett',
      'transfer',
      '--model',
      'body',
      '--method',
      'fvt',
      '--tokenizer',
      'bad.json',
      '--out',
      'n',
      ...twin,
    );
    expect(r.code).toBe(2);
    expect(r.stderr).toContain(message);
  });

  test('of two tokens with the same bytes both get the same row, as the chapter says', async () => {
    const json = JSON.parse(readFileSync(at('source.json'), 'utf8'));
    const { vocab } = json.model as { vocab: [string, number][] };
    // One long piece takes the text of another.
    const long = vocab.flatMap(([piece], id) => (piece.length > 2 && !piece.startsWith('<') ? [id] : []));
    const [other, first, second] = long as [number, number, number];
    vocab[second] = [vocab[first]![0], vocab[second]![1]];
    writeFileSync(at('twice.json'), JSON.stringify(json));
    for (const method of [
      ['--hypernet', 'whole'],
      ['--method', 'fvt'],
    ]) {
      await ok(
        'zett',
        'transfer',
        '--model',
        'body',
        ...method,
        '--tokenizer',
        'twice.json',
        '--out',
        'twice',
        ...twin,
      );
      const { tensors } = readSafetensors(new Uint8Array(readFileSync(at('twice/model.safetensors'))));
      const row = (id: number) => [...tensors.get('em.weight')!.data.slice(8 * id, 8 * id + 8)];
      expect(row(first)).toEqual(row(second));
      expect(row(first)).not.toEqual(row(other));
    }
    await ok('samout', 'eval', '--model', 'twice', '--text', 'text.txt', ...twin);
  });

  test('a tokenizer without special tokens gets rows from the source for begin and padding', async () => {
    writeFileSync(at('plain.json'), JSON.stringify(trainBpe(['ab ab ab'], { size: 258 }).json));
    const r = await ok(
      'zett',
      'transfer',
      '--model',
      'body',
      '--hypernet',
      'whole',
      '--tokenizer',
      'plain.json',
      '--out',
      'plain',
      ...twin,
    );
    expect(r.stderr).toContain('wrote plain: 26');
    expect(r.stderr).not.toContain('unknown to the source');
  });
});
