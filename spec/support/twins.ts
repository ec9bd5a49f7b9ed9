import { expect } from 'vitest';
import { judge } from '../../src/core/bounds/index.ts';
import { type Verdict, worstOf } from '../../src/core/bounds.ts';
import type { Contract, Operator } from '../../src/core/ops/contract.ts';
import { contracts, invoke } from '../../src/core/ops/index.ts';
import type { Tensor } from '../../src/core/tensor.ts';
import type { Gpu, GpuTensor } from '../../src/gpu/index.ts';
import * as ref from '../../src/ref/index.ts';

type Named = Readonly<Record<string, Tensor | undefined>>;
type Options = Readonly<Record<string, unknown>>;

/** The contract of an operator. */
export function contractOf(op: string): Contract {
  const found = contracts.find((c) => c.name === op);
  if (found === undefined) throw new Error(`there is no contract ${op}`);
  return found;
}

/** Run an operator on the reference by names. */
export function runRef(op: string, inputs: Named, options: Options = {}): Record<string, Tensor> {
  return invoke((ref as unknown as Record<string, Operator>)[op]!, contractOf(op), inputs, options);
}

/** Run an operator on the GPU by names: upload, call, read, dispose. */
export async function runGpu(
  gpu: Gpu,
  op: string,
  inputs: Named,
  options: Options = {},
): Promise<Record<string, Tensor>> {
  const lifted: Record<string, GpuTensor> = {};
  let made: Record<string, GpuTensor> = {};
  try {
    for (const [name, t] of Object.entries(inputs)) if (t !== undefined) lifted[name] = gpu.upload(t);
    made = invoke(
      gpu.ops[op as keyof typeof gpu.ops] as unknown as Operator,
      contractOf(op),
      lifted,
      options,
    );
    const read = await Promise.all(
      Object.entries(made).map(async ([name, t]) => [name, await t.read()] as const),
    );
    return Object.fromEntries(read);
  } finally {
    for (const t of [...Object.values(lifted), ...Object.values(made)]) t[Symbol.dispose]();
  }
}

/** Run both twins and compare every output by the operator's own rule. */
export async function compareTwins(
  gpu: Gpu,
  op: string,
  inputs: Named,
  options: Options = {},
): Promise<Verdict> {
  const want = runRef(op, inputs, options);
  const got = await runGpu(gpu, op, inputs, options);
  return worstOf(Object.values(judge(op, { inputs, options, want, got, noise: ref.gumbelNoise })));
}

/** Demand that the twins agree. SUSPECT does not pass either: both software drivers round to nearest. */
export async function expectTwins(gpu: Gpu, op: string, inputs: Named, options: Options = {}): Promise<void> {
  const v = await compareTwins(gpu, op, inputs, options);
  expect(v.verdict, v.message).toBe('PASS');
}

/** Demand that the same inputs give the same bits twice. */
export async function expectSameBits(
  gpu: Gpu,
  op: string,
  inputs: Named,
  options: Options = {},
): Promise<void> {
  const bits = (r: Record<string, Tensor>) =>
    Object.fromEntries(
      Object.entries(r).map(([k, t]) => [k, new Uint32Array(t.data.buffer, t.data.byteOffset, t.size)]),
    );
  const first = bits(await runGpu(gpu, op, inputs, options));
  const second = bits(await runGpu(gpu, op, inputs, options));
  expect(second).toEqual(first);
}
