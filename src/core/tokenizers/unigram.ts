import { compareBytes } from '../byteStrings.ts';
import { ArgumentError } from '../errors.ts';
import { logAdd } from '../logAdd.ts';
import { byteChars, bytesOfToken } from './alphabet.ts';
import type { Trained } from './bpe.ts';
import { byteLevelJson, requireSize, requireSpecials } from './format.ts';
import { countPretokens, forgetRarest } from './pretokens.ts';
import { type PieceTrie, pieceTrie } from './trie.ts';

export interface UnigramOptions {
  /** Number of ids, bytes and special tokens included. */
  readonly size: number;
  /** They get the first ids. @defaultValue none */
  readonly specials?: readonly string[];
  /** No piece is longer than this many bytes. @defaultValue 16 */
  readonly maxPieceBytes?: number;
  /** Pieces to begin with. @defaultValue 10^6 */
  readonly seedSize?: number;
  /** Distinct pieces of text to keep count of. @defaultValue 2^20 */
  readonly limit?: number;
}

/** A piece of text as bytes, and how often it occurs. */
interface Sentence {
  readonly bytes: Uint8Array;
  readonly count: number;
}

/** A piece of the vocabulary. Single bytes are never removed. */
interface Piece {
  readonly bytes: Uint8Array;
  readonly token: string;
  score: number;
}

/**
 * Learn a unigram language model over pieces: a text's probability is that of its best (or of all) ways to be cut into
 * pieces, each with a probability of its own.
 *
 * Start from the most frequent substrings. Then, until the vocabulary is small enough: two rounds of expectation
 * maximisation (expected counts over all segmentations; the Bayesian step exp(digamma(count)), which makes rare pieces
 * rarer), and away with the quarter of pieces whose loss costs the least likelihood. All 256 bytes stay, so that every text
 * has a segmentation. Nothing is drawn at random: the same text gives the same vocabulary.
 *
 * @throws ArgumentError
 * @source Kudo, "Subword regularization" (2018); the sentencepiece library for the steps
 */
export function trainUnigram(texts: Iterable<string>, options: UnigramOptions): Trained {
  const op = 'trainUnigram';
  const { size, specials = [], maxPieceBytes = 16, seedSize = 10 ** 6 } = options;
  requireSpecials(op, specials, new Set(byteChars));
  requireSize(op, size, specials.length);
  if (!Number.isInteger(maxPieceBytes) || maxPieceBytes < 2 || maxPieceBytes > 255)
    throw new ArgumentError(op, `maxPieceBytes is ${maxPieceBytes}; it must be an integer from 2 to 255`);
  const { counts, bytes, dropped } = countPretokens(op, texts, options);
  const encoder = new TextEncoder();
  const sentences = [...counts]
    .map(([piece, count]) => ({ bytes: encoder.encode(piece), count }))
    .sort((a, b) => b.count - a.count || compareBytes(a.bytes, b.bytes));

  const wanted = size - specials.length;
  let pieces = seeds(sentences, maxPieceBytes, Math.max(seedSize, wanted));
  for (;;) {
    for (let round = 0; round < 2; round++) pieces = maximise(pieces, expect(pieces, sentences));
    // The last cut is by score alone, and takes a tenth at most.
    if (pieces.length <= wanted * 1.1) break;
    const fewer = prune(
      pieces,
      sentences,
      Math.max(Math.floor(wanted * 1.1), Math.floor(pieces.length * 0.75)),
    );
    if (fewer.length >= pieces.length) break;
    pieces = fewer;
  }
  const chosen = finish(pieces, wanted);
  const ids = new Map(specials.map((content, id) => [content, id]));
  const vocab = [
    ...specials.map((content) => [content, 0] as const),
    ...chosen.map(({ token, score }) => [token, score] as const),
  ];
  const model = { type: 'Unigram', unk_id: null, vocab, byte_fallback: false } as const;
  return { json: byteLevelJson(model, ids), bytes, dropped };
}

