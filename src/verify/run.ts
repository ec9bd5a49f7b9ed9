import { judge } from '../core/bounds/index.ts';
import { compareExact, position, type Verdict, worstOf } from '../core/bounds.ts';
import { DeviceLostError } from '../core/errors.ts';
import type { Operator } from '../core/ops/contract.ts';
import { contracts, invoke } from '../core/ops/index.ts';
import type { Tensor } from '../core/tensor.ts';
import type { Gpu, GpuTensor } from '../gpu/index.ts';
import * as ref from '../ref/index.ts';
import type { Case } from './case.ts';

/** What one case gave. */
export interface Row {
  readonly op: string;
  readonly label: string;
  readonly shape: string;
  readonly dtype: string;
  readonly verdict: Verdict['verdict'];
  /** Largest error in units of its bound; 0 for exact equality, null when the operator threw. */
  readonly worst: number | null;
  /** Output and index of the worst element. */
  readonly where: string;
  readonly message: string;
  /** Reference twin, best of its runs. */
  readonly refMs: number;
  /** Kernel twin: time on the GPU's own clock where it has one (best run), else from submission to completion. */
  readonly gpuMs: number | null;
  readonly clock: 'gpu' | 'host';
  readonly gbs?: number;
  readonly gflops?: number;
}

/**
 * Run one case on both twins and compare. Never throws for a wrong kernel: that is a row that failed.
 * @param nearest the adapter rounds to nearest; elsewhere SUSPECT would blame kernels for what the adapter may do
 */
export async function runCase(gpu: Gpu, c: Case, nearest = true): Promise<Row> {
  const contract = contracts.find((x) => x.name === c.op);
  if (contract === undefined) throw new Error(`a case names the operator ${c.op}, which has no contract`);
  const options = c.options ?? {};
  const inputs = c.inputs();
  const base = { op: c.op, label: c.label, shape: c.shape, dtype: dtypesOf(inputs) };

  let want: Record<string, Tensor> = {};
  const refMs = best(2, 150, () => {
    want = invoke((ref as unknown as Record<string, Operator>)[c.op]!, contract, inputs, options);
  });
  const lifted: Record<string, GpuTensor> = {};
  let made: Record<string, GpuTensor> = {};
  const run = (): void => {
    disposeAll(made);
    made = {};
    made = invoke((gpu.ops as unknown as Record<string, Operator>)[c.op]!, contract, lifted, options);
  };
  try {
    for (const [name, t] of Object.entries(inputs)) lifted[name] = gpu.upload(t);
    run();
    const got = await readAll(made);
    const noise = ref.gumbelNoise;
    const verdicts = judge(c.op, { inputs, options, want, got, independent: c.independent ?? false, noise });
    const timing = await time(gpu, run);
    // What the last of the timed calls made: a kernel that leaves something behind shows here.
    const again = await readAll(made);
    for (const [name, t] of Object.entries(got)) {
      const same = compareExact(t, again[name]!);
      if (same.verdict !== 'PASS') {
        verdicts[name] = {
          ...same,
          message: `the same call gave other bits the second time: ${same.message}`,
        };
      }
    }
    const worst = worstOf(Object.values(verdicts));
    const name = Object.keys(verdicts).find((n) => verdicts[n] === worst) ?? '';
    const shape = want[name]?.shape ?? [];
    return {
      ...base,
      verdict: worst.verdict === 'SUSPECT' && !nearest ? 'PASS' : worst.verdict,
      worst: worst.worst,
      where:
        worst.index >= 0 && worst.worst > 0 ? `${name}[${position(worst.index, shape).join(', ')}]` : name,
      message: worst.message,
      refMs,
      ...timing,
      ...(c.bytes === undefined ? {} : { gbs: c.bytes / timing.gpuMs / 1e6 }),
      ...(c.flops === undefined ? {} : { gflops: c.flops / timing.gpuMs / 1e6 }),
    };
  } catch (error) {
    if (error instanceof DeviceLostError) throw error;
    const message = (error as Error).message;
    return { ...base, verdict: 'FAIL', worst: null, where: '', message, refMs, gpuMs: null, clock: 'host' };
  } finally {
    disposeAll(made);
    disposeAll(lifted);
  }
}

function disposeAll(tensors: Record<string, GpuTensor>): void {
  for (const t of Object.values(tensors)) t[Symbol.dispose]();
}

async function readAll(made: Record<string, GpuTensor>): Promise<Record<string, Tensor>> {
  const read = await Promise.all(
    Object.entries(made).map(async ([name, t]) => [name, await t.read()] as const),
  );
  return Object.fromEntries(read);
}

/**
 * Best of up to five runs, or as many as fit into a third of a second; the call before warmed everything up. An operator
 * that only copies has no pass of its own for the GPU's clock, and is timed on the host.
 */
async function time(gpu: Gpu, run: () => void): Promise<{ gpuMs: number; clock: 'gpu' | 'host' }> {
  const least = { gpu: Infinity, host: Infinity };
  const onGpu = gpu.device.features.has('timestamp-query');
  const started = performance.now();
  for (let i = 0; i < 5 && (i === 0 || performance.now() - started < 330); i++) {
    await gpu.idle();
    const before = performance.now();
    let ns = 0;
    if (onGpu) for (const t of (await gpu.profile(run)).times) ns += t.ns;
    else run();
    await gpu.idle();
    least.host = Math.min(least.host, performance.now() - before);
    if (ns > 0) least.gpu = Math.min(least.gpu, ns / 1e6);
  }
  const clock = least.gpu === Infinity ? 'host' : 'gpu';
  return { gpuMs: least[clock], clock };
}

function best(runs: number, enoughMs: number, body: () => void): number {
  let least = Infinity;
  const started = performance.now();
  for (let i = 0; i < runs && (i === 0 || performance.now() - started < enoughMs); i++) {
    const before = performance.now();
    body();
    least = Math.min(least, performance.now() - before);
  }
  return least;
}

function dtypesOf(inputs: Record<string, Tensor>): string {
  return [...new Set(Object.values(inputs).map((t) => t.dtype))].join(', ') || 'u32';
}
