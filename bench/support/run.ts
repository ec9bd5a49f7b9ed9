import { failure, type Verdict } from '../../src/core/bounds.ts';
import type { Gpu, Roof } from '../../src/gpu/index.ts';
import type { Benchmark, PeerWork, Tier } from './benchmark.ts';
import type { Participant } from './participant.ts';
import { makeTask, naive, ours, peerParticipant, reference, type Task } from './participants.ts';
import { type Limits, type Samples, timeInRounds } from './rounds.ts';
import { ratioOf, type Summary, summarize } from './stats.ts';
import type { Peer } from './work.ts';

/** One participant in one benchmark, as the results file keeps it. */
export interface Entry {
  readonly name: string;
  readonly version: string;
  readonly role: Participant['role'];
  readonly kind: Participant['kind'];
  readonly status: 'ok' | 'wrong' | 'error' | 'skipped' | 'unsupported';
  /** Why, when the status is not ok. */
  readonly reason?: string;
  readonly note?: string;
  readonly standIn?: string;
  /** The first run, with everything that happens only once. */
  readonly firstMs?: number;
  /** Left out: what one run would take, from a part of the work. */
  readonly expectedMs?: number;
  readonly before?: Judged;
  readonly after?: Judged;
  /** From the call to its completion, in ms. */
  readonly wall?: Summary;
  /** The sum of the dispatches by the GPU's clock, in ms. */
  readonly gpu?: Summary;
  /** CPU time of the whole process, in ms. */
  readonly cpu?: Summary;
  readonly disturbed?: number;
  readonly quality?: Readonly<Record<string, number>>;
  readonly samples?: Readonly<Record<'wall' | 'gpu' | 'cpu', readonly number[]>>;
}

export interface Judged {
  readonly verdict: Verdict['verdict'];
  readonly worst: number;
  readonly message: string;
}

/** One benchmark with everybody in it. */
export interface Row {
  readonly op: string;
  readonly label: string;
  readonly shape: string;
  readonly tier: Tier;
  readonly when: string;
  readonly bytes?: number;
  readonly flops?: number;
  readonly target: number;
  readonly prediction?: { readonly ratio: number; readonly why: string };
  /** The least time that the measured roofs allow, in ms. */
  readonly roofMs?: number;
  /** The same if nothing copies faster than the fastest kernel does. */
  readonly kernelRoofMs?: number;
  /** One run of the reference on the whole input or the sample, in ms. */
  readonly refMs: number;
  readonly sampled: boolean;
  readonly entries: readonly Entry[];
  /** How many times as fast as the fastest valid peer of the same kind ours is. */
  readonly versusPeer?: Comparison;
  readonly versusNaive?: Comparison;
}

export interface Comparison {
  readonly name: string;
  readonly ratio: number;
  readonly ci: readonly [number, number];
  /** The same ratio by CPU time, where all the work is done on the CPU. */
  readonly cpuRatio?: number;
  /** Nobody could be timed on the whole work: the other's time is that of a part of it, multiplied. */
  readonly extrapolated?: boolean;
}

export interface Context {
  /** Absent: references against the peers' CPU backends. */
  readonly gpu?: Gpu;
  readonly roof?: Roof;
  readonly peers: readonly Peer[];
  readonly limits: Limits;
  readonly canary: () => Promise<number>;
  readonly tier: Tier;
  readonly say: (line: string) => void;
}

/** A peer whose first full run is expected to take longer than this many times the limit is left out. */
const patience = 1;

