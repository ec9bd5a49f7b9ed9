import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { key } from '../src/core/key.ts';
import { tensor } from '../src/core/tensor.ts';
import { subVocabConfig } from '../src/models/subVocab/config.ts';
import { initialSubVocab, SubVocab } from '../src/models/subVocab/model.ts';
import { specialIds, WordTable } from '../src/models/subVocab/wordTable.ts';
import { addWords, wordSource } from '../src/models/zett/addWords.ts';
import { hypernetConfig } from '../src/models/zett/config.ts';
import { predictRows } from '../src/models/zett/model.ts';
import { initialHypernet } from '../src/models/zett/parameters.ts';
import { anchoredScaling } from '../src/models/zett/trainer.ts';
import type { Hypernet } from '../src/models/zett/transfer.ts';
import { formsOf, sourceVocabulary } from '../src/models/zett/vocabulary.ts';
import { refBackend } from '../src/ref/backend.ts';
import { flatIndex } from '../src/vocab/memoryIndex.ts';
import { inProcess, workspace } from './support/cli.ts';

// Plan: what is added comes behind what there was, which keeps its bits; its rows are what the hypernetwork gives for its pieces;
// it is found by its own row, by SUBVOCAB's index and in a vocabulary; text that holds it is read with it. The commands, from a text
// to a sample that has the new word. What cannot be added is refused.

const table = WordTable.build(['the red cat sat on the old mat. the red cat sat on the old mat.'], {
  leastPhrase: 9,
});
const config = subVocabConfig({
  samOut: { vocabulary: table.size, width: 8, heads: 2, layers: 1 },
  k: 6,
  candidates: 12,
});

async function model() {
  const parameters = await initialSubVocab(refBackend, config, key(1));
  const hyper = hypernetConfig({ width: 8, tied: false, hidden: 8, heads: 2, layers: 1 });
  const { embedding, head } = parameters.samOut;
  const start = await initialHypernet(refBackend, hyper, key(2));
  const ids = Int32Array.from({ length: 7 * 256 }, (_, i) => (i % 7 === 0 ? specialIds.count + i / 7 : -1));
  const tables = { in: embedding, out: head! };
  const frozen = await anchoredScaling(refBackend, hyper, start, tables, tensor([256, 7], ids));
  const hypernet: Hypernet = { config: hyper, parameters: start, frozen };
  return { config, parameters, table, hypernet };
}

describe('words added by their text alone', () => {
  const fresh = [' red mat', ' cats', 'Ωmega'];

  test('get the rows that the hypernetwork gives for their pieces; all others keep their bits', async () => {
    const { hypernet, ...before } = await model();
    const after = await addWords(refBackend, before, fresh, { hypernet });
    const source = sourceVocabulary(wordSource(table));
    const words = fresh.map((w) => new TextEncoder().encode(w));
    const forms = await formsOf(refBackend, source, words, 7);
    // " red mat" is two words that the table has, " cats" one and a byte.
    const count = (n: number): number => forms.data.subarray(7 * n, 7 * n + 7).filter((id) => id >= 0).length;
    expect([count(0), count(1), count(2)]).toEqual([2, 2, 6]);
    const want = await predictRows(refBackend, hypernet.config, hypernet.parameters, hypernet.frozen, forms);
    for (const [name, made] of [
      ['embedding', want.in],
      ['head', want.out!],
    ] as const) {
      const got = after.parameters.samOut[name]!;
      expect(got.shape).toEqual([table.size + 3, 8]);
      expect([...got.data.slice(0, 8 * table.size)]).toEqual([...before.parameters.samOut[name]!.data]);
      expect([...got.data.slice(8 * table.size)]).toEqual([...made.data]);
    }
    const fvt = await addWords(refBackend, before, fresh, { method: 'fvt' });
    const row = (id: number) => before.parameters.samOut.head!.data.slice(8 * id, 8 * id + 8);
    const [a, b] = [...forms.data.slice(0, 2)];
    const mean = [...row(a!)].map((v, d) => Math.fround((v + row(b!)[d]!) / 2));
    expect([...fvt.parameters.samOut.head!.data.slice(8 * table.size, 8 * table.size + 8)]).toEqual(mean);
  });

  test('are read from text, and found by SUBVOCAB and in a vocabulary', async () => {
    const { hypernet, ...before } = await model();
    const after = await addWords(refBackend, before, fresh, { hypernet });
    const ids = after.table.encode('the red mat Ωmega');
    expect([...ids]).toContain(table.size);
    expect(after.table.decode(ids)).toBe('the red mat Ωmega');
    expect([...table.encode('the old cat')]).toEqual([...after.table.encode('the old cat')]);

    using whole = new SubVocab(refBackend, after.config, after.parameters);
    await whole.refreshIndex();
    const head = after.parameters.samOut.head!;
    const index = flatIndex(before.parameters.samOut.head!);
    const version = index.version;
    index.replace(await changed(head));
    expect(index.version).toBeGreaterThan(version);
    for (const [i] of fresh.entries()) {
      const id = table.size + i;
      // Far along its own row, less what all rows share: no other row has a larger product.
      const query = centred(head.data as Float32Array, id);
      const q = tensor([1, 8], query);
      const candidates = await whole.candidates(q);
      expect(candidates.shape).toEqual([1, 12]);
      const { words } = await whole.select(q, candidates, 6);
      expect([...words], fresh[i]!).toContain(id);
      const found = await index.search(query, 6);
      expect([...found.ids]).toContain(id);
    }
  });

  test('what cannot be added is refused by name', async () => {
    const { hypernet, ...before } = await model();
    const add = (words: string[], more = {}) => addWords(refBackend, before, words, { hypernet, ...more });
    await expect(add([''])).rejects.toThrow('"" is empty');
    await expect(add([' cat'])).rejects.toThrow('" cat" is there already');
    await expect(add([' x', ' x'])).rejects.toThrow('" x" is there already');
    await expect(add([' one two three four five six'])).rejects.toThrow('has 6 parts');
    await expect(add(['\ud800'])).rejects.toThrow('no well-formed text');
    await expect(add([' x'], { hypernet: undefined })).rejects.toThrow('needs a hypernetwork');
    const after = await add([' x']);
    await expect(addWords(refBackend, after, [' y'], { hypernet })).rejects.toThrow(
      `the hypernetwork was trained for ${table.size} words; this model has ${table.size + 1}`,
    );
  });
});

