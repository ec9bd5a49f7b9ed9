import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Backend } from '../../core/backend.ts';
import { ArgumentError, FileError } from '../../core/errors.ts';
import { makeFolder, writeFiles } from '../../core/formats/files.ts';
import { foldIn, key } from '../../core/key.ts';
import type { AnyTensor, Tensor } from '../../core/tensor.ts';
import type { Tokenizer } from '../../core/tokenizers/tokenizer.ts';
import { samOutConfig } from '../../models/samOut/config.ts';
import { SamOut } from '../../models/samOut/model.ts';
import { initialParameters, parameterCount } from '../../models/samOut/parameters.ts';
import { randomRows } from '../../models/samOut/rows.ts';
import { DivergedError, SamOutTrainer } from '../../models/samOut/trainer.ts';
import { print, progress, say } from '../frame.ts';
import { type TwinOptions, withBackend } from './backends.ts';
import { lossCurve, type Metric } from './lossCurve.ts';
import {
  checkpointFile,
  modelFile,
  type RunSettings,
  readCheckpoint,
  tokenizerFiles,
} from './samoutFolder.ts';
import { readText, readTokenizer } from './texts.ts';

const command = 'samout train';

export interface TrainCommandOptions extends TwinOptions {
  readonly text?: readonly string[];
  readonly steps: number;
  readonly out: string;
  readonly resume?: string;
  readonly bytes?: boolean;
  readonly tokenizer?: string;
  readonly seed: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly tied?: boolean;
  readonly cap?: number;
  readonly mixHeads?: boolean;
  readonly dropout: number;
  readonly batch: number;
  readonly length: number;
  readonly lr: number;
  readonly maxNorm?: number;
  readonly saveEvery: number;
  readonly json?: boolean;
}

/** `subvocab samout train`: see its help. */
export async function train(options: TrainCommandOptions): Promise<void> {
  if (options.bytes && options.tokenizer !== undefined)
    throw new ArgumentError(command, '--bytes and --tokenizer exclude each other');
  const before = options.resume === undefined ? undefined : await readCheckpoint(command, options.resume);
  const texts = options.text ?? before?.run.text;
  if (texts === undefined || texts.length === 0)
    throw new ArgumentError(command, 'say what to train on: --text FILE...');
  const given =
    before === undefined || options.bytes || options.tokenizer !== undefined
      ? await readTokenizer(command, options.tokenizer)
      : before.tokenizer;
  if (before !== undefined && given.json !== before.tokenizer.json) {
    throw new ArgumentError(
      command,
      `${options.resume} was trained with ${before.tokenizer.json === undefined ? 'bytes' : 'another tokenizer.json'}; a resumed run keeps its tokenizer`,
    );
  }
  const tokenizer = before?.tokenizer ?? given;
  const { ids, bytes } = readTexts(tokenizer, texts);
  const data = createHash('sha256').update(ids).digest('hex');
  if (before !== undefined && before.run.data !== data) {
    throw new ArgumentError(
      command,
      `the text is not the one that ${options.resume} was trained on; a resumed run needs the same files in the same order`,
    );
  }
  const run: RunSettings = before?.run ?? {
    text: texts,
    seed: options.seed,
    batch: options.batch,
    length: options.length,
    lr: options.lr,
    ...(options.maxNorm === undefined ? {} : { maxNorm: options.maxNorm }),
    data,
  };
  if (ids.length < run.length + 1) {
    throw new ArgumentError(
      command,
      `the text has ${ids.length} tokens; a row of --length ${run.length} needs ${run.length + 1}: give more text, or a smaller --length`,
    );
  }
  if (before !== undefined && before.state.step >= options.steps) {
    throw new ArgumentError(
      command,
      `${options.resume} has made ${before.state.step} steps already; ask for more with --steps`,
    );
  }
  const { vocabulary, paddingIndex } = tokenizer;
  const { width, layers, heads, tied = false, cap = null, mixHeads = false, dropout } = options;
  const chosen = { width, layers, heads, tied, cap, mixHeads, dropout };
  const config = before?.config ?? samOutConfig({ vocabulary, paddingIndex, ...chosen });
  makeFolder(command, options.out);
  if (before === undefined && existsSync(join(options.out, 'checkpoint.safetensors'))) {
    throw new ArgumentError(
      command,
      `${options.out} holds a run already; continue it with --resume ${options.out}, or choose another folder`,
    );
  }

  await withBackend(command, options, async (backend) => {
    const parameters = before?.parameters ?? (await initialParameters(backend, config, key(run.seed)));
    using model = new SamOut(backend, config, parameters);
    const settings = {
      lr: run.lr,
      ignoreIndex: paddingIndex,
      key: foldIn(key(run.seed), 0x6472_6f70),
      ...(run.maxNorm === undefined ? {} : { maxNorm: run.maxNorm }),
    };
    using trainer = new SamOutTrainer(model, settings, before?.state);
    const { tensors, scalars } = parameterCount(config);
    say(
      `${ids.length} tokens of text; ${tensors + scalars} parameters; steps ${trainer.step + 1} to ${options.steps}`,
    );
    await steps(backend, model, trainer, tokenizer, run, ids, bytes / ids.length, options);
  });
}

