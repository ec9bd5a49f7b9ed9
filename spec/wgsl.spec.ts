import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { linkWgsl, readWgsl } from '../src/gpu/index.ts';
import { embeddedDriver } from '../src/gpu/runtime/embedded.ts';

// Plan: each WGSL file is a product of its own. Every file links (all that it uses exists), and naga, the compiler of
// wgpu and so of Rust, Python and Firefox, accepts it; Dawn compiles them whenever the other specs run. Files that need
// an `enable` which naga lacks carry a suffix, and the plain file beside them is the portable one.

const folder = fileURLToPath(new URL('../src/gpu/', import.meta.url));
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((f) => f.endsWith('.wgsl'))
  .map((f) => f.replaceAll('\\', '/'))
  .sort();

describe('WGSL files', () => {
  test('there are some', () => {
    expect(files).toContain('cummax.wgsl');
  });

  test.each(files)('%s starts with what it is for, and links', (file) => {
    expect(readWgsl(file)).toMatch(/^(\/\/|enable )/);
    expect(() => linkWgsl(file)).not.toThrow();
  });

  test('a file with a suffix has a plain file beside it', () => {
    for (const f of files) {
      const suffixed = f.match(/^(.*)\.(subgroups|f16)\.wgsl$/);
      if (suffixed) expect(files).toContain(`${suffixed[1]}.wgsl`);
    }
  });

  test('naga compiles every file that has no `enable`', () => {
    const portable = files.filter((f) => !/^enable /m.test(linkWgsl(f)));
    const results = naga(Object.fromEntries(portable.map((f) => [f, linkWgsl(f)])));
    expect(results).toEqual(Object.fromEntries(portable.map((f) => [f, null])));
  });

  test('naga refuses a file that is wrong', () => {
    const results = naga({ broken: readWgsl('cummax.wgsl').replace('var state', 'var state: nothing') });
    expect(results.broken).toMatch(/nothing|unresolved|unknown/i);
  });
});

/** Compile with Deno's wgpu, on whatever Vulkan driver there is, the embedded one included. */
function naga(sources: Record<string, string>): Record<string, string | null> {
  const deno = join(dirname(createRequire(import.meta.url).resolve('deno/package.json')), 'bin.cjs');
  const driver = embeddedDriver();
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1' };
  if (driver !== undefined) {
    env.VK_ADD_DRIVER_FILES = driver.icd;
    env.LD_LIBRARY_PATH = [process.env.LD_LIBRARY_PATH, dirname(driver.loader)].filter(Boolean).join(':');
  }
  const script = fileURLToPath(new URL('support/naga.js', import.meta.url));
  const run = spawnSync(process.execPath, [deno, 'run', '--no-prompt', '--allow-env', script], {
    input: JSON.stringify(sources),
    env,
    encoding: 'utf8',
  });
  expect(run.status, run.stderr).toBe(0);
  return JSON.parse(run.stdout) as Record<string, string | null>;
}
