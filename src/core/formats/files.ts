import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { ArgumentError, FileError, FormatError } from '../errors.ts';
import { type ByteSource, fromBytes } from './source.ts';

/** One file to write: a path, and its bytes in order. Strings are written as UTF-8. */
export interface OutputFile {
  readonly path: string;
  readonly chunks: Iterable<Uint8Array | string> | AsyncIterable<Uint8Array>;
}

/** One write call takes at most this much, so that a signal is answered between two. */
const WRITE_BYTES = 16 * 2 ** 20;
/** One read call takes at most this much: the system call itself ends at 2^31. */
const READ_BYTES = 2 ** 30;
/** A pipe tells no length and has to be kept in memory; nothing beyond this is read from one. */
const PIPE_LIMIT = 2 ** 31;

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Write files so that each is either complete or as it was: the bytes go to a temporary file in the same folder,
 * are forced to the disk, and only when all files are there the temporaries take the final names.
 * A failure, an exception from `chunks`, SIGINT, SIGTERM, SIGHUP or `process.exit` removes the temporaries.
 * Links are followed; devices and pipes are written directly, since a rename would replace them by a file.
 * @param op who writes, for messages
 * @throws FileError when a file cannot be written; ArgumentError when two of them are the same file
 */
export async function writeFiles(op: string, files: readonly OutputFile[]): Promise<void> {
  const checked = checkOutputs(
    op,
    files.map((file) => file.path),
  );
  const targets = files.map((file, i) => ({ ...file, ...checked[i]! }));
  const temporaries = new Map<string, string>();
  const release = removeOnExit(temporaries);
  try {
    for (const { path, real, direct, mode, chunks } of targets) {
      const written = direct ? real : join(dirname(real), `.subvocab-${randomBytes(9).toString('hex')}.tmp`);
      if (!direct) temporaries.set(written, real);
      await attempt(op, path, () => writeChunks(written, direct ? 'w' : 'wx', mode, chunks));
    }
    for (const [temporary, real] of temporaries) {
      await attempt(op, real, () => {
        // Somebody may have put a device there since it was checked; a rename would destroy it.
        const there = fs.statSync(real, { throwIfNoEntry: false });
        if (there !== undefined && !there.isFile())
          throw new FileError(op, `cannot write ${real}: it is no file`);
        fs.renameSync(temporary, real);
      });
      temporaries.delete(temporary);
      syncFolder(dirname(real));
    }
  } finally {
    removeAll(temporaries);
    release();
  }
}

/** Where an output really goes: the path behind links, whether in place, and the permissions to keep. */
export interface OutputTarget {
  readonly real: string;
  readonly direct: boolean;
  readonly mode: number | undefined;
}

/**
 * Refuse output paths that cannot be written, or are the same file, before any work is done for them. Touches nothing.
 * @throws FileError, ArgumentError
 */
export function checkOutputs(op: string, paths: readonly string[]): OutputTarget[] {
  const targets = paths.map((path) => checkWritable(op, path));
  const twice = targets.findIndex(({ real }, i) => targets.findIndex((t) => t.real === real) !== i);
  if (twice >= 0) throw new ArgumentError(op, `${paths[twice]} is named twice as an output`);
  return targets;
}

function checkWritable(op: string, path: string): OutputTarget {
  if (path === '') throw new ArgumentError(op, 'an output path is empty');
  if (path.includes('\0')) throw new ArgumentError(op, 'an output path holds a NUL character');
  try {
    const there = fs.statSync(path, { throwIfNoEntry: false });
    if (there?.isDirectory()) throw Object.assign(new Error('is a folder'), { code: 'EISDIR' });
    if (there !== undefined) {
      fs.accessSync(path, fs.constants.W_OK);
      if (!there.isFile()) return { real: path, direct: true, mode: undefined };
    } else if (fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
      throw new FileError(op, `cannot write ${path}: it is a link to something that does not exist`);
    }
    const real = there === undefined ? resolve(path) : fs.realpathSync(path);
    if (there === undefined && /[\\/]$/.test(path)) {
      throw new FileError(op, `cannot write ${path}: it names a folder; add a file name`);
    }
    const folder = fs.statSync(dirname(real), { throwIfNoEntry: false });
    if (folder === undefined) {
      throw new FileError(op, `cannot write ${path}: the folder ${dirname(real)} does not exist`);
    }
    if (!folder.isDirectory()) {
      throw new FileError(op, `cannot write ${path}: ${dirname(real)} is not a folder`);
    }
    fs.accessSync(dirname(real), fs.constants.W_OK);
    return { real, direct: false, mode: there && there.mode & 0o777 };
  } catch (error) {
    throw explain(op, 'write', path, error);
  }
}

/** Make a folder for outputs, and those that it is in. One that is there is taken. @throws FileError */
export function makeFolder(op: string, path: string): void {
  if (path === '') throw new ArgumentError(op, 'the path of an output folder is empty');
  try {
    const link = fs.lstatSync(path, { throwIfNoEntry: false });
    if (link?.isSymbolicLink() && !fs.existsSync(path))
      throw new FileError(op, `cannot write ${path}: it is a link to something that does not exist`);
    // Node reports a file system that is read-only as a folder that does not exist.
    let there = resolve(path);
    while (!fs.existsSync(there)) there = dirname(there);
    if (!fs.statSync(there).isDirectory())
      throw new FileError(op, `cannot write ${path}: ${there} is not a folder`);
    fs.accessSync(there, fs.constants.W_OK);
    fs.mkdirSync(path, { recursive: true });
  } catch (error) {
    throw explain(op, 'write', path, error);
  }
}

