import { ArgumentError } from '../../core/errors.ts';
import { foldIn, type Key } from '../../core/key.ts';
import { type AnyTensor, tensor } from '../../core/tensor.ts';
import type { RowStore } from '../../vocab/rowStore.ts';
import type { VocabIndex, VocabSearchOptions } from '../../vocab/vocabIndex.ts';
import type { SamOutState } from '../samOut/model.ts';
import { type GatheredTables, pick, type Selection, type SubVocab } from './model.ts';

/** A vocabulary that lies outside of the model: in memory, in files, or in an engine. Its ids are those of the model. */
export interface OutsideVocabulary {
  /** Proposes words, by the inner product with their rows of the output table. Ids that are no words are passed over. */
  readonly index: VocabIndex;
  /** The rows of the input table and of the output table. */
  readonly input: RowStore;
  readonly output: RowStore;
  readonly search?: VocabSearchOptions;
}

export interface AnswerOptions {
  /** Words of a sub-vocabulary. @defaultValue k of the model */
  readonly k?: number;
  /** Draws a Gumbel sample for each [SUBVOCAB]. Absent: the best */
  readonly key?: Key;
  /**
   * What the text after a [SUBVOCAB] is read with. `all`: every word's own row, as in training. `inside`: words of the
   * sub-vocabulary alone; others are rows of zeros. @defaultValue 'all'
   */
  readonly reading?: 'all' | 'inside';
  /** Best words that are told of each position. @defaultValue 1 */
  readonly top?: number;
  /** Where words and rows come from instead of the model's own tables. */
  readonly vocabulary?: OutsideVocabulary;
}

/** What is predicted at one position. */
export interface Answer {
  readonly position: number;
  /** The number of the [SUBVOCAB] that governs it; -1: none, so all words were there. */
  readonly asked: number;
  /** Global ids, best first. */
  readonly words: Int32Array;
  readonly logits: Float32Array;
}

/** The answers of a row, and the sub-vocabularies that they come from. */
export interface RowAnswers {
  readonly answers: readonly Answer[];
  /** One for each [SUBVOCAB], in order. */
  readonly selections: readonly Selection[];
}

/**
 * Steps 1 to 6 for a row of ids with any number of [SUBVOCAB], none included: what comes next at each position. One position after
 * the other is read, so nothing depends on what comes later.
 *
 * Positions before the first [SUBVOCAB] are predicted over all words. With a vocabulary from outside the model has no table of all
 * words: these positions have no answer, and `model` needs no tables of its own (give it ones of one row).
 * @param ids the row; a [SUBVOCAB] at its end is answered, too
 * @throws ArgumentError for an empty row, an id that is not there, sizes that do not fit
 */
