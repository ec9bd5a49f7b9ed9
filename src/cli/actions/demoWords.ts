import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArgumentError } from '../../core/errors.ts';
import { Best } from '../../ref/lib/best.ts';
import { buildWords, type WordBuildReport } from '../../vocab/buildWords.ts';
import { exactWords } from '../../vocab/exactWords.ts';
import { openSource, type SourceSpec } from '../../vocab/rowSource.ts';
import { openWords, type WordIndex } from '../../vocab/wordIndex.ts';
import { print } from '../frame.ts';

interface Options {
  readonly words: string;
  readonly dimensions: string;
  readonly queries: string;
  readonly k: string;
  readonly lists?: string;
  readonly seed: string;
  readonly threads: string;
  readonly dir?: string;
  readonly until: string;
  readonly keep?: true;
  readonly json?: true;
}

/** A line of the sweep. */
export interface SweepRow {
  readonly nprobe: number;
  readonly recall: number;
  readonly leastRecall: number;
  /** Of the exact 100 best, how many are in the set. */
  readonly top100: number;
  /** The softmax mass of the set as a share of that of the exact set, and the least over the queries. */
  readonly mass: number;
  readonly leastMass: number;
  readonly scanned: number;
  readonly megabytes: number;
  /** One query at a time: the median and the slowest. */
  readonly ms: number;
  readonly worstMs: number;
  readonly chooseMs: number;
  readonly readMs: number;
  readonly scanMs: number;
  readonly selectMs: number;
  /** Making f32 embeddings of the words found, in a second walk over their lists. */
  readonly gatherMs: number;
}

/** `subvocab demo 100m`. */
export async function demoWords(given: Options): Promise<void> {
  const op = 'demo 100m';
  const number = (
    name: 'words' | 'dimensions' | 'queries' | 'k' | 'lists' | 'seed' | 'threads',
    least: number,
  ): number => {
    const value = Number(given[name]);
    if (!/^\d+$/.test(given[name] ?? '') || !Number.isSafeInteger(value) || value < least)
      throw new ArgumentError(op, `--${name} is ${given[name]}; it must be an integer from ${least} on`);
    return value;
  };
  const [n, d, queries, k] = [
    number('words', 1),
    number('dimensions', 1),
    number('queries', 1),
    number('k', 1),
  ];
  const seed = number('seed', 0);
  const until = Number(given.until);
  if (!(until > 0 && until <= 1))
    throw new ArgumentError(op, `--until is ${given.until}; it must be a recall above 0, at most 1`);
  const spec: SourceSpec = { kind: 'made', n, d, seed };
  const root = given.dir === undefined ? mkdtempSync(join(tmpdir(), 'subvocab-demo-')) : undefined;
  const path = given.dir ?? join(root!, 'index');
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  const remove = (): void => {
    for (const folder of [path, `${path}.building`, ...(root ? [root] : [])])
      rmSync(folder, { recursive: true, force: true });
  };
  // A temporary folder goes away with the process; one that was named stays, so that a stopped build can go on.
  const onExit = (): void => {
    if (root && !given.keep) remove();
  };
  process.on('exit', onExit);
  const reported = join(path, 'report.json');
  if (!existsSync(path)) {
    let last = 0;
    const report = await buildWords(path, spec, {
      ...(given.lists === undefined ? {} : { lists: number('lists', 1) }),
      threads: number('threads', 1),
      onProgress: (stage, done, of) => {
        if (Date.now() - last < 2000 && done < of) return;
        last = Date.now();
        const about = { train: 'training the tree', words: 'words into runs', lists: 'runs into lists' }[
          stage
        ];
        say(`${about}: ${done} of ${of}, ${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MiB`);
      },
    });
    writeFileSync(reported, JSON.stringify({ ...report, peakMiB: peakMiB() }));
  }
  await using index = openWords(path);
  const made = index.meta.build.source;
  if (JSON.stringify(made) !== JSON.stringify(spec))
    throw new ArgumentError(
      op,
      `${path} is an index of ${JSON.stringify(made)}, not of ${JSON.stringify(spec)}; choose another --dir`,
    );
  const build = existsSync(reported)
    ? (JSON.parse(readFileSync(reported, 'utf8')) as WordBuildReport & { peakMiB: number })
    : undefined;

  using source = openSource(spec);
  using others = openSource({ ...spec, draw: 1 });
  const asked = new Float32Array(queries * d);
  others.fill(0, queries, asked);
  const before = performance.now();
  say(`exact search for ${queries} queries`);
  const exact = exactWords(index, asked, k);
  const exactMs = performance.now() - before;
  const bytes = comparedWithFloats(exact, source, asked, { queries: Math.min(queries, 4), k, d });
  const rows: SweepRow[] = [];
  for (let nprobe = 16; ; nprobe *= 2) {
    const row = await probe(index, asked, exact, Math.min(nprobe, index.meta.lists), k);
    rows.push(row);
    say(`nprobe ${row.nprobe}: recall ${row.recall.toFixed(4)}, ${row.ms.toFixed(1)} ms`);
    if (nprobe >= index.meta.lists || row.recall >= until) break;
  }
  const shares = Array.from({ length: queries }, (_, q) =>
    massOf(exact.scores.subarray(q * k, (q + 1) * k), exact.logMass[q]!),
  );
  const figures = {
    words: n,
    dimensions: d,
    queries,
    k,
    lists: index.meta.lists,
    bytesOnDisk: index.meta.bytes,
    build,
    exactMs,
    recallOfBytes: bytes,
    massOfExact: shares.reduce((sum, share) => sum + share, 0) / queries,
    leastMassOfExact: Math.min(...shares),
    peakMiB: peakMiB(),
    sweep: rows,
  };
  if (!given.keep) remove();
  process.off('exit', onExit);
  print(given.json ? JSON.stringify(figures, null, 1) : table(figures));
}

