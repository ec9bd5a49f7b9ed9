import type { Command, CommanderError } from 'commander';
import { DeviceLostError, FileError, FormatError, GpuError, OpError } from '../core/errors.ts';

/** What the exit code of `subvocab` means. Stable: scripts rely on it. */
export const exitCode = {
  ok: 0,
  /** `verify` found an operator whose twins disagree. */
  failed: 1,
  /** The call, a file or an option is wrong, or this machine cannot do it; one line on stderr says which. */
  refused: 2,
  /** The GPU has too little memory for the call, was lost or reported an error. */
  gpu: 3,
  /** A mistake of ours. */
  internal: 70,
  /** The reader of our output went away, as in `| head`: what a shell reports for SIGPIPE. */
  pipe: 141,
} as const;

/** Environment variable that adds the stack of an error to its line. */
export const debugVariable = 'SUBVOCAB_DEBUG';

/** A call that commander refused, with the command it was meant for. */
class UsageError extends Error {
  readonly command: Command;
  readonly code: string;
  /** Help or the version was asked for and printed: not an error at all. */
  readonly done: boolean;
  constructor(command: Command, error: CommanderError) {
    super(error.message.replace(/^error: /, ''), { cause: error });
    this.command = command;
    this.code = error.code;
    this.done = error.exitCode === 0;
  }
}

/**
 * Run the program and end with one of {@link exitCode}. Actions return nothing; one that finds failures sets
 * `process.exitCode`. Whatever they throw becomes one line on stderr, never a stack.
 */
export async function run(program: Command, argv: readonly string[]): Promise<void> {
  const end = (error: unknown): never => process.exit(report(program, error));
  process.stdout.on('error', end);
  // Nobody is left to tell.
  process.stderr.on('error', () => {});
  process.on('uncaughtException', end);
  const code = await execute(program, argv);
  if (code !== exitCode.ok) process.exitCode = code;
}

/** Run the program without touching the process. @returns the exit code, 0 if nothing was thrown */
export async function execute(program: Command, argv: readonly string[]): Promise<number> {
  for (const command of all(program)) {
    // Commander would print and exit by itself: errors come as exceptions, and only help is printed.
    command.exitOverride((error) => {
      throw new UsageError(command, error);
    });
    command.configureOutput({ writeErr: () => {}, outputError: () => {} });
    command.showSuggestionAfterError(true);
    command.configureHelp({ helpWidth: 100 });
  }
  program.hook('preAction', (_, action) => {
    running.set(program, action);
  });
  try {
    await program.parseAsync([...argv]);
    return exitCode.ok;
  } catch (error) {
    if (error instanceof UsageError && error.done) return exitCode.ok;
    return report(program, error);
  }
}

/** The command whose action runs, for the messages. */
const running = new WeakMap<Command, Command>();

/** Tell an error in one line. @returns the exit code for it */
function report(program: Command, thrown: unknown): number {
  const error = original(thrown);
  const code = codeOf(error);
  if (code === exitCode.pipe) return code;
  const where = error instanceof UsageError ? error.command : (running.get(program) ?? program);
  const label = pathOf(program, where);
  // A progress line may stand there.
  progress().clear();
  process.stderr.write(`${label}: ${oneLine(messageOf(error, where, label, code))}\n`);
  if (process.env[debugVariable] && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return code;
}

/** Which of the codes an error ends with. */
function codeOf(error: unknown): number {
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'EPIPE') return exitCode.pipe;
  if (error instanceof GpuError || error instanceof DeviceLostError) return exitCode.gpu;
  if (error instanceof OpError || error instanceof UsageError) return exitCode.refused;
  if (isOutOfMemory(error) || (error as NodeJS.ErrnoException)?.syscall === 'write') return exitCode.refused;
  return exitCode.internal;
}

function messageOf(error: unknown, command: Command, label: string, code: number): string {
  if (error instanceof UsageError) return usageMessage(error, command, label);
  if (!(error instanceof Error)) return String(error);
  if (isOutOfMemory(error)) return `this machine has not enough memory: ${error.message}`;
  if (code === exitCode.internal) {
    return `internal error: ${error.message}; please report it (${debugVariable}=1 shows where)`;
  }
  if (!(error instanceof OpError)) return `cannot write to the standard output: ${error.message}`;
  // The line begins with the command already; the reader's module and the command itself would only repeat.
  const known = error instanceof FormatError || error instanceof FileError || label.endsWith(` ${error.op}`);
  const prefix = `${error.op}: `;
  return known && error.message.startsWith(prefix) ? error.message.slice(prefix.length) : error.message;
}

function usageMessage(error: UsageError, command: Command, label: string): string {
  // Commander's way to say that a command was called without one of its own commands.
  if (error.code === 'commander.help') {
    const names = command.commands.map((c) => c.name()).join(', ');
    return `a command is missing, one of ${names}; see ${label} --help`;
  }
  return error.message.replace(/\s*\n\(Did you mean (.*)\?\)$/s, (_, names) => `, did you mean ${names}?`);
}

/** V8 reports a typed array or string that does not fit as a RangeError. */
function isOutOfMemory(error: unknown): boolean {
  return (
    error instanceof RangeError &&
    /allocation failed|invalid (typed )?array (buffer )?length/i.test(error.message)
  );
}

/** A failure while something was being disposed hides the failure before it; that one is what happened. */
function original(error: unknown): unknown {
  let found = error;
  // By name: Node 22 has no such class, and compiled code brings its own.
  while (found instanceof Error && found.name === 'SuppressedError')
    found = (found as SuppressedError).suppressed;
  return found;
}

/**
 * Text from files and users as one line that cannot steer a terminal: control characters and characters that
 * reorder text are shown as escapes, and what is very long is cut.
 */
export function oneLine(text: string): string {
  const cut = text.length > 2000 ? `${text.slice(0, 2000)}...` : text;
  return cut
    .replace(/\s*\n\s*/g, ' ')
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`);
}

function all(command: Command): Command[] {
  return [command, ...command.commands.flatMap(all)];
}

function pathOf(program: Command, command: Command): string {
  const names: string[] = [];
  for (let c: Command | null = command; c !== null && c !== program; c = c.parent) names.unshift(c.name());
  return [program.name(), ...names].join(' ');
}

/** Write data to the standard output. Everything that is not data goes to {@link say} or a progress line. */
export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

/** Write a remark to the standard error. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** A line on stderr that is rewritten in place, at most 20 times a second; silent where stderr is no terminal. */
export function progress(): { show(text: string): void; clear(): void } {
  const { isTTY, columns = 80 } = process.stderr;
  let last = Number.NEGATIVE_INFINITY;
  const write = (text: string): void => {
    if (isTTY) process.stderr.write(`\r\u001b[K${text}`);
  };
  return {
    show(text) {
      // Nobody reads more; some work tells of each of 100,000 steps.
      if (performance.now() - last < 50) return;
      last = performance.now();
      write(oneLine(text).slice(0, columns - 1));
    },
    clear: () => write(''),
  };
}