export async function answerRow<T extends AnyTensor>(
  model: SubVocab<T>,
  ids: Int32Array,
  options: AnswerOptions = {},
): Promise<RowAnswers> {
  const { backend, config } = model;
  const { ops } = backend;
  const { k = config.k, key, reading = 'all', top = 1, vocabulary } = options;
  const d = config.samOut.width;
  if (ids.length === 0) throw new ArgumentError('subVocab', 'the row is empty; give at least one id');
  for (const [name, value] of Object.entries({ k, top }))
    if (!Number.isSafeInteger(value) || value < 1)
      throw new ArgumentError('subVocab', `${name} is ${value}; it must be an integer from 1 on`);
  if (reading !== 'all' && reading !== 'inside')
    throw new ArgumentError('subVocab', `reading is ${JSON.stringify(reading)}; it must be all or inside`);
  if (vocabulary !== undefined)
    for (const name of ['index', 'input', 'output'] as const)
      if (vocabulary[name].dim !== d)
        throw new ArgumentError('subVocab', `${name} has ${vocabulary[name].dim} elements per row, not ${d}`);
  model.checkIds(tensor([1, ids.length], ids));

  const features = new Float32Array(ids.length * d);
  let state: SamOutState<T> | undefined;
  /** Read positions from..end - 1 after what was read before; with tables, by the words in them. */
  const read = async (from: number, end: number, tables?: GatheredTables<T>): Promise<void> => {
    if (from === end) return;
    const own = ids.slice(from, end);
    const before = state;
    let made: { features: T; state: SamOutState<T> };
    if (tables !== undefined) made = await model.encodeLocal(own, tables, before);
    else if (vocabulary === undefined) made = model.encode(tensor([1, own.length], own), before);
    else {
      // Padding has no row: outside of these it is a row of zeros.
      const needed = Int32Array.from(new Set(own.filter((id) => id !== config.samOut.paddingIndex)));
      using gathered = await gatherRowsOf(model, needed, vocabulary.input);
      made = await model.encodeLocal(own, gathered, before);
    }
    using got = made.features;
    before?.[Symbol.dispose]();
    state = made.state;
    features.set((await backend.read(got)).data as Float32Array, from * d);
  };
  const answers: Answer[] = [];
  const answer = async (
    from: number,
    end: number,
    asked: number,
    words: Int32Array,
    table: T,
  ): Promise<void> => {
    if (from === end) return;
    using x = backend.upload(tensor([end - from, d], features.slice(from * d, end * d)));
    using logits = ops.matmul(x, table, { transposeB: true });
    const count = Math.min(top, words.filter((id) => id >= 0).length);
    const values = (await backend.read(logits)).data as Float32Array;
    for (let position = from; position < end; position++) {
      const row = values.subarray((position - from) * words.length, (position - from + 1) * words.length);
      const order = Int32Array.from(row, (_, j) => j)
        .filter((j) => words[j]! >= 0)
        .sort((a, b) => row[b]! - row[a]! || words[a]! - words[b]!)
        .slice(0, count);
      answers.push({
        position,
        asked,
        words: order.map((j) => words[j]!),
        logits: Float32Array.from(order, (j) => row[j]!),
      });
    }
  };

  // Step 1.
  const marks = Array.from(ids.keys()).filter((t) => ids[t] === config.subVocabId);
  const selections: Selection[] = [];
  try {
    const free = marks[0] ?? ids.length;
    await read(0, free);
    if (vocabulary === undefined && free > 0) {
      const words = model.allWords();
      using own = backend.upload(tensor([words.length], words));
      using table = ops.gatherRows(model.table, own);
      await answer(0, free, -1, words, table);
    }
    for (const [asked, mark] of marks.entries()) {
      // Step 2: [SUBVOCAB] is read by its own row, whatever comes after it is read with.
      await read(mark, mark + 1);
      using known = backend.upload(tensor([1, mark + 1, d], features.slice(0, (mark + 1) * d)));
      using query = model.query(known, mark);
      // Steps 3 and 4.
      const drawn = key === undefined ? undefined : foldIn(key, asked);
      const { selection, tables } = await selectAndGather(model, query, k, drawn, vocabulary);
      using held = tables;
      selections.push(selection);
      // Steps 5 and 6.
      const end = marks[asked + 1] ?? ids.length;
      await read(mark + 1, end, reading === 'inside' ? held : undefined);
      await answer(mark, end, asked, selection.words, held.output);
    }
  } finally {
    state?.[Symbol.dispose]();
  }
  return { answers, selections };
}

/** Steps 3 and 4, from the model's own tables or from outside. */
async function selectAndGather<T extends AnyTensor>(
  model: SubVocab<T>,
  query: T,
  k: number,
  key: Key | undefined,
  vocabulary: OutsideVocabulary | undefined,
): Promise<{ selection: Selection; tables: GatheredTables<T> }> {
  if (vocabulary === undefined) {
    const selection = await model.select(query, await model.candidates(query), k, key);
    return { selection, tables: model.gather(selection.words) };
  }
  const { backend, config } = model;
  const { index, input, output, search } = vocabulary;
  const asked = (await backend.read(query)).data as Float32Array;
  const most = Math.max(k, config.candidates) + config.specials;
  const found = await index.search(asked, Math.min(most, index.size), search);
  const proposed = found.ids.filter((id) => id >= config.specials);
  if (proposed.length === 0)
    throw new ArgumentError(
      'subVocab',
      `the index found no words; its ids must be from ${config.specials} on`,
    );
  const rows = await output.rows(proposed);
  using table = backend.upload(tensor([proposed.length, config.samOut.width], rows));
  using phi = backend.ops.matmul(query, table, { transposeB: true });
  const selection = await pick(backend, phi, proposed, k, key);
  return { selection, tables: await gatherRowsOf(model, selection.words, input, output) };
}

/** Step 4 for rows that lie outside of the model. */
async function gatherRowsOf<T extends AnyTensor>(
  { backend }: SubVocab<T>,
  words: Int32Array,
  from: RowStore,
  to: RowStore = from,
): Promise<GatheredTables<T>> {
  const bring = async (store: RowStore): Promise<T> =>
    backend.upload(tensor([words.length, store.dim], await store.rows(words)));
  const input = await bring(from);
  const output = to === from ? input : await bring(to);
  const ids = backend.upload(tensor([words.length], words));
  return {
    words: ids,
    input,
    output,
    [Symbol.dispose]() {
      for (const t of new Set([ids, input, output])) t[Symbol.dispose]();
    },
  };
}
