import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { ArgumentError } from '../../core/errors.ts';
import { writeFiles } from '../../core/formats/files.ts';
import { Best } from '../../ref/lib/best.ts';
import { openSource, type SourceSpec, type WordNoise } from '../../vocab/rowSource.ts';
import type { Found } from '../../vocab/vocabIndex.ts';
import { buildWords, type WordBuildReport } from '../../vocab/words/buildWords.ts';
import { exactWords } from '../../vocab/words/exactWords.ts';
import { openWords, type WordIndex } from '../../vocab/words/wordIndex.ts';
import { print, progress, say } from '../frame.ts';

interface Options {
  readonly words: string;
  readonly dimensions: string;
  readonly queries: string;
  readonly k: string;
  readonly lists?: string;
  readonly seed: string;
  readonly noise: WordNoise;
  readonly threads: string;
  readonly dir?: string;
  readonly until: string;
  readonly keep?: true;
  readonly json?: true;
}

/** A line of the sweep. */
export interface SweepRow {
  /** What the search was asked to find of the k best. */
  readonly aim: number;
  readonly recall: number;
  readonly leastRecall: number;
  /** Of the exact 100 best, how many are in the set. */
  readonly top100: number;
  /** The softmax mass of the set as a share of that of the exact set, and the least over the queries. */
  readonly mass: number;
  readonly leastMass: number;
  /** Lists looked into, and words in them. */
  readonly lists: number;
  readonly scanned: number;
  readonly megabytes: number;
  /** One query at a time with all threads: the median and the slowest, and CPU time of all threads together. */
  readonly ms: number;
  readonly worstMs: number;
  readonly cpuMs: number;
  /** The median when lists that were not read before are checked by their CRC-32. */
  readonly firstMs: number;
  /** The median with one thread; it found the same words. */
  readonly oneThreadMs: number;
  /** Parts of a query with all threads; read, scan and select are those of the slowest thread. */
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
  const threads = number('threads', 1);
  if (threads > 64) throw new ArgumentError(op, `--threads is ${threads}; a search has 64 at most`);
  const spec: SourceSpec = { kind: 'made', n, d, seed, noise: given.noise };
  const root = given.dir === undefined ? mkdtempSync(join(tmpdir(), 'subvocab-demo-')) : undefined;
  const path = given.dir ?? join(root!, 'index');
  const line = progress();
  const remove = (): void => {
    for (const folder of [path, `${path}.building`, ...(root ? [root] : [])])
      rmSync(folder, { recursive: true, force: true });
  };
  // A temporary folder goes away with the process; one that was named stays, so that a stopped build can go on.
  const onExit = (): void => {
    if (root && !given.keep) remove();
  };
  process.on('exit', onExit);
  if (root && !given.keep) removeAfterUs(root);
  const reported = join(path, 'report.json');
  // An index that was there before is not ours to remove.
  const found = existsSync(join(path, 'meta.json'));
  if (!found) {
    const stages = { train: 'training the tree', words: 'words into runs', lists: 'runs into lists' };
    const report = await buildWords(path, spec, {
      ...(given.lists === undefined ? {} : { lists: number('lists', 1) }),
      threads,
      onProgress: (stage, done, of) => {
        const mib = (process.memoryUsage().rss / 2 ** 20).toFixed(0);
        line.show(`${stages[stage]}: ${done} of ${of}, ${mib} MiB`);
      },
    });
    line.clear();
    const { trainMs, wordsMs, listsMs } = report;
    say(`built ${path} in ${((trainMs + wordsMs + listsMs) / 1000).toFixed(0)} s`);
    await writeFiles(op, [{ path: reported, chunks: [JSON.stringify({ ...report, peakMiB: peakMiB() })] }]);
  }
  await using index = openWords(path);
  await using many = openWords(path, { threads });
  const made = index.meta.build.source;
  if (JSON.stringify(made) !== JSON.stringify(spec))
    throw new ArgumentError(
      op,
      `${path} is an index of ${JSON.stringify(made)}, not of ${JSON.stringify(spec)}; choose another --dir`,
    );
  if (given.lists !== undefined && index.meta.lists !== number('lists', 1))
    throw new ArgumentError(
      op,
      `${path} has ${index.meta.lists} lists, not ${given.lists}; choose another --dir, or leave --lists out`,
    );
  const build = readReport(reported);

