/**
 * `npm run claims`: the seed's claims about SamOut, one by one, into docs/claims.md: what is claimed, what follows from the
 * code, what this machine measured. `--check` compares the arithmetic of the page with the code and measures nothing;
 * `--adapter NAME` chooses the adapter.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openGpu } from '../src/gpu/index.ts';
import { arithmetic, type ClaimName, claimed, consequences, whole } from './claims/arithmetic.ts';
import { type Measured, measure } from './claims/measure.ts';

const path = fileURLToPath(new URL('../docs/claims.md', import.meta.url));
const { values: options } = parseArgs({
  options: { check: { type: 'boolean' }, adapter: { type: 'string' } },
});

if (options.check) {
  const page = readFileSync(path, 'utf8');
  const stale = Object.entries(consequences()).filter(([, text]) => !page.includes(text));
  for (const [name] of stale) console.error(`docs/claims.md is stale: ${name}; run: npm run claims`);
  process.exit(stale.length === 0 ? 0 : 1);
}
await using gpu = await openGpu(options.adapter === undefined ? {} : { adapter: options.adapter });
const measured = await measure(gpu, (line) => process.stderr.write(`${line}\n`));
const machine = `${gpu.choice.chosen.name}, kernels of the family \`${gpu.family}\`, ${cpus().length} x ${cpus()[0]?.model.trim()}`;
writeFileSync(path, page(measured, machine, new Date().toISOString().slice(0, 10)));
console.log(`wrote ${path}`);

function page(m: Measured, where: string, date: string): string {
  const follows = consequences();
  const found = findings(m);
  const titles: Record<ClaimName, string> = {
    parameters: `The model has ${whole(claimed.parameters)} parameters`,
    fewer: `${claimed.fewerPercent} % fewer parameters than a standard transformer of the same size`,
    merged: `Merging the projections saves ${claimed.mergedPercent} % of the parameters`,
    constant: 'cummax brings the complexity down to O(1)',
    faster: `Inference is ${claimed.faster} times as fast`,
    losses: `The loss falls from ${claimed.losses[0]} to ${claimed.losses.at(-1)}`,
    sharing: 'Head and embedding share their weights',
  };
  const names = Object.keys(titles) as ClaimName[];
  const out = [
    '# The claims of seed 001, one by one',
    '',
    `Written by \`npm run claims\` on ${date}: ${where}. Times are medians of ${gpu.choice.chosen.software ? 'CPU time, which other work on the machine does not reach' : 'wall time'}; they compare blocks of one width, d = ${512}, made of the same operators on the same adapter. The standard block is \`x + attention(layerNorm(x))\`, then \`x + down(gelu(up(layerNorm(x))))\` with 4 d features between. Another adapter gives other times; the arithmetic stays.`,
    '',
    '| claim | verdict |',
    '| --- | --- |',
    ...names.map((n) => `| ${titles[n]} | ${found[n].verdict} |`),
    '',
  ];
  for (const n of names) {
    out.push(`## ${titles[n]}`, '', `**Follows from the code.** ${follows[n]}`, '');
    if (found[n].measured !== '') out.push(`**Measured.** ${found[n].measured}`, '');
    out.push(`**Verdict.** ${found[n].verdict}.`, '');
  }
  return `${out.join('\n').trimEnd()}\n`;
}

function findings(m: Measured): Record<ClaimName, { measured: string; verdict: string }> {
  const a = arithmetic();
  const f = (v: number): string => (v >= 100 ? v.toFixed(0) : v.toPrecision(3));
  const table = (first: string, rows: readonly (readonly number[])[]): string =>
    [
      '',
      '',
      `| ${first} | mixing step ms | attention ms | times | SamOut block ms | standard block ms | times |`,
      '| --- | --- | --- | --- | --- | --- | --- |',
      ...rows.map(
        ([n, mix, att, ours, std]) =>
          `| ${whole(n!)} | ${f(mix!)} | ${f(att!)} | ${(att! / mix!).toFixed(2)} | ${f(ours!)} | ${f(std!)} | ${(std! / ours!).toFixed(2)} |`,
      ),
    ].join('\n');
  const [one, three] = m.projection as [number, number];
  const steps = m.step.map((row) => row[3]!);
  const ratios = m.sequence.map((row) => row[4]! / row[3]!);
  const stepRatios = m.step.map((row) => row[4]! / row[3]!);
  const from = (rows: readonly (readonly number[])[], all: readonly number[]): string => {
    const at = all.findIndex((_, i) => all.slice(i).every((r) => r >= claimed.faster));
    return at < 0 ? 'at none of these sizes' : `from ${whole(rows[at]![0]!)} positions on`;
  };
  return {
    parameters: {
      measured: '',
      verdict: `Does not hold: ${whole(a.tensors + a.scalars)}, not ${whole(claimed.parameters)}`,
    },
    fewer: {
      measured: '',
      verdict: `Does not hold as stated: ${a.fewer.toFixed(1)} %; ${a.fewerTied.toFixed(1)} % only if both models tied their tables, which the code does not do`,
    },
    merged: {
      measured: `One product with [3d, d] took ${f(one)} ms for 392 rows, three with [d, d] took ${f(three)} ms (${(three / one).toFixed(2)} times).`,
      verdict: 'Does not hold: merging saves no parameter; leaving out the output projection saves 25 %',
    },
    constant: {
      measured: `After contexts of ${m.step.map((row) => whole(row[0]!)).join(', ')} positions a SamOut block took ${steps.map(f).join(', ')} ms, doing the same work each time; the standard one reads all keys and values.${table('positions before', m.step)}`,
      verdict:
        'Holds for a step with its state, as it is here; a sequence is O(T), and the seed uses no state',
    },
    faster: {
      measured: `A block over a whole sequence was ${ratios.map((r) => r.toFixed(2)).join(', ')} times as fast as the standard one, a step after a context (the table above) ${stepRatios.map((r) => r.toFixed(2)).join(', ')} times.${table('length', m.sequence)}`,
      verdict: `Depends on the length: 3 times as fast ${from(m.sequence, ratios)} for sequences, ${from(m.step, stepRatios)} for steps, on this adapter`,
    },
    losses: {
      measured: `The seed's model with its start values has a loss of ${m.initial.toFixed(2)} on such tokens, not 8.45. A small one (64 words, width 64, 2 layers) came from ${m.loss.start.toFixed(3)} in ${m.loss.steps} steps to ${m.loss.fresh.toFixed(4)} on fresh tokens; ln 64 = ${m.loss.floor.toFixed(4)} is its floor.`,
      verdict: 'Does not hold: impossible with the shown data',
    },
    sharing: {
      measured: '',
      verdict: `Does not hold: the two tables are separate; sharing them would save ${whole(a.tensors - a.tied)} numbers`,
    },
  };
}
