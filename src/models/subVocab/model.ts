import type { Backend } from '../../core/backend.ts';
import { ArgumentError } from '../../core/errors.ts';
import { foldIn, type Key } from '../../core/key.ts';
import type { Ops } from '../../core/ops/index.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import { headOf, type SamOutState, samOutFeatures, samOutLayers } from '../samOut/model.ts';
import {
  initialParameters,
  listParameters,
  mapParameters,
  type SamOutParameters,
} from '../samOut/parameters.ts';
import type { SubVocabConfig } from './config.ts';
import { WordIndex } from './wordIndex.ts';

/** What a model learns: a SamOut, and the matrix [d, d] that makes queries of states. */
export interface SubVocabParameters<T> {
  readonly samOut: SamOutParameters<T>;
  readonly query: T;
}

/** Apply a function to every parameter; the path names it. */
export function mapSubVocab<A, B>(
  p: SubVocabParameters<A>,
  f: (value: A, path: string) => B,
): SubVocabParameters<B> {
  const samOut = mapParameters(p.samOut, f);
  return { samOut, query: f(p.query, 'query') };
}

/** All parameters in a fixed order: those of SamOut, then the query. */
export function listSubVocab<T>(p: SubVocabParameters<T>): T[] {
  return [...listParameters(p.samOut), p.query];
}

/** Start values: those of SamOut, and the identity, so that at first a [SUBVOCAB] asks for what its state predicts. */
export async function initialSubVocab<T extends AnyTensor>(
  backend: Backend<T>,
  { samOut }: SubVocabConfig,
  key: Key,
): Promise<SubVocabParameters<Tensor>> {
  const d = samOut.width;
  const identity = Float32Array.from({ length: d * d }, (_, i) => Number(i % (d + 1) === 0));
  return {
    samOut: await initialParameters(backend, samOut, foldIn(key, 0)),
    query: tensor([d, d], identity),
  };
}

/** Step 2: queries [..., Q, d] of the asked positions, from features [..., T, d]. Written for both twins and for the tape. */
export function queriesOf<T extends AnyTensor>(
  ops: Ops<T>,
  { pooling }: SubVocabConfig,
  query: T,
  features: T,
  positions: T,
): T {
  using pooled = ops.poolQuery(features, positions, { pooling });
  return ops.matmul(pooled, query, { transposeB: true });
}

/** A sub-vocabulary of one row: its words, best first, and what they are selected by. */
export interface Selection {
  /** Global ids; -1 where there were fewer candidates. */
  readonly words: Int32Array;
  /** Their logits before noise. */
  readonly scores: Float32Array;
  /** Log of the probability to have been selected, given the threshold; 0 for a plain top-k. */
  readonly logInclusion: Float32Array;
}

/** Step 4: the rows of a sub-vocabulary in the input table and the output table. Disposing it disposes both. */
export interface GatheredTables<T> extends Disposable {
  /** i32 [k] */
  readonly words: T;
  /** [k, d] */
  readonly input: T;
  /** [k, d] */
  readonly output: T;
}

/** A model on one backend: owns its parameters and, after `refreshIndex`, an index over its output table. */
export class SubVocab<T extends AnyTensor> implements Disposable {
  readonly backend: Backend<T>;
  readonly config: SubVocabConfig;
  /** Replaced by training, tensor by tensor. */
  parameters: SubVocabParameters<T>;
  readonly index: WordIndex<T>;
  /** Whether candidates come from the index; without it, all words are candidates. */
  indexed = false;

  constructor(
    backend: Backend<T>,
    config: SubVocabConfig,
    parameters: SubVocabParameters<Tensor>,
    nprobe?: number,
  ) {
    this.backend = backend;
    this.config = config;
    this.parameters = mapSubVocab(parameters, (t) => backend.upload(t));
    this.index = new WordIndex(backend, () => this.allWords(), nprobe === undefined ? {} : { nprobe });
  }