  using source = openSource(spec);
  using others = openSource({ ...spec, draw: 1 });
  const asked = new Float32Array(queries * d);
  others.fill(0, queries, asked);
  const before = performance.now();
  const exact = exactWords(index, asked, k, (done, of) =>
    line.show(`exact search for ${queries} queries: ${done} of ${of} lists`),
  );
  line.clear();
  const exactMs = performance.now() - before;
  const bytes = comparedWithFloats(exact, source, asked, { queries: Math.min(queries, 4), k, d });
  const rows: SweepRow[] = [];
  const machine = `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Node ${process.version}, load average ${loadavg()[0]!.toFixed(1)} before the sweep`;
  for (let missing = 0.5; ; missing /= 2) {
    const row = await probe(many, index, asked, exact, missing < 1e-3 ? 1 : 1 - missing, k);
    rows.push(row);
    line.show(`aim ${row.aim.toFixed(4)}: recall ${row.recall.toFixed(4)}, ${row.ms.toFixed(1)} ms`);
    if (row.aim === 1 || row.recall >= until) break;
  }
  line.clear();
  const shares = Array.from({ length: queries }, (_, q) =>
    massOf(exact.scores.subarray(q * k, (q + 1) * k), exact.logMass[q]!),
  );
  const figures = {
    command: commandOf(given),
    machine,
    noise: given.noise,
    seed,
    words: n,
    dimensions: d,
    queries,
    k,
    lists: index.meta.lists,
    threads,
    dimensionality: exact.dimensionality.reduce((sum, v) => sum + v, 0) / queries,
    bytesOnDisk: index.meta.bytes,
    build,
    exactMs,
    recallOfBytes: bytes,
    massOfExact: shares.reduce((sum, share) => sum + share, 0) / queries,
    leastMassOfExact: Math.min(...shares),
    peakMiB: peakMiB(),
    sweep: rows,
  };
  if (!given.keep && !found) remove();
  process.off('exit', onExit);
  print(given.json ? JSON.stringify(figures, null, 1) : table(figures));
}

/** What the build of an index took, if that is known. */
function readReport(path: string): (WordBuildReport & { peakMiB: number }) | undefined {
  try {
    const report = JSON.parse(readFileSync(path, 'utf8')) as WordBuildReport & { peakMiB: number };
    const { trainMs, wordsMs, listsMs, peakMiB } = report;
    return [trainMs, wordsMs, listsMs, peakMiB].every(Number.isFinite) ? report : undefined;
  } catch {
    // A file of figures, not of the index: without it the index is one that was built earlier.
    return undefined;
  }
}

/**
 * Remove a folder when this process ends, however it ends. A build is busy for minutes in one stretch, so a listener would
 * delay Ctrl-C: another process waits for the end of its input, which is the end of this one.
 */
