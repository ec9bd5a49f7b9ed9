import type { Backend } from '../../core/backend.ts';
import { ArgumentError } from '../../core/errors.ts';
import { foldIn, key, threefry2x32 } from '../../core/key.ts';
import type { AnyTensor } from '../../core/tensor.ts';
import { trainBpe } from '../../core/tokenizers/bpe.ts';
import { pretokens } from '../../core/tokenizers/pretokens.ts';
import type { Tokenizer } from '../../core/tokenizers/tokenizer.ts';
import { jsonTokenizer } from '../../core/tokenizers/tokenizerJson.ts';
import { samOutConfig } from '../samOut/config.ts';
import { SamOut } from '../samOut/model.ts';
import { initialParameters } from '../samOut/parameters.ts';
import { randomRows } from '../samOut/rows.ts';
import { SamOutTrainer } from '../samOut/trainer.ts';
import { boundaryNextByte, exactNextByte } from './oracle.ts';
import { boundaries, rollBack, type Words, wordsOf } from './rollBack.ts';
import { samOutTokens } from './samOutTokens.ts';
import { segmenter } from './segmentation.ts';

export interface CurveSettings {
  /** Vocabulary sizes, special tokens and bytes included; 259 at least. */
  readonly sizes: readonly number[];
  readonly steps: number;
  readonly width: number;
  readonly layers: number;
  readonly batch: number;
  readonly length: number;
  readonly lr: number;
  readonly seed: number;
  /** How many places the text is cut at. */
  readonly cuts: number;
  /** The oracle spells at least so many of the last bytes in every way. */
  readonly window: number;
  /** Temperature of the drawn segmentations of the rung `stochastic`. */
  readonly theta: number;
}

/** One rung at one vocabulary size. */
export interface CurvePoint {
  readonly vocabulary: number;
  /** `stochastic`: trained on drawn segmentations, continued as `none`. */
  readonly rung: (typeof boundaries)[number] | 'stochastic';
  /** Mean bits that the rung needs for the byte after the cut. */
  readonly bits: number;
  /** The same of the oracle, over the same model. */
  readonly exactBits: number;
  /** bits - exactBits, and its standard error. */
  readonly excess: number;
  readonly standardError: number;
  /** Mean number of tokens taken back. */
  readonly taken: number;
  /** Mean number of places at which the model was asked, choices summed instead of drawn. */
  readonly places: number;
  /** Bytes per token of the text. */
  readonly bytesPerToken: number;
}

/** Spellings less probable than this share of what was found are left out: a long word has thousands. */
const floor = 1e-3;

interface Cut {
  readonly prompt: string;
  readonly next: number;
}

/**
 * What a cut token costs, over the size of the vocabulary: for each size a BPE tokenizer and a small SamOut are trained on
 * one part of a text; the other part is cut at random places, and each rung of the ladder says how probable the byte
 * after the cut was. The oracle over the same model says what an answer free of tokens would have been.
 *
 * Each size trains two models: on the tokenizer's own segmentation, and on drawn ones (rung `stochastic`).
 * @param backend where the models are trained
 * @param asked where they are asked, one short step at a time, which the references do faster than a GPU
 * @param progress told what is being done
 */
export async function* boundaryCurve<T extends AnyTensor, U extends AnyTensor>(
  backend: Backend<T>,
  asked: Backend<U>,
  text: string,
  settings: CurveSettings,
  progress: (what: string) => void = () => {},
): AsyncGenerator<CurvePoint> {
  // The last tenth is for cutting; it begins at a line, so that no word is in both parts.
  const from = text.indexOf('\n', Math.floor(text.length * 0.9)) + 1;
  const [training, held] = [text.slice(0, from), text.slice(from)];
  if (from === 0 || held.length < 500)
    throw new ArgumentError(
      'boundaryCurve',
      `the text has ${text.length} characters; its last tenth must hold 500, in lines`,
    );
  const cuts = cutText(held, settings);
  for (const size of settings.sizes) {
    progress(`vocabulary ${size}: tokenizer`);
    const trained = trainBpe([training], { size, specials: ['<begin>', '<end>', '<pad>'] });
    const tokenizer = jsonTokenizer(JSON.stringify(trained.json));
    const words = wordsOf(tokenizer, tokenizer.vocabulary);
    const own = tokenizer.encode(training);
    const drawn = drawSegmentation(tokenizer, words, own, training, settings);
    for (const [ids, rungs] of [
      [own, boundaries],
      [drawn, ['stochastic'] as const],
    ] as const) {
      using model = await trainModel(backend, tokenizer, ids, settings, (step, loss) =>
        progress(
          `vocabulary ${size}${ids === drawn ? ', drawn segmentations' : ''}: step ${step} of ${settings.steps}, loss ${loss.toFixed(3)}`,
        ),
      );
      using copy = new SamOut(asked, model.config, await model.read());
      yield* measure(copy, tokenizer, words, cuts, rungs, settings, {
        bytesPerToken: new TextEncoder().encode(training).length / ids.length,
        progress: (done) => progress(`vocabulary ${size}: ${done} of ${cuts.length} cuts`),
      });
    }
  }
}

