import { createRequire } from 'node:module';
import { cpus, loadavg, totalmem } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type Gpu, probeArithmetic, type Roof } from '../../src/gpu/index.ts';
import { quantum } from './stats.ts';

/** The machine as it was: what a reader needs to judge whether the figures mean anything. */
export interface Machine {
  readonly date: string;
  readonly node: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly adapter?: {
    readonly name: string;
    readonly backend: string;
    readonly vendor: string;
    readonly device: string;
    readonly description: string;
    readonly family: string;
    readonly webgpu: string;
    readonly subgroups: string;
    readonly maxBindingMiB: number;
    readonly arithmetic: Readonly<Record<string, string>>;
  };
  readonly roof?: Roof;
  /** Step of the GPU's clock in ns; null where there is no clock. */
  readonly timestampQuantumNs?: number | null;
}

/** How fast this machine is right now: loops of the same arithmetic per 300 ms on one thread and on two at once. */
export interface Calibration {
  readonly one: number;
  readonly two: number;
  readonly load: number;
}

export async function describeMachine(gpu?: Gpu, roof?: Roof): Promise<Machine> {
  const base = {
    date: new Date().toISOString(),
    node: process.version,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
  };
  if (gpu === undefined) return base;
  const { info, choice, device, family } = gpu;
  const arithmetic = (await probeArithmetic(gpu)).rows.map(({ question, answer }) => [question, answer]);
  return {
    ...base,
    adapter: {
      name: choice.chosen.name,
      backend: choice.chosen.backend,
      vendor: info.vendor,
      device: info.device,
      description: info.description,
      family,
      webgpu: (createRequire(import.meta.url)('webgpu/package.json') as { version: string }).version,
      subgroups: gpu.subgroups ? `${info.subgroupMinSize} to ${info.subgroupMaxSize}` : 'off',
      maxBindingMiB: device.limits.maxStorageBufferBindingSize / 2 ** 20,
      arithmetic: Object.fromEntries(arithmetic) as Record<string, string>,
    },
    ...(roof === undefined ? {} : { roof }),
    timestampQuantumNs: await timestampQuantum(gpu),
  };
}

/** The greatest common divisor of the durations of many short dispatches. */
async function timestampQuantum(gpu: Gpu): Promise<number | null> {
  if (!gpu.device.features.has('timestamp-query')) return null;
  const nothing = { file: 'runtime/roof.wgsl', entry: 'nothing', params: [0, 0], groups: [1] as const };
  const { times } = await gpu.profile(() => {
    for (let i = 0; i < 64; i++) gpu.dispatch(nothing);
  });
  return quantum(times.map((t) => t.ns));
}

export async function calibrate(): Promise<Calibration> {
  const one = await spin(1);
  const two = await spin(2);
  return { one, two, load: loadavg()[0]! };
}

async function spin(threads: number): Promise<number> {
  const code = `
    const { parentPort } = require('node:worker_threads');
    const end = performance.now() + 300;
    let loops = 0, x = 1;
    while (performance.now() < end) {
      for (let i = 0; i < 20000; i++) x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      loops++;
    }
    parentPort.postMessage(loops + (x & 0));`;
  const loops = await Promise.all(
    Array.from(
      { length: threads },
      () =>
        new Promise<number>((resolve, reject) => {
          const worker = new Worker(code, { eval: true });
          worker.once('message', resolve);
          worker.once('error', reject);
        }),
    ),
  );
  return loops.reduce((a, b) => a + b, 0);
}
