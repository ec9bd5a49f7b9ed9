import { ArgumentError, FormatError } from '../../core/errors.ts';
import { openFile } from '../../core/formats/files.ts';
import { key } from '../../core/key.ts';
import { StreamDecoder } from '../../core/tokenizers/tokenizer.ts';
import { sequenceNats } from '../../models/samOut/evaluate.ts';
import { generate } from '../../models/samOut/generate.ts';
import { SamOut } from '../../models/samOut/model.ts';
import { print, progress } from '../frame.ts';
import { type TwinOptions, withBackend } from './backends.ts';
import { readModel } from './samoutFolder.ts';

/** `subvocab samout generate`: the text goes to stdout as it comes. */
export async function generateText(
  options: TwinOptions & {
    readonly model: string;
    readonly prompt: string;
    readonly maxTokens: number;
    readonly temperature: number;
    readonly topK?: number;
    readonly topP?: number;
    readonly seed: number;
  },
): Promise<void> {
  const command = 'samout generate';
  const { config, parameters, tokenizer } = readModel(command, options.model);
  const prompt = Int32Array.from([tokenizer.beginIndex, ...tokenizer.encode(options.prompt)]);
  const { temperature, topK, topP } = options;
  const sampling = {
    temperature,
    ...(topK === undefined ? {} : { topK }),
    ...(topP === undefined ? {} : { topP }),
  };
  await withBackend(command, options, async (backend) => {
    using model = new SamOut(backend, config, parameters);
    const decoder = new StreamDecoder(tokenizer);
    process.stdout.write(options.prompt);
    for await (const id of generate(model, prompt, options.maxTokens, key(options.seed), sampling)) {
      process.stdout.write(decoder.push(id));
    }
    process.stdout.write(`${decoder.end()}\n`);
  });
}

/** `subvocab samout eval` */
export async function evaluate(
  options: TwinOptions & { readonly model: string; readonly text: string; readonly json?: boolean },
): Promise<void> {
  const command = 'samout eval';
  const { config, parameters, tokenizer } = readModel(command, options.model);
  let text: string;
  let bytes: number;
  {
    using file = openFile(command, options.text);
    const content = new Uint8Array(file.size);
    file.readInto(0, content);
    bytes = content.length;
    if (bytes === 0)
      throw new ArgumentError(command, `${options.text} is empty; there is nothing to measure`);
    try {
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
    } catch {
      throw new FormatError(command, `${options.text} is not UTF-8 text`);
    }
  }
  const ids = Int32Array.from([tokenizer.beginIndex, ...tokenizer.encode(text)]);
  const line = progress();
  await withBackend(command, options, async (backend) => {
    using model = new SamOut(backend, config, parameters);
    const nats = await sequenceNats(model, ids, {
      progress: (done) => line.show(`${done} of ${ids.length - 1} tokens`),
    });
    line.clear();
    const result = {
      bytes,
      tokens: ids.length - 1,
      nats,
      bitsPerByte: nats / Math.LN2 / bytes,
      natsPerToken: nats / (ids.length - 1),
    };
    print(
      options.json
        ? JSON.stringify(result)
        : `${result.bitsPerByte.toFixed(4)} bits per byte over ${bytes} bytes (${result.natsPerToken.toFixed(4)} nats per token)`,
    );
  });
}
