/**
 * Plan: a write gives all files or leaves all as they were, whatever stops it (an exception, a full disk, no
 * permission, a signal, an exit), and leaves no temporary; links, devices and permissions keep their meaning;
 * every refusal is a FileError with path and reason.
 */
import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileError } from '../src/core/errors.ts';
import { checkOutputs, openFile, writeFiles } from '../src/core/formats/files.ts';
import { readBytes } from '../src/core/formats/source.ts';

let folder = '';
const at = (name: string): string => join(folder, name);
const text = (name: string): string => fs.readFileSync(at(name), 'utf8');
const write = (name: string, ...chunks: (string | Uint8Array)[]): Promise<void> =>
  writeFiles('spec', [{ path: at(name), chunks }]);

beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'files-'));
});
afterEach(() => {
  fs.rmSync(folder, { recursive: true });
});

/** Run TypeScript in a process of its own. `arg` arrives as process.argv[1]. */
function child(script: string, arg: string, options: { limit?: string; kill?: NodeJS.Signals } = {}) {
  const module = pathToFileURL(join(import.meta.dirname, '../src/core/formats/files.ts')).href;
  const source = `import { writeFiles } from ${JSON.stringify(module)};\n${script}`;
  const node = [process.execPath, '--input-type=module-typescript', '--eval', source, arg];
  const limited = options.limit ? ['sh', '-c', `${options.limit}; exec "$@"`, 'sh', ...node] : node;
  const run = spawn(limited[0]!, limited.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  run.stdout.on('data', (data) => {
    output += data;
    if (options.kill) run.kill(options.kill);
  });
  run.stderr.on('data', (data) => {
    output += data;
  });
  return new Promise<{ output: string; code: number | null; signal: NodeJS.Signals | null }>((done) => {
    run.on('close', (code, signal) => done({ output, code, signal }));
  });
}

/** Writes for long, yet not for ever: an abandoned child must not fill the disk. Says so once the temporary has grown. */
const endless = `
  function* chunks() {
    for (let i = 0; i < 500_000; i++) {
      if (i === 3) console.log('writing');
      yield new Uint8Array(1000);
    }
  }
  await writeFiles('spec', [{ path: process.argv[1], chunks: chunks() }]);`;

describe('a write that succeeds', () => {
  it('makes a file from bytes and text, and replaces one', async () => {
    await write('a', 'one ', new Uint8Array([0x74, 0x77, 0x6f]), '', new Uint8Array(0), ' \u00e9');
    expect(text('a')).toBe('one two \u00e9');
    await write('a', 'new');
    expect(text('a')).toBe('new');
    await write('empty');
    expect(text('empty')).toBe('');
    expect(fs.readdirSync(folder).sort()).toEqual(['a', 'empty']);
  });

  it('writes more than one call takes', async () => {
    const large = new Uint8Array(40 * 2 ** 20).map((_, i) => i % 251);
    await write('large', large);
    expect(fs.readFileSync(at('large')).equals(large)).toBe(true);
  });

  it('keeps the permissions of the file it replaces', async () => {
    fs.writeFileSync(at('a'), 'old', { mode: 0o640 });
    await write('a', 'new');
    expect(fs.statSync(at('a')).mode & 0o777).toBe(0o640);
  });

  it('writes through a link and leaves the link', async () => {
    fs.writeFileSync(at('real'), 'old');
    fs.symlinkSync('real', at('link'));
    await write('link', 'new');
    expect(fs.readlinkSync(at('link'))).toBe('real');
    expect(text('real')).toBe('new');
  });

  it('writes to a pipe in place', async () => {
    execFileSync('mkfifo', [at('pipe')]);
    const reader = spawn('cat', [at('pipe')], { stdio: ['ignore', 'pipe', 'inherit'] });
    let read = '';
    reader.stdout.on('data', (data) => {
      read += data;
    });
    const closed = new Promise((done) => reader.on('close', done));
    await write('pipe', 'through', ' it');
    await closed;
    expect(read).toBe('through it');
    expect(fs.statSync(at('pipe')).isFIFO()).toBe(true);
  });

  it('never renames over what is no file, even if it came in the meantime', async () => {
    function* chunks() {
      yield 'x';
      execFileSync('mkfifo', [at('late')]);
    }
    const late = writeFiles('spec', [{ path: at('late'), chunks: chunks() }]);
    await expect(late).rejects.toThrow(`cannot write ${at('late')}: it is no file`);
    expect(fs.readdirSync(folder)).toEqual(['late']);
  });

  it('takes names of 255 bytes', async () => {
    await write('n'.repeat(255), 'x');
    expect(fs.readdirSync(folder)).toEqual(['n'.repeat(255)]);
  });

  it('leaves no listeners behind', async () => {
    const before = ['exit', 'SIGINT', 'SIGTERM', 'SIGHUP'].map((name) => process.listenerCount(name));
    await write('a', 'x');
    await expect(write('missing/a', 'x')).rejects.toThrow(FileError);
    expect(['exit', 'SIGINT', 'SIGTERM', 'SIGHUP'].map((name) => process.listenerCount(name))).toEqual(
      before,
    );
  });
});

describe('a write that fails leaves everything as it was', () => {
  beforeEach(() => {
    fs.writeFileSync(at('a'), 'old a');
    fs.writeFileSync(at('b'), 'old b');
  });
  afterEach(() => {
    expect(text('a')).toBe('old a');
    expect(text('b')).toBe('old b');
    expect(fs.readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('when the chunks throw', async () => {
    function* chunks() {
      yield 'half';
      throw new RangeError('no more');
    }
    const files = [
      { path: at('a'), chunks: ['new a'] },
      { path: at('b'), chunks: chunks() },
    ];
    await expect(writeFiles('spec', files)).rejects.toThrow(new RangeError('no more'));
  });

  it('when a second output cannot be written', async () => {
    for (const path of ['/dev/full', at('missing/b'), folder]) {
      const files = [
        { path: at('a'), chunks: ['new a'] },
        { path, chunks: ['new b'] },
      ];
      await expect(writeFiles('spec', files)).rejects.toThrow(`cannot write ${path}`);
    }
  });

  it('when two outputs are one file', async () => {
    fs.symlinkSync('a', at('link'));
    const files = [at('a'), at('link')].map((path) => ({ path, chunks: ['x'] }));
    await expect(writeFiles('spec', files)).rejects.toThrow(`${at('link')} is named twice as an output`);
  });

  it('when the file grows beyond a limit', async () => {
    const { output, code } = await child(
      `await writeFiles('spec', [{ path: process.argv[1], chunks: [new Uint8Array(1e6)] }]).catch((e) => console.log(e.message));`,
      at('a'),
      { limit: 'ulimit -f 8' },
    );
    expect(output).toBe(
      `spec: cannot write ${at('a')}: the file would be larger than the file system allows\n`,
    );
    expect(code).toBe(0);
  });

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'when %s arrives, of which the process then dies',
    async (kill) => {
      const { code, signal, output } = await child(endless, at('a'), { kill });
      expect(output).toBe('writing\n');
      expect([code, signal]).toEqual([null, kill]);
    },
  );

  it('when another listener answers the signal', async () => {
    const listen = `process.on('SIGINT', () => process.exit(42));`;
    const { code } = await child(listen + endless, at('a'), { kill: 'SIGINT' });
    expect(code).toBe(42);
  });

  it('when two writes run at once', async () => {
    const both = endless.replace('await writeFiles', "void writeFiles('spec', [{ path: process.argv[1].replace(/a$/, 'b'), chunks: chunks() }]); await writeFiles"); // biome-ignore format: one line
    const { signal } = await child(both, at('a'), { kill: 'SIGINT' });
    expect(signal).toBe('SIGINT');
  });

  it('when the process exits in between', async () => {
    const { code } = await child(`setTimeout(() => process.exit(3), 50);${endless}`, at('a'));
    expect(code).toBe(3);
  });

  it('when the user may not write', async (context) => {
    // Root may write anywhere, so the child becomes nobody, once it has read Node and the sources, which nobody may not.
    const root = process.getuid?.() === 0;
    const drop = root ? 'process.setgroups([65534]); process.setgid(65534); process.setuid(65534);' : '';
    const dropped = await child(drop, at('a'));
    if (dropped.code !== 0)
      context.skip(`root cannot become user 65534 here: ${dropped.output.slice(0, 200)}`);
    const script = `await writeFiles('spec', [{ path: process.argv[1], chunks: ['x'] }]).catch((e) => console.log(e.message));`;
    fs.chmodSync(at('a'), 0o444);
    // A folder that may be changed does not make a file that may not be written a writable one, nor the reverse.
    for (const [name, mode] of [
      ['a', 0o777],
      ['new', 0o555],
    ] as const) {
      fs.chmodSync(folder, mode);
      const { output } = await child(drop + script, at(name));
      expect(output).toBe(`spec: cannot write ${at(name)}: permission denied\n`);
    }
    fs.chmodSync(folder, 0o755);
  });
});

describe('refused paths', () => {
  it.each([
    ['', 'an output path is empty'],
    ['a\0b', 'NUL'],
    ['.', 'cannot write .: it is a folder'],
    ['missing/a', 'the folder'],
    ['/dev/null/a', 'is not a folder'],
    ['new/', 'it names a folder; add a file name'],
    [`/tmp/${'n'.repeat(256)}`, 'the name is too long'],
  ])('writing %j', (path, reason) => {
    expect(() => checkOutputs('spec', [path])).toThrow(reason);
  });

  it('writing to a dangling link and to a link to itself', () => {
    fs.symlinkSync('nowhere', at('dangling'));
    fs.symlinkSync('loop', at('loop'));
    expect(() => checkOutputs('spec', [at('dangling')])).toThrow('a link to something that does not exist');
    expect(() => checkOutputs('spec', [at('loop')])).toThrow('too many links');
  });

  it.each([
    ['/nowhere/at/all', 'it does not exist'],
    ['/dev/null/a', 'a part of the path is not a folder'],
    ['.', 'it is a folder'],
    ['/dev/zero', 'it is a device, not a file'],
    ['a\0b', 'NUL'],
  ])('reading %j', (path, reason) => {
    expect(() => openFile('spec', path)).toThrow(reason);
  });
});

describe('reading', () => {
  it('reads any part of a file, and tells when it became shorter', () => {
    fs.writeFileSync(at('a'), 'abcdef');
    using source = openFile('spec', at('a'));
    expect(source.size).toBe(6);
    expect(Buffer.from(readBytes(source, 2, 3)).toString()).toBe('cde');
    fs.truncateSync(at('a'), 3);
    expect(() => readBytes(source, 2, 3)).toThrow('became shorter');
  });

  it('reads a pipe to its end', async () => {
    const script = `
      const { openFile } = await import(${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../src/core/formats/files.ts')).href)});
      using source = openFile('spec', '/dev/fd/3');
      const bytes = new Uint8Array(3);
      source.readInto(source.size - 3, bytes);
      console.log(source.size, Buffer.from(bytes).toString());`;
    const run = [
      '-c',
      `yes abc | head -c 3000002 | "$0" --input-type=module --eval "$1" 3<&0`,
      process.execPath,
      script,
    ];
    const pipe = spawn('sh', run, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    for await (const part of pipe.stdout) output += part;
    expect(output).toBe('3000002 \nab\n');
  });
});
