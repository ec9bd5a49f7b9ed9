import type { Backend } from '../../core/backend.ts';
import { ArgumentError } from '../../core/errors.ts';
import { makeFolder, writeFiles } from '../../core/formats/files.ts';
import type { AnyTensor } from '../../core/tensor.ts';
import type { Tokenizer } from '../../core/tokenizers/tokenizer.ts';
import { sequenceNats } from '../../models/samOut/evaluate.ts';
import { SamOut } from '../../models/samOut/model.ts';
import type { ZettBody } from '../../models/zett/body.ts';
import { continueTraining } from '../../models/zett/continue.ts';
import { type Hypernet, type Method, measured, transfer } from '../../models/zett/transfer.ts';
import { sourceVocabulary, targetVocabulary } from '../../models/zett/vocabulary.ts';
import { print, progress, say } from '../frame.ts';
import { type TwinOptions, withBackend } from './backends.ts';
import { modelFile, readModel, tokenizerFiles } from './samoutFolder.ts';
import { readText, readTokenizer } from './texts.ts';
import { readHypernet } from './zettFolder.ts';

/** A hypernetwork that fits the model. @throws ArgumentError if it was trained for another one */
export function hypernetFor(
  command: string,
  folder: string,
  { config }: ZettBody,
  extra: number,
  language?: string,
): { readonly hypernet: Hypernet; readonly language?: number } {
  const hypernet = readHypernet(command, folder);
  const rows = hypernet.frozen.table.shape[0];
  if (
    rows !== config.vocabulary ||
    hypernet.config.width !== config.width ||
    hypernet.config.extra !== extra
  ) {
    throw new ArgumentError(
      command,
      `${folder} was trained for a model with ${rows} ids and ${hypernet.config.width} features; this one has ${config.vocabulary} and ${config.width}`,
    );
  }
  const { languages: names = [] } = hypernet.run;
  const known = names.map((name, i) => `${i} (${name})`).join(', ');
  if (language === undefined) {
    if (names.length === 0) return { hypernet };
    throw new ArgumentError(command, `${folder} knows languages: say which with --language, of ${known}`);
  }
  if (names.length === 0)
    throw new ArgumentError(command, `${folder} was trained without languages; leave --language out`);
  const at = names.indexOf(language);
  const id = at >= 0 ? at : /^\d+$/.test(language) ? Number(language) : -1;
  if (id < 0 || id >= names.length)
    throw new ArgumentError(command, `there is no language "${language}"; ${folder} knows ${known}`);
  return { hypernet, language: id };
}

/** Steps of training after the transfer. */
interface ShotOptions {
  readonly shotsText?: readonly string[];
  readonly shotsLayers?: boolean;
  readonly shotsLr: number;
  readonly batch: number;
  readonly length: number;
}

/** The text for the steps after the transfer. @throws ArgumentError where there is none */
function shotsText(command: string, { shotsText: files }: ShotOptions): string {
  if (files === undefined)
    throw new ArgumentError(command, '--shots trains on text: give some with --shots-text FILE');
  return files.map((path) => readText(command, path).text).join('\n');
}

const continued = ({ shotsLayers = false, shotsLr, batch, length }: ShotOptions) => ({
  layers: shotsLayers,
  lr: shotsLr,
  batch,
  length,
});

/** `subvocab zett transfer` */
export async function transferModel(
  options: TwinOptions &
    ShotOptions & {
      readonly shots?: number;
      readonly model: string;
      readonly tokenizer: string;
      readonly out: string;
      readonly hypernet?: string;
      readonly language?: string;
      readonly method: Method;
      readonly context?: string;
      readonly seed: number;
    },
): Promise<void> {
  const command = 'zett transfer';
  const { method } = options;
  if (method === 'hypernet' && options.hypernet === undefined) {
    throw new ArgumentError(command, 'say which hypernetwork: --hypernet FOLDER, or choose another --method');
  }
  if (method === 'focus' && options.context === undefined) {
    throw new ArgumentError(command, 'focus takes its vectors from text: give some with --context FILE');
  }
  const body = await readModel(command, options.model);
  const tokenizer = await readTokenizer(command, options.tokenizer);
  const source = sourceVocabulary(body.tokenizer);
  const target = targetVocabulary(tokenizer, source);
  const hypernet =
    method === 'hypernet'
      ? hypernetFor(command, options.hypernet!, body, source.extra.length, options.language)
      : {};
  const text =
    options.context === undefined ? {} : { text: tokenizer.encode(readText(command, options.context).text) };
  const { shots, seed } = options;
  const more = shots === undefined ? undefined : tokenizer.encode(shotsText(command, options));
  await withBackend(command, options, async (backend) => {
    let made = await transfer(backend, body, source, target, method, { ...hypernet, ...text, seed });
    if (shots !== undefined)
      made = await continueTraining(backend, made, more!, { shots: [shots], seed, ...continued(options) });
    makeFolder(command, options.out);
    await writeFiles(command, [
      ...tokenizerFiles(options.out, tokenizer),
      modelFile(options.out, { ...made, tokenizer }),
    ]);
  });
  if (target.strangers > 0)
    say(`${target.strangers} special tokens are unknown to the source; they got the row of its begin token`);
  const kept = target.same.data.filter((id) => id >= 0).length;
  say(`wrote ${options.out}: ${target.rows.size} ids, ${kept} of them with the bytes of a source token`);
}

