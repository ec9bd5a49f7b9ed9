// Recall and latency at k = 8192, of this package and of others, on the same words:
//
//   node bench/ann/main.ts prepare DIR [words] [lists]      words, queries, exact results, and all indexes
//   node bench/ann/main.ts time DIR RESULTS.json            times those indexes, one query at a time
//   python bench/ann/peers.py DIR RESULTS.json              adds FAISS to the results
//   node bench/ann/draw.ts RESULTS.json PICTURE.svg
//
// usearch and hnswlib-node are those of bench/peers, where they are installed.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readAnnFolder, writeAnnFolder } from '../../src/core/formats/annFolder.ts';
import { binChunks, openBin } from '../../src/core/formats/fbin.ts';
import { key } from '../../src/core/key.ts';
import { Tensor } from '../../src/core/tensor.ts';
import { hierarchicalAnn } from '../../src/ref/hierarchicalAnn.ts';
import { buildLance, openLance } from '../../src/vocab/engines/lanceIndex.ts';
import { flatIndex, memoryIndex } from '../../src/vocab/memoryIndex.ts';
import { memorySource, openSource } from '../../src/vocab/rowSource.ts';
import { buildWords } from '../../src/vocab/words/buildWords.ts';
import { openWords } from '../../src/vocab/words/wordIndex.ts';
import { describeMachine } from '../support/machine.ts';

const [k, d, queryCount] = [8192, 64, 32];
const [, , command, dir = '', first = '', second = ''] = process.argv;
const peers = process.env.ANN_PEERS ?? fileURLToPath(new URL('../peers', import.meta.url));
const at = (name: string): string => join(dir, name);
const seconds = async (name: string, work: () => unknown): Promise<void> => {
  const before = performance.now();
  await work();
  built[name] = (performance.now() - before) / 1000;
  console.error(`${name}: ${built[name].toFixed(1)} s`);
  writeFileSync(at('built.json'), JSON.stringify(built));
};
const built: Record<string, number> = existsSync(at('built.json'))
  ? JSON.parse(readFileSync(at('built.json'), 'utf8'))
  : {};

/** A graph index of another package. */
interface Graph {
  save(path: string): void;
  search(query: Float32Array, ef: number): Int32Array;
}

if (command === 'prepare') await prepare(Number(first || 200_000), Number(second || 2048));
else if (command === 'time') await time(first);
else throw new Error('say prepare or time');

async function prepare(n: number, lists: number): Promise<void> {
  mkdirSync(dir, { recursive: true });
  const spec = { kind: 'made', n, d, seed: 7 } as const;
  const words = new Float32Array(n * d);
  openSource(spec).fill(0, n, words);
  const queries = new Float32Array(queryCount * d);
  openSource({ ...spec, draw: 1 }).fill(0, queryCount, queries);
  const base = new Tensor('f32', [n, d], words);
  writeFileSync(at('base.fbin'), Buffer.concat(binChunks(base, 'fbin')));
  writeFileSync(
    at('query.fbin'),
    Buffer.concat(binChunks(new Tensor('f32', [queryCount, d], queries), 'fbin')),
  );
  const { ids } = await flatIndex(base).search(queries, k);
  writeFileSync(at('truth.ibin'), Buffer.concat(binChunks(new Tensor('i32', [queryCount, k], ids), 'ibin')));
  writeFileSync(at('meta.json'), JSON.stringify({ n, lists }));
  const source = memorySource('words', words, d);
  const missing = (name: string): boolean => !(name in built);
  if (missing('words'))
    await seconds('words', () => buildWords(at('words'), { kind: 'fbin', path: at('base.fbin') }, { lists }));
  if (missing('lance')) await seconds('lance', () => buildLance(at('lance'), source, { lists }));
  if (missing('lance flat'))
    await seconds('lance flat', () => buildLance(at('lance'), source, { lists: 1, table: 'flat' }));
  if (missing('usearch'))
    await seconds('usearch', () => usearch(n, words)?.save(at('usearch.bin'))).catch(skipped('usearch'));
  if (missing('hnswlib'))
    await seconds('hnswlib', () => hnswlib(n, words)?.save(at('hnswlib.bin'))).catch(skipped('hnswlib-node'));
  if (missing('lists'))
    await seconds('lists', () =>
      writeAnnFolder(at('lists'), hierarchicalAnn(base, { lists, key: key(0) }), { seed: 0 }),
    );
}

function skipped(name: string): (error: unknown) => void {
  return (error) => console.error(`${name} is left out: ${(error as Error).message.split('\n', 1)[0]}`);
}

function peer<T>(name: string): T {
  return createRequire(join(resolve(peers), 'package.json'))(name) as T;
}

