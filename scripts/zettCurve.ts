// Draws docs/zettToy.svg and docs/zettShots.svg, and writes the tables of docs/zett.md, from bench/results/zett-*.json: what
// `subvocab zett eval --json`, bench/zettRow.ts and bench/zettWords.ts gave. `npm run zett:curve`
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chart } from '../src/cli/actions/figures.ts';
import type { Measured } from '../src/cli/actions/zettUse.ts';

const folder = fileURLToPath(new URL('../bench/results/', import.meta.url));
const docs = fileURLToPath(new URL('../docs/', import.meta.url));

/** The newest results of a kind, by name. */
function newest<T>(kind: string): T {
  const name = readdirSync(folder)
    .filter((file) => file.startsWith(`zett-${kind}-`) && file.endsWith('.json'))
    .sort()
    .at(-1);
  if (name === undefined) throw new Error(`bench/results has no zett-${kind}-*.json`);
  return JSON.parse(readFileSync(`${folder}${name}`, 'utf8')) as T;
}

/** What `zett eval --json` prints. */
interface Evaluation {
  readonly text: string;
  readonly results: readonly Measured[];
}

const methods = ['hypernet', 'fvt', 'focus', 'lexical', 'random'];
const shown: Record<string, string> = { fvt: 'FVT', focus: 'FOCUS', known: 'trained with them' };
/** A method as it is shown; what follows a comma is how it was changed. */
const named = (method: string): string =>
  method
    .split(', ')
    .map((part) => shown[part] ?? part)
    .join(', ');
const texts: Record<string, string> = { 'ptest.txt': 'prose', 'ctest.txt': 'code' };
const tokenizers: Record<string, string> = {
  'tcode.json': 'Unigram 512 from code',
  'tbig.json': 'BPE 1,024 from prose',
  'tbyte.json': 'BPE 320, nearly bytes',
};
const signed = (mean: number, deviation: number, digits = 3): string =>
  deviation < 0.5 / 10 ** digits
    ? mean.toFixed(digits)
    : `${mean.toFixed(digits)} ± ${deviation.toFixed(digits)}`;
const line = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;
const rule = (n: number): string => `|${' --- |'.repeat(n)}`;

/** Writes a part of the chapter, between its mark and the end. */
function write(part: string, rows: readonly string[]): void {
  const path = `${docs}zett.md`;
  const old = readFileSync(path, 'utf8');
  const mark = `<!-- ${part}: npm run zett:curve -->`;
  const from = old.indexOf(mark);
  const to = old.indexOf('<!-- end -->', from);
  if (from < 0 || to < 0) throw new Error(`${path} has no place for ${part}`);
  writeFileSync(path, `${old.slice(0, from)}${mark}\n\n${rows.join('\n')}\n\n${old.slice(to)}`);
}

// The toy: a row for each text and tokenizer.
const { evaluations } = newest<{ evaluations: readonly Evaluation[] }>('toy');
const points: Record<string, unknown>[] = [];
const toy = [line(['text', 'tokenizer', 'sequence saved', ...methods.map(named)]), rule(8)];
for (const [file, text] of Object.entries(texts)) {
  const own = evaluations.filter((e) => basename(e.text) === file);
  const source = own[0]!.results.find((r) => r.method === 'source')!;
  toy.push(
    line([
      text,
      'its own, Unigram 512 from prose',
      '0 %',
      `${source.bitsPerByte.toFixed(3)} (the source)`,
      '',
      '',
      '',
      '',
    ]),
  );
  for (const [json, tokenizer] of Object.entries(tokenizers)) {
    const cells = methods.map((method) => {
      const found = own
        .flatMap((e) => e.results)
        .find((r) => basename(r.tokenizer) === json && r.method === method);
      if (found === undefined) throw new Error(`the toy has no ${method} for ${json} on ${file}`);
      return found;
    });
    const saved = `${(100 * (1 - cells[0]!.tokens / source.tokens)).toFixed(1)} %`;
    toy.push(line([text, tokenizer, saved, ...cells.map((c) => signed(c.bitsPerByte, c.deviation))]));
    for (const { method, bitsPerByte, deviation } of cells)
      points.push({
        row: `${text}, ${tokenizer}`,
        method: named(method),
        bitsPerByte,
        low: bitsPerByte - deviation,
        high: bitsPerByte + deviation,
      });
  }
}
write('toy', toy);
const color = {
  field: 'method',
  type: 'nominal',
  scale: { domain: methods.map(named) },
  legend: { title: null },
};
const rows = { field: 'row', type: 'nominal', sort: null, axis: { title: null, labelLimit: 260 } };
const bits = (title = 'bits per byte') => ({ type: 'quantitative', scale: { zero: false }, axis: { title } });
const toySvg = await chart({
  width: 420,
  height: 190,
  background: 'white',
  data: { values: points },
  layer: [
    {
      mark: { type: 'rule' },
      encoding: { x: { field: 'low', ...bits() }, x2: { field: 'high' }, y: rows, color },
    },
    {
      mark: { type: 'point', filled: true, size: 60 },
      encoding: { x: { field: 'bitsPerByte', ...bits() }, y: rows, color },
    },
  ],
});
writeFileSync(`${docs}zettToy.svg`, `${toySvg}\n`);

