import type { Backend } from '../../core/backend.ts';
import { ArgumentError } from '../../core/errors.ts';
import type { Key } from '../../core/key.ts';
import type { AnnIndex } from '../../core/ops/hierarchicalAnn.ts';
import type { ListBalls } from '../../core/ops/lazyGumbelTopK.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';

export interface WordIndexOptions {
  /** Lists to look into per query. @defaultValue that of hierarchicalAnnSearch */
  readonly nprobe?: number;
}

/**
 * Step 3a: words that may fit a query, by the inner product with their rows of the output table. A hierarchical index over a copy of
 * the table as it was when the index was built; training moves the table on, so the index goes stale until `refresh`.
 */
export class WordIndex<T extends AnyTensor> implements Disposable {
  readonly backend: Backend<T>;
  readonly options: WordIndexOptions;
  readonly #ids: () => Int32Array;
  #index: AnnIndex<T> | undefined;
  #balls: (ListBalls<T> & Disposable) | undefined;

  /** @param ids the words, asked for when an index is built */
  constructor(backend: Backend<T>, ids: () => Int32Array, options: WordIndexOptions = {}) {
    this.backend = backend;
    this.#ids = ids;
    this.options = options;
  }

  /** Build the index anew from the table [N, d] as it is now. */
  async refresh(table: T): Promise<void> {
    this[Symbol.dispose]();
    this.#index = await this.#build(table, false);
  }

  /**
   * An exact sample of `count` words from the softmax over all words of the index, for each query: what `lazyGumbelTopK` returns, on
   * the host.
   */
  async sample(
    queries: T,
    count: number,
    key: Key,
  ): Promise<{ ids: Int32Array; threshold: Float32Array; scored: Int32Array }> {
    const index = this.#index;
    if (index === undefined)
      throw new ArgumentError('subVocab', 'the index was never built; call refresh first');
    const { ops } = this.backend;
    this.#balls ??= ops.lazyGumbelTopKBalls(index);
    using drawn = ops.lazyGumbelTopK(index, this.#balls, queries, count, { key });
    const [ids, threshold, scored] = await Promise.all(
      [drawn.ids, drawn.threshold, drawn.scored].map(async (t) => (await this.backend.read(t)).data),
    );
    return {
      ids: ids as Int32Array,
      threshold: threshold as Float32Array,
      scored: scored as Int32Array,
    };
  }

  /** i32 [queries, count] on the host: ids of the best words that were found, -1 where there are fewer. */
  async search(queries: T, count: number): Promise<Tensor> {
    if (this.#index === undefined)
      throw new ArgumentError('subVocab', 'the index was never built; call refresh first');
    return this.#search(this.#index, queries, count, this.options);
  }

  /**
   * Recall of the index as it is against exact search over the table as it is now: the share of the best `count` words that it
   * finds. It falls by approximation, and by the table having moved since `refresh`.
   */
  async recall(table: T, queries: T, count: number): Promise<number> {
    const got = await this.search(queries, count);
    using flat = await this.#build(table, true);
    const want = await this.#search(flat, queries, count, {});
    const rows = got.shape[0]!;
    let found = 0;
    for (let r = 0; r < rows; r++) {
      const own = new Set(got.data.subarray(r * count, (r + 1) * count));
      for (const id of want.data.subarray(r * count, (r + 1) * count)) if (own.has(id)) found++;
    }
    return want.size === 0 ? 1 : found / want.size;
  }

  async #build(table: T, flat: boolean): Promise<AnnIndex<T>> {
    const { backend } = this;
    const ids = this.#ids();
    using own = backend.upload(tensor([ids.length], ids));
    using vectors = backend.ops.gatherRows(table, own);
    return backend.ops.hierarchicalAnn(vectors, { ids: own, flat });
  }

  async #search(index: AnnIndex<T>, queries: T, count: number, options: WordIndexOptions): Promise<Tensor> {
    using found = this.backend.ops.hierarchicalAnnSearch(index, queries, count, options);
    return this.backend.read(found.ids);
  }

  [Symbol.dispose](): void {
    this.#index?.[Symbol.dispose]();
    this.#index = undefined;
    this.#balls?.[Symbol.dispose]();
    this.#balls = undefined;
  }
}
