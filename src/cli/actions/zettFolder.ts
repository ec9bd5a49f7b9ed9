import { join } from 'node:path';
import { FormatError } from '../../core/errors.ts';
import { type OutputFile, openFile } from '../../core/formats/files.ts';
import { readSafetensors, safetensorsChunks } from '../../core/formats/safetensors.ts';
import { requireShape, type Tensor } from '../../core/tensor.ts';
import { type HypernetConfig, hypernetConfig } from '../../models/zett/config.ts';
import { type HypernetFrozen, mapFrozen } from '../../models/zett/model.ts';
import { type HypernetParameters, mapHypernet, mapShapes } from '../../models/zett/parameters.ts';
import type { ZettSchedule, ZettState } from '../../models/zett/trainer.ts';
import type { Hypernet } from '../../models/zett/transfer.ts';

/** What `zett train` was called with, as a resumed run needs it. */
export interface ZettRun {
  readonly schedule: ZettSchedule;
  readonly seed: number;
  readonly vocabulary: number;
  readonly batch: number;
  readonly length: number;
  /** Names of its languages, where it has any: one per text. */
  readonly languages?: readonly string[];
  /** SHA-256 of the text and of the source's table: a resumed run must see the same. */
  readonly text: string;
  readonly source: string;
}

const name = 'hypernet.safetensors';
const format = 'subvocab-zett';

/** The hypernetwork, what its optimizer remembers and its settings in one file, so that they cannot disagree. */
export function hypernetFile(
  folder: string,
  { config, parameters, frozen }: Hypernet,
  state: ZettState,
  run: ZettRun,
): OutputFile {
  const dict: [string, Tensor][] = [];
  mapHypernet(parameters, (t, path) => dict.push([`model.${path}`, t]));
  mapFrozen(frozen, (t, path) => dict.push([`frozen.${path}`, t]));
  for (const [i, t] of state.m.entries()) dict.push([`m.${i}`, t]);
  for (const [i, t] of state.v.entries()) dict.push([`v.${i}`, t]);
  const metadata: [string, string][] = [
    ['format', format],
    ['config', JSON.stringify(config)],
    ['run', JSON.stringify(run)],
    ['step', String(state.step)],
  ];
  return { path: join(folder, name), chunks: safetensorsChunks(dict, metadata) };
}

/** Read what {@link hypernetFile} wrote. @throws FileError, FormatError */
export function readHypernet(
  command: string,
  folder: string,
): Hypernet & { readonly state: ZettState; readonly run: ZettRun } {
  const path = join(folder, name);
  using file = openFile(command, path);
  const { tensors, metadata } = readSafetensors(file);
  const fail = (reason: string): FormatError => new FormatError(command, `${path}: ${reason}`);
  if (metadata.get('format') !== format) throw fail('it is no file that subvocab zett train wrote');
  let config: HypernetConfig;
  let run: ZettRun;
  try {
    config = hypernetConfig(JSON.parse(metadata.get('config') ?? '') as HypernetConfig);
    run = JSON.parse(metadata.get('run') ?? '') as ZettRun;
  } catch (error) {
    throw fail(`its settings cannot be read: ${(error as Error).message}`);
  }
  const take = (tensorName: string): Tensor => {
    const t = tensors.get(tensorName);
    if (t === undefined) throw fail(`the tensor ${tensorName} is missing`);
    return t;
  };
  const moments: { m: Tensor[]; v: Tensor[] } = { m: [], v: [] };
  let i = 0;
  const parameters: HypernetParameters<Tensor> = mapShapes(config, (shape, p) => {
    const t = take(`model.${p}`);
    requireShape(command, p, t, shape);
    moments.m.push(take(`m.${i}`));
    moments.v.push(take(`v.${i}`));
    i++;
    return t;
  });
  const frozen = {
    table: take('frozen.table'),
    inScale: take('frozen.inScale'),
    inShift: take('frozen.inShift'),
    ...(config.tied ? {} : { outScale: take('frozen.outScale'), outShift: take('frozen.outShift') }),
  } satisfies HypernetFrozen<Tensor>;
  return { config, parameters, frozen, state: { step: Number(metadata.get('step')), ...moments }, run };
}