function removeAfterUs(folder: string): void {
  const script =
    "process.stdin.on('close', () => require('node:fs').rmSync(process.argv[1], { recursive: true, force: true, maxRetries: 5 })).resume()";
  const guard = spawn(process.execPath, ['-e', script, folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.on('error', () => {});
  guard.unref();
  (guard.stdin as unknown as { unref(): void }).unref();
}

/** The command without the folder. */
function commandOf(given: Options): string {
  const { dir: _, keep: _kept, ...rest } = given;
  const words = Object.entries(rest).map(([name, value]) =>
    value === true ? `--${name}` : `--${name} ${value}`,
  );
  return ['subvocab demo 100m', ...words].join(' ');
}

/** One query at a time, as a model asks. `one` is the same index with one thread. */
async function probe(
  many: WordIndex,
  one: WordIndex,
  queries: Float32Array,
  exact: ReturnType<typeof exactWords>,
  aim: number,
  k: number,
): Promise<SweepRow> {
  const d = many.dim;
  const count = queries.length / d;
  const wanted = Math.min(k, many.size);
  const how = { recall: aim };
  const query = (q: number): Float32Array => queries.subarray(q * d, (q + 1) * d);
  /** Milliseconds of each query, ascending, and what came. */
  const timed = async (index: WordIndex): Promise<{ times: number[]; found: Found[] }> => {
    const times: number[] = [];
    const found: Found[] = [];
    for (let q = 0; q < count; q++) {
      const before = performance.now();
      found.push(await index.search(query(q), k, how));
      times.push(performance.now() - before);
    }
    return { times: times.sort((a, b) => a - b), found };
  };
  const median = (times: readonly number[]): number => times[count >> 1]!;
  const first = await timed(many);
  const cpu = process.cpuUsage();
  const warm = await timed(many);
  const used = process.cpuUsage(cpu);
  const single = await timed(one);
  const sums = {
    recall: 0,
    top100: 0,
    mass: 0,
    lists: 0,
    scanned: 0,
    bytes: 0,
    choose: 0,
    read: 0,
    scan: 0,
    select: 0,
    gather: 0,
  };
  let [leastRecall, leastMass] = [1, 1];
  for (const [q, found] of warm.found.entries()) {
    const { ids, scores, stats } = found;
    if (!ids.every((id, i) => id === single.found[q]!.ids[i]))
      throw new Error(`query ${q}: ${many.threads} threads found other words than one thread`);
    const gather = performance.now();
    one.embeddings(found, query(q), how);
    sums.gather += performance.now() - gather;
    const have = new Set(ids);
    const share = (m: number): number => {
      let hits = 0;
      for (const id of exact.ids.subarray(q * k, q * k + m)) if (have.has(id)) hits++;
      return m === 0 ? 1 : hits / m;
    };
    const recall = share(wanted);
    // Scores of many dimensions overflow exp: the best one is 1.
    const best = exact.scores[q * k]!;
    const mass = massOf(scores, best) / massOf(exact.scores.subarray(q * k, (q + 1) * k), best);
    sums.recall += recall;
    sums.top100 += share(Math.min(100, wanted));
    sums.mass += mass;
    sums.lists += stats.listsProbed;
    sums.scanned += stats.scanned;
    sums.bytes += stats.bytesRead;
    for (const part of ['choose', 'read', 'scan', 'select'] as const) sums[part] += stats.ms[part];
    leastRecall = Math.min(leastRecall, recall);
    leastMass = Math.min(leastMass, mass);
  }
  return {
    aim,
    recall: sums.recall / count,
    leastRecall,
    top100: sums.top100 / count,
    mass: sums.mass / count,
    leastMass,
    lists: sums.lists / count,
    scanned: sums.scanned / count,
    megabytes: sums.bytes / count / 1e6,
    ms: median(warm.times),
    worstMs: warm.times.at(-1)!,
    cpuMs: (used.user + used.system) / 1000 / count,
    firstMs: median(first.times),
    oneThreadMs: median(single.times),
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

/** What `demo 100m` measured. */
export interface WordsFigures {
  readonly words: number;
  readonly noise: WordNoise;
  readonly dimensionality: number;
  readonly threads: number;
  readonly lists: number;
  readonly k: number;
  readonly queries: number;
  readonly bytesOnDisk: number;
  /** Undefined for an index that was there before. */
  readonly build?: (WordBuildReport & { peakMiB: number }) | undefined;
  readonly exactMs: number;
  readonly recallOfBytes: number;
  readonly massOfExact: number;
  readonly leastMassOfExact: number;
  readonly peakMiB: number;
  readonly sweep: readonly SweepRow[];
}

function table(f: WordsFigures): string {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  const { build } = f;
  const lines = [
    `${f.words} words in ${f.lists} lists, ${(f.bytesOnDisk / 1e9).toFixed(2)} GB on disk`,
    `noise: ${f.noise}, local intrinsic dimensionality ${f.dimensionality.toFixed(1)} (100 nearest words by cosine)`,
    build
      ? `built: tree ${seconds(build.trainMs)}, words ${seconds(build.wordsMs)}, lists ${seconds(build.listsMs)}, memory at most ${build.peakMiB.toFixed(0)} MiB`
      : 'built earlier',
    `exact search for ${f.queries} queries: ${seconds(f.exactMs)}; memory of this process at most ${f.peakMiB.toFixed(0)} MiB`,
    `of the best ${Math.floor(f.k / 2)} by f32, the best ${Math.floor(f.k / 2)} by bytes hold ${f.recallOfBytes.toFixed(4)}`,
    `the exact ${f.k} hold ${f.massOfExact.toFixed(4)} of the softmax, ${f.leastMassOfExact.toFixed(4)} at least; mass below is relative to theirs`,
    '',
    `ms: median of one query with ${f.threads} threads; first: when lists are checked by CRC-32; one: with one thread`,
    'aim     recall  least   top 100  mass     least mass  lists   scanned    MB       ms      worst   CPU     first   one     choose  read    scan    select  gather',
  ];
  const cell = (value: number, digits: number, width: number): string => value.toFixed(digits).padEnd(width);
  for (const r of f.sweep) {
    lines.push(
      [
        cell(r.aim, 4, 8),
        cell(r.recall, 4, 8),
        cell(r.leastRecall, 4, 8),
        cell(r.top100, 4, 9),
        cell(r.mass, 5, 9),
        cell(r.leastMass, 5, 12),
        cell(r.lists, 0, 8),
        cell(r.scanned, 0, 11),
        cell(r.megabytes, 1, 9),
        ...[
          ...[r.ms, r.worstMs, r.cpuMs, r.firstMs, r.oneThreadMs],
          ...[r.chooseMs, r.readMs, r.scanMs, r.selectMs, r.gatherMs],
        ].map((ms) => cell(ms, 1, 8)),
      ].join(''),
    );
  }
  return lines.join('\n');
}