/** One query at a time, as a model asks. */
async function probe(
  index: WordIndex,
  queries: Float32Array,
  exact: ReturnType<typeof exactWords>,
  nprobe: number,
  k: number,
): Promise<SweepRow> {
  const d = index.dim;
  const count = queries.length / d;
  const wanted = Math.min(k, index.size);
  const sums = {
    recall: 0,
    top100: 0,
    mass: 0,
    scanned: 0,
    bytes: 0,
    choose: 0,
    read: 0,
    scan: 0,
    select: 0,
    gather: 0,
  };
  let [leastRecall, leastMass] = [1, 1];
  const times: number[] = [];
  for (let q = 0; q < count; q++) {
    const before = performance.now();
    const found = await index.search(queries.subarray(q * d, (q + 1) * d), k, { nprobe });
    times.push(performance.now() - before);
    const { ids, scores, stats } = found;
    const gather = performance.now();
    index.embeddings(found, queries.subarray(q * d, (q + 1) * d), nprobe);
    sums.gather += performance.now() - gather;
    const have = new Set(ids);
    const share = (m: number): number => {
      let hits = 0;
      for (const id of exact.ids.subarray(q * k, q * k + m)) if (have.has(id)) hits++;
      return m === 0 ? 1 : hits / m;
    };
    const recall = share(wanted);
    const mass = massOf(scores, 0) / massOf(exact.scores.subarray(q * k, (q + 1) * k), 0);
    sums.recall += recall;
    sums.top100 += share(Math.min(100, wanted));
    sums.mass += mass;
    sums.scanned += stats.scanned;
    sums.bytes += stats.bytesRead;
    for (const part of ['choose', 'read', 'scan', 'select'] as const) sums[part] += stats.ms[part];
    leastRecall = Math.min(leastRecall, recall);
    leastMass = Math.min(leastMass, mass);
  }
  times.sort((a, b) => a - b);
  return {
    nprobe,
    recall: sums.recall / count,
    leastRecall,
    top100: sums.top100 / count,
    mass: sums.mass / count,
    leastMass,
    scanned: sums.scanned / count,
    megabytes: sums.bytes / count / 1e6,
    ms: times[count >> 1]!,
    worstMs: times.at(-1)!,
    chooseMs: sums.choose / count,
    readMs: sums.read / count,
    scanMs: sums.scan / count,
    selectMs: sums.select / count,
    gatherMs: sums.gather / count,
  };
}

