import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { execute } from '../../src/cli/frame.ts';
import { createProgram } from '../../src/cli/program.ts';

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
