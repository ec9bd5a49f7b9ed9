import { setImmediate } from 'node:timers/promises';
import type { Backend } from '../../core/backend.ts';
import { ArgumentError } from '../../core/errors.ts';
import { foldIn, key } from '../../core/key.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import { randomRows } from '../../models/samOut/rows.ts';
import { type SubVocabConfig, subVocabConfig } from '../../models/subVocab/config.ts';
import { Curriculum } from '../../models/subVocab/curriculum.ts';
import {
  type Cost,
  evaluateRows,
  fitEscape,
  natsWithEscape,
  type Prediction,
} from '../../models/subVocab/evaluate.ts';
import { withFrequencies } from '../../models/subVocab/frequencies.ts';
import {
  initialSubVocab,
  type Selection,
  SubVocab,
  type SubVocabParameters,
} from '../../models/subVocab/model.ts';
import { contextWords, joined } from '../../models/subVocab/segments.ts';
import { type StepReport, SubVocabTrainer } from '../../models/subVocab/trainer.ts';
import { specialIds, WordTable } from '../../models/subVocab/wordTable.ts';
import { say } from '../frame.ts';
import type { DemoFigures, Kind, SplitFigures } from './demoTextReport.ts';

/** Words before [SUBVOCAB], and words that it is asked for. */
const before = 48;
const after = 16;
/** Held-out rows per split. */
const heldOut = 48;

/** What a training of the demo depends on. */
export interface DemoSettings {
  /** Words of a sub-vocabulary. */
  readonly k: number;
  /** Most words and phrases in the table. */
  readonly words: number;
  readonly steps: number;
  /** Training ends after this time, whatever steps are left. */
  readonly seconds: number;
  readonly batch: number;
  readonly width: number;
  readonly layers: number;
  /** What is sampled after; default: held-out text. */
  readonly sentence?: string;
  readonly seed: number;
}

/** A text and where it is from, for messages. */
export interface NamedText {
  readonly file: string;
  readonly text: string;
}

/** What happens while the demo runs. */
export interface DemoEvents {
  /** After each step; seconds are what training still takes at most. */
  step?(report: StepReport, done: number, seconds: number): void;
  /** Asked after each step: whether to end now. */
  stopped?(): boolean;
}

/** A trained demo: the model, and what was measured unless it was stopped. */
export interface Demo {
  readonly config: SubVocabConfig;
  readonly parameters: SubVocabParameters<Tensor>;
  readonly table: WordTable;
  readonly steps: number;
  readonly figures?: DemoFigures;
}

/** Ids to train on, and rows [n, before + 1 + after] to measure on. */
interface Splits {
  readonly training: Int32Array;
  readonly development: Tensor;
  readonly same: Tensor;
  readonly shifted?: Tensor;
}

/** The texts of a demo as a table of words and as ids, checked before any work on a device. */
export interface PreparedDemo {
  readonly files: readonly string[];
  readonly table: WordTable;
  readonly splits: Splits;
  readonly config: SubVocabConfig;
}

/**
 * @param without words and phrases that the table must not have
 * @throws ArgumentError: k is more than the text has words; the texts are too short
 */
export function prepareDemo(
  command: string,
  texts: readonly NamedText[],
  settings: DemoSettings,
  without: ReadonlySet<string> = new Set(),
): PreparedDemo {
  const { k, width, layers } = settings;
  const table = WordTable.build(
    texts.map((t) => t.text),
    { most: settings.words, without },
  );
  const words = table.size - specialIds.count;
  if (k > words)
    throw new ArgumentError(
      command,
      `--k is ${k}, but the text has ${words} words and phrases; ask for fewer`,
    );
  const splits = splitTexts(
    command,
    texts.map((t) => table.encode(t.text)),
  );
  const samOut = { vocabulary: table.size, width, layers, heads: 1 };
  const config = subVocabConfig({ samOut, k, candidates: Math.min(4 * k, words) });
  return { files: texts.map((t) => t.file), table, splits, config };
}

/** Train SUBVOCAB on a part of the texts, and compare it on the rest with the most frequent words and with all words. */
export async function runDemo<T extends AnyTensor>(
  backend: Backend<T>,
  { files, table, splits, config }: PreparedDemo,
  settings: DemoSettings,
  events: DemoEvents = {},
): Promise<Demo> {
  const { k, seed } = settings;
  const start = withFrequencies(
    await initialSubVocab(backend, config, key(seed)),
    countsOf(splits.training, table),
  );
  using model = new SubVocab(backend, config, start);
  const { steps, stopped } = await train(backend, model, splits.training, settings, events);
  const made = { config, parameters: await model.read(), table, steps: steps.length };
  if (stopped) return made;
  const shown = splits.shifted ?? splits.same;
  const context = settings.sentence ?? table.decode(shown.data.subarray(0, before));
  const following =
    settings.sentence === undefined ? shown.data.subarray(before + 1, before + 1 + after) : undefined;
  const results = await measure(model, splits, table, k);
  const drawn = await draw(model, table, context, { k, exact: false, seed });
  const sentence = {
    context,
    words: drawn.map(({ id, score }) => ({ text: table.show(id), score })).slice(0, 60),
    ...(following === undefined
      ? {}
      : {
          following: [...following].map((id) => ({
            text: table.show(id),
            drawn: drawn.some((d) => d.id === id),
          })),
        }),
  };
  const words = table.size - specialIds.count;
  const figures = { files, words, k, trainedOn: splits.training.length, steps, splits: results, sentence };
  return { ...made, figures };
}

