import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Backend } from '../../core/backend.ts';
import { ArgumentError } from '../../core/errors.ts';
import { makeFolder, writeFiles } from '../../core/formats/files.ts';
import { foldIn, type Key, key } from '../../core/key.ts';
import { type AnyTensor, tensor } from '../../core/tensor.ts';
import { wordSource } from '../../models/zett/addWords.ts';
import { tablesOf, type ZettBody } from '../../models/zett/body.ts';
import { type HypernetConfig, hypernetConfig } from '../../models/zett/config.ts';
import { uniforms } from '../../models/zett/noise.ts';
import { hypernetSize, initialHypernet } from '../../models/zett/parameters.ts';
import { sampleKey, TokenizerSampler, UnigramEncoder } from '../../models/zett/sampler.ts';
import {
  anchoredScaling,
  type ZettMetric,
  type ZettTask,
  ZettTrainer,
  zettSchedule,
} from '../../models/zett/trainer.ts';
import {
  formsOf,
  type SourceVocabulary,
  sampledVocabulary,
  sourceVocabulary,
} from '../../models/zett/vocabulary.ts';
import { print, progress, say } from '../frame.ts';
import { type TwinOptions, withBackend } from './backends.ts';
import { lossCurve } from './lossCurve.ts';
import { readModel } from './samoutFolder.ts';
import { holdsSubVocab, readSubVocab } from './subVocabFolder.ts';
import { readText } from './texts.ts';
import { hypernetFile, readHypernet, type ZettRun } from './zettFolder.ts';

const command = 'zett train';
/** Characters of a text that one sample of substrings counts. */
const chunk = 512;
/** Chunks of text that are counted per step, and anchors of the scaling. */
const perStep = 8;
const anchors = 2048;
/** Tokens of the source per step of the warm-up. */
const identityTokens = 4096;

export interface ZettTrainOptions extends TwinOptions {
  readonly model: string;
  readonly text: readonly string[];
  readonly languages?: boolean;
  readonly out: string;
  readonly resume?: boolean;
  readonly steps: number;
  readonly identitySteps: number;
  readonly vocabulary: number;
  readonly hidden?: number;
  readonly heads: number;
  readonly batch: number;
  readonly length: number;
  readonly identityLr: number;
  readonly lr: number;
  readonly maxNorm: number;
  readonly drift: number;
  readonly seed: number;
  readonly saveEvery: number;
  readonly json?: boolean;
}

/** `subvocab zett train`: see its help. */
export async function train(options: ZettTrainOptions): Promise<void> {
  const { body, source } = await readSource(options.model);
  const files = options.text.map((path) => readText(command, path).text);
  const text = files.join('\n');
  const names = options.text.map((path) => basename(path, extname(path)));
  for (const [i, { length }] of (options.languages ? files : [text]).entries()) {
    if (length >= 4 * chunk) continue;
    const which = options.languages ? `the text of the language ${names[i]}` : 'the text';
    throw new ArgumentError(
      command,
      `${which} has ${length} characters; ${4 * chunk} are the least: give more`,
    );
  }
  if (options.languages && new Set(names).size < names.length) {
    throw new ArgumentError(
      command,
      `the languages are named after their files, and two of ${names.join(', ')} are the same; rename one`,
    );
  }
  const hash = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');
  const table = tablesOf(body).in;
  const marks = {
    text: hash(text),
    source: hash(new Uint8Array(table.data.buffer, table.data.byteOffset, table.data.byteLength)),
  };
  const before = options.resume ? readHypernet(command, options.out) : undefined;
  for (const [what, mark] of Object.entries(marks)) {
    if (before !== undefined && before.run[what as 'text' | 'source'] !== mark) {
      throw new ArgumentError(
        command,
        `the ${what === 'text' ? 'text' : 'model'} is not the one that ${options.out} was trained with; a resumed run needs the same`,
      );
    }
  }
  if (before === undefined && existsSync(join(options.out, 'hypernet.safetensors'))) {
    throw new ArgumentError(
      command,
      `${options.out} holds a run already; continue it with --resume, or choose another folder`,
    );
  }
  if (options.identitySteps > options.steps) {
    throw new ArgumentError(
      command,
      `--identity-steps is ${options.identitySteps}; it is a part of --steps, which is ${options.steps}`,
    );
  }
  const { identitySteps, steps, identityLr, lr, maxNorm, drift, seed, vocabulary, batch, length } = options;
  const run: ZettRun = before?.run ?? {
    schedule: { ...zettSchedule, identitySteps, steps, identityLr, lr, maxNorm, driftWeight: drift },
    seed,
    vocabulary,
    batch,
    length,
    ...(options.languages ? { languages: names } : {}),
    ...marks,
  };
  const config =
    before?.config ??
    hypernetConfig({
      width: body.config.width,
      tied: body.parameters.head === undefined,
      heads: options.heads,
      extra: source.extra.length,
      languages: options.languages ? names.length : 0,
      ...(options.hidden === undefined ? {} : { hidden: options.hidden }),
    });
  makeFolder(command, options.out);
  await withBackend(command, options, async (backend) => {
    const parameters = before?.parameters ?? (await initialHypernet(backend, config, key(run.seed)));
    const frozen = before?.frozen ?? (await scaling(backend, config, parameters, body, source, run.seed));
    using trainer = new ZettTrainer(backend, config, run.schedule, body, parameters, frozen, before?.state);
    say(
      `${hypernetSize(config)} parameters; steps ${trainer.step + 1} to ${run.schedule.steps}, of them ${run.schedule.identitySteps} of the warm-up`,
    );
    const texts = run.languages === undefined ? [text] : files;
    await loop(backend, trainer, config, source, texts, run, options, frozen);
  });
}

