import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FileError, FormatError } from '../../core/errors.ts';
import { type OutputFile, openFile } from '../../core/formats/files.ts';
import { readSafetensors, safetensorsChunks } from '../../core/formats/safetensors.ts';
import { requireShape, type Tensor } from '../../core/tensor.ts';
import { fromStateDict, toStateDict } from '../../models/samOut/stateDict.ts';
import { type SubVocabConfig, subVocabConfig } from '../../models/subVocab/config.ts';
import type { SubVocabParameters } from '../../models/subVocab/model.ts';
import { WordTable } from '../../models/subVocab/wordTable.ts';

const format = 'subvocab-model';

/** A model with its words, as it lies in a folder. */
export interface StoredSubVocab {
  readonly config: SubVocabConfig;
  readonly parameters: SubVocabParameters<Tensor>;
  readonly table: WordTable;
}

/** The files of a model. */
export function subVocabFiles(folder: string, { config, parameters, table }: StoredSubVocab): OutputFile[] {
  const dict = [
    ...Object.entries(toStateDict(parameters.samOut)),
    ['query.weight', parameters.query] as const,
  ];
  const words = JSON.stringify(table);
  const metadata: [string, string][] = [
    ['format', format],
    ['config', JSON.stringify(config)],
    ['words', String(table.size)],
    ['wordsSha256', sha256(words)],
  ];
  return [
    {
      path: join(folder, 'model.safetensors'),
      chunks: safetensorsChunks(dict as [string, Tensor][], metadata),
    },
    { path: join(folder, 'words.json'), chunks: [words] },
  ];
}

/** Whether a folder holds a model that `demo text` wrote. A folder that cannot be read does not. */
export function holdsSubVocab(folder: string): boolean {
  const path = join(folder, 'model.safetensors');
  if (!existsSync(path)) return false;
  using file = openFile('subvocab', path);
  return readSafetensors(file).metadata.get('format') === format;
}

/** Read a folder that `demo text` wrote. @throws FileError, FormatError */
export function readSubVocab(command: string, folder: string): StoredSubVocab {
  const path = join(folder, 'model.safetensors');
  using file = openFile(command, path);
  const { tensors, metadata } = readSafetensors(file);
  const fail = (reason: string): FormatError => new FormatError(command, `${path}: ${reason}`);
  if (metadata.get('format') !== format) throw fail('it is no file that subvocab demo text wrote');
  let config: SubVocabConfig;
  try {
    config = subVocabConfig(JSON.parse(metadata.get('config') ?? '') as SubVocabConfig);
  } catch (error) {
    throw fail(`its configuration cannot be read: ${(error as Error).message}`);
  }
  const { 'query.weight': query, ...rest } = Object.fromEntries(tensors);
  if (query === undefined) throw fail('the tensor query.weight is missing');
  requireShape(command, 'query.weight', query, [config.samOut.width, config.samOut.width]);
  let text: string;
  let words: unknown;
  try {
    text = readFileSync(join(folder, 'words.json'), 'utf8');
    words = JSON.parse(text);
  } catch (error) {
    throw new FileError(command, `cannot read ${join(folder, 'words.json')}: ${(error as Error).message}`);
  }
  const table = WordTable.fromJSON(words);
  if (table.size !== config.samOut.vocabulary) {
    throw fail(
      `it has ${config.samOut.vocabulary} words, but words.json has ${table.size}; they belong together`,
    );
  }
  // Models of before it was written have none.
  const sum = metadata.get('wordsSha256');
  if (sum !== undefined && sum !== sha256(text))
    throw fail('words.json has another SHA-256; it is damaged, or of another model');
  return { config, parameters: { samOut: fromStateDict(config.samOut, rest), query }, table };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