/** Run one benchmark: prepare and validate everybody, time them in turns, validate again. */
export async function runBenchmark(b: Benchmark, c: Context): Promise<Row> {
  const when = new Date().toISOString();
  c.say(`${b.op}${b.label ? `, ${b.label}` : ''} ${b.shape}`);
  const task = b.model === undefined ? makeTask(b) : await modelTask(b);
  const entries: Entry[] = [];
  const ready: { p: Participant; firstMs: number; before: Judged }[] = [];
  const prepare = async (
    about: Pick<Entry, 'name' | 'version' | 'role' | 'kind'>,
    make: () => Promise<Participant>,
  ) => {
    const out = await quietly(async () => {
      const p = await make();
      const start = performance.now();
      await p.run();
      const firstMs = performance.now() - start;
      const before = judged(await p.verdict());
      // One more for what is only made ready at the second time; it is not counted either.
      if (firstMs < 3000) await p.run();
      return { p, firstMs, before };
    });
    if ('error' in out) {
      const said = out.said.length > 0 ? `; it said: ${out.said[0]}` : '';
      const { error } = out;
      const status = error instanceof Unsupported ? ('unsupported' as const) : ('error' as const);
      const expected = error instanceof Unsupported ? error.expectedMs : undefined;
      entries.push({
        ...about,
        status,
        reason: oneLine(error.message + said),
        ...(expected === undefined ? {} : { expectedMs: expected }),
      });
      c.say(`  ${about.name}: ${entries.at(-1)!.reason}`);
      return;
    }
    const { p, firstMs, before } = out.value;
    if (before.verdict === 'FAIL') {
      const said = out.said.length > 0 ? `; it said: ${oneLine(out.said[0]!)}` : '';
      entries.push({
        ...entryOf(p),
        status: 'wrong',
        reason: oneLine(before.message + said),
        firstMs,
        before,
      });
      c.say(`  ${p.name}: WRONG, ${before.message}`);
      await p.dispose();
      return;
    }
    c.say(`  ${p.name}: first run ${firstMs.toFixed(1)} ms, ${before.verdict}`);
    ready.push({ p, firstMs, before });
  };

  if (c.gpu !== undefined) {
    const gpu = c.gpu;
    await prepare({ name: 'subvocab', version: '', role: 'ours', kind: 'webgpu' }, async () =>
      b.model === undefined ? ours(gpu, task) : b.model.ours(gpu, task.want),
    );
    const plain = naive(gpu, task);
    if (plain !== undefined) await prepare(plain, async () => plain);
  } else {
    await prepare({ name: 'subvocab reference', version: '', role: 'reference', kind: 'cpu' }, async () =>
      reference(task),
    );
  }
  for (const w of b.peers ?? []) {
    for (const peer of c.peers) {
      const about = { name: peer.name, version: peer.version, role: 'peer' as const, kind: peer.kind };
      await prepare(w.standIn === undefined ? about : { ...about, ...{ standIn: w.standIn } }, () =>
        preparePeer(task, peer, w, c.limits),
      );
    }
  }

  const times = await quietly(() =>
    timeInRounds(
      ready.map((r) => r.p),
      c.limits,
      c.canary,
    ),
  );
  if ('error' in times) throw times.error;
  const valid = new Map<Participant, Samples>();
  for (const { p, firstMs, before } of ready) {
    const after = await quietly(async () => judged(await p.verdict()));
    const judgedAfter = 'error' in after ? judged(failure(after.error.message)) : after.value;
    const samples = times.value.get(p)!;
    const ok = judgedAfter.verdict !== 'FAIL';
    if (ok) valid.set(p, samples);
    entries.push({
      ...entryOf(p),
      status: ok ? 'ok' : 'wrong',
      ...(ok ? {} : { reason: `after the timing: ${oneLine(judgedAfter.message)}` }),
      firstMs,
      before,
      after: judgedAfter,
      wall: summarize(samples.wall),
      ...(samples.gpu.length > 0 ? { gpu: summarize(samples.gpu) } : {}),
      disturbed: samples.disturbed,
      ...(p.quality === undefined ? {} : { quality: await p.quality() }),
      cpu: summarize(samples.cpu),
      samples: { wall: samples.wall, gpu: samples.gpu, cpu: samples.cpu },
    });
    await p.dispose();
  }
  const row = {
    op: b.op,
    label: b.label ?? '',
    shape: b.shape,
    tier: c.tier,
    when,
    ...(b.bytes === undefined ? {} : { bytes: b.bytes }),
    ...(b.flops === undefined ? {} : { flops: b.flops }),
    target: b.target ?? 1,
    ...(b.prediction === undefined ? {} : { prediction: b.prediction }),
    ...(c.roof === undefined
      ? {}
      : { roofMs: roofMs(b, c.roof.copyGBs, c.roof), kernelRoofMs: roofMs(b, c.roof.copyKernelGBs, c.roof) }),
    refMs: task.refMs,
    sampled: b.sample !== undefined,
    entries: sorted(entries),
  };
  return { ...row, ...compare(valid, c, entries) };
}

/** A model makes its own inputs; its answers are those of the reference. */
async function modelTask(b: Benchmark): Promise<Task> {
  const before = performance.now();
  const want = await b.model!.want();
  return { benchmark: b, inputs: {}, want, sampleInputs: {}, refMs: performance.now() - before };
}

/** The least time that the roofs allow: by traffic or by arithmetic, whichever is more. */
function roofMs(b: Benchmark, copyGBs: number, roof: Roof): number {
  return Math.max((b.bytes ?? 0) / copyGBs, (b.flops ?? 0) / roof.fmaGFlops) / 1e6;
}

class Unsupported extends Error {
  readonly expectedMs: number | undefined;
  constructor(message: string, expectedMs?: number) {
    super(message);
    this.expectedMs = expectedMs;
  }
}