/** Not every package lets its package.json be required. */
function versionOf(name: string, folder: string): string {
  const file = join(folder, 'node_modules', name, 'package.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : 'not there';
}

/** usearch: 16 neighbours, 128 looked at when a word is added. Without words it is read from the file. */
function usearch(n: number, words?: Float32Array): Graph {
  interface Index {
    add(keys: BigUint64Array, vectors: Float32Array, threads: number): void;
    search(query: Float32Array, k: number, threads: number): { keys: BigUint64Array };
    save(path: string): void;
    load(path: string): void;
  }
  const { Index } = peer<{ Index: new (options: object) => Index }>('usearch');
  const make = (ef: number): Index =>
    new Index({
      metric: 'ip',
      dimensions: d,
      connectivity: 16,
      expansion_add: 128,
      expansion_search: ef,
      quantization: 'f32',
    });
  const index = make(k);
  if (words === undefined) index.load(at('usearch.bin'));
  else
    index.add(
      BigUint64Array.from({ length: n }, (_, i) => BigInt(i)),
      words,
      0,
    );
  return {
    save: (path) => index.save(path),
    search: (query) => Int32Array.from(index.search(query, k, 1).keys, Number),
  };
}

/** hnswlib: 16 neighbours, 128 looked at when a word is added. */
function hnswlib(n: number, words?: Float32Array): Graph {
  interface Index {
    initIndex(n: number, m: number, ef: number, seed: number): void;
    addPoint(point: number[], label: number): void;
    searchKnn(query: number[], k: number): { neighbors: number[] };
    setEf(ef: number): void;
    readIndexSync(path: string): void;
    writeIndexSync(path: string): void;
  }
  const { HierarchicalNSW } = peer<{ HierarchicalNSW: new (space: string, d: number) => Index }>(
    'hnswlib-node',
  );
  const index = new HierarchicalNSW('ip', d);
  if (words === undefined) index.readIndexSync(at('hnswlib.bin'));
  else {
    index.initIndex(n, 16, 128, 100);
    for (let i = 0; i < n; i++) index.addPoint([...words.subarray(i * d, (i + 1) * d)], i);
  }
  return {
    save: (path) => index.writeIndexSync(path),
    search: (query, ef) => {
      index.setEf(ef);
      return Int32Array.from(index.searchKnn([...query], k).neighbors);
    },
  };
}

async function time(results: string): Promise<void> {
  const { n, lists } = JSON.parse(readFileSync(at('meta.json'), 'utf8')) as { n: number; lists: number };
  const queries = openBin(readFileSync(at('query.fbin')), 'fbin').read().data as Float32Array;
  const truth = openBin(readFileSync(at('truth.ibin')), 'ibin').read().data as Int32Array;
  const rows: object[] = [];
  const measure = async (
    name: string,
    setting: number | null,
    search: (query: Float32Array) => Promise<Int32Array> | Int32Array,
  ): Promise<void> => {
    const times: number[] = [];
    const recalls: number[] = [];
    await search(queries.slice(0, d));
    for (let q = 0; q < queryCount; q++) {
      const query = queries.slice(q * d, (q + 1) * d);
      const before = performance.now();
      const ids = await search(query);
      times.push(performance.now() - before);
      const want = new Set(truth.subarray(q * k, (q + 1) * k));
      recalls.push([...new Set(ids)].filter((id) => want.has(id)).length / k);
    }
    times.sort((a, b) => a - b);
    const recall = recalls.reduce((sum, r) => sum + r, 0) / queryCount;
    const row = { name, setting, ms: times[queryCount / 2]!, recall, least: Math.min(...recalls) };
    rows.push(row);
    console.error(JSON.stringify(row));
  };
  const probes = [64, 128, 256, 512, 1024].filter((nprobe) => nprobe <= lists);
  const words = openBin(readFileSync(at('base.fbin')), 'fbin').read();
  const flat = flatIndex(words);
  await measure('subvocab, flat', null, async (query) => (await flat.search(query, k)).ids);
  if ('lists' in built) {
    const own = memoryIndex(readAnnFolder(at('lists')));
    for (const nprobe of probes)
      await measure('subvocab, lists', nprobe, async (query) => (await own.search(query, k, { nprobe })).ids);
  }
  {
    await using disk = openWords(at('words'));
    for (const nprobe of probes)
      await measure(
        'subvocab, bytes on disk',
        nprobe,
        async (query) => (await disk.search(query, k, { nprobe })).ids,
      );
  }
  for (const rescore of [true, false]) {
    const name = rescore ? 'LanceDB, scored here' : 'LanceDB';
    await using all = await openLance(at('lance'), { rescore, table: 'flat' });
    await measure(`${name}, flat`, null, async (query) => (await all.search(query, k)).ids);
    await using some = await openLance(at('lance'), { rescore });
    for (const nprobe of probes)
      await measure(`${name}, lists`, nprobe, async (query) => (await some.search(query, k, { nprobe })).ids);
  }
  for (const [name, make] of [
    ['usearch', usearch],
    ['hnswlib', hnswlib],
  ] as const) {
    if (!existsSync(at(`${name}.bin`))) continue;
    const graph = make(n);
    for (const ef of name === 'usearch' ? [k] : [k, 2 * k])
      await measure(name === 'usearch' ? 'usearch, HNSW' : 'hnswlib-node, HNSW', ef, (query) =>
        graph.search(query, ef),
      );
  }
  const versions = {
    lancedb: versionOf('@lancedb/lancedb', fileURLToPath(new URL('../..', import.meta.url))),
    usearch: versionOf('usearch', peers),
    'hnswlib-node': versionOf('hnswlib-node', peers),
  };
  const machine = await describeMachine();
  const about = { words: n, dimensions: d, lists, k, queries: queryCount, built, versions, machine };
  writeFileSync(results, `${JSON.stringify({ ...about, rows }, null, 1)}\n`);
}
