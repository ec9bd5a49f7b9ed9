import { Best } from '../../ref/lib/best.ts';

/** What a shard answers when it is asked for its k best words. */
export interface ShardAnswer {
  readonly ids: Int32Array;
  /** Best first. */
  readonly scores: Float32Array;
  /** Whether of words with equal scores those with the lowest ids came. Otherwise which came is unknown. */
  readonly lowestIds: boolean;
}

/** Which shard holds a word: ids spread evenly, whatever their pattern. */
export function shardOf(id: number, shards: number): number {
  let h = Math.imul(id ^ (id >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) % shards;
}

/**
 * The k best of all shards, for one query, without asking each for k.
 *
 * With words spread by chance, a shard that holds the share p of them has k p of the k best, give or take sqrt(k p): it is
 * asked for k' = k p + 6 sqrt(k p). The merged set is certainly right if the k-th of it is not below the last word of any
 * shard that gave all k' it was asked for, since that shard's other words come after its last. A shard for which this fails is
 * asked for twice as many, at most until it has given everything: the result never depends on luck.
 */
export class ShardMerge {
  private readonly k: number;
  private readonly sizes: readonly number[];
  private readonly asked: number[];
  private readonly answers: (ShardAnswer | undefined)[];
  private best: { ids: Int32Array; scores: Float32Array } = {
    ids: new Int32Array(0),
    scores: new Float32Array(0),
  };

  /** @param k at most as many as all shards hold */
  constructor(sizes: readonly number[], k: number) {
    this.sizes = sizes;
    this.k = k;
    const total = sizes.reduce((sum, size) => sum + size, 0);
    this.asked = sizes.map((size) => {
      const share = total === 0 ? 0 : (k * size) / total;
      return Math.min(Math.ceil(share + 6 * Math.sqrt(share)), size);
    });
    this.answers = sizes.map(() => undefined);
  }

  /** Which shards must be asked, for how many; none when the result is certain. */
  next(): readonly { readonly shard: number; readonly k: number }[] {
    const open = this.asked.map((k, shard) => ({ shard, k }));
    if (this.answers.every((answer, shard) => answer === undefined || this.asked[shard] === 0))
      return open.filter(({ k }) => k > 0);
    this.merge();
    const { ids, scores } = this.best;
    const again = open.filter(({ shard, k }) => {
      const answer = this.answers[shard];
      const count = answer?.ids.length ?? 0;
      // It gave everything it has.
      if (answer === undefined || count < k || k === this.sizes[shard]) return false;
      if (ids.length < this.k) return true;
      const [score, id] = [scores[this.k - 1]!, ids[this.k - 1]!];
      const [lastScore, lastId] = [answer.scores[count - 1]!, answer.ids[count - 1]!];
      if (score > lastScore) return false;
      return !(answer.lowestIds && score === lastScore && id <= lastId);
    });
    for (const { shard, k } of again) this.asked[shard] = Math.min(2 * k, this.sizes[shard]!);
    return again.map(({ shard }) => ({ shard, k: this.asked[shard]! }));
  }

  /** The answer of a shard to what `next` asked. */
  put(shard: number, answer: ShardAnswer): void {
    this.answers[shard] = answer;
  }

  /** The k best, by score descending, then id ascending; certain once `next` is empty. */
  result(): { readonly ids: Int32Array; readonly scores: Float32Array } {
    return this.best;
  }

  private merge(): void {
    const total = this.answers.reduce((sum, answer) => sum + (answer?.ids.length ?? 0), 0);
    const best = new Best(Math.min(this.k, total), total);
    for (const answer of this.answers)
      if (answer !== undefined)
        best.add(Float64Array.from(answer.scores), 1, answer.ids, 0, answer.ids.length);
    const { rows, scores } = best.take(true);
    this.best = { ids: rows, scores };
  }
}
