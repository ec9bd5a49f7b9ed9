import { ArgumentError } from '../core/errors.ts';
import type { EngineBuildOptions, EngineBuildReport, EngineIndex } from '../vocab/engines/engineIndex.ts';
import type { RowSource } from '../vocab/rowSource.ts';

/** `--engine` and `--table` of a command. */
export interface MaybeEngine {
  readonly engine?: string;
  readonly table?: string;
}

/** The folder of a command that was given no engine. @throws ArgumentError */
export function folderOf(
  op: string,
  option: '--out' | '--index',
  folder: string | undefined,
  { table }: MaybeEngine,
): string {
  if (folder === undefined)
    throw new ArgumentError(op, `required option '${option} <folder>' not specified; or give --engine`);
  if (table !== undefined)
    throw new ArgumentError(op, '--table names a table of --engine; a folder has none');
  return folder;
}

/** Refuse a folder beside an engine. @throws ArgumentError */
export function onlyEngine(op: string, { index }: { readonly index?: string }): void {
  if (index !== undefined) throw new ArgumentError(op, 'give --index or --engine, not both');
}

/** Open the vocabulary that `--engine` names. */
export async function openEngine(op: string, engine: string, table?: string): Promise<EngineIndex> {
  const address = parseEngine(op, engine);
  const options = table === undefined ? {} : { table };
  if (address.kind === 'lancedb') {
    const { openLance } = await import('../vocab/engines/lanceIndex.ts');
    return await openLance(address.uri, options);
  }
  const { openPostgres } = await import('../vocab/engines/postgresIndex.ts');
  return await openPostgres(address.urls, options);
}

/** Build a vocabulary where `--engine` says. */
export async function buildEngine(
  op: string,
  engine: string,
  source: RowSource,
  options: EngineBuildOptions,
): Promise<EngineBuildReport> {
  const address = parseEngine(op, engine);
  if (address.kind === 'lancedb') {
    const { buildLance } = await import('../vocab/engines/lanceIndex.ts');
    return await buildLance(address.uri, source, options);
  }
  const { buildPostgres } = await import('../vocab/engines/postgresIndex.ts');
  return await buildPostgres(address.urls, source, options);
}

type Address =
  | { readonly kind: 'lancedb'; readonly uri: string }
  | { readonly kind: 'postgres'; readonly urls: readonly string[] };

/** The message never repeats the address: it may hold a password. */
function parseEngine(op: string, engine: string): Address {
  const [, kind, rest = ''] = /^([a-z]+):(.*)$/s.exec(engine) ?? [];
  if (kind === 'lancedb' && rest !== '') return { kind, uri: rest };
  // `postgres://...` alone is an address already.
  if (kind === 'postgres' && rest !== '')
    return { kind, urls: (rest.startsWith('//') ? engine : rest).split(',') };
  throw new ArgumentError(op, '--engine is none that is known; write lancedb:PATH or postgres:URL,URL,...');
}
