import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Backend } from '../src/core/backend.ts';
import { binChunks } from '../src/core/formats/fbin.ts';
import { writeFiles } from '../src/core/formats/files.ts';
import { key } from '../src/core/key.ts';
import { type AnyTensor, type Tensor, tensor } from '../src/core/tensor.ts';
import { answerRow } from '../src/models/subVocab/answer.ts';
import { subVocabConfig } from '../src/models/subVocab/config.ts';
import { initialSubVocab, SubVocab, type SubVocabParameters } from '../src/models/subVocab/model.ts';
import { refBackend } from '../src/ref/backend.ts';
import { flatIndex } from '../src/vocab/memoryIndex.ts';
import { fileRows, memoryRows } from '../src/vocab/rowStore.ts';
import { buildWords } from '../src/vocab/words/buildWords.ts';
import { openWords } from '../src/vocab/words/wordIndex.ts';
import { describeDevice } from './support/device.ts';

// Plan: a row without [SUBVOCAB] takes the full path; with all words as the sub-vocabulary nothing differs from it; each [SUBVOCAB]
// has words of its own, and answers are global ids among them; inside, words that are outside are all read alike; every pooling; tables in
// memory, in a file and an index on disk give what the model's own give; bad calls; the twins agree.

const folder = mkdtempSync(join(tmpdir(), 'subvocab-answer-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const words = 40;
const wide = { vocabulary: words + 2, width: 8, heads: 2, layers: 2 };
const config = subVocabConfig({ samOut: wide, k: 6, candidates: words });
const parameters = await initialSubVocab(refBackend, config, key(5));

function modelOn<T extends AnyTensor>(backend: Backend<T>, given = config, own = parameters): SubVocab<T> {
  return new SubVocab(backend, given, own);
}

const plain = Int32Array.of(5, 9, 30, 12, 7);
const marked = Int32Array.of(5, 9, 1, 30, 12, 1, 7);

/** What the whole model says of each position of a row, by one pass over it. */
function fullLogits(model: SubVocab<Tensor>, ids: Int32Array): Tensor {
  const { features } = model.encode(tensor([1, ids.length], ids));
  return refBackend.ops.matmul(features, model.table, { transposeB: true });
}

describe('a row', () => {
  test('without [SUBVOCAB] is predicted over all words, and never a special one', async () => {
    using model = modelOn(refBackend);
    const { answers, selections } = await answerRow(model, plain, { top: words });
    expect(selections).toEqual([]);
    const want = fullLogits(model, plain).data;
    expect(answers.map((a) => [a.position, a.asked])).toEqual([0, 1, 2, 3, 4].map((t) => [t, -1]));
    for (const { position, words: told, logits } of answers) {
      expect([...told].sort((a, b) => a - b)).toEqual([...model.allWords()]);
      for (const [j, id] of told.entries())
        expect(logits[j]).toBeCloseTo(want[position * (words + 2) + id]!, 5);
      expect([...logits]).toEqual([...logits].sort((a, b) => b - a));
    }
  });

  test('with all words as the sub-vocabulary is predicted as without', async () => {
    using model = modelOn(refBackend);
    const { answers, selections } = await answerRow(model, marked, { k: words, top: words });
    expect(selections.map((s) => s.words.length)).toEqual([words, words]);
    const want = fullLogits(model, marked).data;
    expect(answers.map((a) => a.asked)).toEqual([-1, -1, 0, 0, 0, 1, 1]);
    for (const { position, words: told, logits } of answers)
      for (const [j, id] of told.entries())
        expect(logits[j]).toBeCloseTo(want[position * (words + 2) + id]!, 5);
  });

  test('has words of its own for each [SUBVOCAB], and answers are among them', async () => {
    using model = modelOn(refBackend);
    const { answers, selections } = await answerRow(model, marked, { key: key(3), top: 6 });
    expect([...selections[0]!.words]).not.toEqual([...selections[1]!.words]);
    for (const { asked, words: told } of answers.filter((a) => a.asked >= 0))
      expect([...told].sort()).toEqual([...selections[asked]!.words].sort());
    expect(await answerRow(model, marked, { key: key(3), top: 6 })).toEqual({ answers, selections });
    const other = await answerRow(model, marked, { key: key(4) });
    expect(other.selections).not.toEqual(selections);
    // A [SUBVOCAB] at the end asks, too, and what comes after a position changes nothing before it.
    const start = await answerRow(model, marked.slice(0, 6), { key: key(3), top: 6 });
    expect(start.answers).toEqual(answers.slice(0, 6));
  });

  test('read inside shows no word from outside, whichever it is', async () => {
    using model = modelOn(refBackend);
    const { selections } = await answerRow(model, marked);
    const out = [...model.allWords()].filter((id) => !selections[0]!.words.includes(id));
    const row = (a: number): Int32Array => Int32Array.of(5, 9, 1, a, selections[0]!.words[2]!);
    const [one, two] = [row(out[0]!), row(out[1]!)];
    const inside = await answerRow(model, one, { reading: 'inside', top: 6 });
    expect(await answerRow(model, two, { reading: 'inside', top: 6 })).toEqual(inside);
    const all = await answerRow(model, one, { top: 6 });
    expect(await answerRow(model, two, { top: 6 })).not.toEqual(all);
    // By hand.
    const before = model.encode(tensor([1, 3], one.slice(0, 3)));
    using tables = model.gather(selections[0]!.words);
    const read = await model.encodeLocal(one.slice(3), tables, before.state);
    const logits = model.logits(read.features, tables).data;
    const last = inside.answers.at(-1)!;
    for (const [j, id] of last.words.entries())
      expect(last.logits[j]).toBeCloseTo(logits[6 + selections[0]!.words.indexOf(id)]!, 5);
  });

  test.each(['mean', 'last', 'cls', 'own'] as const)('asks with the pooling %s', async (pooling) => {
    using model = modelOn(refBackend, subVocabConfig({ ...config, pooling }));
    const { selections } = await answerRow(model, marked);
    const { data } = model.encode(tensor([1, 7], marked)).features;
    const at = { mean: [0, 1, 2, 3, 4, 5], last: [4], cls: [0], own: [5] }[pooling];
    const pooled = Float32Array.from({ length: 8 }, (_, j) =>
      at.reduce((s, t) => s + data[t * 8 + j]! / at.length, 0),
    );
    // The matrix of the query is the identity at first.
    const scores = Float64Array.from({ length: words + 2 }, (_, id) =>
      pooled.reduce((s, v, j) => s + v * model.table.data[id * 8 + j]!, 0),
    );
    const best = [...model.allWords()].sort((a, b) => scores[b]! - scores[a]!).slice(0, 6);
    expect([...selections[1]!.words]).toEqual(best);
  });

  test('bad calls are refused', async () => {
    using model = modelOn(refBackend);
    await expect(answerRow(model, new Int32Array(0))).rejects.toThrow('the row is empty');
    await expect(answerRow(model, Int32Array.of(99))).rejects.toThrow('id 99 at element 0');
    await expect(answerRow(model, plain, { k: 0 })).rejects.toThrow('k is 0');
    await expect(answerRow(model, plain, { top: 1.5 })).rejects.toThrow('top is 1.5');
    await expect(answerRow(model, plain, { reading: 'some' as 'all' })).rejects.toThrow('reading is "some"');
    const narrow = memoryRows(tensor([2, 3], new Float32Array(6)));
    const vocabulary = { index: flatIndex(parameters.samOut.embedding), input: narrow, output: narrow };
    await expect(answerRow(model, plain, { vocabulary })).rejects.toThrow(
      'input has 3 elements per row, not 8',
    );
  });
});

describe('a vocabulary outside of the model', () => {
  const { embedding } = parameters.samOut;
  const head = parameters.samOut.head ?? embedding;
  /** The same model without its tables. */
  const empty = tensor([1, 8], new Float32Array(8));
  const bare: SubVocabParameters<Tensor> = {
    samOut: {
      ...parameters.samOut,
      embedding: empty,
      ...(parameters.samOut.head === undefined ? {} : { head: empty }),
    },
    query: parameters.query,
  };
  const paths = {
    input: join(folder, 'input.fbin'),
    output: join(folder, 'output.fbin'),
    index: join(folder, 'index'),
  };

  test('in memory, in files and on disk gives what the model with its own tables gives', async () => {
    await writeFiles('spec', [
      { path: paths.input, chunks: binChunks(embedding, 'fbin') },
      { path: paths.output, chunks: binChunks(head, 'fbin') },
    ]);
    await buildWords(
      paths.index,
      { kind: 'fbin', path: paths.output },
      { lists: 4, roots: 2, sample: 40, threads: 1 },
    );
    using model = modelOn(refBackend);
    using other = modelOn(refBackend, subVocabConfig({ ...config, candidates: 24 }), bare);
    const options = { top: 6, k: 6 };
    for (const reading of ['all', 'inside'] as const) {
      const own = await answerRow(model, marked, { ...options, reading });
      const asked = own.answers.filter((a) => a.asked >= 0);
      const memory = { index: flatIndex(head), input: memoryRows(embedding), output: memoryRows(head) };
      using input = fileRows(paths.input);
      using output = fileRows(paths.output);
      await using index = openWords(paths.index);
      for (const vocabulary of [memory, { index, input, output, search: { nprobe: 4 } }]) {
        const { answers, selections } = await answerRow(other, marked, { ...options, reading, vocabulary });
        expect(selections.map((s) => [...s.words])).toEqual(own.selections.map((s) => [...s.words]));
        expect(answers.map((a) => [a.position, a.asked, ...a.words])).toEqual(
          asked.map((a) => [a.position, a.asked, ...a.words]),
        );
        for (const [i, { logits }] of answers.entries())
          for (const [j, v] of logits.entries()) expect(v).toBeCloseTo(asked[i]!.logits[j]!, 5);
      }
    }
  });

  test('rows are those of the table, in any order, and others are refused', async () => {
    using file = fileRows(paths.output);
    const ids = Int32Array.of(7, 3, 7, 41);
    const got = await file.rows(ids);
    expect(got).toEqual(await memoryRows(head).rows(ids));
    expect([...got.subarray(8, 16)]).toEqual([...head.data.subarray(24, 32)]);
    await expect(file.rows(Int32Array.of(42))).rejects.toThrow('has no row 42; it has 42');
    await expect(file.rows(Int32Array.of(-1))).rejects.toThrow('has no row -1');
    const bad = join(folder, 'bad.fbin');
    const holed = tensor([2, 2], Float32Array.of(1, 2, Number.NaN, 3));
    await writeFiles('spec', [{ path: bad, chunks: binChunks(holed, 'fbin') }]);
    using nan = fileRows(bad);
    expect([...(await nan.rows(Int32Array.of(0)))]).toEqual([1, 2]);
    await expect(nan.rows(Int32Array.of(0, 1))).rejects.toThrow('row 1 holds NaN');
  });
});

describeDevice(
  'on a device',
  (gpu) => {
    test('a row has the answers of the reference, and nothing is left behind', async () => {
      using a = modelOn(refBackend);
      using b = modelOn(gpu());
      for (const reading of ['all', 'inside'] as const) {
        const options = { key: key(8), reading, top: 3 };
        const want = await answerRow(a, marked, options);
        const got = await answerRow(b, marked, options);
        expect(got.selections.map((s) => [...s.words])).toEqual(want.selections.map((s) => [...s.words]));
        expect(got.answers.map((x) => [...x.words])).toEqual(want.answers.map((x) => [...x.words]));
      }
    });
  },
  ['cpu-vulkan'],
);
