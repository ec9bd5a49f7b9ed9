import type { Verdict } from '../../src/core/bounds.ts';
import type { Tensor } from '../../src/core/tensor.ts';
import type { Gpu, GpuTensor } from '../../src/gpu/index.ts';
import type { Participant } from './participant.ts';
import type { Result, Work } from './work.ts';

/**
 * How much to do. `full`: the sizes that are compared, for GPUs and fast software drivers. `small`: the same work where
 * it ends in seconds on a slow one. `cpu`: for the reference twins against the peers' CPU backends.
 */
export type Tier = 'full' | 'small' | 'cpu';

/** One row of the comparison: a call of an operator, and what others do for the same work. */
export interface Benchmark {
  /** The contract's name. */
  readonly op: string;
  /** What is special about it, in a few words; '' for the plain case. */
  readonly label?: string;
  /** The main sizes, for the table: `[256, 2048, 64] axis 1`. */
  readonly shape: string;
  /** Inputs by the contract's names, from a fixed seed. */
  inputs(): Record<string, Tensor>;
  readonly options?: Readonly<Record<string, unknown>>;
  /** Least bytes that must move to and from memory. */
  readonly bytes?: number;
  /** Arithmetic operations; a multiply-add counts two. */
  readonly flops?: number;
  /** How many times as fast as the fastest peer it was expected to be, written before it was measured, and why. */
  readonly prediction?: { readonly ratio: number; readonly why: string };
  /** How many times as fast as the fastest peer on the same adapter it has to be. @defaultValue 1 */
  readonly target?: number;
  /** Where the whole reference takes too long: the same call on a part of the inputs, and that part of the outputs. */
  readonly sample?: {
    inputs(all: Readonly<Record<string, Tensor>>): Record<string, Tensor>;
    outputs(all: Readonly<Record<string, Tensor>>): Record<string, Tensor>;
  };
  /** Figures of its own that say how good ours is, such as the recall of a search. */
  quality?(outputs: Readonly<Record<string, Tensor>>): Record<string, number>;
  /** The plainest kernel for the work, from bench/naive: returns outputs by the contract's names (any of them). */
  naive?(gpu: Gpu, inputs: Readonly<Record<string, GpuTensor>>): Record<string, GpuTensor>;
  /** How its outputs are judged, where they are not those of the operator. */
  naiveCheck?(outputs: Readonly<Record<string, Tensor>>): Verdict;
  readonly peers?: readonly PeerWork[];
  /** A whole model in place of an operator: what must come out, and who does it on the GPU. */
  readonly model?: {
    want(): Promise<Record<string, Tensor>>;
    ours(gpu: Gpu, want: Readonly<Record<string, Tensor>>): Promise<Participant>;
  };
}

/** What peers do for a benchmark, and how their results are judged. */
export interface PeerWork {
  work(): Work;
  /** Says what is different, where peers cannot do the same work but only some of like cost. */
  readonly standIn?: string;
  /** The results by the contract's names, to be judged like ours (names that are left out are not compared). */
  outputs?(r: Result): Record<string, Tensor>;
  /** Or a judgement of its own. `want` is what the reference gave. */
  check?(r: Result, want: Readonly<Record<string, Tensor>>): Verdict;
  /** A smaller work that costs `times` times less, tried first: a peer that would take minutes is left out, and said so. */
  readonly probe?: { work(): Work; readonly times: number };
}

/** What each `bench/X.bench.ts` exports. */
export interface BenchFile {
  benchmarks(tier: Tier): Benchmark[];
}

/** The folder of naive kernels, as `Gpu.dispatch` wants it: relative to src/gpu. */
export const naiveFolder = '../../bench/naive';
