/**
 * Plan: the command as a user calls it. `ops` prints the contracts; `op` runs forward and backward operators of both
 * twins on safetensors and npy files; every bad call, option and file ends with code 2 and one line that names the
 * reason, writes nothing and leaves what was there; signals, closed pipes and full disks leave nothing behind.
 */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from 'vitest';
import { oneLine } from '../src/cli/frame.ts';
import { nearest } from '../src/cli/nearest.ts';
import { judge } from '../src/core/bounds/index.ts';
import { worstOf } from '../src/core/bounds.ts';
import {
  ArgumentError,
  DeviceLostError,
  FileError,
  FormatError,
  GpuError,
  UnsupportedError,
} from '../src/core/errors.ts';
import { npyChunks, readNpy } from '../src/core/formats/npy.ts';
import { readSafetensors, safetensorsChunks } from '../src/core/formats/safetensors.ts';
import { toBytes } from '../src/core/formats/source.ts';
import { key } from '../src/core/key.ts';
import { contracts } from '../src/core/ops/index.ts';
import { plans } from '../src/core/plans.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import * as ref from '../src/ref/index.ts';
import { type Case, cases } from '../src/verify/index.ts';
import { inProcess, mainFile, subvocab } from './support/cli.ts';
import { hexOf } from './support/formats.ts';
import { runRef } from './support/twins.ts';

let folder = '';
const at = (name: string): string => join(folder, name);
const save = (name: string, tensors: Record<string, Tensor>): void =>
  fs.writeFileSync(at(name), toBytes(safetensorsChunks(Object.entries(tensors))));
const load = (name: string): Record<string, Tensor> =>
  Object.fromEntries(readSafetensors(fs.readFileSync(at(name))).tensors);
const cli = (...args: string[]) => subvocab(args, { cwd: folder });
const quick = (...args: string[]) => inProcess(args, folder);

const x = tensor([2, 4], [0.1, 2, -1, 2, 0, 0, 3, 1]);

beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'cli-'));
  save('a.safetensors', { x });
  fs.writeFileSync(at('x.npy'), toBytes(npyChunks(x)));
});
afterAll(() => {
  expect(fs.readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  fs.rmSync(folder, { recursive: true });
});

/** Code 2, exactly one line on stderr that begins with the command, nothing on stdout, no output file. */
async function refused(args: string[], line: string): Promise<void> {
  const before = fs.readdirSync(folder);
  const r = await quick(...args);
  expect(r).toEqual({ code: 2, signal: null, stdout: '', stderr: `${line}\n` });
  expect(fs.readdirSync(folder)).toEqual(before);
}

describe('ops', () => {
  it('prints the contracts as JSON, exactly', async () => {
    const r = await cli('ops', '--json');
    expect(JSON.parse(r.stdout)).toEqual(JSON.parse(JSON.stringify(contracts)));
    expect([r.code, r.stderr]).toEqual([0, '']);
  });

  it('prints every name, input, option, output, accuracy and source for people', async () => {
    const { stdout } = await cli('ops');
    for (const c of contracts) {
      for (const text of [`${c.name}: ${c.summary}`, c.formula, c.accuracy, c.edge, c.source])
        expect(stdout).toContain(text);
      for (const f of [...c.inputs, ...c.options, ...c.outputs]) expect(stdout).toContain(f.about);
    }
  });

  it('prints some of them on request', async () => {
    const r = await cli('ops', '--json', 'cummaxBackward');
    expect(JSON.parse(r.stdout).map((c: { name: string }) => c.name)).toEqual(['cummaxBackward']);
  });

  it('has a plan and a reference for every contract', () => {
    for (const { name } of contracts) {
      expect(Object.keys(plans)).toContain(name);
      expect(Object.keys(ref)).toContain(name);
    }
  });
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
      cwd: folder,
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

  test.for(smallest)('%s', async ([name, c], context) => {
    if (c === undefined) return context.skip('it has no case in src/verify');
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
      Object.values(judge(name, { inputs, options, want, got: load('result.safetensors') })),
    );
    expect(verdict.verdict, verdict.message).not.toBe('FAIL');
  });
});

