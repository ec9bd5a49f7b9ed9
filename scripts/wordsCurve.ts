// Draws docs/hundredMillion.svg and writes the figures of docs/hundredMillion.md from bench/results/demo-words-*.json, which
// are what `subvocab demo 100m --json` printed. `npm run words:curve`
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { SweepRow, WordsFigures } from '../src/cli/actions/demoWords.ts';
import { chart } from '../src/cli/actions/figures.ts';

/** One results file. */
interface Results extends WordsFigures {
  readonly command: string;
  readonly machine: string;
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
function at({ name, sweep }: { name: string } & Results, of: (row: SweepRow) => number): number {
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
      found,
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

const whole = (value: number): string => Math.round(value).toLocaleString('en');
const text: string[] = [
  '| noise | words | dimensionality | compared per query | times | sqrt(N) | CPU ms | ms | mass |',
  '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
];
for (const row of rows) {
  const base = rows.find((other) => other.noise === row.noise)!;
  text.push(
    `| ${row.noise} | ${whole(row.words)} | ${row.found.dimensionality.toFixed(1)} | ${whole(row.compared)} | ${(row.compared / base.compared).toFixed(2)} | ${Math.sqrt(row.words / base.words).toFixed(2)} | ${row.cpuMs.toFixed(0)} | ${row.ms.toFixed(0)} | ${row.mass.toFixed(4)} |`,
  );
}
text.push(
  '',
  `"Compared" are the words scanned and the lists chosen from, at recall ${goal}; all figures of this table lie between two rows of a sweep. "Times" is the growth from the smallest number of words.`,
  '',
  '![Words and lists compared per query against the number of words](hundredMillion.svg)',
);
const largest = rows.filter((row) => row.noise === 'spectrum').at(-1)!;
const { sweep, build, peakMiB } = largest.found;
const verdict = (good: boolean | undefined): string => (good ? 'met' : '**missed**');
const [near, full] = [
  sweep.find((row) => row.recall >= goal),
  sweep.find((row) => row.recall >= goal && row.mass >= 0.999),
];
const told = (row: SweepRow | undefined): string =>
  row === undefined
    ? 'no row of the sweep'
    : `recall ${row.recall.toFixed(4)}, mass ${row.mass.toFixed(5)}, ${row.ms.toFixed(0)} ms (${row.worstMs.toFixed(0)} at most)`;
const memory = Math.max(build?.peakMiB ?? 0, peakMiB) / 1024;
const growth = largest.compared / first.compared;
const cpuGrowth = largest.cpuMs / first.cpuMs;
const root = Math.sqrt(largest.words / first.words);
text.push(
  '',
  `What was wanted, and what came for ${whole(largest.words)} words with \`spectrum\` noise${largest.words < 1e8 ? ', the most that this version was measured with' : ''}:`,
  '',
  `- _Under 1 s at recall 0.95_: ${told(near)}: ${verdict(near && near.ms < 1000)}.`,
  `- _The same with mass 0.999_: ${told(full)}: ${verdict(full && full.ms < 1000)}.`,
  `- _Peak memory below 12 GB_: ${memory.toFixed(2)} GiB: ${verdict(memory < 11)}.`,
  largest === first
    ? '- _Cost growing slower than sqrt(N) at equal recall_: only one number of words was measured.'
    : `- _Cost growing slower than sqrt(N) at equal recall_: ${growth.toFixed(2)} times as much is compared (in ${cpuGrowth.toFixed(2)} times the CPU time) for ${whole(largest.words / first.words)} times the words, where sqrt(N) is ${root.toFixed(2)}: ${verdict(growth < root)}.`,
);
for (const { found: f } of [...rows].sort((a, b) => b.noise.localeCompare(a.noise) || b.words - a.words)) {
  const seconds = (ms: number): string => `${whole(ms / 1000)} s`;
  text.push(
    '',
    `### ${whole(f.words)} words, ${f.noise} noise`,
    '',
    `\`${f.command}\``,
    '',
    `On ${f.machine}. ${whole(f.lists)} lists, ${(f.bytesOnDisk / 1e9).toFixed(2)} GB, dimensionality ${f.dimensionality.toFixed(1)}.`,
  );
  if (f.build)
    text.push(
      `Build${f.build.resumed > 0 ? ' (its last part; it had been stopped)' : ''}: tree ${seconds(f.build.trainMs)}, words into runs ${seconds(f.build.wordsMs)}, runs into lists ${seconds(f.build.listsMs)} by the clock; memory at most ${whole(f.build.peakMiB)} MiB.`,
    );
  text.push(
    `Exact search for the queries: ${seconds(f.exactMs)}, one pass; memory of the searching process at most ${whole(f.peakMiB)} MiB.`,
    `Bytes instead of f32 keep ${f.recallOfBytes.toFixed(4)} of the best 4,096. The exact 8,192 hold ${f.massOfExact.toFixed(3)} of the softmax, ${f.leastMassOfExact.toFixed(3)} at least.`,
    '',
    '| aim | recall | least | best 100 | mass | least mass | lists | words scanned | ms | slowest | CPU ms | first ms | one thread ms | choose | read | scan | select | gather |',
    `|${' --- |'.repeat(18)}`,
    ...f.sweep.map((r) => {
      const shares = [r.aim, r.recall, r.leastRecall, r.top100, r.mass, r.leastMass].map((v) => v.toFixed(4));
      const times = [
        ...[r.ms, r.worstMs, r.cpuMs, r.firstMs, r.oneThreadMs],
        ...[r.chooseMs, r.readMs, r.scanMs, r.selectMs, r.gatherMs],
      ].map((v) => v.toFixed(v < 10 ? 1 : 0));
      return `| ${[...shares, whole(r.lists), whole(r.scanned), ...times].join(' | ')} |`;
    }),
  );
}
const chapter = fileURLToPath(new URL('../docs/hundredMillion.md', import.meta.url));
const old = readFileSync(chapter, 'utf8');
const mark = '<!-- figures: npm run words:curve -->';
const [from, to] = [old.indexOf(mark), old.indexOf('<!-- end -->')];
if (from < 0 || to < from) throw new Error(`${chapter} has no place for the figures`);
writeFileSync(chapter, `${old.slice(0, from)}${mark}\n\n${text.join('\n')}\n\n${old.slice(to)}`);

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
  },
});
writeFileSync(fileURLToPath(new URL('../docs/hundredMillion.svg', import.meta.url)), `${svg}\n`);
