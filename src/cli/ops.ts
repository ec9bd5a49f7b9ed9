import { Command } from 'commander';
import { showName } from '../core/ops/contract.ts';
import { type Contract, contracts } from '../core/ops/index.ts';
import { print } from './frame.ts';
import { contractOf } from './names.ts';

/** `subvocab ops`: the contracts, for people or as JSON. */
export function opsCommand(): Command {
  return new Command('ops')
    .description('list every operator: inputs, options, outputs, accuracy, source')
    .argument('[name...]', 'only these operators')
    .option('--json', 'print an array of contracts')
    .action((names: string[], options: { json?: true }) => {
      const chosen = names.length === 0 ? contracts : names.map((name) => contractOf('ops', name));
      print(options.json ? JSON.stringify(chosen, null, 2) : chosen.map(describe).join('\n\n'));
    });
}

function describe(c: Contract): string {
  const rows = [
    ...c.inputs.map((f) => [
      f.optional ? 'in?' : 'in',
      showName(f),
      f.dtypes.join('|'),
      f.shape,
      aboutInput(f),
    ]),
    ...c.options.map((o) => ['option', o.name, o.choices?.join('|') ?? o.type, defaultOf(c, o), o.about]),
    ...c.outputs.map((f) => [f.optional ? 'out?' : 'out', showName(f), f.dtypes.join('|'), f.shape, f.about]),
  ];
  const widths = [0, 1, 2, 3].map((i) => Math.max(...rows.map((row) => row[i]!.length)));
  const table = rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`);
  return [
    `${c.name}: ${c.summary}`,
    `  ${c.formula}`,
    ...table,
    `  accuracy  ${c.accuracy}`,
    `  edge      ${c.edge}`,
    `  source    ${c.source}`,
  ].join('\n');
}

function aboutInput({ about, refuses }: Contract['inputs'][number]): string {
  return refuses === undefined ? about : `${about}; no ${refuses.join(', ')}`;
}

function defaultOf(c: Contract, o: Contract['options'][number]): string {
  if (o.default !== undefined) return `= ${JSON.stringify(o.default)}`;
  return c.params.includes(o.name) ? 'required' : '';
}
