// What engines take at k = 8192, one query at a time, and what they find, as lines of a table:
//
//   node bench/ann/engines.ts ENGINE [LISTS ...]
//
// ENGINE is lancedb:PATH or postgres:URL,URL,... as for `subvocab index build`. 200,000 words of 64 elements are put there under
// the name `subvocab_bench`, anew for each number of lists; 0 builds no lists and searches exactly.
import { Tensor } from '../../src/core/tensor.ts';
import type { EngineBuildOptions, EngineIndex } from '../../src/vocab/engines/engineIndex.ts';
import { buildLance, openLance } from '../../src/vocab/engines/lanceIndex.ts';
import { buildPostgres, openPostgres } from '../../src/vocab/engines/postgresIndex.ts';
import { flatIndex } from '../../src/vocab/memoryIndex.ts';
import { openSource } from '../../src/vocab/rowSource.ts';
import { describeMachine } from '../support/machine.ts';

const [n, d, k, count, table] = [200_000, 64, 8192, 8, 'subvocab_bench'];
const [, , engine = '', ...listed] = process.argv;
const [, kind, rest = ''] = /^(lancedb|postgres):(.+)$/.exec(engine) ?? [];
if (kind === undefined) throw new Error('say lancedb:PATH or postgres:URL,URL,...');

const made = { kind: 'made', n, d, seed: 7 } as const;
const words = new Float32Array(n * d);
openSource(made).fill(0, n, words);
const queries = new Float32Array(count * d);
openSource({ ...made, draw: 1 }).fill(0, count, queries);
const exact = await flatIndex(new Tensor('f32', [n, d], words)).search(queries, k);
const best = Array.from({ length: count }, (_, q) => new Set(exact.ids.subarray(q * k, (q + 1) * k)));

/** The median time of a query, and the mean recall. */
async function ask(index: EngineIndex, nprobe?: number): Promise<{ ms: number; recall: number }> {
  const times: number[] = [];
  let found = 0;
  for (let q = 0; q < count; q++) {
    const query = queries.subarray(q * d, (q + 1) * d);
    const before = performance.now();
    const { ids } = await index.search(query, k, nprobe === undefined ? {} : { nprobe });
    times.push(performance.now() - before);
    for (const id of ids) if (best[q]!.has(id)) found++;
  }
  times.sort((a, b) => a - b);
  return { ms: times[count >> 1]!, recall: found / (count * k) };
}

console.error(JSON.stringify(await describeMachine()));
console.log(
  '| lists | build | nprobe | ms per query | recall@8192 |\n| ----- | ----- | ------ | ------------ | ----------- |',
);
for (const lists of listed.length > 0 ? listed.map(Number) : [0, 64, 200]) {
  using source = openSource(made);
  const options: EngineBuildOptions = { table, lists: lists || 1 };
  const before = performance.now();
  if (kind === 'lancedb') await buildLance(rest, source, options);
  else await buildPostgres(rest.split(','), source, options);
  const built = (performance.now() - before) / 1000;
  const opened =
    kind === 'lancedb'
      ? [await openLance(rest, { table }), await openLance(rest, { table, rescore: false })]
      : [await openPostgres(rest.split(','), { table })];
  // The first query of a connection and a table is slower.
  for (const index of opened) await ask(index, lists === 0 ? undefined : 1);
  const probes = lists === 0 ? [undefined] : [8, 4, 2, 1].map((part) => Math.ceil(lists / part));
  for (const [i, nprobe] of probes.entries()) {
    const [{ ms, recall }, raw] = [
      await ask(opened[0]!, nprobe),
      opened[1] && (await ask(opened[1], nprobe)),
    ];
    const head = i === 0 ? `${lists === 0 ? 'none' : lists} | ${built.toFixed(1)} s` : ' | ';
    console.log(
      `| ${head} | ${nprobe ?? ''} | ${ms.toFixed(0)} | ${recall.toFixed(4)} |${raw ? ` ${raw.ms.toFixed(0)} |` : ''}`,
    );
  }
  for (const index of opened) await index[Symbol.asyncDispose]();
}
