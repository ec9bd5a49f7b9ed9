import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { FileError, FormatError } from '../errors.ts';
import {
  type AnnIndex,
  type AnnTensors,
  annIndex,
  type Metric,
  shapeOfIndex,
} from '../ops/hierarchicalAnn.ts';
import { Tensor } from '../tensor.ts';
import { annFields, checkHash, checkIndex, checkSizes } from './annIndex.ts';
import { encode } from './dtypes.ts';
import { binChunks, openBin } from './fbin.ts';
import { openFile, writeFiles } from './files.ts';
import { readBytes } from './source.ts';

const who = 'index';
const format = 'subvocab-index';
const version = 1;
const metaLimit = 2 ** 20;
const window = 2 ** 24;

/** meta.json of an index folder. */
interface Meta {
  readonly format: string;
  readonly version: number;
  readonly metric: Metric;
  readonly vectors: number;
  readonly dimensions: number;
  readonly levels: readonly number[];
  /** What the index was built with: for people. */
  readonly build: unknown;
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
}

/**
 * Write an index as a folder: meta.json and one file per tensor, `.fbin` for floats and `.ibin` for integers (as one column).
 * The folder is made under another name and renamed at the end, so that it is complete or not there. An older index of
 * that name is replaced; anything else is refused.
 * @param build what meta.json tells about how it was made
 * @throws FileError
 */
export async function writeAnnFolder(
  path: string,
  index: AnnIndex<Tensor>,
  build: unknown = {},
): Promise<void> {
  checkAnnFolder(path);
  const { n, d, metric, levels } = shapeOfIndex(who, index);
  const sizes = levels.map((l) => l.size);
  const target = resolve(path);
  const suffix = randomBytes(6).toString('hex');
  const temporary = join(dirname(target), `.${basename(target)}-${suffix}.tmp`);
  const release = removeOnExit(temporary);
  try {
    attempt(path, () => fs.mkdirSync(temporary));
    const files: Record<string, { bytes: number; sha256: string }> = {};
    for (const { name, stored, shape } of annFields(n, d, sizes)) {
      const file = fileOf(name, stored);
      const chunks =
        stored === 'F32' ? binChunks(index[name]!, 'fbin') : columnChunks(index[name]!, shape[0]!);
      const hash = createHash('sha256');
      for (const chunk of chunks) hash.update(chunk);
      files[file] = { bytes: chunks.reduce((sum, c) => sum + c.length, 0), sha256: hash.digest('hex') };
      await writeFiles(who, [{ path: join(temporary, file), chunks }]);
    }
    const meta: Meta = { format, version, metric, vectors: n, dimensions: d, levels: sizes, build, files };
    await writeFiles(who, [
      { path: join(temporary, 'meta.json'), chunks: [`${JSON.stringify(meta, null, 1)}\n`] },
    ]);
    attempt(path, () => {
      // A folder cannot be renamed over another: the old one steps aside first.
      const old = `${temporary}.old`;
      const replaces = fs.existsSync(target);
      if (replaces) fs.renameSync(target, old);
      fs.renameSync(temporary, target);
      if (replaces) fs.rmSync(old, { recursive: true, force: true });
    });
  } finally {
    fs.rmSync(temporary, { recursive: true, force: true });
    release();
  }
}

/** Refuse a folder that an index cannot be written to, before any work is done for it. @throws FileError */
export function checkAnnFolder(path: string): void {
  const target = resolve(path);
  const there = attempt(path, () => fs.statSync(target, { throwIfNoEntry: false }));
  if (there !== undefined && !there.isDirectory())
    throw new FileError(who, `${path} exists and is not a folder`);
  if (there !== undefined && fs.readdirSync(target).length > 0 && readMeta(path, false) === undefined) {
    throw new FileError(who, `${path} exists and is not an index; choose another folder`);
  }
  const parent = attempt(path, () => fs.statSync(dirname(target), { throwIfNoEntry: false }));
  if (!parent?.isDirectory())
    throw new FileError(who, `cannot write ${path}: the folder ${dirname(target)} does not exist`);
  attempt(path, () => fs.accessSync(dirname(target), fs.constants.W_OK));
}

/**
 * Read an index folder.
 * @throws FileError when it cannot be read; FormatError when anything is not as it must be: version, sizes, lengths and
 * SHA-256 of the files, and what `checkIndex` checks
 */
export function readAnnFolder(path: string): AnnIndex<Tensor> {
  const fail = (message: string): FormatError => new FormatError(who, `${path}: ${message}`);
  const meta = readMeta(path, true)!;
  const { vectors: n, dimensions: d, levels, metric } = meta;
  checkSizes(fail, n, d, levels);
  const fields = annFields(n, d, levels);
  const names = fields.map(({ name, stored }) => fileOf(name, stored));
  const extra = Object.keys(meta.files).find((name) => !names.includes(name));
  if (extra !== undefined)
    throw fail(
      `meta.json names the file ${JSON.stringify(extra)}, which an index of ${levels.length} levels does not have`,
    );
  const tensors: Record<string, Tensor> = {};
  for (const [i, { name, stored, shape }] of fields.entries()) {
    const file = names[i]!;
    const entry = meta.files[file];
    if (entry === undefined) throw fail(`meta.json does not name the file ${file}`);
    using source = openFile(who, join(path, file));
    if (source.size !== entry.bytes) throw fail(`${file} has ${source.size} bytes, not ${entry.bytes}`);
    const rows = openBin(source, stored === 'F32' ? 'fbin' : 'ibin');
    const columns = shape[1] ?? 1;
    if (rows.rows !== shape[0] || rows.columns !== columns) {
      throw fail(`${file} holds ${rows.rows} rows of ${rows.columns}, not ${shape[0]} of ${columns}`);
    }
    const read = rows.read();
    const hash = createHash('sha256').update(readBytes(source, 0, 8));
    const bytes = encode(read.data);
    for (let at = 0; at < bytes.length; at += window) hash.update(bytes.subarray(at, at + window));
    checkHash(fail, hash, Buffer.from(entry.sha256, 'hex'), `the contents of ${file}`);
    tensors[name] = read.shape.length === shape.length ? read : flat(read, shape[0]!);
  }
  const index = annIndex(metric, tensors as unknown as AnnTensors<Tensor>);
  checkIndex(fail, index);
  return index;
}

