import { cases } from '../src/verify/gatherRows.ts';
import { type Benchmark, naiveFolder, type Tier } from './support/benchmark.ts';

/** Two sub-vocabularies of the seed's size, forward and backward; naive: one invocation per row. */
export function benchmarks(_tier: Tier): Benchmark[] {
  return cases
    .filter((c) => c.bytes !== undefined)
    .map((c) => ({
      op: c.op,
      shape: c.shape,
      inputs: () => c.inputs(),
      options: c.options ?? {},
      bytes: c.bytes!,
      ...(c.op === 'gatherRows' ? { naive: plain } : {}),
    }));
}

const plain: NonNullable<Benchmark['naive']> = (gpu, { table, ids }) => {
  const width = table!.shape.at(-1)!;
  const y = gpu.empty('f32', [...ids!.shape, width]);
  gpu.dispatch({
    file: `${naiveFolder}/subVocab.wgsl`,
    entry: 'gatherRows',
    params: [ids!.size, width, 0, 0],
    reads: [table!, ids!],
    writes: [y],
    groups: gpu.grid(Math.ceil(ids!.size / 64)),
  });
  return { y };
};
