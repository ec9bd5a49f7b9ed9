/**
 * Words that SUBVOCAB was never trained on, added by their text alone: how often they are among the words drawn where text goes on
 * with them. Beside the hypernetwork: the mean of their pieces (fvt), random rows, and the model that had them from the start.
 *
 *     node bench/zettWords.ts choose --text TRAIN --out FOLDER      # FOLDER/held.txt, and FOLDER/rest.txt: the text without them
 *     subvocab demo text TRAIN --out known; subvocab demo text TRAIN --without FOLDER/held.txt --out words
 *     subvocab zett train --model words --text FOLDER/rest.txt --out hypernet
 *     node bench/zettWords.ts measure --text TEST --words FOLDER/held.txt --model words --hypernet hypernet --known known [--out FILE]
 *     node bench/zettWords.ts levels --text TRAIN --words FOLDER/held.txt --model words --hypernet hypernet
 *
 * `levels` compares the first feature of the added output rows, where the log-frequency is, with that of rows as frequent.
 * What FILE holds already is not measured again. With --counts TRAIN, the methods come again with levels: the first feature of each added
 * output row is then that of the model's words which are as frequent in TRAIN.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { draw } from '../src/cli/actions/subVocabDemo.ts';
import { readSubVocab } from '../src/cli/actions/subVocabFolder.ts';
import { readWords } from '../src/cli/actions/texts.ts';
import { readHypernet } from '../src/cli/actions/zettFolder.ts';
import { key } from '../src/core/key.ts';
import { tensor } from '../src/core/tensor.ts';
import { openGpu } from '../src/gpu/index.ts';
import { evaluateRows, type Prediction } from '../src/models/subVocab/evaluate.ts';
import { SubVocab } from '../src/models/subVocab/model.ts';
import { specialIds, WordTable } from '../src/models/subVocab/wordTable.ts';
import { addWords, type WordModel } from '../src/models/zett/addWords.ts';
import { uniforms } from '../src/models/zett/noise.ts';
import { refBackend } from '../src/ref/backend.ts';
import { median } from './support/stats.ts';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    text: { type: 'string' },
    out: { type: 'string' },
    model: { type: 'string' },
    hypernet: { type: 'string', multiple: true },
    known: { type: 'string' },
    counts: { type: 'string' },
    words: { type: 'string' },
    share: { type: 'string', default: '0.1' },
    least: { type: 'string', default: '8' },
    draws: { type: 'string', default: '3' },
    seed: { type: 'string', default: '0' },
    adapter: { type: 'string' },
  },
});

/** Words before [SUBVOCAB], and words that it is asked for: those that the demo trains with. */
const [before, after] = [48, 16];

function given(name: 'text' | 'out' | 'model' | 'words'): string {
  const value = options[name];
  if (value === undefined) throw new Error(`bench/zettWords: --${name} is missing`);
  return value;
}

/** A word of letters, in the middle of a sentence or not, or a phrase of such. */
const isPlain = (text: string): boolean => /^ ?\p{L}[\p{L}\p{N}_]*( [\p{L}\p{N}_]+)*$/u.test(text);
const unitsOf = (text: string): string[] => text.match(/ ?[\p{L}\p{N}_]+/gu) ?? [];

/** A share of the words that occur often enough, and with them all phrases that hold one. */
function choose(): void {
  const text = readFileSync(given('text'), 'utf8');
  const table = WordTable.build([text]);
  const counts = new Map<number, number>();
  for (const id of table.encode(text)) counts.set(id, (counts.get(id) ?? 0) + 1);
  const random = uniforms(key(Number(options.seed)));
  const drawn = new Set<string>();
  for (const [i, word] of table.toJSON().entries()) {
    const often = (counts.get(i + specialIds.count + 256) ?? 0) >= Number(options.least);
    if (isPlain(word) && random() < Number(options.share) && often) drawn.add(word);
  }
  const held = table.toJSON().filter((word) => drawn.has(word) || unitsOf(word).some((u) => drawn.has(u)));
  const out = given('out');
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'held.txt'), `${held.join('\n')}\n`);
  const all = new Set(held.map((word) => table.encode(word).join()));
  const rest = [...table.encode(text)].filter((id) => !all.has(String(id)));
  writeFileSync(join(out, 'rest.txt'), table.decode(rest));
  console.log(
    `${held.length} of ${table.toJSON().length} words and phrases held out, ${drawn.size} of them drawn`,
  );
}

/** Figures of some positions. */
interface Group {
  readonly positions: number;
  /** Shares: the target is among the k words that score best; it is among k that the index and Gumbel noise gave. */
  readonly best: number;
  readonly drawn: number;
  readonly medianRank: number;
  /** Bits of the target under a head of all words. */
  readonly bits: number;
}

