import { ArgumentError } from '../core/errors.ts';
import { type Contract, contracts } from '../core/ops/index.ts';
import { suggest } from './nearest.ts';

/** The contract of an operator that somebody typed. */
export function contractOf(command: string, name: string): Contract {
  const found = contracts.find((c) => c.name === name);
  if (found !== undefined) return found;
  const hint =
    suggest(
      name,
      contracts.map((c) => c.name),
    ) || '; subvocab ops lists them';
  throw new ArgumentError(command, `there is no operator "${name}"${hint}`);
}