/** A model of `samout train`, or of `demo text`, whose words are then the pieces. */
async function readSource(folder: string): Promise<{ body: ZettBody; source: SourceVocabulary }> {
  if (holdsSubVocab(folder)) {
    const { config, parameters, table } = readSubVocab(command, folder);
    const body = { config: config.samOut, parameters: parameters.samOut };
    return { body, source: sourceVocabulary(wordSource(table)) };
  }
  const body = await readModel(command, folder);
  return { body, source: sourceVocabulary(body.tokenizer) };
}

/** The scaling from anchors: tokens of the source, drawn without doubles where there are enough. */
async function scaling<T extends AnyTensor>(
  backend: Backend<T>,
  config: HypernetConfig,
  parameters: Parameters<typeof anchoredScaling>[2],
  body: ZettBody,
  source: SourceVocabulary,
  seed: number,
) {
  const ids = drawIds(source, Math.min(anchors, source.ids.size), foldIn(key(seed), 1));
  const forms = new Int32Array(ids.length * config.length).fill(-1);
  for (const [n, id] of ids.entries()) forms[n * config.length] = id;
  return anchoredScaling(
    backend,
    config,
    parameters,
    tablesOf(body),
    tensor([ids.length, config.length], forms),
  );
}

/** Ids of source tokens with bytes, without doubles. */
function drawIds(source: SourceVocabulary, count: number, drawn: Key): Int32Array {
  const random = uniforms(drawn);
  const all = [...source.ids.values()].map((id) => ({ id, at: random() }));
  return Int32Array.from(all.sort((a, b) => a.at - b.at).slice(0, count), ({ id }) => id);
}

