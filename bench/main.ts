/**
 * `npm run bench`: our kernels, naive ones and the peers that are installed, side by side on one adapter.
 * docs/benchmarks.md says how it is measured and how to read it.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { globals } from 'webgpu';
import { adapterVariable, type Gpu, measureRoof, openGpu } from '../src/gpu/index.ts';
import { requestAdapter } from '../src/gpu/runtime/adapters.ts';
import { embeddedDriver } from '../src/gpu/runtime/embedded.ts';
import type { BenchFile, Benchmark, Tier } from './support/benchmark.ts';
import { calibrate, describeMachine } from './support/machine.ts';
import { type ContextFile, markdown, type Report } from './support/report.ts';
import { cpuCanary, gpuCanary, type Limits } from './support/rounds.ts';
import { type Context, type Row, runBenchmark } from './support/run.ts';
import type { Peer } from './support/work.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const install = `The peers have a package of their own, which is installed on request:

    npm --prefix bench/peers install

Then npm run bench takes them in.`;

interface Options {
  only?: string[];
  adapter?: string;
  rounds?: number;
  seconds?: number;
  size?: Tier;
  quick?: boolean;
  cpu?: boolean;
  peers?: boolean | string;
  context: string[];
  out?: string;
  json?: boolean;
}

const program = new Command('npm run bench --')
  .description('Time our kernels, naive ones and the installed peers side by side on one adapter.')
  .option('--only <operators>', 'beginnings of names, comma-separated, such as matmul,topK', (v) =>
    v.split(','),
  )
  .option('--adapter <name>', `part of an adapter's name (environment: ${adapterVariable})`)
  .option('--cpu', 'the reference twins against CPU backends of the peers; needs no GPU')
  .option('--size <size>', 'full, or small for slow drivers; default: what suits the measured speed', sizeOf)
  .option('--quick', 'small sizes, few rounds, no results file unless --out is given')
  .option('--rounds <n>', 'least samples of each participant (7)', positive)
  .option('--seconds <s>', 'time for one benchmark, after which no new round begins (60)', positive)
  .option('--peers [names]', 'parts of names, comma-separated; without names: fail when none is installed')
  .option('--no-peers', 'leave the peers out')
  .option('--context <file>', 'add figures of other programs: what bench/context/*.py print', collect, [])
  .option('--out <folder>', 'where results go (bench/results)')
  .option('--json', 'print the results as JSON')
  .action(main);

await program.parseAsync();
// Dawn keeps the process alive while a peer holds its device.
process.exit();

async function main(o: Options): Promise<void> {
  const say = (line: string): void => {
    process.stderr.write(`${line}\n`);
  };
  const limits: Limits = {
    minSamples: o.rounds ?? (o.quick ? 3 : 7),
    maxSamples: Math.max(o.rounds ?? 0, o.quick ? 5 : 25),
    seconds: o.seconds ?? (o.quick ? 10 : 60),
  };
  const gpu = o.cpu ? undefined : await openGpu(o.adapter === undefined ? {} : { adapter: o.adapter });
  const roof = gpu === undefined ? undefined : await measureRoof(gpu);
  const machine = await describeMachine(gpu, roof);
  const slow = roof !== undefined && roof.copyKernelGBs < 1.5 && roof.fmaGFlops < 15;
  const tier: Tier = o.cpu ? 'cpu' : (o.size ?? (o.quick || slow ? 'small' : 'full'));
  const { peers, failed } = await findPeers(o, gpu);
  const calibration = [await calibrate()];
  say(`${machine.adapter?.name ?? 'references on the CPU'}, size ${tier}, ${peers.length} peers`);
  for (const f of failed) say(`not loaded: ${f}`);

  const canary = gpu === undefined ? { run: cpuCanary, dispose: () => {} } : await gpuCanary(gpu);
  const context: Context = {
    ...(gpu === undefined ? {} : { gpu }),
    ...(roof === undefined ? {} : { roof }),
    peers,
    limits,
    tier,
    say,
    canary: canary.run,
  };
  const rows: Row[] = [];
  const contexts = o.context.map((file) => JSON.parse(readFileSync(file, 'utf8')) as ContextFile);
  const finish = (): Report => {
    const command = `npm run bench -- ${process.argv.slice(2).join(' ')}`.replace(/ --out[ =]\S+/, '').trim();
    const report = {
      format: 1,
      command,
      machine,
      calibration,
      peersNotLoaded: failed,
      rows,
      context: contexts,
    } as const;
    return o.quick && o.out === undefined ? report : save(report, o.out ?? here('results'));
  };
  for (const b of await loadBenchmarks(o, tier)) {
    rows.push(await runBenchmark(b, context));
    finish();
  }
  calibration.push(await calibrate());
  canary.dispose();
  const report = finish();
  process.stdout.write(o.json ? `${JSON.stringify(report, null, 2)}\n` : `\n${markdown(report)}`);
  const ours = rows.flatMap((r) => r.entries.filter((e) => e.role === 'ours' || e.role === 'reference'));
  process.exitCode = ours.every((e) => e.status === 'ok') ? 0 : 1;
}

async function loadBenchmarks(o: Options, tier: Tier): Promise<Benchmark[]> {
  const files = readdirSync(here('.')).filter((f) => f.endsWith('.bench.ts'));
  const all: Benchmark[] = [];
  for (const f of files.sort()) {
    const { benchmarks } = (await import(`./${f}`)) as BenchFile;
    all.push(...benchmarks(tier));
  }
  const names = [...new Set(all.map((b) => b.op))];
  for (const name of o.only ?? []) {
    if (!names.includes(name))
      throw new InvalidArgumentError(`--only ${name}: there are ${names.join(', ')}`);
  }
  return o.only === undefined ? all : all.filter((b) => o.only!.some((name) => b.op.startsWith(name)));
}

/** The peers for this run. Their package is loaded only where it is installed. */
async function findPeers(o: Options, gpu: Gpu | undefined): Promise<{ peers: Peer[]; failed: string[] }> {
  if (o.peers === false) return { peers: [], failed: [] };
  if (!existsSync(here('peers/node_modules'))) {
    if (o.peers !== undefined) program.error(install, { exitCode: 2 });
    return { peers: [], failed: ['no peers are installed; npm run bench -- --peers says how to'] };
  }
  if (gpu !== undefined) useOnlyItsDriver(gpu);
  // A second instance on the same adapter: a device of ours and theirs must not be one.
  const instance = gpu === undefined ? undefined : (await requestAdapter(gpu.choice)).instance;
  // The specifier is not a literal, so that types are checked without the peers; they have a tsconfig of their own.
  const url: string = new URL('./peers/index.ts', import.meta.url).href;
  const { loadPeers } = (await import(url)) as {
    loadPeers(gpu: GPU | undefined, globals: object): Promise<{ peers: Peer[]; failed: string[] }>;
  };
  const { peers, failed } = await loadPeers(instance, globals as unknown as object);
  const names = typeof o.peers === 'string' ? o.peers.split(',') : undefined;
  // Pure JavaScript takes seconds where everybody else takes milliseconds: --cpu compares it, at sizes of its own.
  const kinds = gpu === undefined ? ['cpu', 'wasm', 'native'] : ['webgpu', 'wasm', 'native'];
  const wanted = peers.filter(
    (p) => kinds.includes(p.kind) && (names === undefined || names.some((n) => p.name.includes(n))),
  );
  return { peers: wanted, failed };
}