/** All bytes, and the substrings with the largest count times length that occur twice at least. */
function seeds(sentences: readonly Sentence[], maxPieceBytes: number, most: number): Piece[] {
  const counts = new Map<string, number>();
  const single = new Float64Array(256);
  const limit = 4 * most;
  for (const { bytes, count } of sentences) {
    for (const byte of bytes) single[byte]! += count;
    for (let from = 0; from < bytes.length; from++) {
      // Pieces are whole characters: half of one can only be spelled in bytes.
      if (isContinuation(bytes[from]!)) continue;
      let token = byteChars[bytes[from]!]!;
      for (let to = from + 1; to < bytes.length && to - from < maxPieceBytes; to++) {
        token += byteChars[bytes[to]!]!;
        if (!isContinuation(bytes[to + 1] ?? 0)) counts.set(token, (counts.get(token) ?? 0) + count);
      }
    }
    if (counts.size > limit) forgetRarest(counts, limit / 2);
  }
  const found = [...counts]
    .filter(([, count]) => count > 1)
    .map(([token, count]) => ({ token, weight: count * token.length }))
    .sort((a, b) => b.weight - a.weight || (a.token < b.token ? -1 : 1))
    .slice(0, most);
  const all = [...byteChars.map((token, byte) => ({ token, weight: single[byte]! })), ...found];
  const total = all.reduce((sum, { weight }) => sum + weight, 0);
  return all.map(({ token, weight }) => ({
    token,
    bytes: bytesOfToken(token)!,
    score: Math.log(Math.max(weight, 1e-3) / total),
  }));
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

/** Expected count of every piece over all segmentations of all sentences, by the forward and the backward sum. */
function expect(pieces: readonly Piece[], sentences: readonly Sentence[]): Float64Array {
  const expected = new Float64Array(pieces.length);
  const trie = pieceTrie(pieces.map((p) => p.bytes));
  let alpha = new Float64Array(1025);
  let beta = new Float64Array(1025);
  for (const { bytes, count } of sentences) {
    const n = bytes.length;
    if (n >= alpha.length) {
      alpha = new Float64Array(2 * n);
      beta = new Float64Array(2 * n);
    }
    alpha.fill(-Infinity, 0, n + 1);
    beta.fill(-Infinity, 0, n + 1);
    alpha[0] = 0;
    beta[n] = 0;
    for (let from = 0; from < n; from++) {
      trie.walk(bytes, from, (piece, to) => {
        alpha[to] = logAdd(alpha[to]!, alpha[from]! + pieces[piece]!.score);
      });
    }
    for (let from = n - 1; from >= 0; from--) {
      trie.walk(bytes, from, (piece, to) => {
        beta[from] = logAdd(beta[from]!, pieces[piece]!.score + beta[to]!);
      });
    }
    const total = alpha[n]!;
    for (let from = 0; from < n; from++) {
      trie.walk(bytes, from, (piece, to) => {
        expected[piece]! += count * Math.exp(alpha[from]! + pieces[piece]!.score + beta[to]! - total);
      });
    }
  }
  return expected;
}

/** New scores from expected counts; pieces that are hardly used go, bytes stay. */
function maximise(pieces: readonly Piece[], expected: Float64Array): Piece[] {
  const kept = pieces
    .map((piece, i) => ({ ...piece, count: expected[i]! }))
    .filter(({ bytes, count }) => bytes.length === 1 || count >= 0.5);
  // A byte that never occurs keeps a small share, so that its score is finite.
  const total = kept.reduce((sum, { count }) => sum + Math.max(count, 0.1), 0);
  const logTotal = digamma(total);
  return kept.map(({ bytes, token, count }) => ({
    bytes,
    token,
    score: digamma(Math.max(count, 0.1)) - logTotal,
  }));
}

/**
 * The `most` pieces that matter most. The loss of a piece is what the likelihood falls by when its occurrences are cut into
 * the best other pieces instead; a piece that is cut anyway can go at once.
 */
function prune(pieces: readonly Piece[], sentences: readonly Sentence[], most: number): Piece[] {
  const trie = pieceTrie(pieces.map((p) => p.bytes));
  const used = new Float64Array(pieces.length);
  let sum = 0;
  for (const { bytes, count } of sentences) {
    for (const piece of best(pieces, trie, bytes)) {
      used[piece]! += count;
      sum += count;
    }
  }
  const logSum = Math.log(sum);
  const kept: Piece[] = [];
  const candidates: { piece: Piece; loss: number }[] = [];
  for (const [i, piece] of pieces.entries()) {
    if (piece.bytes.length === 1) {
      kept.push(piece);
      continue;
    }
    const others = best(pieces, trie, piece.bytes, i);
    const score = others.reduce((s, other) => s + pieces[other]!.score, 0);
    if (used[i] === 0 || score > piece.score) continue;
    const logSumWithout = Math.log(sum + used[i]! * (others.length - 1));
    const without = others.reduce((s, other) => s + Math.log(used[other]! + used[i]!) - logSumWithout, 0);
    candidates.push({ piece, loss: (used[i]! / sum) * (Math.log(used[i]!) - logSum - without) });
  }
  candidates.sort((a, b) => b.loss - a.loss || (a.piece.token < b.piece.token ? -1 : 1));
  for (const { piece } of candidates.slice(0, Math.max(most - kept.length, 0))) kept.push(piece);
  return kept;
}

/** The most likely segmentation (Viterbi), without one piece if that is asked for. */
function best(pieces: readonly Piece[], trie: PieceTrie, bytes: Uint8Array, without = -1): number[] {
  const n = bytes.length;
  const scores = new Float64Array(n + 1).fill(-Infinity);
  const last = new Int32Array(n + 1);
  scores[0] = 0;
  for (let from = 0; from < n; from++) {
    trie.walk(bytes, from, (piece, to) => {
      const score = scores[from]! + pieces[piece]!.score;
      if (piece !== without && score > scores[to]!) {
        scores[to] = score;
        last[to] = piece;
      }
    });
  }
  const path: number[] = [];
  for (let at = n; at > 0; at -= pieces[last[at]!]!.bytes.length) path.push(last[at]!);
  return path.reverse();
}

/** All bytes and the best-scored others, by score. */
function finish(pieces: readonly Piece[], wanted: number): Piece[] {
  const others = pieces
    .filter((p) => p.bytes.length > 1)
    .sort((a, b) => b.score - a.score || (a.token < b.token ? -1 : 1));
  const chosen = [...pieces.filter((p) => p.bytes.length === 1), ...others.slice(0, wanted - 256)];
  return chosen.sort((a, b) => b.score - a.score || (a.token < b.token ? -1 : 1));
}

/** The derivative of log gamma: its asymptotic series, after moving the argument up. */
function digamma(x: number): number {
  let shift = 0;
  while (x < 7) {
    shift -= 1 / x;
    x++;
  }
  x -= 0.5;
  const square = 1 / x ** 2;
  const series = square * (1 / 24 - square * (7 / 960 - square * (31 / 8064 - (square * 127) / 30720)));
  return shift + Math.log(x) + series;
}