  /** Every id that is a word. */
  allWords(): Int32Array {
    const { specials, samOut } = this.config;
    return Int32Array.from({ length: samOut.vocabulary - specials }, (_, i) => specials + i);
  }

  /** The output table [N, d]. */
  get table(): T {
    return headOf(this.parameters.samOut);
  }

  /** Build the index over the output table as it is now; from here on candidates come from it. */
  async refreshIndex(): Promise<void> {
    await this.index.refresh(this.table);
    this.indexed = true;
  }

  /** Step 2a: features [B, T, d] of ids i32 [B, T], and the state after them. */
  encode(ids: Tensor, state?: SamOutState<T>): { features: T; state: SamOutState<T> } {
    this.checkIds(ids);
    const { backend, config, parameters } = this;
    using input = backend.upload(ids);
    const options = state === undefined ? {} : { state };
    return samOutFeatures(backend.ops, config.samOut, parameters.samOut, input, options);
  }

  /** Step 2b: the query [1, d] of one position of features [1, T, d]. */
  query(features: T, position: number): T {
    const { backend, config, parameters } = this;
    using at = backend.upload(tensor([1, 1], [position], 'i32'));
    using made = queriesOf(backend.ops, config, parameters.query, features, at);
    using first = backend.upload(tensor([1], [0], 'i32'));
    return backend.ops.gatherRows(made, first);
  }

  /** Step 3a: candidates i32 [R, c] on the host for queries [R, d]: all words, or those that the index finds. */
  async candidates(queries: T, exact = false): Promise<Tensor> {
    const { candidates, samOut, specials } = this.config;
    const rows = queries.shape[0]!;
    if (this.indexed && !exact && candidates < samOut.vocabulary - specials)
      return this.index.search(queries, candidates);
    const words = this.allWords();
    const all = new Int32Array(rows * words.length);
    for (let r = 0; r < rows; r++) all.set(words, r * words.length);
    return tensor([rows, words.length], all);
  }

  /** Step 3b: k of the candidates [1, c] of one query [1, d]: the best, or with a key a Gumbel top-k sample. */
  async select(query: T, candidates: Tensor, k: number = this.config.k, key?: Key): Promise<Selection> {
    const { ops } = this.backend;
    using words = this.backend.upload(candidates);
    using first = this.backend.upload(tensor([1, 1], [0], 'i32'));
    using x = ops.gatherRows(query, first);
    using logits = ops.subVocabHead(x, this.table, words);
    using zero = this.backend.upload(tensor([1], [0], 'i32'));
    using phi = ops.gatherRows(logits, zero);
    return await pick(this.backend, phi, candidates.data as Int32Array, k, key);
  }

  /**
   * Steps 3a and 3b at once, exactly: a Gumbel top-k sample of k words from the softmax over all words, for one query [1, d]. The
   * index says which words need no score; `refreshIndex` first.
   * @returns also how many words were scored
   */
  async sampleExactly(query: T, k: number, key: Key): Promise<Selection & { readonly scored: number }> {
    const { ids, threshold, scored } = await this.index.sample(query, k, key);
    const { words, scores } = await this.select(query, tensor([1, ids.length], ids), ids.length);
    const scoreOf = new Map(Array.from(words, (id, i) => [id, scores[i]!]));
    const ordered = Float32Array.from(ids, (id) => scoreOf.get(id)!);
    return {
      words: ids,
      scores: ordered,
      logInclusion: ordered.map((score) => logInclusionOf(score - threshold[0]!)),
      scored: scored[0]!,
    };
  }

  /** Step 4: the rows of the words in both tables. */
  gather(words: Int32Array): GatheredTables<T> {
    const { backend, parameters } = this;
    const ids = backend.upload(tensor([words.length], words));
    const input = backend.ops.gatherRows(parameters.samOut.embedding, ids);
    const output = backend.ops.gatherRows(this.table, ids);
    return {
      words: ids,
      input,
      output,
      [Symbol.dispose]() {
        for (const t of [ids, input, output]) t[Symbol.dispose]();
      },
    };
  }

