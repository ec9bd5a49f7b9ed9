import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Backend } from '../../core/backend.ts';
import { ArgumentError } from '../../core/errors.ts';
import { writeFiles } from '../../core/formats/files.ts';
import { foldIn, key } from '../../core/key.ts';
import { type AnyTensor, type Tensor, tensor } from '../../core/tensor.ts';
import { randomRows } from '../../models/samOut/rows.ts';
import { subVocabConfig } from '../../models/subVocab/config.ts';
import { Curriculum } from '../../models/subVocab/curriculum.ts';
import {
  type Cost,
  evaluateRows,
  fitEscape,
  natsWithEscape,
  type Prediction,
} from '../../models/subVocab/evaluate.ts';
import { withFrequencies } from '../../models/subVocab/frequencies.ts';
import { initialSubVocab, SubVocab } from '../../models/subVocab/model.ts';
import { contextWords, joined } from '../../models/subVocab/segments.ts';
import { type StepReport, SubVocabTrainer } from '../../models/subVocab/trainer.ts';
import { specialIds, WordTable } from '../../models/subVocab/wordTable.ts';
import { print, progress, say } from '../frame.ts';
import { type TwinOptions, withBackend } from './backends.ts';
import { type DemoFigures, demoReport, type Kind, type SplitFigures } from './demoTextReport.ts';
import { readSubVocab, subVocabFiles } from './subVocabFolder.ts';
import { readText } from './texts.ts';

const command = 'demo text';
/** Words before [SUBVOCAB], and words that it is asked for. */
const before = 48;
const after = 16;
/** Held-out rows per split. */
const heldOut = 48;

export interface DemoTextOptions extends TwinOptions {
  readonly out: string;
  readonly k: number;
  readonly words: number;
  readonly steps: number;
  readonly seconds: number;
  readonly batch: number;
  readonly width: number;
  readonly layers: number;
  readonly sentence?: string;
  readonly seed: number;
  readonly json?: boolean;
}

/** Ids to train on, and rows [n, before + 1 + after] to measure on. */
interface Splits {
  readonly training: Int32Array;
  readonly development: Tensor;
  readonly same: Tensor;
  readonly shifted?: Tensor;
}

/** `subvocab demo text`: see its help. */
export async function demoText(files: readonly string[], options: DemoTextOptions): Promise<void> {
  if (existsSync(join(options.out, 'model.safetensors')))
    throw new ArgumentError(command, `${options.out} holds a model already; choose another folder`);
  const texts = files.map((file) => readText(command, file).text);
  const table = WordTable.build(texts, { most: options.words });
  const words = table.size - specialIds.count;
  if (options.k > words)
    throw new ArgumentError(
      command,
      `--k is ${options.k}, but the text has ${words} words and phrases; ask for fewer`,
    );
  const splits = splitTexts(texts.map((text) => table.encode(text)));
  const { width, layers, k, seed } = options;
  const samOut = { vocabulary: table.size, width, layers, heads: 1 };
  const config = subVocabConfig({ samOut, k, candidates: Math.min(4 * k, words) });
  say(
    `${words} words and phrases of up to 5 words; ${splits.training.length} of them to train on; ${k} per sub-vocabulary`,
  );
  await withBackend(command, options, async (backend) => {
    const counts = countsOf(splits.training, table);
    const start = withFrequencies(await initialSubVocab(backend, config, key(seed)), counts);
    using model = new SubVocab(backend, config, start);
    const { steps, stopped } = await train(backend, model, splits.training, options);
    await writeFiles(command, subVocabFiles(options.out, { config, parameters: await model.read(), table }));
    if (stopped) {
      say(`stopped after ${steps.length} steps; the model is in ${options.out}`);
      process.exitCode = 130;
      return;
    }
    const splitFigures = await measure(model, splits, table, k);
    const shown = splits.shifted ?? splits.same;
    const context = options.sentence ?? table.decode(shown.data.subarray(0, before));
    const drawn = await draw(model, table, context, { k, exact: false, seed });
    const following =
      options.sentence === undefined ? shown.data.subarray(before + 1, before + 1 + after) : undefined;
    const figures: DemoFigures = {
      files,
      words,
      k,
      trainedOn: splits.training.length,
      steps,
      splits: splitFigures,
      sentence: {
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
      },
    };
    await writeFiles(command, [
      { path: join(options.out, 'report.html'), chunks: [await demoReport(figures)] },
      { path: join(options.out, 'figures.json'), chunks: [JSON.stringify(figures, null, 1)] },
    ]);
    if (options.json) print(JSON.stringify(figures, null, 2));
    else tell(figures, options.out);
  });
}

