import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readSafetensors, safetensorsChunks } from '../src/core/formats/safetensors.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { type Finished, inProcess, subvocab } from './support/cli.ts';

// Plan: the commands as people type them, on the reference twin and small sizes. A run that is stopped and resumed, by
// Ctrl-C or by a kill, gives the losses and the files of an unbroken one, byte for byte; checkpoints of PyTorch go in and
// out; generation and evaluation repeat; what is wrong is refused in one line, and nothing is written.

const root = join(import.meta.dirname, '..');
const main = join(root, 'src/cli/main.ts');
const oracle = join(root, 'spec/vectors/samOut.safetensors');
let folder = '';
const at = (name: string): string => join(folder, name);

function run(...args: string[]): Promise<Finished> {
  return inProcess(['samout', ...args], folder);
}

async function ok(...args: string[]): Promise<string> {
  const r = await run(...args);
  expect(r.code, r.stderr).toBe(0);
  return r.stdout;
}

const small = [
  '--twin',
  'ref',
  '--width',
  '16',
  '--layers',
  '2',
  '--heads',
  '2',
  '--batch',
  '4',
  '--length',
  '16',
];
const training = ['train', '--text', 'text.txt', ...small];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'subvocab-samout-'));
  writeFileSync(at('text.txt'), 'The running maximum only ever rises. 最大值只升不降。\n'.repeat(30));
  await ok(...training, '--steps', '24', '--out', 'whole');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const same = (a: string, b: string): void => {
  for (const file of ['metrics.jsonl', 'model.safetensors', 'checkpoint.safetensors']) {
    expect(readFileSync(at(join(a, file))).equals(readFileSync(at(join(b, file)))), file).toBe(true);
  }
};