  /**
   * Step 4, its input side: features [1, T, d] of global ids embedded from a sub-vocabulary's own table. An id outside of it has
   * the local id -1 and a row of zeros, never that of another word.
   * @returns also the local ids
   */
  async encodeLocal(
    ids: Int32Array,
    tables: GatheredTables<T>,
    state?: SamOutState<T>,
  ): Promise<{ features: T; state: SamOutState<T>; local: Int32Array }> {
    const { backend, config, parameters } = this;
    using given = backend.upload(tensor([ids.length], ids));
    using local = backend.ops.localIds(given, tables.words);
    const found = (await backend.read(local)).data as Int32Array;
    using row = backend.upload(tensor([1, ids.length], found));
    using x = backend.ops.gatherRows(tables.input, row);
    const options = state === undefined ? {} : { state };
    return { ...samOutLayers(backend.ops, config.samOut, parameters.samOut, x, options), local: found };
  }

  /** Step 6: logits [1, T, k] of features [1, T, d] over a sub-vocabulary; column j is the word words[j]. */
  logits(features: T, tables: GatheredTables<T>): T {
    return this.backend.ops.matmul(features, tables.output, { transposeB: true });
  }

  /** Check ids on the host. @throws ArgumentError naming the id and its place */
  checkIds(ids: Tensor): void {
    const { vocabulary } = this.config.samOut;
    const bad = ids.data.findIndex((v) => v < 0 || v >= vocabulary);
    if (bad >= 0) {
      throw new ArgumentError(
        'subVocab',
        `id ${ids.data[bad]} at element ${bad} is outside the vocabulary of ${vocabulary}`,
      );
    }
  }

  /** The parameters on the host. */
  async read(): Promise<SubVocabParameters<Tensor>> {
    const list = await Promise.all(listSubVocab(this.parameters).map((t) => this.backend.read(t)));
    let i = 0;
    return mapSubVocab(this.parameters, () => list[i++]!);
  }

  [Symbol.dispose](): void {
    for (const t of listSubVocab(this.parameters)) t[Symbol.dispose]();
    this.index[Symbol.dispose]();
  }
}

/** Step 3b from scores phi [1, c] of candidates: the k best, or with a key a Gumbel top-k sample. */
export async function pick<T extends AnyTensor>(
  backend: Backend<T>,
  phi: T,
  candidates: Int32Array,
  k: number,
  key?: Key,
): Promise<Selection> {
  const count = Math.min(k, candidates.length);
  const values = (await backend.read(phi)).data as Float32Array;
  const picked = { indices: new Int32Array(0), logInclusion: new Float32Array(count) };
  if (key === undefined) {
    using best = backend.ops.topK(phi, count);
    picked.indices = (await backend.read(best.indices)).data as Int32Array<ArrayBuffer>;
  } else {
    using sample = backend.ops.gumbelTopK(phi, count, { key });
    picked.indices = (await backend.read(sample.indices)).data as Int32Array<ArrayBuffer>;
    picked.logInclusion = (await backend.read(sample.logInclusion)).data as Float32Array<ArrayBuffer>;
  }
  return {
    words: picked.indices.map((i) => (i < 0 ? -1 : candidates[i]!)),
    scores: Float32Array.from(picked.indices, (i) => (i < 0 ? -Infinity : values[i]!)),
    logInclusion: picked.logInclusion,
  };
}

/** log(1 - exp(-e^z)): the log of the probability that a score and Gumbel noise exceed a threshold, z = score - threshold. */
function logInclusionOf(z: number): number {
  const y = Math.exp(z);
  // Where y is so small that 1 - exp(-y) would lose its digits, it is y - y^2/2.
  if (z <= -10) return z - y / 2;
  return y < Math.LN2 ? Math.log(-Math.expm1(-y)) : Math.log1p(-Math.exp(-y));
}