/** Each text's last tenth is held out, one half to fit the shares of the prediction, one to measure. Of several, the last is another domain: training sees a fifth of it. */
function splitTexts(command: string, texts: readonly Int32Array[]): Splits {
  const row = before + after;
  const several = texts.length > 1;
  const home = several ? texts.slice(0, -1) : texts;
  const foreign = several ? texts.at(-1)! : undefined;
  const cut = (ids: Int32Array): number => Math.floor(ids.length * 0.9);
  const parts = home.map((ids) => ids.subarray(0, cut(ids)));
  if (foreign !== undefined) parts.push(foreign.subarray(0, Math.floor(foreign.length / 5)));
  const training = Int32Array.from(parts.flatMap((p) => [...p]));
  const tails = Int32Array.from(home.flatMap((ids) => [...ids.subarray(cut(ids))]));
  const beyond = foreign?.subarray(Math.floor(foreign.length / 2));
  // What is fitted is fitted on text that training has not seen, or it would trust the model too much.
  const half = Math.floor(tails.length / 2);
  const shortest = Math.min(training.length, half, beyond?.length ?? row);
  if (shortest < row) {
    throw new ArgumentError(
      command,
      `the texts are too short: a part of them has ${shortest} words, and a row takes ${row}; give longer ones`,
    );
  }
  const rows = (ids: Int32Array): Tensor => {
    const n = Math.min(heldOut, Math.floor(ids.length / row));
    const step = Math.floor((ids.length - row) / Math.max(n - 1, 1));
    const data = new Int32Array(n * (row + 1));
    for (let r = 0; r < n; r++) data.set(withSubVocab(ids.subarray(r * step, r * step + row)), r * (row + 1));
    return tensor([n, row + 1], data);
  };
  return {
    training,
    development: rows(tails.subarray(0, half)),
    same: rows(tails.subarray(half)),
    ...(beyond === undefined ? {} : { shifted: rows(beyond) }),
  };
}

function countsOf(ids: Int32Array, table: WordTable): Float64Array {
  const counts = new Float64Array(table.size);
  for (const id of ids) counts[id]!++;
  return counts;
}

/** A row of words with [SUBVOCAB] in its middle. */
function withSubVocab(ids: Int32Array): Int32Array {
  return Int32Array.from([...ids.subarray(0, before), specialIds.subVocab, ...ids.subarray(before)]);
}

async function train<T extends AnyTensor>(
  backend: Backend<T>,
  model: SubVocab<T>,
  ids: Int32Array,
  settings: DemoSettings,
  events: DemoEvents,
): Promise<{ steps: StepReport[]; stopped: boolean }> {
  const { k, seed } = settings;
  const words = model.allWords().length;
  const curriculum = new Curriculum({
    from: Math.min(2 * k, words),
    to: k,
    steps: Math.ceil(settings.steps / 2),
  });
  using trainer = new SubVocabTrainer(model, { key: foldIn(key(seed), 1), lr: 0.003, curriculum });
  if (model.config.candidates < words) await model.refreshIndex();
  const steps: StepReport[] = [];
  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  while (steps.length < settings.steps && elapsed() < settings.seconds) {
    const place = foldIn(foldIn(key(seed), 2), steps.length);
    const drawn = await randomRows(backend, place, ids, settings.batch, before + after - 1);
    const rows = new Int32Array(settings.batch * (before + after + 1));
    for (let r = 0; r < settings.batch; r++) {
      const own = (drawn.data as Int32Array).subarray(r * (before + after), (r + 1) * (before + after));
      rows.set(withSubVocab(own), r * (before + after + 1));
    }
    const report = await trainer.train(tensor([settings.batch, before + after + 1], rows));
    steps.push(report);
    // The reference never waits for anything, and a signal is only heard between turns of the event loop.
    await setImmediate();
    const perStep = elapsed() / steps.length;
    const left = Math.min(settings.seconds - elapsed(), (settings.steps - steps.length) * perStep);
    events.step?.(report, steps.length, left);
    if (events.stopped?.()) return { steps, stopped: true };
  }
  return { steps, stopped: false };
}

