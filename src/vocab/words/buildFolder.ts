import * as fs from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { FileError } from '../../core/errors.ts';
import { kindOfIndex } from './wordFormat.ts';

const who = 'index build';

/** The folder in which an index is built, taken by this process. */
export interface BuildFolder extends Disposable {
  /** Where the index goes: absolute, links followed. */
  readonly target: string;
  /** `<target>.building` */
  readonly folder: string;
  /** Whether an earlier build with the same settings was here. */
  readonly resumes: boolean;
  /** The folder becomes the index; what was there before goes away. */
  finish(): void;
}

/**
 * Take the folder in which the index `path` is built: nobody else builds there, and what an earlier build left belongs to a
 * call with the same settings.
 *
 * While it is replaced, the old index lies in the new one's folder, as `old`: whenever the process is killed, either the old or the
 * new index is there under its name, or both are in `<path>.building`, and the next call puts the old one back.
 * @throws FileError
 */
export function takeBuildFolder(path: string, settings: string): BuildFolder {
  const target = checkTarget(path);
  const folder = `${target}.building`;
  const unlock = lockFolder(path, folder);
  try {
    const old = join(folder, 'old');
    if (fs.existsSync(old)) {
      if (fs.existsSync(target)) fs.rmSync(old, { recursive: true });
      else fs.renameSync(old, target);
    }
    const file = join(folder, 'settings.json');
    const earlier = readIfThere(file);
    const other = fs.readdirSync(folder).find((name) => !/^(lock.*|settings\.json\.part)$/.test(name));
    if (earlier === undefined && other !== undefined)
      throw new FileError(
        who,
        `${folder} holds ${other}, and no settings of a build that was stopped; remove the folder`,
      );
    if (earlier !== undefined && earlier !== settings)
      throw new FileError(
        who,
        `${folder} holds a build with other settings, or of other vectors, that was stopped; repeat that one, or remove the folder`,
      );
    writeWhole(file, settings);
    return {
      target,
      folder,
      resumes: earlier !== undefined,
      finish() {
        if (fs.existsSync(target)) fs.renameSync(target, old);
        fs.renameSync(folder, target);
        for (const name of ['old', 'settings.json', 'lock'])
          fs.rmSync(join(target, name), { recursive: true, force: true });
        syncFolder(dirname(target));
      },
      [Symbol.dispose]: unlock,
    };
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Write a file so that it is complete or not there, also after the power was lost. */
export function writeWhole(file: string, data: string | Uint8Array): void {
  const part = `${file}.part`;
  const fd = fs.openSync(part, 'w');
  try {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    for (let at = 0; at < bytes.length; )
      at += fs.writeSync(fd, bytes, at, Math.min(bytes.length - at, 2 ** 26));
    fs.fsyncSync(fd);
  } catch (error) {
    // On a full disk, what was not written to its end is in the way.
    fs.rmSync(part, { force: true });
    throw error;
  } finally {
    fs.closeSync(fd);
  }
  fs.renameSync(part, file);
}

function syncFolder(folder: string): void {
  // Some systems cannot; then the rename is as durable as they make it.
  try {
    const fd = fs.openSync(folder, 'r');
    fs.fsyncSync(fd);
    fs.closeSync(fd);
  } catch {}
}

/** Everything that would make the last step fail is refused before the first. */
function checkTarget(path: string): string {
  const name = resolve(path);
  if (path === '' || basename(name) === '')
    throw new FileError(who, `${path || '""'} is no name for an index`);
  const link = fs.lstatSync(name, { throwIfNoEntry: false });
  const there = fs.statSync(name, { throwIfNoEntry: false });
  if (link !== undefined && there === undefined)
    throw new FileError(who, `${path} is a link to something that does not exist; choose another folder`);
  if (there === undefined) return name;
  const target = fs.realpathSync(name);
  // A folder with anything else may be precious.
  const mine =
    there.isDirectory() && (fs.readdirSync(target).length === 0 || kindOfIndex(target) !== undefined);
  if (!mine) throw new FileError(who, `${path} exists and is not an index; choose another folder`);
  if (there.dev !== fs.statSync(dirname(target)).dev)
    throw new FileError(
      who,
      `${path} is a mount point, which cannot be replaced; choose a folder in it, such as ${join(path, 'index')}`,
    );
  return target;
}

/** Make the lock of a folder, and the folder. @returns what takes the lock away */
function lockFolder(path: string, folder: string): () => void {
  const lock = join(folder, 'lock');
  const own = signature();
  for (;;) {
    try {
      fs.mkdirSync(folder);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST')
        throw new FileError(who, `cannot make ${folder}: ${(error as Error).message}`, { cause: error });
      if (!fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory())
        throw new FileError(who, `${folder} is no folder, and the index is built there; remove it`);
    }
    try {
      fs.writeFileSync(lock, own, { flag: 'wx' });
    } catch (error) {
      // Whoever was here has finished in between, and the folder is gone.
      if (codeOf(error) === 'ENOENT') continue;
      if (codeOf(error) !== 'EEXIST') {
        // On a full disk it may be there, without the signature: nobody's.
        if (own.startsWith(readIfThere(lock) ?? '-')) fs.rmSync(lock, { force: true });
        throw error;
      }
      breakLock(path, lock);
      continue;
    }
    // One that took the lock for that of a process that was killed may have it in hands; it sees the mistake at once.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30);
    if (readIfThere(lock) === own) break;
  }
  return () => {
    if (readIfThere(lock) === own) fs.rmSync(lock);
  };
}

/** Remove the lock of a process that was killed. @throws FileError where it may run */
function breakLock(path: string, lock: string): void {
  const text = readIfThere(lock);
  if (text === undefined) return;
  const owner = stateOf(text);
  const busy = `process ${text.split(' ')[0]} is building ${path} already`;
  if (owner === 'running') throw new FileError(who, `${busy}; wait for it`);
  if (owner === 'unknown')
    throw new FileError(
      who,
      `${busy}, it seems, on another machine or in another container; if it no longer runs, remove ${lock}`,
    );
  // An empty lock is one whose process has made it and not yet signed it, or died in between.
  const made = fs.statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (text === '' && Date.now() - made < 5000)
    throw new FileError(who, `another process has begun to build ${path}; try again in 5 seconds`);
  // Of several that see this, one moves the lock away; whoever moved another one puts it back.
  const aside = `${lock}.${process.pid}`;
  try {
    fs.renameSync(lock, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  try {
    // Unlike a rename, a link replaces no lock that a third one has made by now.
    if (readIfThere(aside) !== text) fs.linkSync(aside, lock);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  } finally {
    fs.rmSync(aside, { force: true });
  }
}

/** Who holds a lock: process, start of it, machine since it was started, container, name of the machine. */
function signature(): string {
  return [process.pid, startOf(process.pid), ...place()].join(' ');
}

function stateOf(text: string): 'running' | 'gone' | 'unknown' {
  const [pid = '', start, boot, space, host] = text.split(' ');
  const [ownBoot, ownSpace, ownHost] = place();
  if (host !== undefined) {
    if (host !== ownHost) return 'unknown';
    // The machine was started again: nothing of before runs.
    if (boot !== ownBoot) return 'gone';
    if (space !== ownSpace) return 'unknown';
  }
  if (!isRunning(Number(pid))) return 'gone';
  // Another process may have its number by now.
  return start === undefined || start === startOf(Number(pid)) ? 'running' : 'gone';
}

/** Linux tells these; elsewhere the number of the process and the name of the machine must do. */
function place(): [string, string, string] {
  const tell = (ask: () => string): string => {
    try {
      return ask().trim().replaceAll(' ', '_') || '-';
    } catch {
      return '-';
    }
  };
  return [
    tell(() => fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')),
    tell(() => fs.readlinkSync('/proc/self/ns/pid')),
    tell(hostname),
  ];
}

/** When a process was started, in ticks since the machine was. */
function startOf(pid: number): string {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '-';
  } catch {
    return '-';
  }
}

function isRunning(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
