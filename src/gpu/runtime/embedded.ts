import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { homedir, tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';

/** A software Vulkan driver unpacked on this machine, with a Vulkan loader beside it. */
export interface EmbeddedDriver {
  /** The manifest that the Vulkan loader reads. */
  readonly icd: string;
  /** The Vulkan loader itself, for machines that have none. */
  readonly loader: string;
  /** The version of the npm package it came from. */
  readonly version: string;
}

const archiveName = 'swiftshader.tar.br';
const wanted = ['libvk_swiftshader.so', 'libvulkan.so.1', 'vk_swiftshader_icd.json'] as const;

/**
 * SwiftShader as npm package `@sparticuz/chromium` carries it, unpacked once into a per-user cache folder.
 * The folder's name is the hash of the archive; its manifest lists size and hash of each file, checked on every use.
 * @returns undefined, with the reason in `explain`, where the package is not installed or not built for this machine
 */
export function embeddedDriver(explain: (reason: string) => void = () => {}): EmbeddedDriver | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    explain(
      `the npm package has a driver for Linux on x64 only, this is ${process.platform} on ${process.arch}`,
    );
    return undefined;
  }
  const found = findPackage();
  if (found === undefined) {
    explain(
      'the npm package @sparticuz/chromium is not installed (npm install --save-dev @sparticuz/chromium)',
    );
    return undefined;
  }
  const archive = readFileSync(found.archive);
  const id = sha256(archive).slice(0, 16);
  for (const base of cacheFolders()) {
    const folder = join(base, `swiftshader-${found.version}-${id}`);
    try {
      if (!verified(folder)) unpack(archive, base, folder);
      if (verified(folder)) {
        const [, loader, icd] = wanted.map((name) => join(folder, name)) as [string, string, string];
        return { icd, loader, version: found.version };
      }
    } catch (error) {
      explain(`cannot unpack it into ${folder}: ${(error as Error).message}`);
    }
  }
  return undefined;
}

function findPackage(): { archive: string; version: string } | undefined {
  const require = createRequire(import.meta.url);
  // The package does not export its package.json, so its folder is found from its entry point.
  let folder: string;
  try {
    folder = dirname(require.resolve('@sparticuz/chromium'));
  } catch {
    return undefined;
  }
  while (!existsSync(join(folder, 'bin', archiveName))) {
    const up = dirname(folder);
    if (up === folder) return undefined;
    folder = up;
  }
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string };
  return { archive: join(folder, 'bin', archiveName), version };
}

/** Where to unpack, best first: the user's cache folder, else a private folder among the temporary files. */
function cacheFolders(): string[] {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return [join(cache, 'subvocab'), join(tmpdir(), `subvocab-${userInfo().uid}`)];
}

function unpack(archive: Uint8Array, base: string, folder: string): void {
  mkdirSync(base, { recursive: true, mode: 0o700 });
  // Another user's folder of that name (possible among the temporary files) must not hand us a library to load.
  if (statSync(base).uid !== userInfo().uid) throw new Error(`${base} belongs to another user`);
  const files = readTar(brotliDecompressSync(archive));
  const temporary = mkdtempSync(join(base, '.unpack-'));
  try {
    const manifest: Record<string, { size: number; sha256: string }> = {};
    for (const name of wanted) {
      const bytes = files.get(name);
      if (bytes === undefined) throw new Error(`${archiveName} holds no ${name}`);
      writeFileSync(join(temporary, name), bytes, { mode: 0o755 });
      manifest[name] = { size: bytes.length, sha256: sha256(bytes) };
    }
    writeFileSync(join(temporary, 'manifest.json'), JSON.stringify(manifest, null, 2));
    if (existsSync(folder) && !verified(folder)) rmSync(folder, { recursive: true, force: true });
    renameSync(temporary, folder);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    // Lost a race: somebody else has just put a good folder in place.
    if (!verified(folder)) throw error;
  }
}

function verified(folder: string): boolean {
  try {
    const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
    return wanted.every((name) => {
      const path = join(folder, name);
      return (
        statSync(path).size === manifest[name].size && sha256(readFileSync(path)) === manifest[name].sha256
      );
    });
  } catch {
    return false;
  }
}

/** The regular files of a tar archive (ustar: 512-byte headers, name at 0, octal size at 124, type at 156). */
function readTar(tar: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const text = (at: number, length: number): string =>
    Buffer.from(tar.subarray(at, at + length))
      .toString('latin1')
      .replace(/\0.*$/s, '');
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12), 8);
    if (!(size >= 0) || at + 512 + size > tar.length) throw new Error('the archive is damaged');
    const type = text(at + 156, 1);
    if (type === '0' || type === '')
      files.set(text(at, 100).replace(/^\.\//, ''), tar.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