/** Coverage and bits per byte of each split: dynamic against the most frequent words of training, and against all words. */
async function measure<T extends AnyTensor>(
  model: SubVocab<T>,
  splits: Splits,
  table: WordTable,
  k: number,
): Promise<SplitFigures[]> {
  const counts = countsOf(splits.training, table);
  const byCount = model.allWords().sort((a, b) => counts[b]! - counts[a]! || a - b);
  const rankOf = new Int32Array(table.size);
  byCount.forEach((id, i) => {
    rankOf[id] = i;
  });
  const fixed = byCount.slice(0, k);
  const evaluate = async (tokens: Tensor): Promise<Prediction[]> => {
    const [n = 0, width = 0] = tokens.shape;
    const parts: Prediction[][] = [];
    for (let r = 0; r < n; r += 8) {
      const rows = Math.min(8, n - r);
      const part = (tokens.data as Int32Array).slice(r * width, (r + rows) * width);
      parts.push(await evaluateRows(model, tensor([rows, width], part), k, fixed));
    }
    return parts.flat();
  };
  const outside = byCount.length - k;
  const kinds: readonly { name: Kind; outside: number; cost(p: Prediction): Cost | undefined }[] = [
    { name: 'dynamic', outside, cost: (p) => p.inside },
    { name: 'static', outside, cost: (p) => p.insideStatic },
    { name: 'full', outside: 0, cost: (p) => p.full },
  ];
  // How often a word is missed, and how likely a said one is to come again, is learned on held-out text of the same domain.
  const development = await evaluate(splits.development);
  const fitted = kinds.map((kind) => ({
    ...kind,
    fit: fitEscape(development.map(kind.cost), kind.outside),
  }));
  const results: SplitFigures[] = [];
  const named = [
    ['same domain', splits.same],
    ['shifted domain', splits.shifted],
  ] as const;
  for (const [name, tokens] of named) {
    if (tokens === undefined) continue;
    const predictions = await evaluate(tokens);
    const bytes = predictions.reduce((sum, p) => sum + table.bytes(p.target).length, 0);
    const share = (test: (p: Prediction) => boolean): number =>
      predictions.filter(test).length / predictions.length;
    const bits = (cache: boolean): Record<Kind, number> =>
      Object.fromEntries(
        fitted.map(({ name: kind, cost, fit }) => {
          const own = cache ? fit : { ...fit, again: 0 };
          return [kind, natsWithEscape(predictions.map(cost), own) / Math.LN2 / bytes];
        }),
      ) as Record<Kind, number>;
    const sizes = [...new Set([16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, k])]
      .filter((size) => size <= byCount.length)
      .sort((a, b) => a - b);
    results.push({
      name,
      predictions: predictions.length,
      coverage: {
        dynamic: share((p) => p.inside !== undefined),
        static: share((p) => p.insideStatic !== undefined),
      },
      bitsPerByte: bits(true),
      withoutCache: bits(false),
      curve: sizes.map((size) => ({
        k: size,
        dynamic: share((p) => p.rank < size),
        static: share((p) => rankOf[p.target]! < size),
      })),
    });
  }
  return results;
}

/** The sub-vocabulary of a text, best first: its own words, and what [SUBVOCAB] draws beside them. */
export async function draw<T extends AnyTensor>(
  model: SubVocab<T>,
  table: WordTable,
  text: string,
  { k, exact, best = false, seed }: { k: number; exact: boolean; best?: boolean; seed: number },
): Promise<{ id: number; score: number; logInclusion: number }[]> {
  const ids = Int32Array.from([...table.encode(text), specialIds.subVocab]);
  const encoded = model.encode(tensor([1, ids.length], ids));
  using features = encoded.features;
  encoded.state[Symbol.dispose]();
  using query = model.query(features, ids.length - 1);
  const context = contextWords(ids, specialIds.count);
  const chosen = await choose(model, query, { k, exact, best, seed });
  const said = await model.select(query, tensor([1, context.length], context), context.length);
  const words = joined(context, chosen.words, k);
  return [...words]
    .filter((id) => id >= 0)
    .map((id) => {
      const [from, at] = [said.words.indexOf(id), chosen.words.indexOf(id)];
      return from >= 0
        ? { id, score: said.scores[from]!, logInclusion: 0 }
        : { id, score: chosen.scores[at]!, logInclusion: chosen.logInclusion[at]! };
    })
    .sort((a, b) => b.score - a.score || a.id - b.id);
}

/** What a query draws: exactly from all words, or by the candidates. */
async function choose<T extends AnyTensor>(
  model: SubVocab<T>,
  query: T,
  { k, exact, best, seed }: { k: number; exact: boolean; best: boolean; seed: number },
): Promise<Selection> {
  if (!exact || best) {
    const candidates = await model.candidates(query, exact);
    return model.select(query, candidates, k, best ? undefined : key(seed));
  }
  const sample = await model.sampleExactly(query, k, key(seed));
  const all = model.allWords().length;
  const share = ((100 * sample.scored) / all).toFixed(1);
  say(`exact sample: ${sample.scored} of ${all} words scored (${share} %)`);
  return sample;
}
