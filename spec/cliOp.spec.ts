/**
 * Plan: `subvocab op` runs forward and backward operators of both twins on safetensors and npy files: what it writes
 * is what the twin returns, for every operator, for tensors of every rank, and wherever inputs and outputs are.
 */
import * as fs from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { judge } from '../src/core/bounds/index.ts';
import { worstOf } from '../src/core/bounds.ts';
import { npyChunks, readNpy } from '../src/core/formats/npy.ts';
import { toBytes } from '../src/core/formats/source.ts';
import { key } from '../src/core/key.ts';
import { contracts } from '../src/core/ops/index.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import * as ref from '../src/ref/index.ts';
import { type Case, cases } from '../src/verify/index.ts';
import { inProcess, subvocab, workspace } from './support/cli.ts';
import { hexOf } from './support/formats.ts';
import { runRef } from './support/twins.ts';

const folder = workspace();
const { at, save, load } = folder;
const cli = (...args: string[]) => subvocab(args, { cwd: folder.path });
const quick = (...args: string[]) => inProcess(args, folder.path);
const x = tensor([2, 4], [0.1, 2, -1, 2, 0, 0, 3, 1]);

beforeAll(() => {
  save('a.safetensors', { x });
  fs.writeFileSync(at('x.npy'), toBytes(npyChunks(x)));
});

describe('op', () => {
  test('from safetensors to safetensors', async () => {
    const r = await cli(
      'op',
      'cummax',
      '--in',
      'a.safetensors',
      '--options',
      '{"axis":1}',
      '--out',
      'b.safetensors',
    );
    expect(r).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
    expect(load('b.safetensors')).toEqual({ ...ref.cummax(x, { axis: 1 }) });
  });

  test('from npy to npy, and backward from what forward wrote', async () => {
    const forward = await cli(
      'op',
      'cummax',
      '--in',
      'x.npy',
      '--out',
      'values=dv.npy',
      '--out',
      'indices=i.npy',
      '--json',
    );
    expect(JSON.parse(forward.stdout)).toEqual({
      op: 'cummax',
      twin: 'ref',
      outputs: [
        { name: 'values', dtype: 'f32', shape: [2, 4] },
        { name: 'indices', dtype: 'i32', shape: [2, 4] },
        { name: 'carryOut', dtype: 'f32', shape: [2] },
      ],
      files: ['dv.npy', 'i.npy'],
    });
    const back = await cli(
      'op',
      'cummaxBackward',
      '--in',
      'dValues=dv.npy',
      '--in',
      'indices=i.npy',
      '--out',
      'dx=dx.npy',
    );
    expect(back).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
    const { values, indices } = ref.cummax(x);
    expect(readNpy(fs.readFileSync(at('dx.npy')))).toEqual(ref.cummaxBackward(values, indices).dx);
  });

  test('the GPU twin writes the same file, for an operator that is exact', async () => {
    const args = ['op', 'cummax', '--in', 'a.safetensors', '--out'];
    await cli(...args, 'ref.safetensors');
    const r = await cli(...args, 'gpu.safetensors', '--twin', 'gpu');
    expect([r.code, r.stdout]).toEqual([0, '']);
    expect(fs.readFileSync(at('gpu.safetensors')).equals(fs.readFileSync(at('ref.safetensors')))).toBe(true);
  });

  test('several files, and types that convert without loss', async () => {
    save('three.safetensors', { anything: tensor([2, 3], [1, 2, 3, 4, 5, 6], 'i32') });
    const mask = tensor([2, 3], [1, 0, 1, 1, 1, 1], 'i32');
    fs.writeFileSync(at('m.npy'), toBytes(npyChunks(mask)));
    await cli('op', 'cummax', '--in', 'x=three.safetensors', '--in', 'mask=m.npy', '--out', 'c.safetensors');
    const want = ref.cummax(tensor([2, 3], [1, 2, 3, 4, 5, 6]), { mask: tensor([2, 3], mask.data, 'u32') });
    expect(load('c.safetensors')).toEqual({ ...want });
  });

  test('keys: a seed and its two words are the same key', async () => {
    const shape = '"shape":[3,5]';
    await quick('op', 'randomBits', '--options', `{"key":42,${shape}}`, '--out', 'seed.safetensors');
    await quick('op', 'randomBits', '--options', `{"key":[0,42],${shape}}`, '--out', 'words.npy');
    expect(load('seed.safetensors')).toEqual({ bits: ref.randomBits(key(42), [3, 5]) });
    expect(readNpy(fs.readFileSync(at('words.npy')))).toEqual(ref.randomBits(key(42), [3, 5]));
  });

  test.each([
    ['rank 0', tensor([], [3])],
    ['no elements', tensor([0, 3], [])],
    ['an empty axis', tensor([3, 0], [])],
    ['f64', tensor([3], [1, Number.NaN, -0], 'f64')],
  ])('%s', async (_, t) => {
    save('t.safetensors', { x: t });
    const r = await cli('op', 'cummax', '--in', 't.safetensors', '--out', 'u.safetensors');
    expect(r).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
    expect(load('u.safetensors')).toEqual({ ...ref.cummax(t) });
  });

  test('an output may replace an input, keeps a link, and may be a pipe', async () => {
    save('same.safetensors', { x });
    fs.symlinkSync('same.safetensors', at('link.safetensors'));
    const r = await cli('op', 'cummax', '--in', 'link.safetensors', '--out', 'link.safetensors');
    expect(r.code).toBe(0);
    expect(fs.lstatSync(at('link.safetensors')).isSymbolicLink()).toBe(true);
    expect(Object.keys(load('same.safetensors')).sort()).toEqual(['carryOut', 'indices', 'values']);
    const piped = await subvocab(['op', 'cummax', '--in', 'a.safetensors', '--out', '/dev/stdout'], {
      cwd: folder.path,
      shell: '"$@" | wc -c',
    });
    expect(Number(piped.stdout)).toBe(fs.statSync(at('same.safetensors')).size);
  });
});

describe('every operator runs from files, on both twins', () => {
  const sizeOf = (c: Case): number =>
    Object.values(c.inputs()).reduce((n, t) => n + t.size, 0) +
    ((c.options?.shape ?? []) as number[]).reduce((n, s) => n * s, 1);
  /** The smallest of an operator's verification cases. */
  const smallest = contracts.map((contract) => {
    const own = cases.filter((c) => c.op === contract.name);
    return [contract.name, own.sort((a, b) => sizeOf(a) - sizeOf(b))[0]] as const;
  });

  test.for(smallest)('%s', async ([name, c]) => {
    if (c === undefined) throw new Error(`${name} has no case in src/verify`);
    const inputs = c.inputs();
    const options = c.options ?? {};
    save('case.safetensors', inputs);
    const files = Object.keys(inputs).length === 0 ? [] : ['--in', 'case.safetensors'];
    const call = ['op', name, ...files, '--options', JSON.stringify(options), '--out', 'result.safetensors'];
    expect(await quick(...call)).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
    const want = runRef(name, inputs, options);
    const bits = (all: Record<string, Tensor>) =>
      Object.entries(all).map(([k, t]) => [k, t.dtype, t.shape, hexOf(t)]);
    expect(bits(load('result.safetensors')).sort()).toEqual(bits(want).sort());
    expect(await quick(...call, '--twin', 'gpu')).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
    const verdict = worstOf(
      Object.values(
        judge(name, { inputs, options, want, got: load('result.safetensors'), noise: ref.gumbelNoise }),
      ),
    );
    expect(verdict.verdict, verdict.message).not.toBe('FAIL');
  });
});