// After the transfer: a line for each start.
const after = newest<Evaluation>('shots');
const steps = [...new Set(after.results.filter((r) => r.method !== 'source').map((r) => r.shots))];
const shots = [line(['steps', ...methods.map(named)]), rule(1 + methods.length)];
for (const n of steps) {
  const cells = methods.map((method) => after.results.find((r) => r.method === method && r.shots === n)!);
  shots.push(line([n, ...cells.map((c) => signed(c.bitsPerByte, c.deviation))]));
}
write('shots', [
  ...shots,
  '',
  '![Bits per byte against the steps of training after the transfer, one line per start](zettShots.svg)',
]);
const source = after.results.find((r) => r.method === 'source')!;
const shotsSvg = await chart({
  width: 460,
  height: 300,
  background: 'white',
  layer: [
    {
      data: {
        values: after.results
          .filter((r) => r.method !== 'source')
          .map((r) => ({ steps: r.shots, bitsPerByte: r.bitsPerByte, method: named(r.method) })),
      },
      mark: { type: 'line', point: true },
      encoding: {
        x: { field: 'steps', type: 'quantitative', axis: { title: 'steps of training after the transfer' } },
        y: { field: 'bitsPerByte', ...bits() },
        color,
      },
    },
    {
      data: { values: [{ bitsPerByte: source.bitsPerByte }] },
      mark: { type: 'rule', strokeDash: [4, 3], color: '#888' },
      encoding: { y: { field: 'bitsPerByte', ...bits() } },
    },
  ],
});
writeFileSync(`${docs}zettShots.svg`, `${shotsSvg}\n`);

// Where the row against the order comes from: the mean over the draws, with its deviation.
interface Ways {
  readonly results: readonly {
    readonly input: string;
    readonly outputUsed: string;
    readonly outputUnused: string;
    readonly bitsPerByte: readonly number[];
  }[];
}
const statistics = (values: readonly number[]): [mean: number, deviation: number] => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((s, v) => s + (v - mean) ** 2, 0);
  return [mean, values.length < 2 ? 0 : Math.sqrt(squares / (values.length - 1))];
};
write('row', [
  line([
    'input rows',
    'output rows of tokens that the text has',
    'of tokens that it has not',
    'bits per byte',
  ]),
  rule(4),
  ...newest<Ways>('row').results.map((r) =>
    line([named(r.input), named(r.outputUsed), named(r.outputUnused), signed(...statistics(r.bitsPerByte))]),
  ),
]);

// The same with languages: each text as its own, and as the other one.
const marked = newest<{ evaluations: readonly (Evaluation & { readonly language: string })[] }>('languages');
const languages: Record<string, string> = { 'ptest.txt': 'ptrain', 'ctest.txt': 'ctrain' };
const spoken = [line(['text', 'tokenizer', 'without languages', 'its own language', 'the other']), rule(5)];
for (const [file, text] of Object.entries(texts)) {
  for (const [json, tokenizer] of Object.entries(tokenizers)) {
    const find = (from: readonly Evaluation[]) => {
      const found = from
        .filter((e) => basename(e.text) === file)
        .flatMap((e) => e.results)
        .find((r) => basename(r.tokenizer) === json && r.method === 'hypernet');
      if (found === undefined)
        throw new Error(`there is no hypernetwork with languages for ${json} on ${file}`);
      return signed(found.bitsPerByte, found.deviation);
    };
    const own = marked.evaluations.filter((e) => e.language === languages[file]);
    const other = marked.evaluations.filter((e) => e.language !== languages[file]);
    spoken.push(line([text, tokenizer, find(evaluations), find(own), find(other)]));
  }
}
write('languages', spoken);

// Words by their text alone.
interface Group {
  readonly best: number;
  readonly drawn: number;
  readonly medianRank: number;
  readonly bits: number;
}
interface Words {
  readonly rows: readonly {
    readonly method: string;
    readonly words: Group;
    readonly phrases: Group;
    readonly bitsPerByte: number;
  }[];
}
const words = newest<Words>('words').rows;
const percent = (values: readonly number[]): string => {
  const [mean, deviation] = statistics(values.map((v) => 100 * v));
  return `${signed(mean, deviation, 1)} %`;
};
write('words', [
  line([
    'rows',
    ...['words', 'phrases'].flatMap((of) => [`${of}: best`, 'drawn', 'median rank', 'bits']),
    'bits per byte',
  ]),
  rule(10),
  ...[...new Set(words.map((r) => r.method))].map((method) => {
    const own = words.filter((r) => r.method === method);
    const cells = (['words', 'phrases'] as const).flatMap((of) => [
      percent(own.map((r) => r[of].best)),
      percent(own.map((r) => r[of].drawn)),
      signed(...statistics(own.map((r) => r[of].medianRank)), 0),
      signed(...statistics(own.map((r) => r[of].bits)), 2),
    ]);
    return line([named(method), ...cells, signed(...statistics(own.map((r) => r.bitsPerByte)))]);
  }),
]);