/** The loop: a batch, a step, a line of metrics; now and then, and at every end, a checkpoint. */
async function steps<T extends AnyTensor>(
  backend: Backend<T>,
  model: SamOut<T>,
  trainer: SamOutTrainer<T>,
  tokenizer: Tokenizer,
  run: RunSettings,
  ids: Int32Array,
  bytesPerToken: number,
  options: TrainCommandOptions,
): Promise<void> {
  const metricsPath = join(options.out, 'metrics.jsonl');
  const metrics = readMetrics(options.resume).filter((m) => m.step <= trainer.step);
  await writeFiles(command, [{ path: metricsPath, chunks: metrics.map((m) => `${JSON.stringify(m)}\n`) }]);
  const line = progress();
  // Windows of the text at places drawn from the seed and the step alone, so that a resumed run agrees.
  const rowsOf = (step: number): Promise<Tensor> => {
    const place = foldIn(foldIn(key(run.seed), 0x7465_7874), step);
    return randomRows(backend, place, ids, run.batch, run.length);
  };
  let saved = options.resume === options.out ? trainer.step : -1;
  const save = async (): Promise<void> => {
    if (saved === trainer.step) return;
    // The loss of a step is that of the parameters before it: whether the step itself was good, only the next loss says.
    const next = await trainer.loss(await rowsOf(trainer.step));
    if (!Number.isFinite(next)) {
      throw new DivergedError(
        command,
        `the loss after step ${trainer.step} is ${next}, so it was not saved; lower --lr, or set --max-norm`,
      );
    }
    const stored = { config: model.config, parameters: await model.read(), tokenizer };
    const state = await trainer.state();
    const curve = metrics.length > 1 ? await lossCurve(metrics) : undefined;
    await writeFiles(command, [
      ...(saved < 0 ? tokenizerFiles(options.out, tokenizer) : []),
      checkpointFile(options.out, stored, state, run),
      modelFile(options.out, stored),
      ...(curve === undefined
        ? []
        : [
            { path: join(options.out, 'loss.svg'), chunks: [curve.svg] },
            { path: join(options.out, 'loss.html'), chunks: [curve.html] },
          ]),
    ]);
    saved = trainer.step;
  };

  // Ctrl-C ends the run after the step at hand, with a checkpoint; a second one ends it at once.
  let stopped: NodeJS.Signals | undefined;
  const stop = (signal: NodeJS.Signals): void => {
    // The second one ends it at once; the last checkpoint is whole in any case.
    if (stopped !== undefined) process.exit(signal === 'SIGINT' ? 130 : 143);
    stopped = signal;
    say(`\n${signal}: saving after this step; once more to stop at once`);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  try {
    if (trainer.step === 0) await save();
    const started = performance.now();
    let savedAt = started;
    const first = trainer.step;
    while (trainer.step < options.steps && stopped === undefined) {
      const tokens = await rowsOf(trainer.step);
      const { loss, count } = await trainer.train(tokens);
      // The reference never waits for anything, and a signal is only heard between turns of the event loop.
      await setImmediate();
      const bitsPerByte = loss / Math.LN2 / bytesPerToken;
      const seconds = (performance.now() - started) / 1000;
      const rate = (count * (trainer.step - first)) / seconds;
      const metric: Metric = { step: trainer.step, loss, bitsPerByte };
      metrics.push(metric);
      appendMetric(metricsPath, metric);
      if (options.json) print(JSON.stringify({ ...metric, tokensPerSecond: Math.round(rate) }));
      const left = ((options.steps - trainer.step) * seconds) / (trainer.step - first);
      const told = `step ${trainer.step} of ${options.steps}  loss ${loss.toFixed(4)}  ${bitsPerByte.toFixed(3)} bits/byte  ${rate.toFixed(0)} tokens/s  ${left.toFixed(0)} s left`;
      line.show(told);
      const due = trainer.step % options.saveEvery === 0 || performance.now() - savedAt > 60_000;
      if (due && trainer.step < options.steps) {
        await save();
        savedAt = performance.now();
        // A log file shows no line that is rewritten in place.
        if (!process.stderr.isTTY && !options.json) say(told);
      }
    }
    line.clear();
    await save();
  } catch (error) {
    line.clear();
    if (saved >= 0) {
      say(`${options.out} has the checkpoint of step ${saved}; to go on from there: ${again(options)}`);
    }
    throw error;
  } finally {
    process.removeListener('SIGINT', stop);
    process.removeListener('SIGTERM', stop);
  }
  const last = metrics.at(-1);
  say(
    `step ${trainer.step}: loss ${last?.loss.toFixed(4)}, ${last?.bitsPerByte.toFixed(3)} bits per byte; wrote ${options.out}`,
  );
  if (stopped !== undefined) {
    say(`continue with: ${again(options)}`);
    process.exitCode = stopped === 'SIGINT' ? 130 : 143;
  }
}

/** The command that continues a run. */
function again({ out, steps, twin, adapter }: TrainCommandOptions): string {
  const where = `${twin === 'ref' ? ' --twin ref' : ''}${adapter === undefined ? '' : ` --adapter ${adapter}`}`;
  return `subvocab samout train --resume ${out} --out ${out} --steps ${steps}${where}`;
}

/** All texts as one sequence of ids, each with the id that begins a text in front; and how many bytes they are. */
function readTexts(tokenizer: Tokenizer, paths: readonly string[]): { ids: Int32Array; bytes: number } {
  const parts: Int32Array[] = [];
  let bytes = 0;
  for (const path of paths) {
    const { text, bytes: size } = readText(command, path);
    const encoded = tokenizer.encode(text);
    if (!tokenizer.restores(text, encoded)) {
      say(`${path}: the tokens do not say the whole text; the tokenizer changes or drops parts of it`);
    }
    bytes += size;
    parts.push(Int32Array.of(tokenizer.beginIndex), encoded);
  }
  const ids = new Int32Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    ids.set(p, at);
    at += p.length;
  }
  return { ids, bytes };
}

function appendMetric(path: string, metric: Metric): void {
  try {
    appendFileSync(path, `${JSON.stringify(metric)}\n`);
  } catch (error) {
    throw new FileError(command, `cannot write ${path}: ${(error as Error).message}`);
  }
}

function readMetrics(folder: string | undefined): Metric[] {
  const path = folder === undefined ? '' : join(folder, 'metrics.jsonl');
  if (path === '' || !existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((text) => {
      try {
        return text === '' ? [] : [JSON.parse(text) as Metric];
      } catch {
        // The last line of a killed run may be cut off; what follows the checkpoint is dropped anyway.
        return [];
      }
    });
}
