/** What a search gives, for each query in turn. */
export interface Found {
  /** i32 [queries, k], by score descending, then id ascending; -1 where there are fewer than k. */
  readonly ids: Int32Array;
  /** f32 [queries, k]: scores, not distances: higher is better; -Infinity where there are fewer than k. */
  readonly scores: Float32Array;
  /** How many were found: min(k, size), never fewer. */
  readonly counts: Int32Array;
  readonly stats: SearchStats;
}

/** What a search did, over all of its queries. */
export interface SearchStats {
  /** Lists looked into; a flat index has one. */
  readonly listsProbed: number;
  /** Words compared with a query. */
  readonly scanned: number;
  /** Bytes read from disk or asked from an engine. */
  readonly bytesRead: number;
  /** Choosing lists, reading them, scoring, selecting: milliseconds. An engine counts everything as reading. */
  readonly ms: {
    readonly choose: number;
    readonly read: number;
    readonly scan: number;
    readonly select: number;
  };
}

/** Options of a search. */
export interface VocabSearchOptions {
  /** Lists to look into; more are taken when these hold fewer than k words. Indexes without lists ignore it. */
  readonly nprobe?: number;
  /**
   * Instead of `nprobe`, for an index on disk: look into as many lists as should hold this share of the k best, by what is
   * known of the lists; easy queries need few. @defaultValue 0.95 there
   *
   * Other indexes with lists take 1, which is all lists, and refuse the rest.
   */
  readonly recall?: number;
}

/**
 * A vocabulary that can be searched by inner product: in memory, in a folder on disk, or in an engine. All of them give
 * scores, the total order (score descending, id ascending), and never fewer than min(k, size) words.
 */
export interface VocabIndex extends AsyncDisposable {
  readonly kind: 'flat' | 'lists' | 'words' | 'lancedb' | 'postgres';
  readonly size: number;
  readonly dim: number;
  /** Rises whenever words or embeddings change; caches compare it. */
  readonly version: number;
  /** Whether a search without options is exact for the stored embeddings. */
  readonly exact: boolean;
  /** |score - q . e| <= relativeError |q| |e| for the stored embedding e. */
  readonly relativeError: number;
  /** @param queries [queries, dim], row by row */
  search(queries: Float32Array, k: number, options?: VocabSearchOptions): Promise<Found>;
}