/** Each text's last tenth is held out. Of several, the last is another domain: training sees a fifth of it. */
function splitTexts(texts: readonly Int32Array[]): Splits {
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
  const shortest = Math.min(training.length, tails.length, beyond?.length ?? row);
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
    development: rows(training),
    same: rows(tails),
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

/** The loop: Ctrl-C ends it after the step at hand, a second one at once. */
async function train<T extends AnyTensor>(
  backend: Backend<T>,
  model: SubVocab<T>,
  ids: Int32Array,
  options: DemoTextOptions,
): Promise<{ steps: StepReport[]; stopped: boolean }> {
  const { k, seed } = options;
  const words = model.allWords().length;
  const curriculum = new Curriculum({
    from: Math.min(2 * k, words),
    to: k,
    steps: Math.ceil(options.steps / 2),
  });
  using trainer = new SubVocabTrainer(model, { key: foldIn(key(seed), 1), lr: 0.003, curriculum });
  if (model.config.candidates < words) await model.refreshIndex();
  const line = progress();
  const steps: StepReport[] = [];
  let stopped = false;
  const stop = (): void => {
    if (stopped) process.exit(130);
    stopped = true;
    say('\nsaving after this step; once more to stop at once');
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  // The folder is there when a signal is listened to.
  mkdirSync(options.out, { recursive: true });
  try {
    const started = performance.now();
    while (steps.length < options.steps && !stopped && performance.now() - started < options.seconds * 1000) {
      const place = foldIn(foldIn(key(seed), 2), steps.length);
      const drawn = await randomRows(backend, place, ids, options.batch, before + after - 1);
      const rows = new Int32Array(options.batch * (before + after + 1));
      for (let r = 0; r < options.batch; r++) {
        const own = (drawn.data as Int32Array).subarray(r * (before + after), (r + 1) * (before + after));
        rows.set(withSubVocab(own), r * (before + after + 1));
      }
      const report = await trainer.train(tensor([options.batch, before + after + 1], rows));
      steps.push(report);
      // The reference never waits for anything, and a signal is only heard between turns of the event loop.
      await setImmediate();
      const seconds = (performance.now() - started) / 1000;
      const left = Math.min(
        options.seconds - seconds,
        ((options.steps - steps.length) * seconds) / steps.length,
      );
      line.show(
        `step ${steps.length} of ${options.steps}  loss ${report.loss.toFixed(3)}  k ${report.k}  drawn ${(100 * report.recall).toFixed(0)} %  ${left.toFixed(0)} s left`,
      );
    }
  } finally {
    line.clear();
    process.removeListener('SIGINT', stop);
    process.removeListener('SIGTERM', stop);
  }
  return { steps, stopped };
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
  // How often a word is missed, and how likely a said one is to come again, is learned on text of the training.
  const development = await evaluate(splits.development);
  const fitted = kinds.map((kind) => ({
    ...kind,
    escape: fitEscape(development.map(kind.cost), kind.outside),
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
        fitted.map(({ name: kind, cost, escape }) => {
          const own = cache ? escape : { ...escape, again: 0 };
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
async function draw<T extends AnyTensor>(
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
  const candidates = await model.candidates(query, exact);
  const chosen = await model.select(query, candidates, k, best ? undefined : key(seed));
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

export interface SampleOptions extends TwinOptions {
  readonly model: string;
  readonly text: string;
  readonly k?: number;
  readonly exact?: boolean;
  readonly best?: boolean;
  readonly seed: number;
  readonly json?: boolean;
}

/** `subvocab sample`: see its help. */
export async function sample(options: SampleOptions): Promise<void> {
  const { config, parameters, table } = readSubVocab('sample', options.model);
  const words = table.size - specialIds.count;
  const { k = config.k } = options;
  if (k > words) throw new ArgumentError('sample', `--k is ${k}; the model has ${words} words`);
  const wide = subVocabConfig({
    ...config,
    k,
    candidates: Math.max(config.candidates, Math.min(4 * k, words)),
  });
  await withBackend('sample', options, async (backend) => {
    using model = new SubVocab(backend, wide, parameters);
    if (!options.exact && wide.candidates < words) await model.refreshIndex();
    const { exact = false, best = false, seed } = options;
    const drawn = await draw(model, table, options.text, { k, exact, best, seed });
    if (options.json) {
      print(JSON.stringify(drawn.map((d) => ({ ...d, text: table.show(d.id) }))));
      return;
    }
    for (const { id, score } of drawn) print(`${score.toFixed(3)}\t${id}\t${JSON.stringify(table.show(id))}`);
  });
}

function tell({ splits, k, sentence }: DemoFigures, out: string): void {
  const percent = (v: number): string => `${(100 * v).toFixed(1)} %`.padStart(8);
  print(`${'split'.padEnd(16)}  targets covered        bits per byte`);
  print(`${''.padEnd(16)}  dynamic    static    dynamic  static   full    (${k} words; full: all)`);
  for (const { name, coverage, bitsPerByte: b } of splits) {
    const bits = [b.dynamic, b.static, b.full].map((v) => v.toFixed(3).padStart(6)).join('  ');
    print(`${name.padEnd(16)}  ${percent(coverage.dynamic)} ${percent(coverage.static)}    ${bits}`);
  }
  print(`after ${JSON.stringify(sentence.context)}:`);
  print(
    sentence.words
      .slice(0, 24)
      .map(({ text }) => JSON.stringify(text))
      .join(' '),
  );
  say(`report: ${join(out, 'report.html')}`);
}
