import type { Verdict } from '../../src/core/bounds.ts';

/** Whoever takes part in a benchmark. */
export interface Participant {
  readonly name: string;
  readonly version: string;
  readonly role: 'ours' | 'naive' | 'peer' | 'reference';
  readonly kind: 'webgpu' | 'wasm' | 'cpu' | 'native';
  readonly note?: string;
  readonly standIn?: string;
  /** Do the work once and wait for it. */
  run(): Promise<void>;
  /** The same by the GPU's clock: milliseconds of all dispatches. */
  gpuMs?(): Promise<number>;
  /** Judge the results of the last run. */
  verdict(): Promise<Verdict>;
  /** Ours: figures about the results of the last run, if the benchmark has any. */
  quality?(): Promise<Record<string, number>>;
  dispose(): Promise<void> | void;
}