interface Row {
  readonly method: string;
  readonly seed: number;
  readonly words: Group;
  readonly phrases: Group;
  /** All positions, whatever comes next, in bits per byte under a head of all words. */
  readonly bitsPerByte: number;
}

async function measure(): Promise<void> {
  const base = readSubVocab('bench/zettWords', given('model'));
  const known = options.known === undefined ? undefined : readSubVocab('bench/zettWords', options.known);
  const names = readWords('bench/zettWords', given('words'));
  const text = readFileSync(given('text'), 'utf8');
  await using gpu = await openGpu(options.adapter === undefined ? {} : { adapter: options.adapter });
  const seeds = Array.from({ length: Number(options.draws) }, (_, seed) => seed);
  const models: { method: string; seed: number; make(): Promise<WordModel> }[] = [];
  for (const [seed, folder] of (options.hypernet ?? []).entries()) {
    const hypernet = readHypernet('bench/zettWords', folder);
    models.push({ method: 'hypernet', seed, make: () => addWords(gpu, base, names, { hypernet }) });
  }
  models.push({ method: 'fvt', seed: 0, make: () => addWords(gpu, base, names, { method: 'fvt' }) });
  for (const seed of seeds)
    models.push({
      method: 'random',
      seed,
      make: () => addWords(gpu, base, names, { method: 'random', seed }),
    });
  if (options.counts !== undefined) {
    const counted = readFileSync(options.counts, 'utf8');
    for (const { method, seed, make } of [...models])
      models.push({
        method: `${method}, level`,
        seed,
        make: async () => withLevels(await make(), base.table.size, counted),
      });
  }
  if (known !== undefined) models.push({ method: 'known', seed: 0, make: async () => known });

  const { k } = base.config;
  const { out } = options;
  const begun = {
    k,
    vocabulary: base.table.size + names.length,
    held: names.length,
    counted: { positions: 0, targets: 0, said: 0 },
    rows: [] as Row[],
  };
  const result =
    out !== undefined && existsSync(out) ? (JSON.parse(readFileSync(out, 'utf8')) as typeof begun) : begun;
  const { rows } = result;
  for (const { method, seed, make } of models) {
    if (rows.some((r) => r.method === method && r.seed === seed)) continue;
    const { row, counted } = await figures(await make(), method, seed);
    if (rows.length > 0 && JSON.stringify(counted) !== JSON.stringify(result.counted))
      throw new Error(`${method} has other positions: ${JSON.stringify(counted)}; choose another --out`);
    rows.push(row);
    result.counted = counted;
    if (out !== undefined) writeFileSync(out, `${JSON.stringify(result, null, 1)}\n`);
  }
  const { counted } = result;
  console.log(
    `${k} of ${result.vocabulary} words; ${names.length} of them added; ${counted.positions} positions, ${counted.targets} of them go on with an added word, ${counted.said} of these with one that the text has said`,
  );
  console.log(
    'method | best k, words | drawn | median rank | bits | best k, phrases | drawn | median rank | bits | bits per byte',
  );
  console.log(`--- |${' --- |'.repeat(8)} ---`);
  for (const r of rows) {
    const cells = [r.words, r.phrases].flatMap((g) => [
      g.best.toFixed(3),
      g.drawn.toFixed(3),
      g.medianRank.toFixed(0),
      g.bits.toFixed(2),
    ]);
    console.log(`${r.method} ${r.seed} | ${cells.join(' | ')} | ${r.bitsPerByte.toFixed(3)}`);
  }

  async function figures({ config, parameters, table }: WordModel, method: string, seed: number) {
    const { k } = config;
    using model = new SubVocab(gpu, config, parameters);
    await model.refreshIndex();
    const ids = table.encode(text);
    const held = new Set(names.map((word) => table.texts.indexOf(word)));
    const parts: (Prediction & { readonly drawn: boolean })[] = [];
    const starts: number[] = [];
    for (let at = 0; at + before + after <= ids.length; at += after) starts.push(at);
    const [batch, width] = [16, before + 1 + after];
    for (let first = 0; first < starts.length; first += batch) {
      const some = starts.slice(first, first + batch);
      const tokens = new Int32Array(some.length * width);
      const sets: Set<number>[] = [];
      for (const [r, at] of some.entries()) {
        tokens.set(ids.subarray(at, at + before), r * width);
        tokens[r * width + before] = specialIds.subVocab;
        tokens.set(ids.subarray(at + before, at + before + after), r * width + before + 1);
        const context = table.decode(ids.subarray(at, at + before));
        const words = await draw(model, table, context, { k, exact: false, seed: first + r });
        sets.push(new Set(words.map(({ id }) => id)));
      }
      const fixed = Int32Array.of(specialIds.count);
      const made = await evaluateRows(model, tensor([some.length, width], tokens), k, fixed);
      if (made.length !== some.length * after)
        throw new Error(`${made.length} predictions of ${some.length} rows`);
      for (const [i, p] of made.entries())
        parts.push({ ...p, drawn: sets[Math.floor(i / after)]!.has(p.target) });
    }
    const targets = parts.filter((p) => held.has(p.target));
    const fresh = targets.filter((p) => !p.full.said);
    const group = (own: typeof fresh): Group => {
      const share = (test: (p: (typeof fresh)[number]) => boolean) => own.filter(test).length / own.length;
      return {
        positions: own.length,
        best: share((p) => p.rank < k),
        drawn: share((p) => p.drawn),
        medianRank: median(own.map((p) => p.rank)),
        bits: own.reduce((sum, p) => sum + p.full.nats, 0) / Math.LN2 / own.length,
      };
    };
    const single = (p: Prediction): boolean => unitsOf(table.show(p.target)).length === 1;
    const nats = parts.reduce((sum, p) => sum + p.full.nats, 0);
    const bytes = parts.reduce((sum, p) => sum + table.bytes(p.target).length, 0);
    const row: Row = {
      method,
      seed,
      words: group(fresh.filter(single)),
      phrases: group(fresh.filter((p) => !single(p))),
      bitsPerByte: nats / Math.LN2 / bytes,
    };
    return {
      row,
      counted: { positions: parts.length, targets: targets.length, said: targets.length - fresh.length },
    };
  }
}