describe('refused calls', () => {
  const op = 'subvocab op:';
  beforeEach(() => {
    save('names.safetensors', { X: x });
    save('both.safetensors', { x, axis: x });
    save('two.safetensors', { x, carryIn: tensor([2], [0, 0]) });
    fs.mkdirSync(at('folder'), { recursive: true });
    fs.writeFileSync(at('empty'), '');
    fs.writeFileSync(at('text'), 'x = [1, 2, 3]\n');
    fs.writeFileSync(at('cut.npy'), fs.readFileSync(at('x.npy')).subarray(0, 140));
    fs.writeFileSync(at('cut.safetensors'), fs.readFileSync(at('a.safetensors')).subarray(0, 80));
  });
  const out = ['--out', 'new.safetensors'];
  const run = (...args: string[]): string[] => ['op', 'cummax', ...args, ...out];
  const ok = ['--in', 'a.safetensors'];
  const bits = (options: string, ...args: string[]) => [
    'op',
    'randomBits',
    '--options',
    options,
    ...args,
    ...out,
  ];
  const keys = 'a seed, such as 42, or the two words of a key, such as [0, 42], each below 2^32';

  test.each<[string[], string]>([
    [[], 'subvocab: a command is missing, one of doctor, verify, ops, op; see subvocab --help'],
    [['opp'], "subvocab: unknown command 'opp', did you mean one of op, ops?"],
    [['--jsn'], "subvocab: unknown option '--jsn'"],
    [['op'], "subvocab op: missing required argument 'name'"],
    [['op', 'a', 'b'], "subvocab op: too many arguments for 'op'. Expected 1 argument but got 2: a, b."],
    [['ops', '--jsno'], "subvocab ops: unknown option '--jsno', did you mean --json?"],
    [['ops', 'cumax'], 'subvocab ops: there is no operator "cumax", did you mean "cummax"?'],
    [['op', 'cummax', ...ok], `${op} say where the results go: --out FILE`],
    [['op', 'CUMMAX', ...out], `${op} there is no operator "CUMMAX", did you mean "cummax"?`],
    [['op', 'softmaxx', ...out], `${op} there is no operator "softmaxx"; subvocab ops lists them`],
    [['op', '__proto__', ...out], `${op} there is no operator "__proto__"; subvocab ops lists them`],
    [
      run(...ok, '--twin', 'cpu'),
      `${op} option '--twin <twin>' argument 'cpu' is invalid. Allowed choices are ref, gpu.`,
    ],
    [run(...ok, '--adapter', 'x'), `${op} --adapter chooses a GPU; add --twin gpu`],
    [run(), `${op} cummax needs the input "x": the values`],
    [run('--in', 'none'), `${op} cannot read none: it does not exist`],
    [run('--in', 'folder'), `${op} cannot read folder: it is a folder`],
    [run('--in', '/dev/zero'), `${op} cannot read /dev/zero: it is a device, not a file`],
    [run('--in', 'empty'), `${op} empty: 0 bytes are too few for a safetensors file`],
    [
      run('--in', 'text'),
      `${op} text: the header would be 2318282175641624696 bytes, more than 100000000; not a safetensors file?`,
    ],
    [run('--in', 'cut.npy'), `${op} cut.npy: shape [2, 4] of F32 takes 32 bytes, but 12 follow the header`],
    [
      run('--in', 'cut.safetensors'),
      `${op} cut.safetensors: tensor "x": data_offsets [0, 32] end behind the file's 8 bytes of data`,
    ],
    [run('--in', 'names.safetensors'), `${op} names.safetensors: cummax has no input "X", did you mean "x"?`],
    [run('--in', 'y=x.npy'), `${op} x.npy: cummax has no input "y"; it takes x, carryIn, mask`],
    [
      run('--in', 'both.safetensors'),
      `${op} both.safetensors: cummax takes "axis" as an option, not as a tensor; use --options`,
    ],
    [run('--in', 'x=two.safetensors'), `${op} two.safetensors holds 2 tensors; x=FILE takes a file with one`],
    [run(...ok, '--in', 'x.npy'), `${op} the input "x" is given twice, in a.safetensors and in x.npy`],
    [run(...ok, '--in', 'mask=x.npy'), `${op} cummax: mask has dtype f32; it takes u32`],
    [run(...ok, '--in', 'carryIn=x.npy'), `${op} cummax: carryIn has shape [2, 4]; it must be [2]`],
    [
      run(...ok, '--options', '{axis:1}'),
      `${op} the options are not JSON (Expected property name or '}' in JSON at position 1 (line 1 column 2)); write them as --options '{"axis": 1}'`,
    ],
    [
      run(...ok, '--options', ''),
      `${op} the options are not JSON (Unexpected end of JSON input); write them as --options '{"axis": 1}'`,
    ],
    [
      run(...ok, '--options', '[1]'),
      `${op} the options are [1]; they must be one object, such as {"axis": 1}`,
    ],
    [
      run(...ok, '--options', 'null'),
      `${op} the options are null; they must be one object, such as {"axis": 1}`,
    ],
    [run(...ok, '--options', '{"axes":1}'), `${op} cummax has no option "axes", did you mean "axis"?`],
    [run(...ok, '--options', '{"depth":1}'), `${op} cummax has no option "depth"; it takes axis`],
    [
      run(...ok, '--options', '{"mask":1}'),
      `${op} cummax: "mask" is a tensor, not an option; give it with --in mask=FILE`,
    ],
    [
      run(...ok, '--options', '{"__proto__":{"axis":0}}'),
      `${op} cummax has no option "__proto__"; it takes axis`,
    ],
    [run(...ok, '--options', '{"constructor":1}'), `${op} cummax has no option "constructor"; it takes axis`],
    [run(...ok, '--options', '{"axis":"1"}'), `${op} cummax: option "axis" is "1"; it takes an integer`],
    [run(...ok, '--options', '{"axis":1.5}'), `${op} cummax: option "axis" is 1.5; it takes an integer`],
    [run(...ok, '--options', '{"axis":null}'), `${op} cummax: option "axis" is null; it takes an integer`],
    [run(...ok, '--options', '{"axis":1e999}'), `${op} cummax: option "axis" is null; it takes an integer`],
    [run(...ok, '--options', '{"axis":2}'), `${op} cummax: axis 2 is outside [-2, 2) for shape [2, 4]`],
    [
      run(...ok, '--options', '{"axis":2}', '--twin', 'gpu'),
      `${op} cummax: axis 2 is outside [-2, 2) for shape [2, 4]`,
    ],
    [
      ['op', 'cummax', ...ok, '--out', 'v.npy'],
      `${op} v.npy can hold one of values, indices, carryOut; choose: --out values=v.npy`,
    ],
    [
      ['op', 'cummax', ...ok, '--out', 'value=v.npy'],
      `${op} cummax has no output "value", did you mean "values"?`,
    ],
    [
      ['op', 'cummax', ...ok, '--out', 'b.json'],
      `${op} cannot tell the format of b.json; end it with .safetensors or .npy`,
    ],
    [['op', 'cummax', ...ok, '--out', 'folder'], `${op} cannot write folder: it is a folder`],
    [
      ['op', 'cummax', ...ok, '--out', '/dev/full'],
      `${op} cannot write /dev/full: no space left on the device`,
    ],
    [
      ['op', 'cummaxBackward', '--in', 'dValues=x.npy', '--in', 'indices=x.npy', ...out],
      `${op} cummaxBackward: indices has dtype f32; it takes i32`,
    ],
    [run(...ok, '--options', '{"axis":1, "\\u0061xis" : 0}'), `${op} the options hold "axis" twice`],
    [
      run(...ok, '--options', '{"axis":{"axis":1}}'),
      `${op} cummax: option "axis" is {"axis":1}; it takes an integer`,
    ],
    [run('--in', ''), `${op} an input path is empty`],
    [
      ['op', 'topK', ...ok, '--options', '{"k":1,"onShort":"pda"}', ...out],
      `${op} topK: option "onShort" is "pda"; it takes one of error, pad; did you mean "pad"?`,
    ],
    [
      ['op', 'topK', ...ok, '--options', '{"k":5}', ...out],
      `${op} topK: k is 5, and axis 1 of shape [2, 4] has 4; ask for at most 4, or set onShort to "pad"`,
    ],
    [bits('{"shape":[2]}'), `${op} randomBits needs the option "key": two u32 words; use a key once`],
    [bits('{"key":-1.5,"shape":[2]}'), `${op} randomBits: option "key" is -1.5; it takes ${keys}`],
    [bits('{"key":[1],"shape":[2]}'), `${op} randomBits: option "key" is [1]; it takes ${keys}`],
    [bits('{"key":[1,2,3],"shape":[2]}'), `${op} randomBits: option "key" is [1,2,3]; it takes ${keys}`],
    [
      bits('{"key":[1,4294967296],"shape":[2]}'),
      `${op} randomBits: option "key" is [1,4294967296]; it takes ${keys}`,
    ],
    [
      bits('{"key":1,"shape":2}'),
      `${op} randomBits: option "shape" is 2; it takes a list of sizes >= 0, such as [2, 3]`,
    ],
    [
      bits('{"key":1,"shape":[-1]}'),
      `${op} randomBits: option "shape" is [-1]; it takes a list of sizes >= 0, such as [2, 3]`,
    ],
    [
      bits('{"key":1,"shape":[1e15]}'),
      `${op} this machine has not enough memory: Array buffer allocation failed`,
    ],
    [
      bits('{"key":1,"shape":[1e15,1e15]}'),
      `${op} randomBits: shape [1000000000000000, 1000000000000000] holds more than 2^53 elements`,
    ],
    [bits('{"key":1,"shape":[2]}', ...ok), `${op} a.safetensors: randomBits has no input "x"; it takes none`],
  ])('%j', refused);

  test('a folder that does not exist', () =>
    refused(
      ['op', 'cummax', ...ok, '--out', at('no/b.safetensors')],
      `${op} cannot write ${at('no/b.safetensors')}: the folder ${at('no')} does not exist`,
    ));

  test('an integer that does not fit is named', async () => {
    save('i.safetensors', { dValues: x, indices: tensor([2, 4], [0, 1, 2, 3, 4, 5, 2 ** 31, 7], 'u32') });
    const why = 'its value 2147483648 at position 6 does not fit in i32';
    await refused(
      ['op', 'cummaxBackward', '--in', 'i.safetensors', ...out],
      `${op} cummaxBackward: indices has dtype u32, it takes i32, and ${why}`,
    );
  });

  test('names cannot steer the terminal', async () => {
    save('evil.safetensors', { '\u001b[2J\u202e\n': x });
    const r = await cli('op', 'cummax', '--in', 'evil.safetensors', ...out);
    expect(r.stderr).toBe(
      `${op} evil.safetensors: cummax has no input "\\u001b[2J\\u{202e}\\n"; it takes x, carryIn, mask\n`,
    );
    expect(oneLine('a\nb\r\u009b\ud800')).toBe('a b\\u{d}\\u{9b}\\u{d800}');
  });

  test('a header of 90 MB full of nonsense is refused in seconds', async () => {
    const bytes = new Uint8Array(90_000_008).fill(0x5b);
    bytes.set(Buffer.from('\0\0\0\0\0\0\0\0{"x":'));
    new DataView(bytes.buffer).setBigUint64(0, 90_000_000n, true);
    fs.writeFileSync(at('big.safetensors'), bytes);
    const start = performance.now();
    await refused(
      run('--in', 'big.safetensors'),
      `${op} big.safetensors: tensor "x": "[[[[[[[[[[[[[[[[[[[["... stands where { should`,
    );
    expect(performance.now() - start).toBeLessThan(20_000);
    fs.rmSync(at('big.safetensors'));
  });

  test('the stack is shown on request only', async () => {
    const r = await subvocab(['op', 'cumax', ...out], { shell: 'SUBVOCAB_DEBUG=1 "$@"' });
    expect(r.stderr.split('\n')[0]).toBe('subvocab op: there is no operator "cumax", did you mean "cummax"?');
    expect(r.stderr).toContain('names.ts');
  });
});

