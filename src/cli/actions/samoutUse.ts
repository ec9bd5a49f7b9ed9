import { ArgumentError } from '../../core/errors.ts';
import { key } from '../../core/key.ts';
import { StreamDecoder } from '../../core/tokenizers/tokenizer.ts';
import { PrefixConstraint } from '../../models/boundary/constraint.ts';
import { type Boundary, rollBack, wordsOf } from '../../models/boundary/rollBack.ts';
import { sequenceNats } from '../../models/samOut/evaluate.ts';
import { generate } from '../../models/samOut/generate.ts';
import { SamOut } from '../../models/samOut/model.ts';
import { skipSchedule } from '../../models/skipTuning.ts';
import { print, progress, say } from '../frame.ts';
import { type TwinOptions, withBackend } from './backends.ts';
import { readModel } from './samoutFolder.ts';
import { readText } from './texts.ts';

/** `subvocab samout generate`: the text goes to stdout as it comes. */
export async function generateText(
  options: TwinOptions & {
    readonly model: string;
    readonly tokenizer?: string;
    readonly prompt: string;
    readonly maxTokens: number;
    readonly temperature: number;
    readonly topK?: number;
    readonly topP?: number;
    readonly boundary: Boundary;
    readonly seed: number;
  },
): Promise<void> {
  const command = 'samout generate';
  const { config, parameters, tokenizer } = await readModel(command, options.model, options.tokenizer);
  const before = tokenizer.encode(options.prompt);
  const prompt = concat(Int32Array.of(tokenizer.beginIndex), before);
  const { temperature, topK, topP } = options;
  const sampling = {
    temperature,
    ...(topK === undefined ? {} : { topK }),
    ...(topP === undefined ? {} : { topP }),
  };
  await withBackend(command, options, async (backend) => {
    using model = new SamOut(backend, config, parameters);
    process.stdout.write(options.prompt);
    if (options.boundary === 'none') {
      const decoder = new StreamDecoder(tokenizer, before);
      for await (const id of generate(model, prompt, options.maxTokens, key(options.seed), sampling)) {
        process.stdout.write(decoder.push(id));
      }
      process.stdout.write(`${decoder.end()}\n`);
      return;
    }
    const words = wordsOf(tokenizer, config.vocabulary);
    const { kept, prefix } = rollBack(words, prompt, options.boundary);
    using constraint = new PrefixConstraint(backend, words, prefix, options.boundary === 'heal-n');
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    let spelled = 0;
    for await (const id of generate(
      model,
      kept,
      options.maxTokens,
      key(options.seed),
      sampling,
      constraint,
    )) {
      // The prompt is on the screen already, the bytes that were taken back with it.
      const fresh = words[id]!.subarray(Math.min(prefix.length - spelled, words[id]!.length));
      spelled = Math.min(prefix.length, spelled + words[id]!.length);
      process.stdout.write(decoder.decode(fresh, { stream: true }));
    }
    process.stdout.write(`${decoder.decode()}\n`);
  });
}

/** `subvocab samout eval` */
export async function evaluate(
  options: TwinOptions & {
    readonly model: string;
    readonly tokenizer?: string;
    readonly text: string;
    readonly skipBottom: number;
    readonly skipTop: number;
    readonly json?: boolean;
  },
): Promise<void> {
  const command = 'samout eval';
  const { config, parameters, tokenizer } = await readModel(command, options.model, options.tokenizer);
  const { text, bytes } = readText(command, options.text);
  const encoded = tokenizer.encode(text);
  if (encoded.length === 0)
    throw new ArgumentError(command, `${options.text} has no tokens; there is nothing to measure`);
  const exact = tokenizer.restores(text, encoded);
  if (!exact) {
    say(
      `${options.text}: the tokens do not say the whole text (its tokenizer changes or drops parts), so the bits per byte are too few`,
    );
  }
  const ids = concat(Int32Array.of(tokenizer.beginIndex), encoded);
  const line = progress();
  await withBackend(command, options, async (backend) => {
    using model = new SamOut(backend, config, parameters);
    // The schedule begins at the bottom, far from the input; layers begin at the input.
    const residualScales = skipSchedule(config.layers, options.skipBottom, options.skipTop).reverse();
    const nats = await sequenceNats(model, ids, {
      residualScales,
      progress: (done) => line.show(`${done} of ${ids.length - 1} tokens`),
    });
    line.clear();
    const result = {
      bytes,
      tokens: ids.length - 1,
      nats,
      bitsPerByte: nats / Math.LN2 / bytes,
      natsPerToken: nats / (ids.length - 1),
      exact,
    };
    print(
      options.json
        ? JSON.stringify(result)
        : `${result.bitsPerByte.toFixed(4)} bits per byte over ${bytes} bytes (${result.natsPerToken.toFixed(4)} nats per token)`,
    );
  });
}

function concat(a: Int32Array, b: Int32Array): Int32Array {
  const all = new Int32Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
