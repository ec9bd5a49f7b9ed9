import { tensor } from '../../core/tensor.ts';
import type { Gpu } from './gpu.ts';

/** What an adapter can do at most, measured by kernels that do nothing else. Figures of one moment: measure anew. */
export interface Roof {
  /** Bytes read and written per nanosecond by the fastest copy of all, `copyBufferToBuffer` included. */
  readonly copyGBs: number;
  /** The same by the fastest copy that is a kernel: what a memory-bound kernel can hope for. */
  readonly copyKernelGBs: number;
  /** f32 operations per nanosecond, a multiply-add counts two. */
  readonly fmaGFlops: number;
  /** One empty dispatch among many, the host's work for it included. */
  readonly dispatchUs: number;
  /** One empty dispatch alone, from enqueuing it to knowing that it is done. */
  readonly submitUs: number;
  /** Which variants were the fastest, and on how many bytes. */
  readonly note: string;
}

interface Variant {
  readonly label: string;
  /** Do the work `times` times. */
  readonly enqueue: (times: number) => void;
  /** Bytes or operations of one time. */
  readonly amount: number;
}

const file = 'runtime/roof.wgsl';
const KiB = 1024;
const MiB = 1024 * KiB;

/** [entry point, words per element, workgroup, elements per invocation]; which one wins differs between adapters. */
const copies = [
  ['copyWords', 1, 16, 256],
  ['copyVectors', 4, 16, 64],
  ['copyVectors', 4, 64, 16],
  ['copyVectors', 4, 256, 1],
  ['copyVectors', 4, 256, 16],
  ['copyRuns', 4, 16, 16],
] as const;

/** [entry point, operations per round, workgroup] */
const multiplyAdds = [
  ['fmaScalars', 32, 256],
  ['fmaTwoVectors', 64, 8],
  ['fmaTwoVectors', 64, 64],
  ['fmaTwoVectors', 64, 256],
  ['fmaEightVectors', 128, 8],
  ['fmaEightVectors', 128, 64],
] as const;

/**
 * Measure the roofs of an open adapter in about a second: sizes follow from a first small dispatch, so that a software
 * driver takes no longer than a GPU. Each figure is the best of several variants, and of several runs of each.
 */
export async function measureRoof(gpu: Gpu): Promise<Roof> {
  const { dispatchUs, submitUs } = await measureDispatch(gpu);
  const copy = await measureCopy(gpu);
  const fma = await measureFma(gpu);
  // The buffers went back to the pool; nobody else needs any of their size.
  gpu.pool.trim();
  const note = `copy: ${copy.best} on ${copy.bytes / MiB} MiB, best kernel ${copy.bestKernel}; multiply-add: ${fma.best}`;
  return {
    copyGBs: copy.rate,
    copyKernelGBs: copy.kernelRate,
    fmaGFlops: fma.rate,
    dispatchUs,
    submitUs,
    note,
  };
}

async function measureDispatch(gpu: Gpu): Promise<{ dispatchUs: number; submitUs: number }> {
  const empty = (times: number): void => {
    for (let i = 0; i < times; i++) gpu.dispatch({ file, entry: 'nothing', params: [0, 0], groups: [1] });
  };
  await timed(gpu, () => empty(1));
  const alone: number[] = [];
  for (let i = 0; i < 15; i++) alone.push(await timed(gpu, () => empty(1)));
  const many: number[] = [];
  for (let i = 0; i < 3; i++) many.push((await timed(gpu, () => empty(200))) / 200);
  alone.sort((a, b) => a - b);
  return { dispatchUs: Math.min(...many) * 1000, submitUs: alone[7]! * 1000 };
}