describe('exit codes', () => {
  const thrown: [Error, number, string][] = [
    [new ArgumentError('topK', 'k is 9'), 2, 'subvocab go: topK: k is 9'],
    [new ArgumentError('go', 'no such thing'), 2, 'subvocab go: no such thing'],
    [new FileError('npy', 'cannot read a'), 2, 'subvocab go: cannot read a'],
    [new FormatError('safetensors', 'a: cut'), 2, 'subvocab go: a: cut'],
    [new UnsupportedError('openGpu', 'no adapter'), 2, 'subvocab go: openGpu: no adapter'],
    [
      new GpuError('gpu', 'out of GPU memory while running topK'),
      3,
      'subvocab go: gpu: out of GPU memory while running topK',
    ],
    [new DeviceLostError('read', 'the GPU was lost'), 3, 'subvocab go: read: the GPU was lost'],
    [
      new SuppressedError(new Error('closing'), new DeviceLostError('read', 'lost')),
      3,
      'subvocab go: read: lost',
    ],
    [
      new RangeError('Array buffer allocation failed'),
      2,
      'subvocab go: this machine has not enough memory: Array buffer allocation failed',
    ],
    [Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' }), 141, ''],
    [
      new TypeError('x is\nundefined'),
      70,
      'subvocab go: internal error: x is undefined; please report it (SUBVOCAB_DEBUG=1 shows where)',
    ],
  ];
  test.each(thrown)('%s: %i', async (error, code, line) => {
    const program = new Command('subvocab').addCommand(
      new Command('go').action(() => {
        throw error;
      }),
    );
    const r = await inProcess(['go'], folder, program);
    expect(r).toEqual({ code, signal: null, stdout: '', stderr: line && `${line}\n` });
  });

  test('a tensor beyond the limits of the GPU, and an adapter that is not there', async () => {
    const args = ['op', 'randomBits', '--twin', 'gpu', '--out', 'never.npy', '--options'];
    const large = await quick(...args, '{"key":1,"shape":[1e12]}');
    expect(large.code).toBe(3);
    expect(large.stderr).toMatch(
      /^subvocab op: .*4000000000000 bytes.* \(while running randomBits \{.*\} on ".*"\)\n$/,
    );
    const none = await quick(...args, '{"key":1,"shape":[2]}', '--adapter', 'no such adapter');
    expect(none.code).toBe(2);
    expect(none.stderr).toMatch(
      /^subvocab op: openGpu: no adapter's name contains "no such adapter"; there are ".*"\n$/,
    );
  });
});

describe('streams and signals', () => {
  test('a reader that goes away ends the command quietly', async () => {
    const r = await subvocab(['ops', '--json'], { shell: '"$@" | head -c 1; echo " $PIPESTATUS"' });
    expect(r.stderr).toBe('');
    expect(['[ 141\n', '[ 0\n']).toContain(r.stdout);
    const closed = await subvocab(['ops'], { shell: '"$@" >&-' });
    expect(closed.stderr.split('\n').length).toBeLessThanOrEqual(2);
    expect(closed.stderr).not.toContain('    at ');
  });

  test('a full disk behind the standard output is an error', async () => {
    const r = await subvocab(['ops'], { shell: '"$@" > /dev/full' });
    expect(r.stderr).toMatch(/^subvocab ops: cannot write to the standard output: .*no space left/);
    expect(r.code).toBe(2);
  });

  test('Ctrl-C ends with 130 and leaves nothing', async () => {
    // A second of work at least, so that the signal comes in the middle.
    const args = ['op', 'randomBits', '--options', '{"key":1,"shape":[60000000]}', '--out', 'never.npy'];
    const interrupt = '"$@" & sleep 0.6; kill -INT $!; wait $!; echo $?';
    const r = await subvocab(args, { cwd: folder, shell: interrupt });
    expect(r).toEqual({ code: 0, signal: null, stdout: '130\n', stderr: '' });
    expect(fs.readdirSync(folder).filter((name) => /never|tmp/.test(name))).toEqual([]);
  });

  test('help and version go to the standard output with code 0', async () => {
    for (const args of [['--help'], ['op', '--help'], ['help', 'op'], ['--version']]) {
      const r = await cli(...args);
      expect([r.code, r.stderr]).toEqual([0, '']);
      expect(r.stdout).not.toBe('');
    }
  });
});

test('the nearest name', () => {
  const names = ['cummax', 'cummaxBackward', 'topK', 'matmul', 'kMeans'];
  expect(
    ['cumax', 'cmumax', 'CUMMAX', 'topk', 'matmull', 'kmean'].map((word) => nearest(word, names)),
  ).toEqual([
    'cummax',
    'cummax',
    'cummax',
    'topK',
    'matmul',
    'kMeans', // biome-ignore format: one line
  ]);
  expect(['', 'x', 'softmax', '\0', 'y'.repeat(1e6)].map((word) => nearest(word, names))).toEqual(
    Array(5).fill(undefined),
  );
  expect(nearest('cummaxB', names)).toBe('cummax');
});

test('the examples of docs/cli.md print what they say (vitest -u writes what they print)', async () => {
  const path = join(import.meta.dirname, '../docs/cli.md');
  const inner = fs.mkdtempSync(at('docs-'));
  let doc = fs.readFileSync(path, 'utf8');
  for (const [block] of doc.matchAll(/^```console\n.*?^```$/gms)) {
    const lines: string[] = [];
    for (const [, command] of block.matchAll(/^\$ (.*)$/gm)) {
      const shell = `subvocab() { ${JSON.stringify(process.execPath)} ${JSON.stringify(mainFile)} "$@"; }; ${command}`;
      const r = await subvocab([], { cwd: inner, shell });
      // Dawn reports its own limits on some drivers.
      const said = (r.stdout + r.stderr).replace(/^Warning: .*\n/gm, '');
      lines.push(`$ ${command}\n${said}`);
    }
    doc = doc.replace(block, () => `\`\`\`console\n${lines.join('')}\`\`\``);
  }
  await expect(doc).toMatchFileSnapshot(path);
  fs.rmSync(inner, { recursive: true });
});