/** One row of what `zett eval` finds. */
export interface Measured {
  readonly tokenizer: string;
  readonly method: string;
  /** Steps of training after the transfer. */
  readonly shots: number;
  readonly bitsPerByte: number;
  /** Standard deviation over hypernetworks or draws; 0 for one. */
  readonly deviation: number;
  readonly runs: number;
  readonly tokens: number;
}

/** `subvocab zett eval` */
export async function evaluateTransfer(
  options: TwinOptions &
    ShotOptions & {
      readonly shots?: readonly number[];
      readonly model: string;
      readonly tokenizer: readonly string[];
      readonly text: string;
      readonly hypernet?: readonly string[];
      readonly language?: string;
      readonly context?: string;
      readonly seeds: number;
      readonly json?: boolean;
    },
): Promise<void> {
  const command = 'zett eval';
  const body = await readModel(command, options.model);
  const source = sourceVocabulary(body.tokenizer);
  const { text, bytes } = readText(command, options.text);
  const context = options.context === undefined ? undefined : readText(command, options.context).text;
  const hypernets = (options.hypernet ?? []).map((folder) =>
    hypernetFor(command, folder, body, source.extra.length, options.language),
  );
  const targets = await Promise.all(
    options.tokenizer.map(async (path) => {
      const tokenizer = await readTokenizer(command, path);
      return { path, tokenizer, target: targetVocabulary(tokenizer, source) };
    }),
  );
  const results: Measured[] = [];
  const more = options.shots === undefined ? undefined : shotsText(command, options);
  await withBackend(command, options, async <T extends AnyTensor>(backend: Backend<T>) => {
    const line = progress();
    const measure = async (
      name: string,
      method: string,
      tokenizer: Tokenizer,
      bodies: readonly ZettBody[],
    ): Promise<void> => {
      const ids = measured(tokenizer, text);
      const shots = method === 'source' ? [0] : [0, ...(options.shots ?? [])];
      const learned = shots.length > 1 ? tokenizer.encode(more!) : undefined;
      const bits = new Map<number, number[]>(shots.map((n) => [n, []]));
      for (const [seed, one] of bodies.entries()) {
        const look = async (model: SamOut<T>, n: number): Promise<void> => {
          line.show(`${name}  ${method}  ${n}`);
          bits.get(n)!.push((await sequenceNats(model, ids)) / Math.LN2 / bytes);
        };
        if (learned === undefined) {
          using model = new SamOut(backend, one.config, one.parameters);
          await look(model, 0);
        } else await continueTraining(backend, one, learned, { shots, seed, ...continued(options) }, look);
      }
      for (const [n, values] of bits) {
        const mean = values.reduce((a, b) => a + b, 0) / values.length;
        const square = values.reduce((s, b) => s + (b - mean) ** 2, 0);
        results.push({
          tokenizer: name,
          method,
          shots: n,
          bitsPerByte: mean,
          deviation: values.length < 2 ? 0 : Math.sqrt(square / (values.length - 1)),
          runs: values.length,
          tokens: ids.length - 1,
        });
      }
    };
    await measure('its own', 'source', body.tokenizer, [body]);
    for (const { path, tokenizer, target } of targets) {
      const made: ZettBody[] = [];
      for (const hypernet of hypernets)
        made.push(await transfer(backend, body, source, target, 'hypernet', hypernet));
      if (made.length > 0) await measure(path, 'hypernet', tokenizer, made);
      const rules: Method[] = [
        'fvt',
        ...(context === undefined ? [] : (['focus'] as const)),
        'lexical',
        'random',
      ];
      for (const method of rules) {
        const draws: ZettBody[] = [];
        const more = context === undefined ? {} : { text: tokenizer.encode(context) };
        // What copies and mixes only differs in the few tokens that it must draw.
        for (let seed = 0; seed < options.seeds; seed++)
          draws.push(await transfer(backend, body, source, target, method, { seed, ...more }));
        await measure(path, method, tokenizer, draws);
      }
    }
    line.clear();
  });
  if (options.json) {
    print(JSON.stringify({ text: options.text, bytes, results }));
    return;
  }
  const own = results[0]!.tokens;
  const steps = options.shots === undefined ? '' : ' | steps';
  print(`tokenizer | method${steps} | bits per byte | deviation (runs) | tokens | sequence saved`);
  print(`--- | ---${steps === '' ? '' : ' | ---'} | --- | --- | --- | ---`);
  for (const r of results) {
    const saved = `${(100 * (1 - r.tokens / own)).toFixed(1)} %`;
    print(
      `${r.tokenizer} | ${r.method}${steps === '' ? '' : ` | ${r.shots}`} | ${r.bitsPerByte.toFixed(3)} | ${r.deviation.toFixed(3)} (${r.runs}) | ${r.tokens} | ${saved}`,
    );
  }
}