describe('train', () => {
  test('learns, and writes the model, its metrics and its curve', async () => {
    const metrics = readFileSync(at('whole/metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l));
    expect(metrics).toHaveLength(24);
    expect(metrics.at(-1).loss).toBeLessThan(metrics[0].loss - 0.5);
    expect(readFileSync(at('whole/loss.svg'), 'utf8')).toContain('<svg');
    expect(readFileSync(at('whole/loss.html'), 'utf8')).toContain('bits per byte');
  });

  test('resumed, it gives the files of an unbroken run, byte for byte', async () => {
    await ok(...training, '--steps', '10', '--out', 'parts');
    await ok('train', '--resume', 'parts', '--out', 'parts', '--steps', '24', '--twin', 'ref');
    same('parts', 'whole');
  });

  test.each(['SIGINT', 'SIGKILL'] as const)(
    'stopped by %s, it can be resumed to the same',
    async (signal) => {
      const out = `stopped-${signal}`;
      const child = spawn(
        process.execPath,
        [main, 'samout', ...training, '--steps', '24', '--out', out, '--save-every', '4', '--json'],
        { cwd: folder },
      );
      let lines = 0;
      child.stdout.on('data', (data: Buffer) => {
        lines += data.toString().split('\n').length - 1;
        // Once: a second Ctrl-C would stop it at once, without a checkpoint.
        if (lines >= 6 && !child.killed) child.kill(signal);
      });
      const code = await new Promise<number | null>((done) => child.on('close', done));
      expect(code).toBe(signal === 'SIGINT' ? 130 : null);
      const { metadata } = readSafetensors(new Uint8Array(readFileSync(at(`${out}/checkpoint.safetensors`))));
      expect(Number(metadata.get('step'))).toBeGreaterThanOrEqual(4);
      await ok('train', '--resume', out, '--out', out, '--steps', '24', '--twin', 'ref');
      same(out, 'whole');
    },
  );

  test.each([
    [['train', '--steps', '1', '--out', 'x', '--twin', 'ref'], 'say what to train on: --text FILE...'],
    [['train', '--text', 'nothing.txt', '--steps', '1', '--out', 'x', '--twin', 'ref'], 'nothing.txt'],
    [['train', '--text', 'empty.txt', '--steps', '1', '--out', 'x', '--twin', 'ref'], 'empty.txt is empty'],
    [
      ['train', '--text', 'latin.txt', '--steps', '1', '--out', 'x', '--twin', 'ref'],
      'latin.txt is not UTF-8 text',
    ],
    [
      ['train', '--text', 'short.txt', '--steps', '1', '--out', 'x', '--twin', 'ref'],
      'the text has 3 tokens; a row of --length 64 needs 65',
    ],
    [[...training, '--steps', '24', '--out', 'whole'], 'whole holds a run already'],
    [
      ['train', '--resume', 'whole', '--out', 'whole', '--steps', '24', '--twin', 'ref'],
      'has made 24 steps already',
    ],
    [
      ['train', '--resume', 'whole', '--text', 'short.txt', '--out', 'x', '--steps', '30', '--twin', 'ref'],
      'the text is not the one',
    ],
    [[...training, '--steps', '0', '--out', 'x'], 'must be an integer of at least 1'],
    [[...training, '--steps', '1', '--out', 'x', '--heads', '3'], 'heads is 3; it must divide the width 16'],
  ])('%j is refused', async (args, message) => {
    writeFileSync(at('empty.txt'), '');
    writeFileSync(at('short.txt'), 'ab');
    writeFileSync(at('latin.txt'), Buffer.from([0x61, 0xe9, 0x62]));
    const { code, stderr } = await run(...args);
    expect(stderr).toContain(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(code).toBe(2);
    expect(existsSync(at('x/checkpoint.safetensors'))).toBe(false);
  });

  const stepOf = (out: string): number => {
    const bytes = new Uint8Array(readFileSync(at(`${out}/checkpoint.safetensors`)));
    return Number(readSafetensors(bytes).metadata.get('step'));
  };

  test('a run that diverges stops, and the last good checkpoint stays', async () => {
    const args = [...training, '--steps', '20', '--save-every', '1', '--lr', '1e15', '--out', 'diverged'];
    const { code, stderr } = await run(...args);
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/the loss (of|after) step \d+ is (NaN|Infinity)/),
    ]);
    const kept = stepOf('diverged');
    expect(stderr).toContain(`diverged has the checkpoint of step ${kept}; to go on from there`);
    // What was kept is good: its loss on any text is a number.
    const json = await ok('eval', '--model', 'diverged', '--text', 'text.txt', '--twin', 'ref', '--json');
    expect(JSON.parse(json).nats).toBeGreaterThan(0);
  });

  test('a full disk ends the run with the reason, and nothing is lost', async () => {
    await ok(...training, '--steps', '3', '--out', 'full');
    const before = readFileSync(at('full/checkpoint.safetensors'));
    for (const [file, save] of [
      ['metrics.jsonl', '100'],
      ['model.safetensors', '1'],
    ] as const) {
      const out = `full-${file}`;
      mkdirSync(at(out));
      symlinkSync('/dev/full', at(join(out, file)));
      const args = ['train', '--resume', 'full', '--out', out, '--steps', '6', '--save-every', save];
      const { code, stderr } = await run(...args, '--twin', 'ref');
      expect([code, stderr]).toEqual([2, expect.stringMatching(/cannot write .*(ENOSPC|no space)/i)]);
      expect(existsSync(at(join(out, 'checkpoint.safetensors')))).toBe(false);
    }
    expect(readFileSync(at('full/checkpoint.safetensors')).equals(before)).toBe(true);
  });

  test('a lost device ends the run with code 3; resumed, it gives what an unbroken one gives', async () => {
    // The device is destroyed from outside at its 400th submission.
    writeFileSync(
      at('destroy.mjs'),
      `import { globals } from ${JSON.stringify(join(root, 'node_modules/webgpu/index.js'))};
       const { requestDevice } = globals.GPUAdapter.prototype;
       const { submit } = globals.GPUQueue.prototype;
       globals.GPUAdapter.prototype.requestDevice = async function (...args) {
         const device = await requestDevice.apply(this, args);
         let n = 0;
         globals.GPUQueue.prototype.submit = function (...buffers) {
           submit.apply(this, buffers);
           if (++n === 400) device.destroy();
         };
         return device;
       };`,
    );
    const size = ['--width', '8', '--layers', '1', '--heads', '1', '--batch', '2', '--length', '8'];
    const args = ['samout', 'train', '--text', 'text.txt', ...size, '--steps', '60', '--save-every', '3'];
    const lost = await subvocab([...args, '--out', 'lost'], {
      cwd: folder,
      shell: `"$1" --import ./destroy.mjs "\${@:2}"`,
    });
    expect([lost.code, lost.stderr]).toEqual([3, expect.stringContaining('the GPU was lost')]);
    const kept = stepOf('lost');
    expect(kept).toBeGreaterThan(0);
    expect(lost.stderr).toContain(`lost has the checkpoint of step ${kept}`);
    const resumed = ['samout', 'train', '--resume', 'lost', '--out', 'lost', '--steps', String(kept + 4)];
    expect(await subvocab(resumed, { cwd: folder })).toMatchObject({ code: 0 });
    const short = args.map((a) => (a === '60' ? String(kept + 4) : a));
    expect(await subvocab([...short, '--out', 'unbroken'], { cwd: folder })).toMatchObject({ code: 0 });
    same('lost', 'unbroken');
  });

  test('a damaged checkpoint is refused with the reason', async () => {
    await ok(...training, '--steps', '2', '--out', 'damaged');
    truncateSync(at('damaged/checkpoint.safetensors'), 5000);
    const { code, stderr } = await run(
      'train',
      '--resume',
      'damaged',
      '--out',
      'damaged',
      '--steps',
      '4',
      '--twin',
      'ref',
    );
    expect([code, stderr]).toEqual([2, expect.stringContaining('checkpoint.safetensors')]);
    const model = await run('generate', '--model', 'nowhere', '--prompt', '', '--twin', 'ref');
    expect([model.code, model.stderr]).toEqual([2, expect.stringContaining('nowhere')]);
  });
});

