import { ArgumentError } from '../../core/errors.ts';
import { makeFolder, writeFiles } from '../../core/formats/files.ts';
import { addWords, wordSource } from '../../models/zett/addWords.ts';
import type { Method } from '../../models/zett/transfer.ts';
import { sourceVocabulary } from '../../models/zett/vocabulary.ts';
import { say } from '../frame.ts';
import { type TwinOptions, withBackend } from './backends.ts';
import { readSubVocab, subVocabFiles } from './subVocabFolder.ts';
import { readWords } from './texts.ts';
import { hypernetFor } from './zettUse.ts';

const command = 'zett add';

/** `subvocab zett add`: see its help. */
export async function addToModel(
  options: TwinOptions & {
    readonly model: string;
    readonly words: string;
    readonly out: string;
    readonly method: Exclude<Method, 'focus' | 'lexical'>;
    readonly hypernet?: string;
    readonly language?: string;
    readonly seed: number;
  },
): Promise<void> {
  const { method } = options;
  if (method === 'hypernet' && options.hypernet === undefined)
    throw new ArgumentError(command, 'say which hypernetwork: --hypernet FOLDER, or choose another --method');
  const model = readSubVocab(command, options.model);
  const words = readWords(command, options.words);
  const known = new Set(model.table.toJSON());
  const fresh = words.filter((word) => !known.has(word));
  const body = { config: model.config.samOut, parameters: model.parameters.samOut };
  const extra = sourceVocabulary(wordSource(model.table)).extra.length;
  const hypernet =
    method === 'hypernet' ? hypernetFor(command, options.hypernet!, body, extra, options.language) : {};
  await withBackend(command, options, async (backend) => {
    const made = await addWords(backend, model, fresh, { method, seed: options.seed, ...hypernet });
    makeFolder(command, options.out);
    await writeFiles(command, subVocabFiles(options.out, made));
  });
  say(
    `wrote ${options.out}: ${fresh.length} words added, with the ids from ${model.table.size} on; ${words.length - fresh.length} were there already`,
  );
}
