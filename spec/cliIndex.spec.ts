import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { binChunks, openBin } from '../src/core/formats/fbin.ts';
import { npyChunks } from '../src/core/formats/npy.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { hierarchicalAnn } from '../src/ref/hierarchicalAnn.ts';
import { hierarchicalAnnSearch } from '../src/ref/hierarchicalAnnSearch.ts';
import { noiseArray } from '../src/verify/case.ts';
import { inProcess } from './support/cli.ts';

// Plan: `index build` and `index search` give what the library gives, on both twins; wrong calls are one line on the
// standard error with exit code 2, and leave no output.

const folder = mkdtempSync(join(tmpdir(), 'subvocab-cli-index-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const vectors = tensor([300, 8], noiseArray(2400, 1));
const queries = tensor([5, 8], noiseArray(40, 2));

function write(name: string, t: Tensor, kind: 'fbin' | 'ibin'): void {
  writeFileSync(join(folder, name), Buffer.concat(binChunks(t, kind)));
}
async function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const { code, stdout, stderr } = await inProcess(['index', ...args], folder);
  return { code, out: stdout, err: stderr };
}

beforeAll(() => {
  write('base.fbin', vectors, 'fbin');
  write('query.fbin', queries, 'fbin');
});

describe('build and search', () => {
  test('give what the library gives', async () => {
    const built = await run(
      'build',
      '--vectors',
      'base.fbin',
      '--out',
      'words',
      '--lists',
      '12',
      '--metric',
      'cosine',
      '--json',
    );
    expect(built).toMatchObject({ code: 0, err: '' });
    expect(JSON.parse(built.out)).toEqual({
      index: 'words',
      vectors: 300,
      dimensions: 8,
      metric: 'cosine',
      levels: [12],
    });
    const found = await run(
      'search',
      '--index',
      'words',
      '--queries',
      'query.fbin',
      '--k',
      '20',
      '--nprobe',
      '3',
      '--out',
      'result',
      '--json',
    );
    expect(found).toMatchObject({ code: 0, err: '' });
    const want = hierarchicalAnnSearch(
      hierarchicalAnn(vectors, { lists: 12, metric: 'cosine' }),
      queries,
      20,
      { nprobe: 3 },
    );
    expect(openBin(readFileSync(join(folder, 'result.ibin')), 'ibin').read().data).toEqual(want.ids.data);
    expect(openBin(readFileSync(join(folder, 'result.fbin')), 'fbin').read().data).toEqual(want.scores.data);
  });

  test.each(['ip', 'l2', 'cosine'] as const)('--exact is the search without lists: %s', async (metric) => {
    const build = ['build', '--vectors', 'base.fbin', '--out', metric, '--lists', '12', '--metric', metric];
    expect(await run(...build)).toMatchObject({ code: 0 });
    const search = ['search', '--index', metric, '--queries', 'query.fbin', '--k', '20', '--out', metric];
    expect(await run(...search, '--exact')).toMatchObject({ code: 0, err: '' });
    const want = hierarchicalAnnSearch(hierarchicalAnn(vectors, { flat: true, metric }), queries, 20);
    const ids = () => openBin(readFileSync(join(folder, `${metric}.ibin`)), 'ibin').read().data;
    expect(ids()).toEqual(want.ids.data);
    expect(await run(...search, '--exact', '--unsorted')).toMatchObject({ code: 0 });
    const rows = Array.from({ length: queries.shape[0]! }, (_, q) =>
      want.ids.data.slice(20 * q, 20 * q + 20),
    );
    expect([...ids()]).toEqual(rows.flatMap((row) => [...row.sort()]));
  });

  test('on the GPU too', async () => {
    expect(
      await run('build', '--vectors', 'base.fbin', '--out', 'gpu', '--flat', '--twin', 'gpu'),
    ).toMatchObject({
      code: 0,
    });
    expect(
      await run(
        'search',
        '--index',
        'gpu',
        '--queries',
        'query.fbin',
        '--k',
        '9',
        '--out',
        'g',
        '--twin',
        'gpu',
      ),
    ).toMatchObject({ code: 0 });
    const want = hierarchicalAnnSearch(hierarchicalAnn(vectors, { flat: true }), queries, 9);
    expect(openBin(readFileSync(join(folder, 'g.ibin')), 'ibin').read().data).toEqual(want.ids.data);
  });
});

test('f64 vectors whose values are all f32', async () => {
  const wide = tensor([300, 8], Float64Array.from(vectors.data));
  writeFileSync(join(folder, 'wide.npy'), Buffer.concat(npyChunks(wide)));
  expect(await run('build', '--vectors', 'wide.npy', '--out', 'wide', '--flat')).toMatchObject({
    code: 0,
    err: '',
  });
});

describe('wrong calls are refused in one line', () => {
  beforeAll(async () => {
    write('nan.fbin', tensor([1, 8], [1, 2, 3, 4, Number.NaN, 6, 7, 8]), 'fbin');
    write('narrow.fbin', tensor([2, 3], [1, 2, 3, 4, 5, 6]), 'fbin');
    write('ids.ibin', tensor([300, 1], new Int32Array(300).fill(7)), 'ibin');
    writeFileSync(join(folder, 'cut.fbin'), readFileSync(join(folder, 'base.fbin')).subarray(0, 1000));
    writeFileSync(join(folder, 'tenth.npy'), Buffer.concat(npyChunks(tensor([1, 2], [0.5, 0.1], 'f64'))));
    await run('build', '--vectors', 'base.fbin', '--out', 'ok', '--lists', '5');
  });
  const search = ['search', '--index', 'ok', '--queries', 'query.fbin', '--out', 'none'];
  test.each<[readonly string[], string]>([
    [['build', '--vectors', 'base.fbin'], "required option '--out <folder>' not specified"],
    [['build', '--vectors', 'no.fbin', '--out', 'none'], 'cannot read no.fbin: it does not exist'],
    [
      ['build', '--vectors', 'cut.fbin', '--out', 'none'],
      'cut.fbin: 300 rows of 8 take 9608 bytes, but it has 1000',
    ],
    [['build', '--vectors', 'nan.fbin', '--out', 'none'], 'nan.fbin holds NaN in row 0, column 4'],
    [
      ['build', '--vectors', 'base.fbin', '--out', 'none', '--lists', '301'],
      'lists is 301; it must be an integer from 1 to 300',
    ],
    [
      ['build', '--vectors', 'base.fbin', '--out', 'none', '--lists', 'many'],
      '--lists is "many"; it must be an integer',
    ],
    [['build', '--vectors', 'base.fbin', '--out', 'none', '--ids', 'ids.ibin'], 'repeats the id 7'],
    [['build', '--vectors', 'base.fbin', '--out', 'base.fbin'], 'base.fbin exists and is not a folder'],
    [['build', '--vectors', 'base.fbin', '--out', 'none', '--metric', 'dot'], "argument 'dot' is invalid"],
    [[...search, '--k', '2.5'], '--k is "2.5"; it must be an integer'],
    [[...search, '--k', '3', '--nprobe', '2', '--exact'], '--exact looks wherever it has to'],
    [[...search, '--k', '3', '--nprobe', '6'], 'nprobe is 6; it must be an integer from 1 to 5'],
    [[...search, '--k', '299', '--nprobe', '1', '--on-short', 'error'], 'raise nprobe'],
    [
      ['search', '--index', 'ok', '--queries', 'narrow.fbin', '--k', '3', '--out', 'none'],
      'queries has shape [2, 3]; it must be [2, 8]',
    ],
    [
      ['search', '--index', 'nowhere', '--queries', 'query.fbin', '--k', '3', '--out', 'none'],
      'cannot read nowhere',
    ],
    [
      ['search', '--index', 'ok', '--queries', 'query.fbin', '--k', '3', '--out', './query'],
      '--out ./query would replace query.fbin; choose another name',
    ],
    [
      ['build', '--vectors', 'tenth.npy', '--out', 'none'],
      'tenth.npy has dtype f64, it takes f32, and its value 0.1 at position 1 does not fit in f32',
    ],
    [[...search, '--k', '3', '--adapter', 'x'], '--adapter chooses a GPU; add --twin gpu'],
  ])('%s', async (args, message) => {
    const { code, err, out } = await run(...args);
    expect(err).toContain(message);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(existsSync(join(folder, 'none'))).toBe(false);
    expect(readdirSync(folder).filter((name) => name.includes('none') || name.includes('tmp'))).toEqual([]);
  });
});