/**
 * onnxruntime-node looks for Vulkan drivers by itself and takes no adapter's name: where the chosen adapter is the embedded
 * driver, let it find no other.
 */
function useOnlyItsDriver(gpu: Gpu): void {
  const driver = embeddedDriver();
  const { chosen, embedded } = gpu.choice;
  if (embedded !== undefined && driver !== undefined && /swiftshader/i.test(chosen.name)) {
    process.env.VK_DRIVER_FILES = driver.icd;
    delete process.env.VK_ADD_DRIVER_FILES;
  }
}

/** Write JSON and a table; rows of an earlier run of the same day stay unless they were run again. */
function save(report: Report, folder: string): Report {
  mkdirSync(folder, { recursive: true });
  const { machine } = report;
  const who = machine.adapter?.name ?? 'cpu';
  const slug = who
    .toLowerCase()
    .replaceAll(/\(.*?\)/g, '')
    .trim()
    .replaceAll(/[^a-z0-9]+/g, '-');
  const path = `${folder}/${slug.replace(/-$/, '')}-${machine.date.slice(0, 10)}`;
  const id = (r: Row): string => [r.op, r.label, r.shape].join('|');
  const before: Report | undefined = existsSync(`${path}.json`)
    ? (JSON.parse(readFileSync(`${path}.json`, 'utf8')) as Report)
    : undefined;
  const ids = new Set(report.rows.map(id));
  const kept = before?.rows.filter((r) => !ids.has(id(r))) ?? [];
  const programs = new Set(report.context.map((c) => c.program));
  const merged: Report = {
    ...report,
    rows: [...kept, ...report.rows].sort((a, b) => a.op.localeCompare(b.op)),
    context: [...(before?.context.filter((c) => !programs.has(c.program)) ?? []), ...report.context],
  };
  writeFileSync(`${path}.json`, `${JSON.stringify(merged, null, 1)}\n`);
  writeFileSync(`${path}.md`, markdown(merged));
  return merged;
}

function positive(v: string): number {
  const n = Number(v);
  if (!(n > 0)) throw new InvalidArgumentError('it must be a positive number');
  return n;
}

function sizeOf(v: string): Tier {
  if (v !== 'full' && v !== 'small') throw new InvalidArgumentError('it is full or small');
  return v;
}

function collect(v: string, all: string[]): string[] {
  return [...all, v];
}
