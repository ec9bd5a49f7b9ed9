import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { FileError, FormatError } from '../src/core/errors.ts';
import { buildWords } from '../src/vocab/words/buildWords.ts';
import { openWords } from '../src/vocab/words/wordIndex.ts';

const folder = fs.mkdtempSync(join(tmpdir(), 'build-faults-'));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

const n = 1000;
const vectors = join(folder, 'words.fbin');
const rows = Float32Array.from({ length: n * 4 }, (_, i) => Math.sin(i * i));
const write = (path: string, data: Float32Array): void =>
  fs.writeFileSync(
    path,
    Buffer.concat([Uint32Array.of(data.length / 4, 4), data].map((a) => Buffer.from(a.buffer))),
  );
write(vectors, rows);
const spec = { kind: 'fbin', path: vectors } as const;
const small = { lists: 8, chunk: 100, threads: 1 } as const;

let made = 0;
const fresh = (): string => join(folder, `index-${made++}`);
const bytesOf = (path: string): Record<string, string> =>
  Object.fromEntries(
    fs
      .readdirSync(path)
      .sort()
      .map((name) => [name, fs.readFileSync(join(path, name)).toString('hex')]),
  );
const whole = fresh();
await buildWords(whole, spec, small);

/** A process that builds; `lines` resolves with what it has said when it ends, or has said something. */
function start(target: string, how = '') {
  const script = join(import.meta.dirname, 'support/buildProcess.ts');
  const child = spawn(process.execPath, [script, target, vectors, how], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  const said = new Promise<string>((resolve) => {
    child.stdout.on('data', (data) => {
      text += data;
      resolve(text);
    });
    child.on('close', () => resolve(text));
  });
  const ended = new Promise<NodeJS.Signals | null>((resolve) =>
    child.on('close', (_, signal) => resolve(signal)),
  );
  return { child, said, ended };
}

describe('builders of one folder', () => {
  test('are refused while another process builds; when that one is killed, the next goes on', async () => {
    const target = fresh();
    const first = start(target, 'hold');
    expect(await first.said).toBe('words\n');
    expect(await start(target).said).toBe(
      `index build: process ${first.child.pid} is building ${target} already; wait for it\n`,
    );
    expect(() => openWords(target)).toThrow(/is under way or was stopped: repeat it/);
    first.child.kill('SIGKILL');
    await first.ended;
    // Of two that both find the lock of the dead one, exactly one has it.
    const said = await Promise.all([start(target).said, start(target).said]);
    const done = said.filter((line) => /^resumed [01]\d?\n$/.test(line));
    const refused = said.filter((line) => /is building .* already; wait for it\n$/.test(line));
    expect([done.length > 0, done.length + refused.length], said.join('')).toEqual([true, 2]);
    expect(said).toContain('resumed 1\n');
    expect(bytesOf(target)).toEqual(bytesOf(whole));
  });

  test('have no mistaken lock: one of another start of this process number, one of another machine', async () => {
    const target = fresh();
    const lock = join(`${target}.building`, 'lock');
    const first = start(target, 'hold');
    await first.said;
    const [, began, ...place] = fs.readFileSync(lock, 'utf8').split(' ');
    first.child.kill('SIGKILL');
    await first.ended;
    fs.writeFileSync(lock, ['1', began, ...place.slice(0, -1), 'elsewhere'].join(' '));
    await expect(buildWords(target, spec, small)).rejects.toThrow(
      `on another machine or in another container; if it no longer runs, remove ${lock}`,
    );
    // This process did not begin when that one did.
    if (began !== '-') fs.writeFileSync(lock, [String(process.pid), began, ...place].join(' '));
    else fs.rmSync(lock);
    expect((await buildWords(target, spec, small)).resumed).toBe(1);
    expect(bytesOf(target)).toEqual(bytesOf(whole));
  });
});

describe('a build that goes wrong', () => {
  test('killed between the two renames: the next call puts back what was there, and ends the work', async () => {
    const target = fresh();
    await buildWords(target, spec, { ...small, lists: 3 });
    const old = bytesOf(target);
    const child = start(target, 'rename');
    expect(await child.ended).toBe('SIGKILL');
    expect(() => openWords(target)).toThrow(/was stopped: repeat it to go on/);
    await expect(buildWords(target, spec, { ...small, lists: 5 })).rejects.toThrow('other settings');
    expect(bytesOf(target)).toEqual(old);
    expect((await buildWords(target, spec, small)).resumed).toBe(n / small.chunk);
    expect(bytesOf(target)).toEqual(bytesOf(whole));
    expect(fs.readdirSync(folder).filter((name) => name.includes('.building'))).toEqual([]);
  });

  test('vectors that are others by now, or a run that was damaged, are no part of the index', async () => {
    const target = fresh();
    const own = join(folder, 'own.fbin');
    write(own, rows);
    const stopped = (stage: string): Promise<unknown> =>
      buildWords(
        target,
        { kind: 'fbin', path: own },
        {
          ...small,
          onProgress: (now, done) => {
            if (now === stage && done >= 2) throw new Error('stopped');
          },
        },
      );
    await expect(stopped('words')).rejects.toThrow('stopped');
    const run = join(`${target}.building`, 'run-0');
    const good = fs.readFileSync(run);
    for (const at of [3, 20, 100, 900, good.length - 1]) {
      const bad = Buffer.from(good);
      bad[at]! ^= 4;
      fs.writeFileSync(run, bad);
      await expect(buildWords(target, { kind: 'fbin', path: own }, small)).rejects.toThrow(
        `${run} was damaged and is removed; repeat the call`,
      );
      expect(fs.existsSync(target)).toBe(false);
    }
    write(
      own,
      rows.map((v) => -v),
    );
    fs.utimesSync(own, 1, 1);
    await expect(buildWords(target, { kind: 'fbin', path: own }, small)).rejects.toThrow('of other vectors');
    expect(fs.existsSync(target)).toBe(false);
  });

  test('errors of threads keep their kind', async () => {
    const bad = join(folder, 'nan.fbin');
    const x = rows.slice();
    x[4 * 777 + 1] = Number.NaN;
    write(bad, x);
    const call = buildWords(
      fresh(),
      { kind: 'fbin', path: bad },
      { lists: 1, chunk: 100, sample: 1, threads: 3 },
    );
    await expect(call).rejects.toThrow(FormatError);
    await expect(call).rejects.toThrow('row 777 holds NaN');
  });
});

describe('where an index goes', () => {
  test('a folder that holds anything else stays', async () => {
    const target = fresh();
    fs.mkdirSync(target);
    fs.writeFileSync(join(target, 'meta.json'), '{"mine": true}');
    await expect(buildWords(target, spec, small)).rejects.toThrow('is not an index; choose another folder');
    const other = fresh();
    fs.mkdirSync(`${other}.building`);
    fs.writeFileSync(join(`${other}.building`, 'data'), '');
    await expect(buildWords(other, spec, small)).rejects.toThrow('holds data, and no settings of a build');
    expect(fs.readdirSync(target)).toEqual(['meta.json']);
    expect(fs.readdirSync(`${other}.building`)).toEqual(['data']);
    fs.rmSync(`${other}.building`, { recursive: true });
  });

  test('a slash at its end, a link, an empty folder', async () => {
    const target = fresh();
    fs.mkdirSync(target);
    await buildWords(`${target}/`, spec, small);
    expect(bytesOf(target)).toEqual(bytesOf(whole));
    const link = fresh();
    fs.symlinkSync(target, link);
    await buildWords(link, spec, { ...small, lists: 3 });
    expect(fs.lstatSync(link).isSymbolicLink()).toBe(true);
    expect(bytesOf(target)).not.toEqual(bytesOf(whole));
    const nowhere = fresh();
    fs.symlinkSync(join(folder, 'nothing'), nowhere);
    await expect(buildWords(nowhere, spec, small)).rejects.toThrow('a link to something that does not exist');
    fs.writeFileSync(`${whole}.building`, '');
    await expect(buildWords(whole, spec, small)).rejects.toThrow(FileError);
    fs.rmSync(`${whole}.building`);
  });
});