async function loop<T extends AnyTensor>(
  backend: Backend<T>,
  trainer: ZettTrainer<T>,
  config: HypernetConfig,
  source: SourceVocabulary,
  texts: readonly string[],
  run: ZettRun,
  options: ZettTrainOptions,
  frozen: Parameters<typeof hypernetFile>[1]['frozen'],
): Promise<void> {
  const metricsPath = join(options.out, 'metrics.jsonl');
  const metrics = readMetrics(options.resume ? metricsPath : '').filter((m) => m.step <= trainer.step);
  await writeFiles(command, [{ path: metricsPath, chunks: metrics.map((m) => `${JSON.stringify(m)}\n`) }]);
  const save = async (): Promise<void> => {
    const { parameters, state } = await trainer.state();
    const curve = metrics.filter((m) => m.bitsPerByte !== undefined) as {
      step: number;
      loss: number;
      bitsPerByte: number;
    }[];
    const drawn = curve.length > 1 ? await lossCurve(curve) : undefined;
    await writeFiles(command, [
      hypernetFile(options.out, { config, parameters, frozen }, state, run),
      ...(drawn === undefined
        ? []
        : [
            { path: join(options.out, 'loss.svg'), chunks: [drawn.svg] },
            { path: join(options.out, 'loss.html'), chunks: [drawn.html] },
          ]),
    ]);
  };
  let stopped: NodeJS.Signals | undefined;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopped !== undefined) process.exit(signal === 'SIGINT' ? 130 : 143);
    stopped = signal;
    say(`\n${signal}: saving after this step; once more to stop at once`);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  const line = progress();
  const samplers = texts.map(() => new TokenizerSampler());
  // Languages take turns. One text is one language, which no token is marked with.
  const turnOf = (at: number): number => ((at % texts.length) + texts.length) % texts.length;
  const languageOf = (at: number) => (run.languages === undefined ? {} : { language: turnOf(at) });
  // The window of a resumed run is that of an unbroken one: the batches before it are counted again.
  const first = Math.max(trainer.step, run.schedule.identitySteps) - run.schedule.identitySteps;
  for (let back = first - 16 * texts.length; back < first; back++)
    samplers[turnOf(back)]!.push(chunksOf(texts[turnOf(back)]!, run.seed, back));
  try {
    const started = performance.now();
    const begun = trainer.step;
    while (trainer.step < run.schedule.steps && stopped === undefined) {
      // The reference never waits for anything, and a signal is only heard between turns of the event loop.
      await setImmediate();
      let metric: Line;
      if (trainer.warmingUp) {
        const ids = drawIds(
          source,
          Math.min(identityTokens, source.ids.size),
          foldIn(foldIn(key(run.seed), 2), trainer.step),
        );
        metric = await trainer.identity(ids, languageOf(trainer.step).language);
      } else {
        const at = trainer.step - run.schedule.identitySteps;
        const [sampler, text] = [samplers[turnOf(at)]!, texts[turnOf(at)]!];
        const { task, bytes } = await languageTask(backend, config, source, sampler, text, run, trainer.step);
        const made = await trainer.language({ ...task, ...languageOf(at) });
        metric = { ...made, bitsPerByte: made.crossEntropy! / Math.LN2 / bytes };
      }
      metrics.push(metric);
      appendFileSync(metricsPath, `${JSON.stringify(metric)}\n`);
      if (options.json) print(JSON.stringify(metric));
      const seconds = (performance.now() - started) / 1000;
      const left = ((run.schedule.steps - trainer.step) * seconds) / (trainer.step - begun);
      const bits = metric.bitsPerByte === undefined ? '' : `  ${metric.bitsPerByte.toFixed(3)} bits/byte`;
      line.show(
        `step ${trainer.step} of ${run.schedule.steps}  ${metric.phase}  loss ${metric.loss.toFixed(4)}${bits}  ${left.toFixed(0)} s left`,
      );
      if (trainer.step % options.saveEvery === 0 && trainer.step < run.schedule.steps) await save();
    }
    line.clear();
    await save();
  } finally {
    process.removeListener('SIGINT', stop);
    process.removeListener('SIGTERM', stop);
  }
  say(`step ${trainer.step}: loss ${metrics.at(-1)?.loss.toFixed(4)}; wrote ${options.out}`);
  if (stopped !== undefined) process.exitCode = stopped === 'SIGINT' ? 130 : 143;
}

type Line = ZettMetric & { readonly bitsPerByte?: number };

/** Chunks of the text at places drawn from the seed and the step. */
function chunksOf(text: string, seed: number, step: number): string[] {
  const random = uniforms(foldIn(foldIn(key(seed), 3), step + 2 ** 16));
  return Array.from({ length: perStep }, () => {
    const at = Math.floor(random() * (text.length - chunk));
    return text.slice(at, at + chunk);
  });
}

/** A tokenizer sampled for this step, and rows of text in its ids. `bytes` is the mean length of a token. */
async function languageTask<T extends AnyTensor>(
  backend: Backend<T>,
  config: HypernetConfig,
  source: SourceVocabulary,
  sampler: TokenizerSampler,
  text: string,
  run: ZettRun,
  step: number,
): Promise<{ task: ZettTask; bytes: number }> {
  const chunks = chunksOf(text, run.seed, step - run.schedule.identitySteps);
  sampler.push(chunks);
  const vocabulary = sampler.sample(run.vocabulary, sampleKey(run.seed, step));
  const target = sampledVocabulary(vocabulary.pieces, source);
  const forms = await formsOf(backend, source, target.words, config.length);
  const encoder = new UnigramEncoder(vocabulary);
  const tokens = new Int32Array(run.batch * (run.length + 1)).fill(target.paddingIndex);
  const random = uniforms(foldIn(foldIn(key(run.seed), 4), step));
  let count = 0;
  let bytes = 0;
  for (let r = 0; r < run.batch; r++) {
    const most = Math.max(text.length - 16 * run.length, 1);
    const at = Math.floor(random() * most);
    const ids = encoder.encode(text.slice(at, at + 16 * run.length)).subarray(0, run.length + 1);
    tokens.set(ids, r * (run.length + 1));
    for (const id of ids) bytes += vocabulary.pieces[id]!.length;
    count += ids.length;
  }
  const { rows, copies, paddingIndex } = target;
  const task: ZettTask = {
    forms,
    rows,
    copies,
    tokens: tensor([run.batch, run.length + 1], tokens),
    paddingIndex,
  };
  return { task, bytes: bytes / count };
}

function readMetrics(path: string): Line[] {
  if (path === '' || !existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return line === '' ? [] : [JSON.parse(line) as Line];
      } catch {
        // The last line of a killed run may be cut off; what follows the checkpoint is dropped anyway.
        return [];
      }
    });
}