const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** The first feature of output rows from an id on, and the logarithm of how often their words occur. */
function readLevels({ parameters, table }: WordModel, text: string, from: number) {
  const { data, shape } = parameters.samOut.head!;
  const counts = new Float64Array(table.size);
  for (const id of table.encode(text)) counts[id]!++;
  return Array.from({ length: table.size - from }, (_, i) => ({
    level: data[(from + i) * shape[1]!]!,
    log: Math.log(counts[from + i]! + 0.5),
  }));
}

/** The line through levels over logarithms: level = at + slope log. */
function lineThrough(rows: ReturnType<typeof readLevels>): { at: number; slope: number } {
  const [level, log] = [meanOf(rows.map((r) => r.level)), meanOf(rows.map((r) => r.log))];
  const both = meanOf(rows.map((r) => (r.level - level) * (r.log - log)));
  const slope = both / meanOf(rows.map((r) => (r.log - log) ** 2));
  return { at: level - slope * log, slope };
}

const firstWord = specialIds.count + 256;

/** Words from an id on get the level of those before it which are as frequent in a text. */
function withLevels(model: WordModel, from: number, text: string): WordModel {
  const rows = readLevels(model, text, firstWord);
  const { at, slope } = lineThrough(rows.slice(0, from - firstWord));
  const head = model.parameters.samOut.head!;
  const data = Float32Array.from(head.data);
  for (let id = from; id < model.table.size; id++)
    data[id * head.shape[1]!] = at + slope * rows[id - firstWord]!.log;
  const samOut = { ...model.parameters.samOut, head: tensor(head.shape, data) };
  return { ...model, parameters: { ...model.parameters, samOut } };
}

/** How far the level of added words is from that of words which are as frequent: mean and deviation, in nats. */
async function levels(): Promise<void> {
  const base = readSubVocab('bench/zettWords', given('model'));
  const names = readWords('bench/zettWords', given('words'));
  const text = readFileSync(given('text'), 'utf8');
  const { hypernet: [folder] = [] } = options;
  const own = readLevels(base, text, firstWord);
  const { at, slope } = lineThrough(own);
  const tell = (name: string, rows: typeof own): void => {
    // A level of `slope` is one nat: the state's first feature makes it so.
    const above = rows.map((r) => (r.level - at) / slope - r.log);
    const mean = meanOf(above);
    const deviation = Math.sqrt(meanOf(above.map((v) => (v - mean) ** 2)));
    console.log(`${name} | ${mean.toFixed(2)} | ${deviation.toFixed(2)}`);
  };
  console.log('rows | nats above words as frequent, mean | deviation\n--- | --- | ---');
  tell('the words of the model', own);
  const hypernet = folder === undefined ? undefined : readHypernet('bench/zettWords', folder);
  for (const method of ['hypernet', 'fvt', 'random'] as const) {
    if (method === 'hypernet' && hypernet === undefined) continue;
    const more = hypernet === undefined ? {} : { hypernet };
    tell(
      method,
      readLevels(await addWords(refBackend, base, names, { method, ...more }), text, base.table.size),
    );
  }
}

const run = { choose, measure, levels }[positionals[0] ?? ''];
if (run === undefined) throw new Error('bench/zettWords: say choose, measure or levels');
await run();
