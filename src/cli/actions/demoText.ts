import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ArgumentError } from '../../core/errors.ts';
import { makeFolder, writeFiles } from '../../core/formats/files.ts';
import { subVocabConfig } from '../../models/subVocab/config.ts';
import { SubVocab } from '../../models/subVocab/model.ts';
import { specialIds } from '../../models/subVocab/wordTable.ts';
import { print, progress, say } from '../frame.ts';
import { type TwinOptions, withBackend } from './backends.ts';
import { demoReport, tellDemo } from './demoTextReport.ts';
import { type Demo, type DemoSettings, draw, prepareDemo, runDemo } from './subVocabDemo.ts';
import { readSubVocab, subVocabFiles } from './subVocabFolder.ts';
import { readText, readWords } from './texts.ts';

const command = 'demo text';

export interface DemoTextOptions extends TwinOptions, DemoSettings {
  readonly out: string;
  readonly without?: string;
  readonly json?: boolean;
}

/** `subvocab demo text`: see its help. */
export async function demoText(files: readonly string[], options: DemoTextOptions): Promise<void> {
  if (existsSync(join(options.out, 'model.safetensors')))
    throw new ArgumentError(command, `${options.out} holds a model already; choose another folder`);
  const prepared = prepareDemo(
    command,
    files.map((file) => ({ file, text: readText(command, file).text })),
    options,
    new Set(options.without === undefined ? [] : readWords(command, options.without)),
  );
  const { table, splits } = prepared;
  say(
    `${table.size - specialIds.count} words and phrases of up to 5 words; ${splits.training.length} of them to train on; ${options.k} per sub-vocabulary`,
  );
  await withBackend(command, options, async (backend) => {
    const made = await untilSignal(options, (events) => runDemo(backend, prepared, options, events));
    await writeFiles(command, subVocabFiles(options.out, made));
    const { figures } = made;
    if (figures === undefined) {
      say(`stopped after ${made.steps} steps; the model is in ${options.out}`);
      process.exitCode = 130;
      return;
    }
    await writeFiles(command, [
      { path: join(options.out, 'report.html'), chunks: [await demoReport(figures)] },
      { path: join(options.out, 'figures.json'), chunks: [JSON.stringify(figures, null, 1)] },
    ]);
    print(options.json ? JSON.stringify(figures, null, 2) : tellDemo(figures));
    if (!options.json) say(`report: ${join(options.out, 'report.html')}`);
  });
}

/** Run with progress: Ctrl-C ends training after the step at hand, a second one at once. */
async function untilSignal(
  options: DemoTextOptions,
  run: (events: Parameters<typeof runDemo>[3]) => Promise<Demo>,
): Promise<Demo> {
  let stopped = false;
  const stop = (): void => {
    if (stopped) process.exit(130);
    stopped = true;
    say('\nsaving after this step; once more to stop at once');
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  // The folder is there when a signal is listened to.
  makeFolder(command, options.out);
  const line = progress();
  try {
    return await run({
      stopped: () => stopped,
      step: ({ loss, k, recall }, done, seconds) =>
        line.show(
          `step ${done} of ${options.steps}  loss ${loss.toFixed(3)}  k ${k}  drawn ${(100 * recall).toFixed(0)} %  ${seconds.toFixed(0)} s left`,
        ),
    });
  } finally {
    line.clear();
    process.removeListener('SIGINT', stop);
    process.removeListener('SIGTERM', stop);
  }
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
    const { exact = false, best = false, seed } = options;
    // All words are scored for the best ones exactly; the index is there for everything else.
    if (exact ? !best : wide.candidates < words) await model.refreshIndex();
    const drawn = await draw(model, table, options.text, { k, exact, best, seed });
    if (options.json) {
      print(JSON.stringify(drawn.map((d) => ({ ...d, text: table.show(d.id) }))));
      return;
    }
    for (const { id, score } of drawn) print(`${score.toFixed(3)}\t${id}\t${JSON.stringify(table.show(id))}`);
  });
}