describe('generate and eval', () => {
  const generate = (...args: string[]): Promise<string> =>
    ok('generate', '--model', 'whole', '--prompt', '最大', '--max-tokens', '30', '--twin', 'ref', ...args);

  test('the same seed gives the same text, another one another', async () => {
    const first = await generate('--seed', '1');
    expect(await generate('--seed', '1')).toBe(first);
    expect(await generate('--seed', '2')).not.toBe(first);
    expect(await generate('--temperature', '0')).toBe(await generate('--temperature', '0', '--seed', '9'));
    expect(first).toMatch(/^最大/);
  });

  test('the end of the prompt may be cut again: what is taken back is not said twice', async () => {
    // "大" is three bytes, and so three tokens; the last is taken back and its byte must come first again.
    for (const rung of ['heal-1', 'heal-n']) {
      const text = await generate('--boundary', rung, '--temperature', '0');
      expect(text.startsWith('最大')).toBe(true);
      expect(text).toBe(await generate('--boundary', rung, '--temperature', '0'));
    }
    const { code, stderr } = await run(
      'generate',
      '--model',
      'whole',
      '--prompt',
      '',
      '--boundary',
      'heal-2',
    );
    expect([code, stderr]).toEqual([2, expect.stringContaining('Allowed choices are none, heal-1, heal-n')]);
  });

  test('Skip-Tuning: 1 changes no bit, other scales do', async () => {
    const of = async (...args: string[]): Promise<number> =>
      JSON.parse(
        await ok('eval', '--model', 'whole', '--text', 'text.txt', '--json', '--twin', 'ref', ...args),
      ).nats;
    const plain = await of();
    expect(await of('--skip-bottom', '1', '--skip-top', '1')).toBe(plain);
    expect(await of('--skip-bottom', '0.8')).not.toBe(plain);
  });

  test('bits per byte of the training text are below those of noise', async () => {
    writeFileSync(at('noise.txt'), 'q#Z@ 7xK!~ %vW^ 0j&* '.repeat(20));
    const of = async (text: string): Promise<number> =>
      JSON.parse(await ok('eval', '--model', 'whole', '--text', text, '--json', '--twin', 'ref')).bitsPerByte;
    expect(await of('text.txt')).toBeLessThan(await of('noise.txt'));
  });
});