/**
 * Open a file for reading at any offset. Pipes are read to their end first.
 * @throws FileError when it cannot be opened or read
 */
export function openFile(op: string, path: string): ByteSource & Disposable {
  if (path === '') throw new ArgumentError(op, 'an input path is empty');
  if (path.includes('\0')) throw new ArgumentError(op, 'an input path holds a NUL character');
  let fd = -1;
  try {
    fd = fs.openSync(path, 'r');
    const found = fs.fstatSync(fd);
    if (found.isFile()) return fileSource(op, path, fd, found.size);
    if (found.isDirectory()) throw Object.assign(new Error('is a folder'), { code: 'EISDIR' });
    if (!found.isFIFO() && !found.isSocket()) {
      throw new FileError(op, `cannot read ${path}: it is a device, not a file`);
    }
    const bytes = readPipe(op, path, fd);
    fs.closeSync(fd);
    return { ...fromBytes(bytes, path), [Symbol.dispose]: () => {} };
  } catch (error) {
    if (fd >= 0) fs.closeSync(fd);
    throw explain(op, 'read', path, error);
  }
}

function fileSource(op: string, name: string, fd: number, size: number): ByteSource & Disposable {
  let open = true;
  return {
    name,
    size,
    readInto(offset, target) {
      try {
        for (let at = 0; at < target.length; ) {
          const n = fs.readSync(fd, target, at, Math.min(READ_BYTES, target.length - at), offset + at);
          if (n === 0) throw new FormatError(op, `${name} became shorter while it was read`);
          at += n;
        }
      } catch (error) {
        throw explain(op, 'read', name, error);
      }
    },
    [Symbol.dispose]() {
      if (open) fs.closeSync(fd);
      open = false;
    },
  };
}

function readPipe(op: string, path: string, fd: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const part = new Uint8Array(2 ** 20);
    const n = fs.readSync(fd, part);
    if (n === 0) return Buffer.concat(parts, size);
    parts.push(part.subarray(0, n));
    size += n;
    if (size > PIPE_LIMIT) {
      throw new FileError(
        op,
        `${path} is a pipe with more than ${PIPE_LIMIT} bytes; save it to a file first`,
      );
    }
  }
}

async function writeChunks(
  path: string,
  flag: string,
  mode: number | undefined,
  chunks: OutputFile['chunks'],
): Promise<void> {
  // Synchronous calls: no other thread can create or grow a file after a signal has removed it.
  const fd = fs.openSync(path, flag);
  try {
    for await (const chunk of chunks) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      for (let at = 0; at < bytes.length; ) {
        at += fs.writeSync(fd, bytes, at, Math.min(WRITE_BYTES, bytes.length - at));
        await setImmediate();
      }
    }
    if (mode !== undefined) fs.fchmodSync(fd, mode);
    if (flag === 'wx') fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Without this the rename itself may be lost with the power; some systems cannot sync a folder, which is no error. */
function syncFolder(folder: string): void {
  try {
    const fd = fs.openSync(folder, 'r');
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  } catch {}
}

/** Writes under way, each with its own listeners. */
let writing = 0;

/** Remove the temporaries when the process ends, whichever way; returns what takes the listeners away again. */
function removeOnExit(temporaries: ReadonlyMap<string, string>): () => void {
  const onExit = (): void => removeAll(temporaries);
  const onSignal = (signal: NodeJS.Signals): void => {
    // Somebody else listens, too: that program decides. If it goes on, so does the write; if it exits, `onExit` cleans up.
    if (process.listenerCount(signal) > writing) return;
    removeAll(temporaries);
    release();
    // Listeners replaced the default action, which is to die of the signal. After the last of ours, restore it.
    if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
  };
  writing++;
  let released = false;
  const release = (): void => {
    if (released) return;
    released = true;
    writing--;
    process.off('exit', onExit);
    for (const signal of signals) process.off(signal, onSignal);
  };
  process.on('exit', onExit);
  for (const signal of signals) process.on(signal, onSignal);
  return release;
}

function removeAll(temporaries: ReadonlyMap<string, string>): void {
  for (const path of temporaries.keys()) fs.rmSync(path, { force: true });
}

async function attempt(op: string, path: string, action: () => void | Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    throw explain(op, 'write', path, error);
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of the path is not a folder',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file would be larger than the file system allows',
  ELOOP: 'too many links',
  ENAMETOOLONG: 'the name is too long',
  EMFILE: 'too many files are open',
  EIO: 'the device reported an error',
};

/** Errors of the system become one line that names the file; others pass, and so does EPIPE, which callers expect. */
export function explain(op: string, verb: 'read' | 'write', path: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (!(error instanceof Error) || code === undefined || code === 'EPIPE') return error;
  if (!('syscall' in error) && code !== 'EISDIR') return error;
  return new FileError(op, `cannot ${verb} ${path}: ${reasons[code] ?? error.message}`, { cause: error });
}
