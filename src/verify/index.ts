import type { Case } from './case.ts';
import { cases as cummax } from './cummax.ts';

/** Everything that `subvocab verify` runs, in the order of the table. */
export const cases: readonly Case[] = [...cummax];

export type { Case } from './case.ts';