async function preparePeer(task: Task, peer: Peer, w: PeerWork, limits: Limits): Promise<Participant> {
  if (w.probe !== undefined) {
    const small = await peer.prepare(w.probe.work());
    if (small === null) throw new Unsupported('has no way to do this work');
    await small.run();
    const start = performance.now();
    await small.run();
    const expected = ((performance.now() - start) / 1000) * w.probe.times;
    await small.dispose();
    if (expected > limits.seconds * patience) {
      throw new Unsupported(
        `left out: 1/${w.probe.times} of the work says that one run would take ${expected.toFixed(0)} s`,
        expected * 1000,
      );
    }
  }
  const p = await peerParticipant(task, peer, w);
  if (p === undefined) throw new Unsupported('has no way to do this work');
  return p;
}

/** Against the fastest valid peer of the same kind, and against the naive kernel. */
function compare(
  valid: Map<Participant, Samples>,
  c: Context,
  entries: readonly Entry[],
): Pick<Row, 'versusPeer' | 'versusNaive'> {
  const all = [...valid];
  const mine = all.find(([p]) => p.role === (c.gpu === undefined ? 'reference' : 'ours'))?.[1];
  if (mine === undefined) return {};
  const against = (list: [Participant, Samples][]): Comparison | undefined => {
    const rated = list
      .map(([p, s]) => ({ p, ...ratioOf(s.wall, mine.wall) }))
      .sort((x, y) => x.ratio - y.ratio);
    const first = rated[0];
    if (first === undefined) return undefined;
    const cpuRatio = ratioOf(valid.get(first.p)!.cpu, mine.cpu).ratio;
    const onCpu = c.gpu === undefined || c.gpu.choice.chosen.software;
    return {
      name: titleOf(first.p),
      ratio: first.ratio,
      ci: first.ci,
      ...(onCpu && first.p.kind !== 'native' ? { cpuRatio } : {}),
    };
  };
  const kind = c.gpu === undefined ? 'cpu' : 'webgpu';
  const left = entries.filter((e) => e.kind === kind && e.expectedMs !== undefined);
  const guessed = left.sort((x, y) => x.expectedMs! - y.expectedMs!)[0];
  const guess = (): Comparison | undefined => {
    if (guessed === undefined) return undefined;
    const { ratio, ci } = ratioOf([guessed.expectedMs!], mine.wall);
    return { name: titleOf(guessed), ratio, ci, extrapolated: true };
  };
  const peer = against(all.filter(([p]) => p.role === 'peer' && p.kind === kind)) ?? guess();
  const plain = against(all.filter(([p]) => p.role === 'naive'));
  return {
    ...(peer === undefined ? {} : { versusPeer: peer }),
    ...(plain === undefined ? {} : { versusNaive: plain }),
  };
}

/** A name for tables; a stand-in says that it is one. */
export function titleOf(e: Pick<Entry, 'name' | 'standIn'>): string {
  return e.standIn === undefined ? e.name : `${e.name} (${e.standIn})`;
}

function entryOf(p: Participant): Omit<Entry, 'status'> {
  const { name, version, role, kind, note, standIn } = p;
  return {
    name,
    version,
    role,
    kind,
    ...(note === undefined ? {} : { note }),
    ...(standIn === undefined ? {} : { standIn }),
  };
}

function sorted(entries: readonly Entry[]): Entry[] {
  const rank = { ours: 0, reference: 0, naive: 1, peer: 2 };
  const kind = { webgpu: 0, wasm: 1, cpu: 2, native: 3 };
  return [...entries].sort(
    (a, b) =>
      rank[a.role] - rank[b.role] ||
      kind[a.kind] - kind[b.kind] ||
      (a.wall?.median ?? Infinity) - (b.wall?.median ?? Infinity),
  );
}

const judged = ({ verdict, worst, message }: Verdict): Judged => ({
  verdict,
  worst,
  message: oneLine(message),
});

const oneLine = (s: string): string => s.replaceAll(/\s+/g, ' ').trim().slice(0, 300);

/** Run with the console of the peers kept aside: what they print is worth a note, not a screen. */
async function quietly<R>(
  body: () => Promise<R>,
): Promise<{ value: R; said: string[] } | { error: Error; said: string[] }> {
  const said: string[] = [];
  const kept = { log: console.log, warn: console.warn, error: console.error, info: console.info };
  const keep = (...args: unknown[]): void => {
    said.push(args.map(String).join(' '));
  };
  Object.assign(console, { log: keep, warn: keep, error: keep, info: keep });
  try {
    return { value: await body(), said };
  } catch (error) {
    return { error: error instanceof Error ? error : new Error(String(error)), said };
  } finally {
    Object.assign(console, kept);
  }
}
