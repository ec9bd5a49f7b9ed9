import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { afterAll, expect } from 'vitest';
import { execute } from '../../src/cli/frame.ts';
import { createProgram } from '../../src/cli/program.ts';
import { readSafetensors, safetensorsChunks } from '../../src/core/formats/safetensors.ts';
import { toBytes } from '../../src/core/formats/source.ts';
import type { Tensor } from '../../src/core/tensor.ts';

/** The source of the command. */
export const mainFile: string = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run `subvocab` in a process of its own, as a user does. */
export function subvocab(
  args: readonly string[],
  options: { cwd?: string; shell?: string } = {},
): Promise<Finished> {
  // `shell` is a script in which "$@" stands for the command.
  const node = [process.execPath, mainFile, ...args];
  const call = options.shell === undefined ? node : ['bash', '-c', options.shell, 'bash', ...node];
  const env = { ...process.env, SUBVOCAB_DEBUG: '', NODE_OPTIONS: '' };
  const child = spawn(call[0]!, call.slice(1), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  return new Promise((done, fail) => {
    child.on('error', fail);
    child.on('close', (code, signal) => done({ code, signal, stdout, stderr }));
  });
}

/** Run `subvocab` inside of this process: the same code but for the streams and the exit, in a few milliseconds. */
export async function inProcess(
  args: readonly string[],
  cwd: string,
  program: Command = createProgram(),
): Promise<Finished> {
  const { stdout, stderr } = process;
  const writes = [stdout.write, stderr.write] as const;
  const before = process.cwd();
  const text = ['', ''];
  const capture = (i: number) => (data: string | Uint8Array) => {
    text[i] += Buffer.from(data).toString();
    return true;
  };
  stdout.write = capture(0);
  stderr.write = capture(1);
  process.chdir(cwd);
  try {
    const code = await execute(program, ['node', 'subvocab', ...args]);
    return { code, signal: null, stdout: text[0]!, stderr: text[1]! };
  } finally {
    process.chdir(before);
    [stdout.write, stderr.write] = writes;
  }
}

/** A folder for one spec file, with its tensor files. At the end it must hold no temporary file. */
export interface Workspace {
  readonly path: string;
  at(name: string): string;
  save(name: string, tensors: Readonly<Record<string, Tensor>>): void;
  load(name: string): Record<string, Tensor>;
}

/** Make a {@link Workspace} before the tests of a spec file, and remove it after them. */
export function workspace(): Workspace {
  const path = fs.mkdtempSync(join(tmpdir(), 'cli-'));
  const at = (name: string): string => join(path, name);
  afterAll(() => {
    expect(fs.readdirSync(path).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    fs.rmSync(path, { recursive: true });
  });
  return {
    path,
    at,
    save: (name, tensors) => fs.writeFileSync(at(name), toBytes(safetensorsChunks(Object.entries(tensors)))),
    load: (name) => Object.fromEntries(readSafetensors(fs.readFileSync(at(name))).tensors),
  };
}
