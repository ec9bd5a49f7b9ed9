import type { Backend } from '../../core/backend.ts';
import { ArgumentError } from '../../core/errors.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import type { Tokenizer } from '../../core/tokenizers/tokenizer.ts';
import { samOutConfig } from '../samOut/config.ts';
import { type Baseline, baselineRows, contextVectors } from './baselines.ts';
import { tablesOf, type ZettBody } from './body.ts';
import type { HypernetConfig } from './config.ts';
import { type HypernetFrozen, mapFrozen, predictRows, type SourceTables } from './model.ts';
import { type HypernetParameters, listHypernet, mapHypernet } from './parameters.ts';
import { formsOf, type SourceVocabulary, type TargetVocabulary } from './vocabulary.ts';

/** A trained hypernetwork on the host. */
export interface Hypernet {
  readonly config: HypernetConfig;
  readonly parameters: HypernetParameters<Tensor>;
  readonly frozen: HypernetFrozen<Tensor>;
}

export type Method = 'hypernet' | Baseline;

/** How rows are made. */
export interface RowsOptions {
  readonly hypernet?: Hypernet;
  /** Of what is drawn. @defaultValue 0 */
  readonly seed?: number;
  /** Which of the hypernetwork's languages the words are of; only where it has any. */
  readonly language?: number;
  /** [words, D]: what focus takes its cosines from. */
  readonly vectors?: Tensor;
}

/**
 * Rows of both tables for new words, by a hypernetwork or by a rule.
 * @param same i32 [words]: the source's id for the same bytes, or -1
 * @throws ArgumentError where a hypernetwork is needed and none is given
 */
export async function rowsOfWords<T extends AnyTensor>(
  backend: Backend<T>,
  tables: SourceTables,
  source: SourceVocabulary,
  { words, same }: Pick<TargetVocabulary, 'words' | 'same'>,
  method: Method,
  { hypernet, seed = 0, language, vectors }: RowsOptions = {},
): Promise<SourceTables> {
  const forms = await formsOf(backend, source, words, hypernet?.config.length ?? 7);
  if (method !== 'hypernet') {
    const more = vectors === undefined ? {} : { vectors };
    return baselineRows(backend, method, tables, { forms, same, ...more }, seed);
  }
  if (hypernet === undefined)
    throw new ArgumentError('zett', 'the method hypernet needs a hypernetwork; give one, or choose another');
  const p = mapHypernet(hypernet.parameters, (t) => backend.upload(t));
  const f = mapFrozen(hypernet.frozen, (t) => backend.upload(t));
  try {
    return await predictRows(backend, hypernet.config, p, f, forms, language);
  } finally {
    for (const t of [...listHypernet(p), ...Object.values(f)]) t[Symbol.dispose]();
  }
}

/** How tables for a vocabulary are made. */
export type TransferOptions = Omit<RowsOptions, 'vectors'> & {
  /** Ids of some text in the new vocabulary: what focus takes its vectors from. */
  readonly text?: Int32Array;
};

/** Tables for another vocabulary, by a hypernetwork or by a rule, from those of any model. */
export async function transferTables<T extends AnyTensor>(
  backend: Backend<T>,
  tables: SourceTables,
  source: SourceVocabulary,
  target: TargetVocabulary,
  method: Method,
  { text, ...options }: TransferOptions = {},
): Promise<SourceTables> {
  const vectors = method === 'focus' && text !== undefined ? { vectors: wordVectors(target, text) } : {};
  const rows = await rowsOfWords(backend, tables, source, target, method, { ...options, ...vectors });
  return {
    in: assemble(rows.in, tables.in, target),
    ...(rows.out === undefined || tables.out === undefined
      ? {}
      : { out: assemble(rows.out, tables.out, target) }),
  };
}

/** A SamOut with tables for another vocabulary. */
export async function transfer<T extends AnyTensor>(
  backend: Backend<T>,
  body: ZettBody,
  source: SourceVocabulary,
  target: TargetVocabulary,
  method: Method,
  options: TransferOptions = {},
): Promise<ZettBody> {
  const made = await transferTables(backend, tablesOf(body), source, target, method, options);
  const head = made.out === undefined ? {} : { head: made.out };
  const { layers } = body.parameters;
  const config = samOutConfig({
    ...body.config,
    vocabulary: target.rows.size,
    paddingIndex: target.paddingIndex,
  });
  return { config, parameters: { ...body.parameters, embedding: made.in, layers, ...head } };
}

/** Context vectors by word instead of by id. */
function wordVectors(target: TargetVocabulary, text: Int32Array): Tensor {
  const byId = contextVectors(text, target.rows.size);
  const width = byId.shape[1]!;
  const out = new Float32Array(target.words.length * width);
  for (const [id, row] of target.rows.data.entries()) {
    if (row >= 0) out.set(byId.data.subarray(id * width, (id + 1) * width), row * width);
  }
  return tensor([target.words.length, width], out);
}

function assemble(made: Tensor, source: Tensor, { rows, copies }: TargetVocabulary): Tensor {
  const width = source.shape[1]!;
  const out = new Float32Array(rows.size * width);
  for (let id = 0; id < rows.size; id++) {
    const [row, copy] = [rows.data[id]!, copies.data[id]!];
    const from =
      row >= 0
        ? made.data.subarray(row * width, (row + 1) * width)
        : source.data.subarray(copy * width, (copy + 1) * width);
    out.set(from, id * width);
  }
  return tensor([rows.size, width], out);
}

/** Ids of a text with the begin token in front: what a model is measured on. */
export function measured(tokenizer: Tokenizer, text: string): Int32Array {
  const ids = tokenizer.encode(text);
  const out = new Int32Array(ids.length + 1);
  out[0] = tokenizer.beginIndex;
  out.set(ids, 1);
  return out;
}
