import { expect } from 'vitest';
import type { Verdict } from '../../src/core/bounds.ts';
import { type Gpu, readWgsl } from '../../src/gpu/index.ts';
import { linkWgsl } from '../../src/gpu/runtime/wgsl.ts';

/** A deliberately wrong kernel: the file's text with one piece replaced. */
export interface Mutant {
  readonly name: string;
  /** Text that must occur in the file, or the mutant is stale. */
  readonly from: string;
  readonly to: string;
  /** Replace every occurrence. @defaultValue only the first */
  readonly all?: boolean;
}

/** A check that a right kernel passes. A rejection is a verdict other than PASS, or an error. */
export type Check = () => Promise<Verdict>;

/** With this variable set, every check runs on every mutant; without it, a mutant is done with once it is rejected. */
const wholeMatrix = process.env.SUBVOCAB_KILL_MATRIX === 'full';

/**
 * Run every check on the right kernel (all must pass), then on each wrong one, which must compile (at least one check must
 * reject it), and print the kill matrix. A test that no wrong kernel can fail proves nothing. Put cheap checks first.
 */
export async function expectKills(
  gpu: Gpu,
  file: string,
  mutants: readonly Mutant[],
  checks: Readonly<Record<string, Check>>,
): Promise<void> {
  for (const [name, check] of Object.entries(checks)) {
    const v = await check();
    expect(v.verdict, `the kernel as it is, ${name}: ${v.message}`).toBe('PASS');
  }
  const source = readWgsl(file);
  const rows: string[] = [];
  const survivors: string[] = [];
  for (const mutant of mutants) {
    expect(
      source.includes(mutant.from),
      `the mutant "${mutant.name}" is stale: its text is not in ${file}`,
    ).toBe(true);
    const text = mutant.all
      ? source.replaceAll(mutant.from, mutant.to)
      : source.replace(mutant.from, mutant.to);
    expect(code(text), `the mutant "${mutant.name}" only changes a comment`).not.toBe(code(source));
    expect(
      await compilerErrors(gpu, file, text),
      `the mutant "${mutant.name}" does not compile: it would be rejected by every test`,
    ).toEqual([]);
    using _replaced = gpu.override(file, text);
    const killedBy: string[] = [];
    for (const [name, check] of Object.entries(checks)) {
      const rejected = await check().then(
        (v) => v.verdict !== 'PASS',
        () => true,
      );
      if (rejected) killedBy.push(name);
      if (rejected && !wholeMatrix) break;
    }
    if (killedBy.length === 0) survivors.push(mutant.name);
    rows.push(
      `  ${killedBy.length > 0 ? 'killed  ' : 'SURVIVES'} ${mutant.name}: ${killedBy.join(', ') || 'no check rejects it'}`,
    );
  }
  console.log(`kill matrix of ${file} (${gpu.family}):\n${rows.join('\n')}`);
  expect(survivors, 'wrong kernels that every check accepts').toEqual([]);
}

/** What the compiler has against a file with another text. */
async function compilerErrors(gpu: Gpu, file: string, text: string): Promise<string[]> {
  const code = linkWgsl(file, (name) => (name === file ? text : readWgsl(name)));
  gpu.device.pushErrorScope('validation');
  const module = gpu.device.createShaderModule({ code });
  await gpu.device.popErrorScope();
  const { messages } = await module.getCompilationInfo();
  return messages.filter((m) => m.type === 'error').map((m) => m.message);
}

/** The text without its comments. */
function code(wgsl: string): string {
  return wgsl.replace(/\/\/.*$/gm, '');
}