/** Sum of exp(score - shift). */
function massOf(scores: Float32Array, shift: number): number {
  let mass = 0;
  for (const score of scores) mass += Math.exp(score - shift);
  return mass;
}

/** What the bytes cost: of the k best by f32 among the exact k by bytes, taken twice as many, which share is in the k. */
function comparedWithFloats(
  exact: ReturnType<typeof exactWords>,
  source: { fill(first: number, count: number, out: Float32Array): void },
  queries: Float32Array,
  { queries: count, k, d }: { queries: number; k: number; d: number },
): number {
  // The lower half of the k by bytes decides: whoever is among the best k / 2 by f32 must be among the k by bytes.
  const half = Math.max(Math.floor(k / 2), 1);
  const row = new Float32Array(d);
  let share = 0;
  for (let q = 0; q < count; q++) {
    const ids = exact.ids.subarray(q * k, (q + 1) * k).filter((id) => id >= 0);
    const scores = Float64Array.from(ids, (id) => {
      source.fill(id, 1, row);
      return row.reduce((sum, v, j) => sum + v * queries[q * d + j]!, 0);
    });
    const best = new Best(Math.min(half, ids.length), ids.length);
    best.add(scores, 1, ids, 0, ids.length);
    const byBytes = new Set(ids.subarray(0, half));
    const byFloats = best.take(false).rows;
    share += byFloats.filter((id) => byBytes.has(id)).length / byFloats.length;
  }
  return share / count;
}

function peakMiB(): number {
  return process.resourceUsage().maxRSS / 1024;
}

function table(f: {
  readonly words: number;
  readonly lists: number;
  readonly k: number;
  readonly queries: number;
  readonly bytesOnDisk: number;
  readonly build: (WordBuildReport & { peakMiB: number }) | undefined;
  readonly exactMs: number;
  readonly recallOfBytes: number;
  readonly massOfExact: number;
  readonly leastMassOfExact: number;
  readonly peakMiB: number;
  readonly sweep: readonly SweepRow[];
}): string {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  const { build } = f;
  const lines = [
    `${f.words} words in ${f.lists} lists, ${(f.bytesOnDisk / 1e9).toFixed(2)} GB on disk`,
    build
      ? `built: tree ${seconds(build.trainMs)}, words ${seconds(build.wordsMs)}, lists ${seconds(build.listsMs)}, memory at most ${build.peakMiB.toFixed(0)} MiB`
      : 'built earlier',
    `exact search for ${f.queries} queries: ${seconds(f.exactMs)}; memory of this process at most ${f.peakMiB.toFixed(0)} MiB`,
    `of the best ${Math.floor(f.k / 2)} by f32, the best ${Math.floor(f.k / 2)} by bytes hold ${f.recallOfBytes.toFixed(4)}`,
    `the exact ${f.k} hold ${f.massOfExact.toFixed(4)} of the softmax, ${f.leastMassOfExact.toFixed(4)} at least; mass below is relative to theirs`,
    '',
    'nprobe  recall  least   top 100  mass     least mass  scanned    MB       ms      worst   choose  read    scan    select  gather',
  ];
  const cell = (value: number, digits: number, width: number): string => value.toFixed(digits).padEnd(width);
  for (const r of f.sweep) {
    lines.push(
      [
        cell(r.nprobe, 0, 8),
        cell(r.recall, 4, 8),
        cell(r.leastRecall, 4, 8),
        cell(r.top100, 4, 9),
        cell(r.mass, 5, 9),
        cell(r.leastMass, 5, 12),
        cell(r.scanned, 0, 11),
        cell(r.megabytes, 1, 9),
        ...[r.ms, r.worstMs, r.chooseMs, r.readMs, r.scanMs, r.selectMs, r.gatherMs].map((ms) =>
          cell(ms, 1, 8),
        ),
      ].join(''),
    );
  }
  return lines.join('\n');
}
