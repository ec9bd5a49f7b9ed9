/**
 * Plan: the frame of the command as a user meets it. `ops` prints the contracts; every kind of failure has its exit
 * code; signals, closed pipes and full disks leave nothing behind; the examples of the chapter are true.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { describe, expect, it, test } from 'vitest';
import { nearest } from '../src/cli/nearest.ts';
import {
  ArgumentError,
  DeviceLostError,
  FileError,
  FormatError,
  GpuError,
  UnsupportedError,
} from '../src/core/errors.ts';
import { contracts } from '../src/core/ops/index.ts';
import { plans } from '../src/core/plans.ts';
import * as ref from '../src/ref/index.ts';
import { inProcess, mainFile, subvocab, workspace } from './support/cli.ts';

const folder = workspace();
const { at } = folder;
const cli = (...args: string[]) => subvocab(args, { cwd: folder.path });
const quick = (...args: string[]) => inProcess(args, folder.path);

describe('ops', () => {
  it('prints the contracts as JSON, exactly', async () => {
    const r = await cli('ops', '--json');
    expect(JSON.parse(r.stdout)).toEqual(JSON.parse(JSON.stringify(contracts)));
    expect([r.code, r.stderr]).toEqual([0, '']);
  });

  it('prints every name, input, option, output, accuracy and source for people', async () => {
    const { stdout } = await cli('ops');
    for (const c of contracts) {
      for (const text of [`${c.name}: ${c.summary}`, c.formula, c.accuracy, c.edge, c.source])
        expect(stdout).toContain(text);
      for (const f of [...c.inputs, ...c.options, ...c.outputs]) expect(stdout).toContain(f.about);
    }
  });

  it('prints some of them on request', async () => {
    const r = await cli('ops', '--json', 'cummaxBackward');
    expect(JSON.parse(r.stdout).map((c: { name: string }) => c.name)).toEqual(['cummaxBackward']);
  });

  it('has a plan and a reference for every contract', () => {
    for (const { name } of contracts) {
      expect(Object.keys(plans)).toContain(name);
      expect(Object.keys(ref)).toContain(name);
    }
  });
});

describe('exit codes', () => {
  const thrown: [Error, number, string][] = [
    [new ArgumentError('topK', 'k is 9'), 2, 'subvocab go: topK: k is 9'],
    [new ArgumentError('go', 'no such thing'), 2, 'subvocab go: no such thing'],
    [new FileError('npy', 'cannot read a'), 2, 'subvocab go: cannot read a'],
    [new FormatError('safetensors', 'a: cut'), 2, 'subvocab go: a: cut'],
    [new UnsupportedError('openGpu', 'no adapter'), 2, 'subvocab go: openGpu: no adapter'],
    [
      new GpuError('gpu', 'out of GPU memory while running topK'),
      3,
      'subvocab go: gpu: out of GPU memory while running topK',
    ],
    [new DeviceLostError('read', 'the GPU was lost'), 3, 'subvocab go: read: the GPU was lost'],
    [
      new SuppressedError(new Error('closing'), new DeviceLostError('read', 'lost')),
      3,
      'subvocab go: read: lost',
    ],
    [
      new RangeError('Array buffer allocation failed'),
      2,
      'subvocab go: this machine has not enough memory: Array buffer allocation failed',
    ],
    [Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' }), 141, ''],
    [
      new TypeError('x is\nundefined'),
      70,
      'subvocab go: internal error: x is undefined; please report it (SUBVOCAB_DEBUG=1 shows where)',
    ],
  ];
  test.each(thrown)('%s: %i', async (error, code, line) => {
    const program = new Command('subvocab').addCommand(
      new Command('go').action(() => {
        throw error;
      }),
    );
    const r = await inProcess(['go'], folder.path, program);
    expect(r).toEqual({ code, signal: null, stdout: '', stderr: line && `${line}\n` });
  });

  test('a tensor beyond the limits of the GPU, and an adapter that is not there', async () => {
    const args = ['op', 'randomBits', '--twin', 'gpu', '--out', 'never.npy', '--options'];
    const large = await quick(...args, '{"key":1,"shape":[1e12]}');
    expect(large.code).toBe(3);
    expect(large.stderr).toMatch(
      /^subvocab op: .*4000000000000 bytes.* \(while running randomBits \{.*\} on ".*"\)\n$/,
    );
    const none = await quick(...args, '{"key":1,"shape":[2]}', '--adapter', 'no such adapter');
    expect(none.code).toBe(2);
    expect(none.stderr).toMatch(
      /^subvocab op: openGpu: no adapter's name contains "no such adapter"; there are ".*"\n$/,
    );
  });
});

describe('streams and signals', () => {
  test('a reader that goes away ends the command quietly', async () => {
    const r = await subvocab(['ops', '--json'], { shell: '"$@" | head -c 1; echo " $PIPESTATUS"' });
    expect(r.stderr).toBe('');
    expect(['[ 141\n', '[ 0\n']).toContain(r.stdout);
    const closed = await subvocab(['ops'], { shell: '"$@" >&-' });
    expect(closed.stderr.split('\n').length).toBeLessThanOrEqual(2);
    expect(closed.stderr).not.toContain('    at ');
  });

  test('a full disk behind the standard output is an error', async () => {
    const r = await subvocab(['ops'], { shell: '"$@" > /dev/full' });
    expect(r.stderr).toMatch(/^subvocab ops: cannot write to the standard output: .*no space left/);
    expect(r.code).toBe(2);
  });

  test('Ctrl-C ends with 130 and leaves nothing', async () => {
    // A second of work at least, so that the signal comes in the middle.
    const args = ['op', 'randomBits', '--options', '{"key":1,"shape":[60000000]}', '--out', 'never.npy'];
    const interrupt = '"$@" & sleep 0.6; kill -INT $!; wait $!; echo $?';
    const r = await subvocab(args, { cwd: folder.path, shell: interrupt });
    expect(r).toEqual({ code: 0, signal: null, stdout: '130\n', stderr: '' });
    expect(fs.readdirSync(folder.path).filter((name) => /never|tmp/.test(name))).toEqual([]);
  });

  test('help and version go to the standard output with code 0', async () => {
    for (const args of [['--help'], ['op', '--help'], ['help', 'op'], ['--version']]) {
      const r = await cli(...args);
      expect([r.code, r.stderr]).toEqual([0, '']);
      expect(r.stdout).not.toBe('');
    }
  });
});

test('the nearest name', () => {
  const names = ['cummax', 'cummaxBackward', 'topK', 'matmul', 'kMeans'];
  expect(
    ['cumax', 'cmumax', 'CUMMAX', 'topk', 'matmull', 'kmean'].map((word) => nearest(word, names)),
  ).toEqual([
    'cummax',
    'cummax',
    'cummax',
    'topK',
    'matmul',
    'kMeans', // biome-ignore format: one line
  ]);
  expect(['', 'x', 'softmax', '\0', 'y'.repeat(1e6)].map((word) => nearest(word, names))).toEqual(
    Array(5).fill(undefined),
  );
  expect(nearest('cummaxB', names)).toBe('cummax');
});

test('the examples of docs/cli.md print what they say (vitest -u writes what they print)', async () => {
  const path = join(import.meta.dirname, '../docs/cli.md');
  const inner = fs.mkdtempSync(at('docs-'));
  let doc = fs.readFileSync(path, 'utf8');
  for (const [block] of doc.matchAll(/^```console\n.*?^```$/gms)) {
    const lines: string[] = [];
    for (const [, command] of block.matchAll(/^\$ (.*)$/gm)) {
      const shell = `subvocab() { ${JSON.stringify(process.execPath)} ${JSON.stringify(mainFile)} "$@"; }; ${command}`;
      const r = await subvocab([], { cwd: inner, shell });
      // Dawn reports its own limits on some drivers.
      const said = (r.stdout + r.stderr).replace(/^Warning: .*\n/gm, '');
      lines.push(`$ ${command}\n${said}`);
    }
    doc = doc.replace(block, () => `\`\`\`console\n${lines.join('')}\`\`\``);
  }
  await expect(doc).toMatchFileSnapshot(path);
  fs.rmSync(inner, { recursive: true });
});