/** Places at which a person may stop typing: between any two characters, with up to some 200 before. */
function cutText(held: string, { cuts, seed }: CurveSettings): Cut[] {
  const bits = new Uint32Array(2);
  const encoder = new TextEncoder();
  return Array.from({ length: cuts }, (_, i) => {
    threefry2x32(foldIn(key(seed), 0x6375_7473), 0, i, bits);
    let at = 200 + Math.floor((bits[0]! / 2 ** 32) * (held.length - 201));
    // Never between the halves of a surrogate pair.
    if ((held.charCodeAt(at) & 0xfc00) === 0xdc00) at--;
    const begin = held.indexOf(' ', at - 200);
    const prompt = held.slice(begin >= 0 && begin < at - 20 ? begin : at - 200, at);
    return { prompt, next: encoder.encode(String.fromCodePoint(held.codePointAt(at)!))[0]! };
  });
}

/** The text once more, each of its pieces cut into words at random: probable words more often. */
function drawSegmentation(
  tokenizer: Tokenizer,
  words: Words,
  own: Int32Array,
  text: string,
  { theta, seed }: CurveSettings,
): Int32Array {
  const counts = new Float64Array(words.length).fill(0.5);
  for (const id of own) counts[id]!++;
  const total = counts.reduce((a, b) => a + b, 0);
  const draw = segmenter(
    words,
    counts.map((c) => Math.log(c / total)),
    theta,
  );
  const encoder = new TextEncoder();
  const ids: number[] = [tokenizer.beginIndex];
  for (const [i, piece] of pretokens(text).entries()) {
    ids.push(...draw.sample(encoder.encode(piece), foldIn(foldIn(key(seed), 0x7365_676d), i)));
  }
  return Int32Array.from(ids);
}

async function trainModel<T extends AnyTensor>(
  backend: Backend<T>,
  tokenizer: Tokenizer,
  ids: Int32Array,
  { width, layers, steps, batch, length, lr, seed }: CurveSettings,
  progress: (step: number, loss: number) => void,
): Promise<SamOut<T>> {
  const { vocabulary, paddingIndex } = tokenizer;
  const config = samOutConfig({ vocabulary, paddingIndex, width, layers, heads: 1 });
  const model = new SamOut(backend, config, await initialParameters(backend, config, key(seed)));
  using trainer = new SamOutTrainer(model, { lr, maxNorm: 1 });
  for (let step = 0; step < steps; step++) {
    const rows = await randomRows(backend, foldIn(key(seed), step), ids, batch, length);
    const { loss } = await trainer.train(rows);
    progress(step + 1, loss);
  }
  return model;
}

async function* measure<T extends AnyTensor>(
  model: SamOut<T>,
  tokenizer: Tokenizer,
  words: Words,
  cuts: readonly Cut[],
  rungs: readonly CurvePoint['rung'][],
  { window }: CurveSettings,
  { bytesPerToken, progress }: { bytesPerToken: number; progress: (done: number) => void },
): AsyncGenerator<CurvePoint> {
  const tokens = samOutTokens(model);
  const sums = rungs.map(() => ({ bits: 0, exact: 0, excess: 0, squares: 0, taken: 0, places: 0 }));
  for (const [done, { prompt, next }] of cuts.entries()) {
    const ids = Int32Array.from([tokenizer.beginIndex, ...tokenizer.encode(prompt)]);
    const exact = await exactNextByte(tokens, words, ids, { window, floor });
    const exactBits = -Math.log2(exact.probs[next]!);
    for (const [r, rung] of rungs.entries()) {
      const step = rung === 'stochastic' ? 'none' : rung;
      const { probs, places } = await boundaryNextByte(tokens, words, ids, step, { floor });
      const bits = -Math.log2(probs[next]!);
      const sum = sums[r]!;
      sum.bits += bits;
      sum.exact += exactBits;
      sum.excess += bits - exactBits;
      sum.squares += (bits - exactBits) ** 2;
      sum.taken += ids.length - rollBack(words, ids, step).kept.length;
      sum.places += places;
    }
    progress(done + 1);
  }
  const n = cuts.length;
  for (const [r, rung] of rungs.entries()) {
    const { bits, exact, excess, squares, taken, places } = sums[r]!;
    const mean = excess / n;
    yield {
      vocabulary: tokenizer.vocabulary,
      rung,
      bits: bits / n,
      exactBits: exact / n,
      excess: mean,
      standardError: Math.sqrt(Math.max(squares / n - mean ** 2, 0) / n),
      taken: taken / n,
      places: places / n,
      bytesPerToken,
    };
  }
}
