import { ArgumentError } from '../../core/errors.ts';
import { foldIn, type Key, threefry2x32 } from '../../core/key.ts';
import { logAdd } from '../../core/logAdd.ts';
import { type PieceTrie, pieceTrie } from '../../core/tokenizers/trie.ts';
import type { Words } from './rollBack.ts';

/** Draws segmentations of byte strings into words. */
export interface Segmenter {
  /** Ids of one segmentation, drawn with the key. @throws ArgumentError when the bytes have none */
  sample(bytes: Uint8Array, key: Key): number[];
}

/**
 * Subword regularization: a segmentation with probability proportional to exp(theta * sum of the scores of its words),
 * by summing forwards over all of them and drawing backwards. A model that is trained on such texts has seen words cut in
 * every way, so the end of a prompt is no surprise. theta = 0 draws among all segmentations alike; large ones give the best.
 *
 * @param scores log-probabilities of the words, by id
 * @source Kudo (2018), arXiv 1804.10959
 */
export function segmenter(words: Words, scores: ArrayLike<number>, theta: number): Segmenter {
  if (!(theta >= 0)) throw new ArgumentError('segmenter', `theta is ${theta}; it must be at least 0`);
  const ids = [...words.keys()].filter((id) => words[id]!.length > 0);
  const trie: PieceTrie = pieceTrie(ids.map((id) => words[id]!));
  const bits = new Uint32Array(2);
  return {
    sample(bytes, key) {
      const n = bytes.length;
      const alpha = new Float64Array(n + 1).fill(-Infinity);
      const arrivals: { piece: number; from: number }[][] = Array.from({ length: n + 1 }, () => []);
      alpha[0] = 0;
      for (let from = 0; from < n; from++) {
        if (alpha[from] === -Infinity) continue;
        trie.walk(bytes, from, (piece, to) => {
          arrivals[to]!.push({ piece, from });
          alpha[to] = logAdd(alpha[to]!, alpha[from]! + theta * scores[ids[piece]!]!);
        });
      }
      if (alpha[n] === -Infinity)
        throw new ArgumentError(
          'segmenter',
          'the bytes have no segmentation; the vocabulary lacks some byte',
        );
      const path: number[] = [];
      for (let at = n, step = 0; at > 0; step++) {
        threefry2x32(foldIn(key, step), 0, 0, bits);
        // 53 bits, as Math.random has; the last arrival takes what rounding leaves.
        let u = ((bits[0]! >>> 5) * 2 ** 26 + (bits[1]! >>> 6)) / 2 ** 53;
        const ways = arrivals[at]!;
        let chosen = ways.at(-1)!;
        for (const way of ways) {
          u -= Math.exp(alpha[way.from]! + theta * scores[ids[way.piece]!]! - alpha[at]!);
          if (u < 0) {
            chosen = way;
            break;
          }
        }
        path.push(ids[chosen.piece]!);
        at = chosen.from;
      }
      return path.reverse();
    },
  };
}