async function measureCopy(
  gpu: Gpu,
): Promise<{ rate: number; best: string; kernelRate: number; bestKernel: string; bytes: number }> {
  const small = 4 * MiB;
  const largest = Math.min(256 * MiB, gpu.maxBindingBytes, gpu.device.limits.maxBufferSize);
  const prepare = (bytes: number): { variants: Variant[]; dispose: () => void } => {
    const words = bytes / 4;
    const from = gpu.empty('u32', [words]);
    const to = gpu.empty('u32', [words]);
    for (const t of [from, to]) {
      const constants = { WORKGROUP_SIZE: 16, PER: 256 };
      const groups = gpu.grid(Math.ceil(words / 4096));
      gpu.dispatch({ file, entry: 'fill', constants, params: [words, 0], writes: [t], groups });
    }
    const variants: Variant[] = copies.map(([entry, width, workgroup, per]) => ({
      label: `${entry} ${workgroup} x ${per}`,
      amount: bytes * 2,
      enqueue: (times) => {
        const constants = { WORKGROUP_SIZE: workgroup, PER: per };
        const groups = gpu.grid(Math.ceil(words / width / workgroup / per));
        const params = [words / width, 0];
        for (let i = 0; i < times; i++) {
          gpu.dispatch({ file, entry, constants, params, reads: [from], writes: [to], groups });
        }
      },
    }));
    const enqueue = (times: number): void => {
      for (let i = 0; i < times; i++) gpu.copy(from, to);
    };
    variants.push({ label: 'copyBufferToBuffer', amount: bytes * 2, enqueue });
    const dispose = (): void => {
      from[Symbol.dispose]();
      to[Symbol.dispose]();
    };
    return { variants, dispose };
  };
  // A first run on little compiles the kernels and tells how much fits into the time.
  const first = prepare(small);
  let quickest = 0;
  for (const v of first.variants) {
    await timed(gpu, () => v.enqueue(1));
    if (v.label !== 'copyBufferToBuffer') quickest = Math.max(quickest, await rate(gpu, v, 1));
  }
  first.dispose();
  const affordable = (quickest * 1e6 * 30) / 2;
  const bytes = Math.min(largest, Math.max(small, 2 ** Math.floor(Math.log2(affordable))));
  const { variants, dispose } = prepare(bytes);
  const rates = await race(gpu, variants);
  dispose();
  const kernels = new Map([...rates].filter(([v]) => v.label !== 'copyBufferToBuffer'));
  const [best, fastest] = greatest(rates);
  const [bestKernel, kernelRate] = greatest(kernels);
  return { rate: fastest, best, kernelRate, bestKernel, bytes };
}

async function measureFma(gpu: Gpu): Promise<{ rate: number; best: string }> {
  const invocations = gpu.family === 'gpu' ? 2 ** 18 : 2 ** 12;
  using factors = gpu.upload(tensor([2], [0.5, 1]));
  using sums = gpu.empty('f32', [invocations]);
  const make = (rounds: number): Variant[] =>
    multiplyAdds.map(([entry, operations, workgroup]) => ({
      label: `${entry} x ${workgroup}`,
      amount: invocations * rounds * operations,
      enqueue: (times) => {
        const common = {
          file,
          entry,
          constants: { WORKGROUP_SIZE: workgroup },
          reads: [factors],
          writes: [sums],
        };
        const groups = [invocations / workgroup] as const;
        for (let i = 0; i < times; i++) gpu.dispatch({ ...common, params: [invocations, rounds], groups });
      },
    }));
  let quickest = 0;
  for (const v of make(16)) {
    await timed(gpu, () => v.enqueue(1));
    quickest = Math.max(quickest, await rate(gpu, v, 1));
  }
  // Rounds for some 20 ms of the widest kernel at that speed; a GPU runs many dispatches instead of a long one.
  const rounds = Math.round((quickest * 1e6 * 20) / (invocations * 128));
  const rates = await race(gpu, make(Math.min(Math.max(rounds, 16), 1024)));
  const [best, fastest] = greatest(rates);
  return { rate: fastest, best };
}

/** The best rate of each variant, in turns so that a disturbance does not hit one of them alone. */
async function race(gpu: Gpu, variants: readonly Variant[]): Promise<Map<Variant, number>> {
  const best = new Map<Variant, number>();
  for (let round = 0; round < 3; round++) {
    for (const v of variants) {
      const before = best.get(v) ?? 0;
      // Repeat what is quick until the time of a submission no longer counts.
      const times = before === 0 ? 1 : Math.min(64, Math.max(1, Math.round((before * 1e6 * 15) / v.amount)));
      best.set(v, Math.max(before, await rate(gpu, v, times)));
    }
  }
  return best;
}

function greatest(rates: Map<Variant, number>): [string, number] {
  const [v, r] = [...rates].reduce((a, b) => (b[1] > a[1] ? b : a));
  return [v.label, r];
}

/** Amount per nanosecond. */
async function rate(gpu: Gpu, v: Variant, times: number): Promise<number> {
  return (v.amount * times) / (await timed(gpu, () => v.enqueue(times))) / 1e6;
}

/** Milliseconds from here to the end of what is enqueued. */
async function timed(gpu: Gpu, body: () => void): Promise<number> {
  await gpu.idle();
  const before = performance.now();
  body();
  await gpu.idle();
  return performance.now() - before;
}
