import { Bench } from 'tinybench';
import type { Gpu } from '../../src/gpu/index.ts';
import type { Participant } from './participant.ts';
import { median, ratioOf } from './stats.ts';

export interface Limits {
  /** Samples that each participant should have at least. */
  readonly minSamples: number;
  readonly maxSamples: number;
  /** After this long no new round begins; slow participants then have fewer samples, and the report says how many. */
  readonly seconds: number;
}

/** The samples of one participant, in ms. */
export interface Samples {
  readonly wall: number[];
  readonly gpu: number[];
  /** CPU time of all threads of this process: steadier than the clock where others use the machine. */
  readonly cpu: number[];
  /** Samples taken away because the machine was slower than usual at that moment. */
  disturbed: number;
}

interface Taken {
  readonly wall: number;
  readonly cpu: number;
  readonly gpu: number | undefined;
  readonly canary: number;
}

/** A canary this much slower than usual means that somebody else has the machine. */
const disturbance = 4 / 3;

/**
 * Time participants in turns: each round runs every one of them once, in an order drawn anew, so that what changes on the
 * machine meanwhile hits all of them alike. A short fixed kernel (the canary) before each sample tells how fast the
 * machine is at that moment; samples beside a slow canary are dropped where enough others remain.
 */
export async function timeInRounds(
  participants: readonly Participant[],
  limits: Limits,
  canary: () => Promise<number>,
): Promise<Map<Participant, Samples>> {
  const taken = new Map<Participant, Taken[]>(participants.map((p) => [p, []]));
  const clocks = new Map(participants.map((p) => [p, clocksOf(p)]));
  const started = performance.now();
  let order = [...participants];
  for (let round = 0; round < limits.maxSamples; round++) {
    order = shuffled(order, round);
    const share = round === 0 ? Infinity : shareOfSlow([...taken.values()], limits);
    for (const p of order) {
      const list = taken.get(p)!;
      const spent = spentBy(list);
      if (spent + spent / Math.max(1, list.length) > share) continue;
      const beside = await canary();
      const { wall, gpu } = clocks.get(p)!;
      list.push({ canary: beside, ...(await wall()), gpu: await gpu?.() });
    }
    const late = performance.now() - started > limits.seconds * 1000;
    if (round + 1 >= limits.minSamples && (late || settled([...taken.values()]))) break;
  }
  const usual = median([...taken.values()].flat().map((s) => s.canary));
  return new Map([...taken].map(([p, list]) => [p, undisturbed(list, usual, limits.minSamples)]));
}

const spentBy = (list: readonly Taken[]): number => list.reduce((sum, s) => sum + s.wall, 0) / 1000;

/**
 * Seconds that each slow participant may take. Whoever can take all the samples it should in an equal share of the time
 * does; the slow ones divide what is left, and so have fewer samples.
 */
function shareOfSlow(all: readonly (readonly Taken[])[], { seconds, minSamples }: Limits): number {
  const needs = all.map((list) => (spentBy(list) / Math.max(1, list.length)) * minSamples);
  const slow = needs.filter((s) => s > seconds / all.length);
  const left = seconds - needs.reduce((sum, s) => sum + s, 0) + slow.reduce((sum, s) => sum + s, 0);
  return slow.length === 0 ? seconds : Math.max(left / slow.length, seconds / all.length);
}

/** The fastest two are told apart, or known to be equal, within 3 %. */
function settled(all: readonly (readonly Taken[])[]): boolean {
  const [a, b] = all.map((list) => list.map((s) => s.wall)).sort((x, y) => median(x) - median(y));
  if (a === undefined || b === undefined) return false;
  const { ratio, ci } = ratioOf(b, a);
  return (ci[1] - ci[0]) / ratio < 0.06;
}

function undisturbed(list: readonly Taken[], usual: number, enough: number): Samples {
  const good = list.filter((s) => s.canary <= usual * disturbance);
  const use = good.length >= Math.min(enough, list.length) ? good : list;
  return {
    wall: use.map((s) => s.wall),
    cpu: use.map((s) => s.cpu),
    gpu: use.flatMap((s) => (s.gpu === undefined ? [] : [s.gpu])),
    disturbed: list.length - use.length,
  };
}

/** One sample each, by tinybench: from the host's clock, and by the GPU's clock where the participant has one. */
function clocksOf(p: Participant): {
  wall: () => Promise<{ wall: number; cpu: number }>;
  gpu?: () => Promise<number>;
} {
  // tinybench runs its tasks one after another; here each `run` takes one sample, and the rounds do the interleaving.
  const bench = new Bench({ iterations: 1, time: 0, warmup: false, retainSamples: true, throws: true });
  let cpu = 0;
  const run = async (): Promise<void> => {
    const before = process.cpuUsage();
    await p.run();
    const { user, system } = process.cpuUsage(before);
    cpu = (user + system) / 1000;
  };
  bench.add('wall', run, { async: true });
  const { gpuMs } = p;
  if (gpuMs !== undefined) {
    bench.add('gpu', async () => ({ overriddenDuration: await gpuMs() }), { async: true });
  }
  const sample = async (name: string): Promise<number> => {
    const task = bench.getTask(name)!;
    task.reset();
    await task.run();
    const { result } = task;
    if (!('latency' in result)) throw new Error(`${p.name}: no sample was taken (${result.state})`);
    return result.latency.samples![0];
  };
  const wall = async (): Promise<{ wall: number; cpu: number }> => ({ wall: await sample('wall'), cpu });
  return { wall, ...(gpuMs === undefined ? {} : { gpu: () => sample('gpu') }) };
}

function shuffled<T>(items: readonly T[], seed: number): T[] {
  const out = [...items];
  let state = seed + 1;
  for (let i = out.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = (state >>> 8) % (i + 1);
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}

/** Some milliseconds of arithmetic on the GPU that never change: a kernel without memory traffic. */
export async function gpuCanary(gpu: Gpu): Promise<{ run: () => Promise<number>; dispose: () => void }> {
  const factors = gpu.zeros('f32', [2]);
  const sums = gpu.zeros('f32', [4096]);
  const file = 'runtime/roof.wgsl';
  const run = (rounds: number) => async (): Promise<number> => {
    const before = performance.now();
    const params = [4096, rounds];
    gpu.dispatch({ file, entry: 'fmaTwoVectors', params, reads: [factors], writes: [sums], groups: [64] });
    await gpu.idle();
    return performance.now() - before;
  };
  await run(16)();
  // Long enough to be measured, short beside what is measured.
  let rounds = 16;
  while ((await run(rounds)()) < 3 && rounds < 2 ** 16) rounds *= 2;
  return {
    run: run(rounds),
    dispose() {
      factors[Symbol.dispose]();
      sums[Symbol.dispose]();
    },
  };
}

/** The same on the CPU, on the one thread that runs everything else. */
export async function cpuCanary(): Promise<number> {
  const before = performance.now();
  let x = 1;
  for (let i = 0; i < 2_000_000; i++) x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
  return performance.now() - before + (x & 0);
}
