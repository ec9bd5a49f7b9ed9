import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

// Plan: what people install is what was tested. The package is built and packed, unpacked into an empty folder beside its
// dependencies, and used there from plain JavaScript: the command, one operator on each twin, the models, the WGSL files, the types.

const root = fileURLToPath(new URL('..', import.meta.url));
let folder = '';

function node(
  args: readonly string[],
  env: Record<string, string> = {},
): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, args, {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'subvocab-package-'));
  const out = join(folder, 'node_modules/subvocab');
  mkdirSync(out, { recursive: true });
  const build = spawnSync(process.execPath, [join(root, 'scripts/build.ts'), join(out, 'dist')], {
    encoding: 'utf8',
    cwd: root,
  });
  expect(build.status, build.stdout + build.stderr).toBe(0);
  writeFileSync(join(out, 'package.json'), readFileSync(join(root, 'package.json')));
  // The dependencies as npm would put them: links to what is installed here.
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const name of Object.keys({ ...dependencies, ...peerDependencies })) {
    const from = join(root, 'node_modules', name);
    if (!existsSync(from)) continue;
    mkdirSync(dirname(join(folder, 'node_modules', name)), { recursive: true });
    symlinkSync(from, join(folder, 'node_modules', name));
  }
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the built package', () => {
  test('runs the command', () => {
    const run = node(['node_modules/subvocab/dist/cli/main.js', 'doctor', '--json']);
    expect(run.status, run.stderr).toBe(0);
    expect(JSON.parse(run.stdout).adapter.name).not.toBe('');
  });

  test('runs an operator on each twin from JavaScript', () => {
    writeFileSync(
      join(folder, 'use.mjs'),
      `import { openGpu, tensor } from 'subvocab';
       import * as ref from 'subvocab/ref';
       const x = tensor([2, 4], [0.1, 2, -1, 2, 0, 0, 3, 1]);
       const gpu = await openGpu();
       const gx = gpu.upload(x);
       const got = gpu.ops.cummax(gx, { axis: 1 });
       const values = await got.values.read();
       console.log(JSON.stringify([[...values.data], [...ref.cummax(x, { axis: 1 }).values.data]]));
       got[Symbol.dispose]();
       gx[Symbol.dispose]();
       await gpu[Symbol.asyncDispose]();`,
    );
    const run = node(['use.mjs']);
    expect(run.status, run.stderr).toBe(0);
    const [gpu, ref] = JSON.parse(run.stdout);
    expect(gpu).toEqual(ref);
    expect(gpu).toHaveLength(8);
  });

  test('runs the program of docs/subVocab.md, and has every model', () => {
    const chapter = readFileSync(join(root, 'docs/subVocab.md'), 'utf8');
    const program = /```ts\n([\s\S]*?)```/.exec(chapter)?.[1] ?? '';
    const told =
      'console.log(JSON.stringify([[...positions], words.length, [...local], logits.shape, report, answers.map((a) => a.asked)]));';
    writeFileSync(join(folder, 'model.mjs'), `${program}\n${told}`);
    const run = node(['model.mjs']);
    expect(run.status, run.stderr).toBe(0);
    const [asked, drawn, local, shape, report, answered] = JSON.parse(run.stdout);
    expect([asked, drawn, shape]).toEqual([[1, 3], 6, [1, 4, 6]]);
    expect(local[0]).toBe(0);
    expect(report.loss).toBeGreaterThan(0);
    expect(answered).toEqual([-1, -1, 0, 0, 0, 1]);
    writeFileSync(
      join(folder, 'models.mjs'),
      `const has = [['samOut', 'SamOutTrainer'], ['subVocab', 'SubVocabTrainer'], ['zett', 'ZettTrainer'], ['boundary', 'rollBack']];
       for (const [model, name] of has)
         if (typeof (await import('subvocab/models/' + model))[name] !== 'function') throw new Error(model);`,
    );
    const all = node(['models.mjs']);
    expect(all.status, all.stderr).toBe(0);
  });

  test('exports the WGSL files, each beside its host', () => {
    writeFileSync(join(folder, 'wgsl.mjs'), `console.log(import.meta.resolve('subvocab/wgsl/cummax.wgsl'));`);
    const run = node(['wgsl.mjs']);
    expect(run.status, run.stderr).toBe(0);
    expect(readFileSync(fileURLToPath(run.stdout.trim()), 'utf8')).toContain('fn cummax(');
    const wgsl = (base: string): string[] =>
      readdirSync(base, { recursive: true, encoding: 'utf8' })
        .filter((f) => f.endsWith('.wgsl'))
        .sort();
    expect(wgsl(join(folder, 'node_modules/subvocab/dist/gpu'))).toEqual(wgsl(join(root, 'src/gpu')));
  });

  test('has types that a strict program accepts', () => {
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    writeFileSync(
      join(folder, 'use.ts'),
      `import { openGpu, tensor, type Gpu, type GpuTensor } from 'subvocab';
       import { cummax } from 'subvocab/ref';
       const gpu: Gpu = await openGpu();
       const x: GpuTensor = gpu.upload(tensor([2], [1, 2]));
       const n: number = cummax(tensor([2], [1, 2]), { axis: 0 }).values.size;
       // @ts-expect-error an option that does not exist
       gpu.ops.cummax(x, { axes: 1 });
       console.log(n);`,
    );
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'];
    const run = node([
      tsc,
      '--noEmit',
      '--strict',
      '--skipLibCheck',
      '--module',
      'nodenext',
      '--target',
      'esnext',
      ...types,
      'use.ts',
    ]);
    expect(run.status, run.stdout).toBe(0);
  });

  test('packs what it promises and nothing else', () => {
    const run = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: root,
      encoding: 'utf8',
    });
    expect(run.status, run.stderr).toBe(0);
    const parsed = JSON.parse(run.stdout);
    const files: string[] = (Array.isArray(parsed) ? parsed[0] : Object.values(parsed)[0]).files.map(
      (f: { path: string }) => f.path,
    );
    expect(files).toContain('package.json');
    expect(files).toContain('LICENSE');
    expect(
      files.filter((f) => !/^(dist\/|spec\/vectors\/|README|CHANGELOG|LICENSE|package\.json)/.test(f)),
    ).toEqual([]);
  });
});
