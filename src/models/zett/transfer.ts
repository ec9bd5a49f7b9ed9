import type { Backend } from '../../core/backend.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import type { Tokenizer } from '../../core/tokenizers/tokenizer.ts';
import { samOutConfig } from '../samOut/config.ts';
import { type Baseline, baselineRows, contextVectors } from './baselines.ts';
import type { HypernetConfig } from './config.ts';
import { type HypernetFrozen, mapFrozen, predictRows, type SourceTables } from './model.ts';
import { type HypernetParameters, listHypernet, mapHypernet } from './parameters.ts';
import { tablesOf, type ZettBody } from './trainer.ts';
import { formsOf, type SourceVocabulary, type TargetVocabulary } from './vocabulary.ts';

/** A trained hypernetwork on the host. */
export interface Hypernet {
  readonly config: HypernetConfig;
  readonly parameters: HypernetParameters<Tensor>;
  readonly frozen: HypernetFrozen<Tensor>;
}

export type Method = 'hypernet' | Baseline;

/**
 * The body with tables for another vocabulary, by a hypernetwork or by a rule.
 * @param text ids of some text in the new vocabulary: what focus takes its vectors from
 */
export async function transfer<T extends AnyTensor>(
  backend: Backend<T>,
  body: ZettBody,
  source: SourceVocabulary,
  target: TargetVocabulary,
  method: Method,
  { hypernet, seed = 0, text }: { hypernet?: Hypernet; seed?: number; text?: Int32Array } = {},
): Promise<ZettBody> {
  const tables = tablesOf(body);
  const forms = await formsOf(backend, source, target.words, hypernet?.config.length ?? 7);
  let rows: SourceTables;
  if (method === 'hypernet') {
    if (hypernet === undefined) throw new TypeError('a hypernetwork is needed');
    const p = mapHypernet(hypernet.parameters, (t) => backend.upload(t));
    const f = mapFrozen(hypernet.frozen, (t) => backend.upload(t));
    rows = await predictRows(backend, hypernet.config, p, f, forms);
    for (const t of [...listHypernet(p), ...Object.values(f)]) t[Symbol.dispose]();
  } else {
    const vectors = method === 'focus' && text !== undefined ? { vectors: wordVectors(target, text) } : {};
    rows = await baselineRows(backend, method, tables, { forms, same: target.same, ...vectors }, seed);
  }
  const embedding = assemble(rows.in, tables.in, target);
  const head =
    rows.out === undefined || tables.out === undefined
      ? {}
      : { head: assemble(rows.out, tables.out, target) };
  const { layers } = body.parameters;
  const config = samOutConfig({
    ...body.config,
    vocabulary: target.rows.size,
    paddingIndex: target.paddingIndex,
  });
  return { config, parameters: { ...body.parameters, embedding, layers, ...head } };
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