/** A flat index of other embeddings, as `replace` takes it. */
async function changed(embeddings: ReturnType<typeof tensor>) {
  return refBackend.ops.hierarchicalAnn(embeddings, { flat: true });
}

/** The row of an id less the mean of all rows, at length 100. */
function centred(rows: Float32Array, id: number): Float32Array {
  const n = rows.length / 8;
  const mean = Float64Array.from({ length: 8 }, (_, d) => {
    let sum = 0;
    for (let r = 0; r < n; r++) sum += rows[8 * r + d]! / n;
    return sum;
  });
  const out = Float32Array.from({ length: 8 }, (_, d) => rows[8 * id + d]! - mean[d]!);
  const size = Math.hypot(...out);
  return out.map((v) => (100 * v) / size);
}

describe('the commands, on the reference', () => {
  const { at } = workspace();
  const twin = ['--twin', 'ref'];
  const run = (...args: string[]) => inProcess(args, at('.'));

  test('from a text to a sample that holds the new words', async () => {
    const text = Array.from(
      { length: 400 },
      (_, i) => `the ${['red', 'old', 'big'][i % 3]} cat sat on mat ${i % 7}.`,
    );
    writeFileSync(at('cats.txt'), text.join('\n'));
    writeFileSync(at('words.txt'), ' mats\n the cat\n\n purring\n');
    writeFileSync(at('without.txt'), ' cat sat\n cat\n');
    const small = ['--width', '8', '--layers', '1', '--batch', '2', ...twin];
    const made = await run(
      'demo',
      'text',
      'cats.txt',
      '--without',
      'without.txt',
      '--out',
      'demo',
      '--k',
      '12',
      '--steps',
      '3',
      ...small,
    );
    expect(made.code, made.stderr).toBe(0);
    const size = ['--vocabulary', '280', '--hidden', '8', '--heads', '2', '--batch', '2', '--length', '8'];
    const trained = await run(
      ...['zett', 'train', '--model', 'demo', '--text', 'cats.txt', '--out', 'hypernet'],
      ...[...size, '--steps', '3', '--identity-steps', '2', ...twin],
    );
    expect(trained.code, trained.stderr).toBe(0);
    const add = ['zett', 'add', '--model', 'demo', '--words', 'words.txt', '--out', 'more', ...twin];
    const added = await run(...add, '--hypernet', 'hypernet');
    expect(added.code, added.stderr).toBe(0);
    expect(added.stderr).toMatch(/: [23] words added/);
    const words = JSON.parse(readFileSync(at('more/words.json'), 'utf8')) as string[];
    const before = JSON.parse(readFileSync(at('demo/words.json'), 'utf8')) as string[];
    expect(words.slice(0, before.length)).toEqual(before);
    expect(before).toContain(' sat');
    expect(before).not.toContain(' cat');
    expect(before).not.toContain(' cat sat');
    expect(words).toContain(' purring');
    const k = String(words.length + specialIds.count + 256 - specialIds.count);
    const sample = [
      'sample',
      '--model',
      'more',
      '--text',
      'the red cat',
      '--k',
      k,
      '--best',
      '--exact',
      '--json',
    ];
    const drawn = await run(...sample, ...twin);
    expect(drawn.code, drawn.stderr).toBe(0);
    const texts = (JSON.parse(drawn.stdout) as { text: string; score: number }[])
      .filter((d) => Number.isFinite(d.score))
      .map((d) => d.text);
    expect(texts).toEqual(expect.arrayContaining([' mats', ' purring']));

    for (const [args, message] of [
      [add, 'say which hypernetwork'],
      [[...add, '--method', 'fvt', '--words', 'cats.txt'], 'text is read by 5 at most'],
      [
        [
          'zett',
          'add',
          '--model',
          'hypernet',
          '--words',
          'words.txt',
          '--out',
          'n',
          '--method',
          'fvt',
          ...twin,
        ],
        'model.safetensors',
      ],
    ] as const) {
      const r = await run(...args);
      expect(r.code).toBe(2);
      expect(r.stderr).toContain(message);
    }
    writeFileSync(at('none.txt'), '\n\n');
    const none = await run(...add, '--method', 'fvt', '--words', 'none.txt');
    expect(none.stderr).toContain('none.txt has no words; it needs one per line');
  }, 30_000);
});
