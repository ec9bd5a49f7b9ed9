import type { Backend } from '../../core/backend.ts';
import { ArgumentError } from '../../core/errors.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import type { SubVocabConfig } from '../subVocab/config.ts';
import type { SubVocabParameters } from '../subVocab/model.ts';
import { specialIds, type WordTable } from '../subVocab/wordTable.ts';
import type { Hypernet, Method } from './transfer.ts';
import { rowsOfWords } from './transfer.ts';
import { type SourceTokenizer, sourceVocabulary } from './vocabulary.ts';

/** A SUBVOCAB model on the host, with its words. */
export interface WordModel {
  readonly config: SubVocabConfig;
  readonly parameters: SubVocabParameters<Tensor>;
  readonly table: WordTable;
}

/** A table of words as a source: its words and bytes are the pieces that new words are spelled with. */
export function wordSource(table: WordTable): SourceTokenizer {
  return {
    vocabulary: table.size,
    paddingIndex: specialIds.padding,
    beginIndex: specialIds.subVocab,
    bytesOf: (id) => table.bytes(id),
  };
}

const encoder = new TextEncoder();

/**
 * A SUBVOCAB model that knows more words, from their text alone: each is spelled with the words and bytes that the model has, and
 * the hypernetwork (or a baseline) makes its rows of both tables. Ids and rows of the words before stay as they are; the new
 * ones come behind, in the order given. An index over the output table must be built again to find them.
 *
 * @param words as they stand in text: one in the middle of a sentence begins with its space
 * @param options.method @defaultValue 'hypernet'
 * @throws ArgumentError for a word that is empty, too long, or there already; without a hypernetwork where the method needs one
 */
export async function addWords<T extends AnyTensor>(
  backend: Backend<T>,
  model: WordModel,
  words: readonly string[],
  options: {
    readonly method?: Exclude<Method, 'focus'>;
    readonly hypernet?: Hypernet;
    readonly seed?: number;
    readonly language?: number;
  } = {},
): Promise<WordModel> {
  const { config, parameters } = model;
  const { samOut } = parameters;
  const table = model.table.with(words);
  const source = sourceVocabulary(wordSource(model.table));
  const tables = { in: samOut.embedding, ...(samOut.head === undefined ? {} : { out: samOut.head }) };
  const { hypernet } = options;
  if (hypernet !== undefined && hypernet.frozen.table.shape[0] !== model.table.size) {
    throw new ArgumentError(
      'addWords',
      `the hypernetwork was trained for ${hypernet.frozen.table.shape[0]} words; this model has ${model.table.size}`,
    );
  }
  const rows = await rowsOfWords(
    backend,
    tables,
    source,
    {
      words: words.map((w) => encoder.encode(w)),
      same: tensor(
        [words.length],
        words.map(() => -1),
        'i32',
      ),
    },
    options.method ?? 'hypernet',
    options,
  );
  const embedding = behind(tables.in, rows.in);
  const head = samOut.head === undefined ? {} : { head: behind(samOut.head, rows.out!) };
  return {
    config: { ...config, samOut: { ...config.samOut, vocabulary: table.size } },
    parameters: { ...parameters, samOut: { ...samOut, embedding, ...head } },
    table,
  };
}

/** One table behind another. */
function behind(first: Tensor, then: Tensor): Tensor {
  const [a = 0, width = 0] = first.shape;
  const data = new Float32Array(first.size + then.size);
  data.set(first.data as Float32Array);
  data.set(then.data as Float32Array, first.size);
  return tensor([a + then.shape[0]!, width], data);
}