describe('exchange with PyTorch', () => {
  const read = (name: string): Map<string, Tensor> =>
    readSafetensors(new Uint8Array(readFileSync(name))).tensors;
  const write = (name: string, tensors: [string, Tensor][]): void => {
    writeFileSync(at(name), Buffer.concat(safetensorsChunks(tensors)));
  };

  beforeAll(() => {
    const all = read(oracle);
    write(
      'torch.safetensors',
      [...all].filter(([k]) => k.startsWith('model.')).map(([k, t]) => [k.slice(6), t]),
    );
    write('ids.safetensors', [['ids', all.get('ids')!]]);
    write('tokens.safetensors', [['tokens', all.get('tokens')!]]);
    write('none.safetensors', [['ids', tensor([2, 0], new Int32Array(0))]]);
    write('far.safetensors', [['ids', tensor([1, 2], Int32Array.of(5, 300))]]);
    write('single.safetensors', [['tokens', tensor([1, 2, 1], Int32Array.of(5, 6))]]);
  });

  test('logits of a checkpoint, at once and token by token, bit for bit the same', async () => {
    const args = ['logits', '--checkpoint', 'torch.safetensors', '--ids', 'ids.safetensors', '--twin', 'ref'];
    await ok(...args, '--out', 'a.safetensors');
    await ok(...args, '--out', 'b.safetensors', '--incremental');
    expect(read(at('b.safetensors')).get('logits')!.data).toEqual(
      read(at('a.safetensors')).get('logits')!.data,
    );
    const want = read(oracle).get('logits')!.data;
    const got = read(at('a.safetensors')).get('logits')!.data;
    expect(Math.max(...Array.from(want, (v, i) => Math.abs(v - got[i]!)))).toBeLessThan(2e-5);
  });

  test('fit makes the losses that PyTorch made, and a checkpoint that goes in again', async () => {
    const args = ['--tokens', 'tokens.safetensors', '--twin', 'ref'];
    await ok(
      'fit',
      '--checkpoint',
      'torch.safetensors',
      ...args,
      '--steps',
      '20',
      '--out',
      'after.safetensors',
    );
    const want = read(oracle).get('losses')!.data;
    const got = read(at('after.safetensors')).get('losses')!.data;
    for (const [i, v] of want.entries()) expect(Math.abs(got[i]! - v)).toBeLessThan(2e-4);
    await ok(
      'fit',
      '--checkpoint',
      'after.safetensors',
      ...args,
      '--steps',
      '1',
      '--out',
      'again.safetensors',
    );
  });

  test('rows of one token have nothing to predict', async () => {
    const args = [
      'fit',
      '--checkpoint',
      'torch.safetensors',
      '--tokens',
      'single.safetensors',
      '--steps',
      '1',
    ];
    const { code, stderr } = await run(...args, '--out', 'x.safetensors', '--twin', 'ref');
    expect([code, stderr]).toEqual([2, expect.stringContaining('tokens have shape [2, 1]')]);
  });

  test.each([
    [['--checkpoint', 'ids.safetensors'], 'there is no matrix em.weight'],
    [
      ['--checkpoint', 'torch.safetensors', '--config', '{"layers": 3}'],
      'tensors are missing: decoder_layers.2.',
    ],
    [
      ['--checkpoint', 'torch.safetensors', '--config', '{"heads": 5}'],
      'heads is 5; it must divide the width 16',
    ],
    [['--checkpoint', 'torch.safetensors', '--config', 'nonsense'], '--config is not JSON'],
    [['--checkpoint', 'gone.safetensors'], 'gone.safetensors'],
    [['--checkpoint', 'torch.safetensors', '--ids', 'none.safetensors'], 'has shape [2, 0]'],
    [['--checkpoint', 'torch.safetensors', '--ids', 'far.safetensors'], 'id 300 at element 1 is outside'],
  ])('%j is refused', async (args, message) => {
    const { code, stderr } = await run(
      'logits',
      '--ids',
      'ids.safetensors',
      '--out',
      'x.safetensors',
      '--twin',
      'ref',
      ...args,
    );
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
    expect(existsSync(at('x.safetensors'))).toBe(false);
  });
});
