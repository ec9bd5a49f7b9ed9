import { judge } from '../../src/core/bounds/index.ts';
import { failure, type Verdict, worstOf } from '../../src/core/bounds.ts';
import type { Operator } from '../../src/core/ops/contract.ts';
import { contracts, invoke } from '../../src/core/ops/index.ts';
import type { Tensor } from '../../src/core/tensor.ts';
import type { Gpu, GpuTensor } from '../../src/gpu/index.ts';
import * as ref from '../../src/ref/index.ts';
import type { Benchmark, PeerWork } from './benchmark.ts';
import type { Participant } from './participant.ts';
import type { Peer } from './work.ts';

/** The benchmark's inputs, and what the reference makes of them. */
export interface Task {
  readonly benchmark: Benchmark;
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** What has to come out: of all, or of the sample. */
  readonly want: Readonly<Record<string, Tensor>>;
  readonly sampleInputs: Readonly<Record<string, Tensor>>;
  /** One run of the reference on `sampleInputs`. */
  readonly refMs: number;
}

const contractOf = (op: string) => {
  const contract = contracts.find((c) => c.name === op);
  if (contract === undefined) throw new Error(`there is no operator ${op}`);
  return contract;
};

/** Make the inputs, and the answers by the reference twin. */
export function makeTask(benchmark: Benchmark): Task {
  const inputs = benchmark.inputs();
  const sampleInputs = benchmark.sample?.inputs(inputs) ?? inputs;
  const before = performance.now();
  const want = callReference(benchmark, sampleInputs);
  return { benchmark, inputs, want, sampleInputs, refMs: performance.now() - before };
}

function callReference(b: Benchmark, inputs: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
  const operator = (ref as unknown as Record<string, Operator>)[b.op]!;
  return invoke(operator, contractOf(b.op), inputs, b.options ?? {});
}

/** Judge outputs by the contract's names; those that are not there are not compared, but one must be. */
function judgeOutputs(task: Task, all: Readonly<Record<string, Tensor>>): Verdict {
  const { benchmark, want, sampleInputs } = task;
  const got = benchmark.sample?.outputs(all) ?? all;
  const wanted = Object.fromEntries(Object.entries(want).filter(([name]) => got[name] !== undefined));
  if (Object.keys(wanted).length === 0) return failure('none of the wanted outputs is there');
  const call = {
    inputs: sampleInputs,
    options: benchmark.options ?? {},
    want: wanted,
    got,
    noise: ref.gumbelNoise,
  };
  return worstOf(Object.values(judge(benchmark.op, call)));
}

async function readAll(outputs: Readonly<Record<string, GpuTensor>>): Promise<Record<string, Tensor>> {
  const read: Record<string, Tensor> = {};
  for (const [name, t] of Object.entries(outputs)) read[name] = await t.read();
  return read;
}

/** A kernel of ours or a naive one: the same inputs on the GPU, timed from the host and by the GPU's clock. */
function onGpu(
  gpu: Gpu,
  task: Task,
  lifted: Readonly<Record<string, GpuTensor>>,
  about: Pick<Participant, 'name' | 'role'>,
  call: () => Record<string, GpuTensor>,
  check: (outputs: Record<string, Tensor>) => Verdict = (outputs) => judgeOutputs(task, outputs),
  quality?: (outputs: Record<string, Tensor>) => Record<string, number>,
): Participant {
  let last: Record<string, GpuTensor> = {};
  const drop = (): void => {
    for (const t of Object.values(last)) t[Symbol.dispose]();
    last = {};
  };
  const withClock = gpu.device.features.has('timestamp-query');
  return {
    ...about,
    version: '',
    kind: 'webgpu',
    async run() {
      drop();
      last = call();
      await gpu.idle();
    },
    ...(withClock
      ? {
          async gpuMs() {
            drop();
            const { result, times } = await gpu.profile(call);
            last = result;
            return times.reduce((sum, t) => sum + t.ns, 0) / 1e6;
          },
        }
      : {}),
    async verdict() {
      return check(await readAll(last));
    },
    ...(quality === undefined ? {} : { quality: async () => quality(await readAll(last)) }),
    dispose() {
      drop();
      for (const t of Object.values(lifted)) t[Symbol.dispose]();
    },
  };
}

function lift(gpu: Gpu, task: Task): Record<string, GpuTensor> {
  return Object.fromEntries(Object.entries(task.inputs).map(([name, t]) => [name, gpu.upload(t)]));
}

/** Our kernel. */
export function ours(gpu: Gpu, task: Task): Participant {
  const { benchmark: b } = task;
  const operator = (gpu.ops as unknown as Record<string, Operator>)[b.op]!;
  const lifted = lift(gpu, task);
  const about = { name: 'subvocab', role: 'ours' } as const;
  const call = () => invoke(operator, contractOf(b.op), lifted, b.options ?? {});
  return onGpu(gpu, task, lifted, about, call, undefined, b.quality?.bind(b));
}

/** The naive kernel, if the benchmark has one. */
export function naive(gpu: Gpu, task: Task): Participant | undefined {
  const { benchmark: b } = task;
  if (b.naive === undefined) return undefined;
  const make = b.naive.bind(b);
  const lifted = lift(gpu, task);
  const about = { name: 'naive kernel', role: 'naive' } as const;
  return onGpu(gpu, task, lifted, about, () => make(gpu, lifted), b.naiveCheck?.bind(b));
}

/** Our reference, on the CPU. */
export function reference(task: Task): Participant {
  let last: Record<string, Tensor> = {};
  return {
    name: 'subvocab reference',
    version: '',
    role: 'reference',
    kind: 'cpu',
    async run() {
      last = callReference(task.benchmark, task.inputs);
    },
    async verdict() {
      return judgeOutputs(task, last);
    },
    ...(task.benchmark.quality === undefined ? {} : { quality: async () => task.benchmark.quality!(last) }),
    dispose() {},
  };
}

/** A peer, prepared; `undefined` when it cannot do the work. */
export async function peerParticipant(task: Task, peer: Peer, p: PeerWork): Promise<Participant | undefined> {
  const prepared = await peer.prepare(p.work());
  if (prepared === null) return undefined;
  return {
    name: peer.name,
    version: peer.version,
    role: 'peer',
    kind: peer.kind,
    ...(prepared.note === undefined ? {} : { note: prepared.note }),
    ...(p.standIn === undefined ? {} : { standIn: p.standIn }),
    run: () => prepared.run(),
    async verdict() {
      const result = await prepared.read();
      if (p.check !== undefined) return p.check(result, task.want);
      return judgeOutputs(task, p.outputs!(result));
    },
    dispose: () => prepared.dispose(),
  };
}
