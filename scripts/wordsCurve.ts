// Draws docs/hundredMillion.svg and prints its table from bench/results/demo-words-*.json: the cost of a query of
// `subvocab demo 100m` at recall 0.95 for each number of words. `npm run words:curve`
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chart } from '../src/cli/actions/figures.ts';

interface Results {
  readonly noise: string;
  readonly words: number;
  readonly lists: number;
  readonly sweep: readonly {
    readonly recall: number;
    readonly mass: number;
    readonly scanned: number;
    readonly cpuMs: number;
    readonly ms: number;
  }[];
}

const goal = 0.95;
const folder = fileURLToPath(new URL('../bench/results/', import.meta.url));
const all = readdirSync(folder)
  .filter((name) => /^demo-words-.*\.json$/.test(name))
  .sort()
  .map((name) => ({ name, ...(JSON.parse(readFileSync(`${folder}${name}`, 'utf8')) as Partial<Results>) }))
  // Files of earlier versions say nothing of the noise.
  .filter((found): found is { name: string } & Results => found.noise !== undefined);

/** A figure at the goal: between the two rows around it, straight in log(figure) over log(1 - recall). */
function at(
  { name, sweep }: { name: string } & Results,
  of: (row: Results['sweep'][number]) => number,
): number {
  const above = sweep.findIndex((row) => row.recall >= goal);
  if (above < 1) throw new Error(`${name}: its sweep does not pass recall ${goal}`);
  const [a, b] = [sweep[above - 1]!, sweep[above]!];
  const place = (recall: number): number => Math.log(1 - Math.min(recall, 1 - 1e-9));
  const part = (place(goal) - place(a.recall)) / (place(b.recall) - place(a.recall));
  return Math.exp(Math.log(of(a)) + part * (Math.log(of(b)) - Math.log(of(a))));
}

// The last file by name counts where there are several of one size and noise.
const points = new Map(
  all.map((found) => [
    `${found.noise} ${found.words}`,
    {
      noise: found.noise,
      words: found.words,
      compared: at(found, (row) => row.scanned) + found.lists,
      cpuMs: at(found, (row) => row.cpuMs),
      ms: at(found, (row) => row.ms),
      mass: at(found, (row) => row.mass),
    },
  ]),
);
const rows = [...points.values()].sort((a, b) => b.noise.localeCompare(a.noise) || a.words - b.words);
const first = rows.find((row) => row.noise === 'spectrum');
if (first === undefined) throw new Error('there are no results with --noise spectrum');

console.log('| noise | words | compared | times | sqrt(N) | CPU ms | ms | mass |');
console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
for (const row of rows) {
  const base = rows.find((other) => other.noise === row.noise)!;
  const times = row.compared / base.compared;
  const root = Math.sqrt(row.words / base.words);
  console.log(
    `| ${row.noise} | ${row.words.toLocaleString('en')} | ${Math.round(row.compared).toLocaleString('en')} | ${times.toFixed(2)} | ${root.toFixed(2)} | ${row.cpuMs.toFixed(0)} | ${row.ms.toFixed(0)} | ${row.mass.toFixed(4)} |`,
  );
}

const measured = rows.map((row) => ({
  words: row.words,
  compared: row.compared,
  line: `${row.noise} noise`,
}));
const reference = [1e6, 1e7, 1e8].map((words) => ({
  words,
  compared: first.compared * Math.sqrt(words / first.words),
  line: 'growing like sqrt(N)',
}));
const svg = await chart({
  width: 460,
  height: 300,
  background: 'white',
  data: { values: [...measured, ...reference] },
  mark: { type: 'line', point: true },
  encoding: {
    x: {
      field: 'words',
      type: 'quantitative',
      scale: { type: 'log' },
      axis: { title: 'words', format: '~e' },
    },
    y: {
      field: 'compared',
      type: 'quantitative',
      scale: { type: 'log' },
      axis: { title: `words and lists compared per query at recall ${goal}`, format: '~s' },
    },
    color: { field: 'line', type: 'nominal', legend: { title: null } },
    strokeDash: { field: 'line', type: 'nominal', legend: null },
  },
});
writeFileSync(fileURLToPath(new URL('../docs/hundredMillion.svg', import.meta.url)), `${svg}\n`);
