import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { FormatError } from '../../core/errors.ts';
import { type OutputFile, openFile } from '../../core/formats/files.ts';
import { readSafetensors, safetensorsChunks } from '../../core/formats/safetensors.ts';
import type { Tensor } from '../../core/tensor.ts';
import type { Tokenizer } from '../../core/tokenizers/tokenizer.ts';
import { type SamOutConfig, samOutConfig } from '../../models/samOut/config.ts';
import { listParameters, type SamOutParameters } from '../../models/samOut/parameters.ts';
import { fromStateDict, toStateDict } from '../../models/samOut/stateDict.ts';
import type { TrainerState } from '../../models/samOut/trainer.ts';
import { readTokenizer } from './texts.ts';

/** What `train` was called with, as a resumed run needs it. */
export interface RunSettings {
  readonly text: readonly string[];
  readonly seed: number;
  readonly batch: number;
  readonly length: number;
  readonly lr: number;
  readonly maxNorm?: number;
  /** SHA-256 of all ids in training order: a resumed run must see the same text. */
  readonly data: string;
}

/** A model as it lies in a folder. */
export interface StoredModel {
  readonly config: SamOutConfig;
  readonly parameters: SamOutParameters<Tensor>;
  readonly tokenizer: Tokenizer;
}

/** The file that others read: the parameters under PyTorch's names, the configuration beside them. */
export function modelFile(folder: string, { config, parameters, tokenizer }: StoredModel): OutputFile {
  const metadata: [string, string][] = [
    ['format', 'subvocab-samout'],
    ['config', JSON.stringify(config)],
    ...tokenizerMetadata(tokenizer),
  ];
  const dict = Object.entries(toStateDict(parameters));
  return { path: join(folder, 'model.safetensors'), chunks: safetensorsChunks(dict, metadata) };
}

/** The file that a run resumes from: parameters, moments and settings in one, so that they cannot disagree. */
export function checkpointFile(
  folder: string,
  model: StoredModel,
  state: TrainerState,
  run: RunSettings,
): OutputFile {
  const dict: [string, Tensor][] = Object.entries(toStateDict(model.parameters)).map(([k, t]) => [
    `model.${k}`,
    t,
  ]);
  for (const [i, t] of state.m.entries()) dict.push([`m.${i}`, t]);
  for (const [i, t] of state.v.entries()) dict.push([`v.${i}`, t]);
  const metadata: [string, string][] = [
    ['format', 'subvocab-samout-checkpoint'],
    ['config', JSON.stringify(model.config)],
    ...tokenizerMetadata(model.tokenizer),
    ['run', JSON.stringify(run)],
    ['step', String(state.step)],
  ];
  return { path: join(folder, 'checkpoint.safetensors'), chunks: safetensorsChunks(dict, metadata) };
}

/** The tokenizer's own file, which lies beside the model; none for bytes. */
export function tokenizerFiles(folder: string, { json }: Tokenizer): OutputFile[] {
  return json === undefined ? [] : [{ path: join(folder, 'tokenizer.json'), chunks: [json] }];
}

/** What a model file says of its tokenizer: the hash tells another tokenizer.json from the one it was trained with. */
function tokenizerMetadata({ kind, json }: Tokenizer): [string, string][] {
  const hash: [string, string][] = json === undefined ? [] : [['tokenizer_sha256', sha256(json)]];
  return [['tokenizer', kind], ...hash];
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/**
 * Read a folder that `train` wrote.
 * @param tokenizer a tokenizer.json to use in place of the folder's
 * @throws FormatError, FileError
 */
export async function readModel(command: string, folder: string, tokenizer?: string): Promise<StoredModel> {
  const { tensors, metadata, fail } = read(command, join(folder, 'model.safetensors'), 'subvocab-samout');
  const config = configFrom(metadata, fail);
  return {
    config,
    parameters: fromStateDict(config, Object.fromEntries(tensors)),
    tokenizer: await tokenizerFrom(command, folder, config, metadata, fail, tokenizer),
  };
}

/** Read what a run resumes from. @throws FormatError, FileError */
export async function readCheckpoint(
  command: string,
  folder: string,
): Promise<StoredModel & { readonly state: TrainerState; readonly run: RunSettings }> {
  const path = join(folder, 'checkpoint.safetensors');
  const { tensors, metadata, fail } = read(command, path, 'subvocab-samout-checkpoint');
  const config = configFrom(metadata, fail);
  const model = [...tensors]
    .filter(([k]) => k.startsWith('model.'))
    .map(([k, t]) => [k.slice(6), t] as const);
  const parameters = fromStateDict(config, Object.fromEntries(model));
  const moments = (prefix: string): Tensor[] =>
    listParameters(parameters).map((p, i) => {
      const t = tensors.get(`${prefix}.${i}`);
      if (t === undefined || t.size !== p.size)
        throw fail(`the optimizer's ${prefix}.${i} is missing or does not fit`);
      return t;
    });
  const step = Number(metadata.get('step'));
  if (!Number.isSafeInteger(step) || step < 0) throw fail('it does not say its step');
  let run: RunSettings;
  try {
    run = JSON.parse(metadata.get('run') ?? '') as RunSettings;
  } catch {
    throw fail('it does not hold the settings of its run');
  }
  return {
    config,
    parameters,
    tokenizer: await tokenizerFrom(command, folder, config, metadata, fail),
    state: { step, m: moments('m'), v: moments('v') },
    run,
  };
}

function read(command: string, path: string, format: string) {
  using file = openFile(command, path);
  const { tensors, metadata } = readSafetensors(file);
  const fail = (reason: string): FormatError => new FormatError(command, `${path}: ${reason}`);
  if (metadata.get('format') !== format) {
    throw fail(
      `it is no file that subvocab samout train wrote; for PyTorch checkpoints there is: subvocab samout logits`,
    );
  }
  return { tensors, metadata, fail };
}

function configFrom(
  metadata: ReadonlyMap<string, string>,
  fail: (reason: string) => FormatError,
): SamOutConfig {
  try {
    return samOutConfig(JSON.parse(metadata.get('config') ?? '') as Partial<SamOutConfig>);
  } catch (error) {
    throw fail(`its configuration cannot be read: ${(error as Error).message}`);
  }
}

async function tokenizerFrom(
  command: string,
  folder: string,
  config: SamOutConfig,
  metadata: ReadonlyMap<string, string>,
  fail: (reason: string) => FormatError,
  other?: string,
): Promise<Tokenizer> {
  const kind = metadata.get('tokenizer');
  if (kind !== 'bytes' && kind !== 'tokenizer.json')
    throw fail(`its tokenizer is "${kind}", which this version cannot read`);
  const path = other ?? (kind === 'bytes' ? undefined : join(folder, 'tokenizer.json'));
  const tokenizer = await readTokenizer(command, path);
  if (other === undefined && kind === 'tokenizer.json') {
    if (sha256(tokenizer.json!) !== metadata.get('tokenizer_sha256'))
      throw fail(`${path} is not the tokenizer that the model was trained with; put that one back`);
  }
  if (tokenizer.vocabulary !== config.vocabulary) {
    throw fail(
      `the model has a vocabulary of ${config.vocabulary}, but ${path ?? 'bytes'} gives ${tokenizer.vocabulary} ids; use the tokenizer that it was trained with`,
    );
  }
  return tokenizer;
}
