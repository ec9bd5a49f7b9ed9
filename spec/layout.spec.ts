import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { contracts } from '../src/core/ops/index.ts';
import * as gpu from '../src/gpu/operators.ts';
import * as ref from '../src/ref/index.ts';

// Plan: the layout that docs/architecture.md promises is what is there. Every operator has every room under one stem,
// contracts and functions bear the same names, and the two twins never import each other.

const root = fileURLToPath(new URL('..', import.meta.url));
const stems = readdirSync(join(root, 'src/core/ops'))
  .map((f) => basename(f, '.ts'))
  .filter((s) => s !== 'index' && s !== 'contract')
  .sort();

describe('every operator has all its rooms', () => {
  test.each(stems)('%s', (stem) => {
    const rooms = [
      `src/core/ops/${stem}.ts`,
      `src/ref/${stem}.ts`,
      `src/gpu/${stem}.ts`,
      `src/gpu/${stem}.wgsl`,
      `src/verify/${stem}.ts`,
      `spec/${stem}.spec.ts`,
      `spec/vectors/${stem}.json`,
      `bench/${stem}.bench.ts`,
      `docs/${stem}.md`,
    ];
    expect(rooms.filter((r) => !existsSync(join(root, r)))).toEqual([]);
  });

  test('no two stems differ only by case', () => {
    expect(new Set(stems.map((s) => s.toLowerCase())).size).toBe(stems.length);
  });

  test('each contract belongs to a stem, and both twins have its function', () => {
    const bound = Object.keys(gpu.createOps({} as never));
    for (const { name } of contracts) {
      expect(
        stems.some((s) => name.startsWith(s)),
        `${name} belongs to no stem`,
      ).toBe(true);
      expect(ref, `ref.${name}`).toHaveProperty(name);
      expect(bound, `gpu.ops.${name}`).toContain(name);
    }
    for (const stem of stems) expect(contracts.map((c) => c.name)).toContain(stem);
  });

  test('each chapter has its headings', () => {
    for (const stem of stems) {
      const path = join(root, `docs/${stem}.md`);
      if (!existsSync(path)) continue;
      const headings = [...readFileSync(path, 'utf8').matchAll(/^## (.+)$/gm)].map((m) => m[1]!);
      for (const h of [
        'The problem',
        'Definition',
        'Reference',
        'From naive to parallel',
        'Numerics and ties',
        'Measured',
        'Sources',
      ]) {
        expect(
          headings.some((have) => have.startsWith(h)),
          `docs/${stem}.md has no section "${h}"`,
        ).toBe(true);
      }
    }
  });
});

describe('imports point one way', () => {
  const forbidden: Readonly<Record<string, readonly string[]>> = {
    'src/core': ['src/ref', 'src/gpu', 'src/verify', 'src/cli', 'spec'],
    'src/ref': ['src/gpu', 'src/verify', 'src/cli', 'spec'],
    'src/gpu': ['src/ref', 'src/verify', 'src/cli', 'spec'],
    'src/models': ['src/ref', 'src/gpu', 'src/verify', 'src/cli', 'spec'],
    'src/vocab': ['src/gpu', 'src/verify', 'src/cli', 'spec'],
    'src/verify': ['src/cli', 'spec'],
    'src/cli': ['spec'],
  };
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith('.ts'))
    .map((f) => join('src', f));

  test.each(Object.entries(forbidden))('%s imports none of %s', (from, never) => {
    const found: string[] = [];
    for (const file of sources.filter((f) => f.startsWith(from))) {
      for (const [, target = ''] of readFileSync(join(root, file), 'utf8').matchAll(
        /(?:from|import)\s*\(?\s*'(\.[^']+)'/g,
      )) {
        const resolved = normalize(join(dirname(file), target));
        if (never.some((n) => resolved.startsWith(n))) found.push(`${file} imports ${resolved}`);
      }
    }
    expect(found).toEqual([]);
  });
});
