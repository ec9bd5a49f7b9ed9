import { ArgumentError } from '../../core/errors.ts';
import { checkOutputs, writeFiles } from '../../core/formats/files.ts';
import { trainBpe } from '../../core/tokenizers/bpe.ts';
import { trainUnigram } from '../../core/tokenizers/unigram.ts';
import { print, say } from '../frame.ts';
import { textPieces } from './texts.ts';

const command = 'tokenizer train';

/** `subvocab tokenizer train`: see its help. */
export async function trainTokenizer(options: {
  readonly text: readonly string[];
  readonly model: 'bpe' | 'unigram';
  readonly vocabulary: number;
  readonly out: string;
  readonly special: readonly string[];
  readonly json?: boolean;
}): Promise<void> {
  checkOutputs(command, [options.out]);
  const { vocabulary, special: specials } = options;
  if (vocabulary < 256 + specials.length) {
    throw new ArgumentError(
      command,
      `--vocabulary is ${vocabulary}; it must be at least ${256 + specials.length}: 256 bytes and ${specials.length} special tokens`,
    );
  }
  const train = options.model === 'bpe' ? trainBpe : trainUnigram;
  const { json, bytes, dropped } = train(texts(options.text), { size: vocabulary, specials });
  const { model } = json;
  const learned = model.type === 'BPE' ? Object.keys(model.vocab).length : model.vocab.length;
  await writeFiles(command, [{ path: options.out, chunks: [`${JSON.stringify(json)}\n`] }]);
  if (learned < vocabulary)
    say(`the text has no more than ${learned} tokens that occur twice; the vocabulary has that many`);
  if (dropped > 0) say(`${dropped} occurrences of rare words were left out to bound the memory`);
  say(`wrote ${options.out}: ${learned} ids from ${bytes} bytes`);
  if (options.json) print(JSON.stringify({ out: options.out, vocabulary: learned, bytes, dropped }));
}

function* texts(paths: readonly string[]): Generator<string> {
  for (const path of paths) yield* textPieces(command, path);
}
