/**
 * Plan: every bad call, option and file ends with code 2 and one line that names the reason, writes nothing and leaves
 * what was there.
 */
import * as fs from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { oneLine } from '../src/cli/frame.ts';
import { createProgram } from '../src/cli/program.ts';
import { npyChunks } from '../src/core/formats/npy.ts';
import { toBytes } from '../src/core/formats/source.ts';
import { tensor } from '../src/core/tensor.ts';
import { inProcess, subvocab, workspace } from './support/cli.ts';

const folder = workspace();
const { at, save } = folder;
const cli = (...args: string[]) => subvocab(args, { cwd: folder.path });
const quick = (...args: string[]) => inProcess(args, folder.path);
const x = tensor([2, 4], [0.1, 2, -1, 2, 0, 0, 3, 1]);

/** Code 2, exactly one line on stderr that begins with the command, nothing on stdout, no output file. */
async function refused(args: string[], line: string): Promise<void> {
  const before = fs.readdirSync(folder.path);
  const r = await quick(...args);
  expect(r).toEqual({ code: 2, signal: null, stdout: '', stderr: `${line}\n` });
  expect(fs.readdirSync(folder.path)).toEqual(before);
}

describe('refused calls', () => {
  const op = 'subvocab op:';
  const commands = createProgram()
    .commands.map((c) => c.name())
    .join(', ');
  beforeAll(() => {
    save('a.safetensors', { x });
    fs.writeFileSync(at('x.npy'), toBytes(npyChunks(x)));
    save('names.safetensors', { X: x });
    save('both.safetensors', { x, axis: x });
    save('two.safetensors', { x, carryIn: tensor([2], [0, 0]) });
    fs.mkdirSync(at('folder'));
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
    [[], `subvocab: a command is missing, one of ${commands}; see subvocab --help`],
    [['verify', '--text', 'none.md'], 'subvocab verify: cannot read none.md: it does not exist'],
    [
      ['verify', '--text', 'text'],
      'subvocab verify: the texts are too short: a part of them has 1 words, and a row takes 64; give longer ones',
    ],
    [['opp'], "subvocab: unknown command 'opp', did you mean one of op, ops?"],
    [['--jsn'], "subvocab: unknown option '--jsn'"],
    [['op'], "subvocab op: missing required argument 'name'"],
    [['op', 'a', 'b'], "subvocab op: too many arguments for 'op'. Expected 1 argument but got 2: a, b."],
    [['ops', '--jsno'], "subvocab ops: unknown option '--jsno', did you mean --json?"],
    [['ops', 'cumax'], 'subvocab ops: there is no operator "cumax", did you mean "cummax"?'],
    [['op', 'cummax', ...ok], `${op} say where the results go: --out FILE`],
    [['op', 'CUMMAX', ...out], `${op} there is no operator "CUMMAX", did you mean "cummax"?`],
    [['op', 'eigenvalues', ...out], `${op} there is no operator "eigenvalues"; subvocab ops lists them`],
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
