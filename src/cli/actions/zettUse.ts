import { mkdirSync } from 'node:fs';
import type { Backend } from '../../core/backend.ts';
import { ArgumentError } from '../../core/errors.ts';
import { writeFiles } from '../../core/formats/files.ts';
import type { AnyTensor } from '../../core/tensor.ts';
import type { Tokenizer } from '../../core/tokenizers/tokenizer.ts';
import { sequenceNats } from '../../models/samOut/evaluate.ts';
import { SamOut } from '../../models/samOut/model.ts';
import type { ZettBody } from '../../models/zett/body.ts';
import { type Hypernet, type Method, measured, transfer } from '../../models/zett/transfer.ts';
import { sourceVocabulary, targetVocabulary } from '../../models/zett/vocabulary.ts';
import { print, progress, say } from '../frame.ts';
import { type TwinOptions, withBackend } from './backends.ts';
import { modelFile, readModel, tokenizerFiles } from './samoutFolder.ts';
import { readText, readTokenizer } from './texts.ts';
import { readHypernet } from './zettFolder.ts';

/** A hypernetwork that fits the model. @throws ArgumentError if it was trained for another one */
export function hypernetFor(command: string, folder: string, { config }: ZettBody, extra: number): Hypernet {
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
  return hypernet;
}

/** `subvocab zett transfer` */
export async function transferModel(
  options: TwinOptions & {
    readonly model: string;
    readonly tokenizer: string;
    readonly out: string;
    readonly hypernet?: string;
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
      ? { hypernet: hypernetFor(command, options.hypernet!, body, source.extra.length) }
      : {};
  const text =
    options.context === undefined ? {} : { text: tokenizer.encode(readText(command, options.context).text) };
  await withBackend(command, options, async (backend) => {
    const made = await transfer(backend, body, source, target, method, {
      ...hypernet,
      ...text,
      seed: options.seed,
    });
    mkdirSync(options.out, { recursive: true });
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

interface Measured {
  readonly tokenizer: string;
  readonly method: string;
  readonly bitsPerByte: number;
  /** Standard deviation over hypernetworks or draws; 0 for one. */
  readonly deviation: number;
  readonly runs: number;
  readonly tokens: number;
}

/** `subvocab zett eval` */
export async function evaluateTransfer(
  options: TwinOptions & {
    readonly model: string;
    readonly tokenizer: readonly string[];
    readonly text: string;
    readonly hypernet?: readonly string[];
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
    hypernetFor(command, folder, body, source.extra.length),
  );
  const targets = await Promise.all(
    options.tokenizer.map(async (path) => {
      const tokenizer = await readTokenizer(command, path);
      return { path, tokenizer, target: targetVocabulary(tokenizer, source) };
    }),
  );
  const results: Measured[] = [];
  await withBackend(command, options, async (backend) => {
    const line = progress();
    const measure = async (
      name: string,
      method: string,
      tokenizer: Tokenizer,
      bodies: readonly ZettBody[],
    ): Promise<void> => {
      const ids = measured(tokenizer, text);
      const bits: number[] = [];
      for (const one of bodies) {
        line.show(`${name}  ${method}`);
        bits.push((await nats(backend, one, ids)) / Math.LN2 / bytes);
      }
      const mean = bits.reduce((a, b) => a + b, 0) / bits.length;
      const deviation =
        bits.length < 2 ? 0 : Math.sqrt(bits.reduce((s, b) => s + (b - mean) ** 2, 0) / (bits.length - 1));
      results.push({
        tokenizer: name,
        method,
        bitsPerByte: mean,
        deviation,
        runs: bits.length,
        tokens: ids.length - 1,
      });
    };
    await measure('its own', 'source', body.tokenizer, [body]);
    for (const { path, tokenizer, target } of targets) {
      const made: ZettBody[] = [];
      for (const hypernet of hypernets)
        made.push(await transfer(backend, body, source, target, 'hypernet', { hypernet }));
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
  print('tokenizer | method | bits per byte | deviation (runs) | tokens | sequence saved');
  print('--- | --- | --- | --- | --- | ---');
  for (const r of results) {
    const saved = `${(100 * (1 - r.tokens / own)).toFixed(1)} %`;
    print(
      `${r.tokenizer} | ${r.method} | ${r.bitsPerByte.toFixed(3)} | ${r.deviation.toFixed(3)} (${r.runs}) | ${r.tokens} | ${saved}`,
    );
  }
}

async function nats<T extends AnyTensor>(
  backend: Backend<T>,
  { config, parameters }: ZettBody,
  ids: Int32Array,
): Promise<number> {
  using model = new SamOut(backend, config, parameters);
  return await sequenceNats(model, ids);
}