/** meta.json, checked as far as it stands alone. @returns undefined if there is none and none is needed */
function readMeta(path: string, needed: boolean): Meta | undefined {
  const file = join(path, 'meta.json');
  const fail = (message: string): FormatError => new FormatError(who, `${file}: ${message}`);
  if (!needed && !fs.existsSync(file)) return undefined;
  if (!fs.existsSync(path)) {
    const old = aside(path);
    if (old !== undefined)
      throw new FileError(
        who,
        `there is no ${path}, but ${old}, which was there when a build was killed; rename it, or build again`,
      );
  }
  // A pipe would be waited for.
  if (fs.statSync(file, { throwIfNoEntry: false })?.isFile() === false) throw fail('it is no file');
  using source = openFile(who, file);
  if (source.size > metaLimit) throw fail(`${source.size} bytes are too many for it`);
  let meta: Partial<Meta>;
  try {
    meta = JSON.parse(Buffer.from(readBytes(source, 0, source.size)).toString('utf8'));
  } catch (error) {
    if (!needed) return undefined;
    throw fail(`it is not JSON: ${(error as Error).message}`);
  }
  if (typeof meta !== 'object' || meta === null || meta.format !== format) {
    if (!needed) return undefined;
    throw fail(`it is not that of an index (format is not "${format}")`);
  }
  if (meta.version !== version)
    throw fail(`it has version ${JSON.stringify(meta.version)}; this package reads version ${version}`);
  if (!['ip', 'l2', 'cosine'].includes(meta.metric as string))
    throw fail(`the metric ${JSON.stringify(meta.metric)} is unknown`);
  for (const name of ['vectors', 'dimensions'] as const) {
    if (!Number.isSafeInteger(meta[name]) || (meta[name] as number) < 0)
      throw fail(`${name} is ${JSON.stringify(meta[name])}; it must be an integer`);
  }
  if (!Array.isArray(meta.levels) || !meta.levels.every((size) => Number.isSafeInteger(size))) {
    throw fail(`levels is ${JSON.stringify(meta.levels)}; it must be a list of integers`);
  }
  const files = meta.files as unknown;
  if (typeof files !== 'object' || files === null) throw fail('files is missing');
  for (const [name, entry] of Object.entries(
    files as Record<string, Partial<Meta['files'][string]> | null>,
  )) {
    const hex = entry?.sha256;
    if (!Number.isSafeInteger(entry?.bytes) || typeof hex !== 'string' || !/^[0-9a-f]{64}$/.test(hex)) {
      throw fail(`the entry of ${JSON.stringify(name)} does not hold its length and SHA-256`);
    }
  }
  return meta as Meta;
}

/** The index that stepped aside for another one, of a build that was killed between the two renames. */
function aside(path: string): string | undefined {
  const target = resolve(path);
  const begin = `.${basename(target)}-`;
  if (!fs.existsSync(dirname(target))) return undefined;
  const found = fs
    .readdirSync(dirname(target))
    .find((name) => name.startsWith(begin) && /^[0-9a-f]{12}\.tmp\.old$/.test(name.slice(begin.length)));
  return found === undefined ? undefined : join(dirname(target), found);
}

function fileOf(name: string, stored: 'F32' | 'I32'): string {
  return `${name}.${stored === 'F32' ? 'fbin' : 'ibin'}`;
}

/** Integers as a file of one column. */
function columnChunks(t: Tensor, rows: number): Uint8Array[] {
  const head = new DataView(new ArrayBuffer(8));
  head.setUint32(0, rows, true);
  head.setUint32(4, 1, true);
  return [new Uint8Array(head.buffer), encode(t.data)];
}

function flat(t: Tensor, rows: number): Tensor {
  return new Tensor(t.dtype, [rows], t.data);
}

/** Remove a folder when the process ends before it is complete; returns what takes the listeners away again. */
function removeOnExit(folder: string): () => void {
  const remove = (): void => fs.rmSync(folder, { recursive: true, force: true });
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const onSignal = (signal: NodeJS.Signals): void => {
    remove();
    release();
    // Listeners replaced the default action, which is to die of the signal. If nobody else listens, restore it.
    if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
  };
  const release = (): void => {
    process.off('exit', remove);
    for (const signal of signals) process.off(signal, onSignal);
  };
  process.on('exit', remove);
  for (const signal of signals) process.on(signal, onSignal);
  return release;
}

function attempt<R>(path: string, action: () => R): R {
  try {
    return action();
  } catch (error) {
    throw new FileError(who, `cannot write ${path}: ${(error as Error).message}`, { cause: error });
  }
}
