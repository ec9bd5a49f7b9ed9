import { Command, Option } from 'commander';
import { ArgumentError, DeviceLostError, GpuError, UnsupportedError } from '../core/errors.ts';
import { checkOutputs, writeFiles } from '../core/formats/files.ts';
import type { Contract, Operator } from '../core/ops/contract.ts';
import { invoke } from '../core/ops/index.ts';
import { plans } from '../core/plans.ts';
import { show, type Tensor } from '../core/tensor.ts';
import * as ref from '../ref/index.ts';
import { print } from './frame.ts';
import { contractOf } from './names.ts';
import { readOptions } from './options.ts';
import { outputFiles, planOutputs, readInputs } from './tensors.ts';

interface OpOptions {
  readonly in?: readonly string[];
  readonly out?: readonly string[];
  readonly options: string;
  readonly twin: 'ref' | 'gpu';
  readonly adapter?: string;
  readonly json?: true;
}

/** `subvocab op`: run one operator, forward or backward, on tensors from files. */
export function opCommand(): Command {
  const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];
  return new Command('op')
    .description('run one operator on tensors from files')
    .argument('<name>', 'an operator of: subvocab ops')
    .option('--in <[name=]file>', 'inputs: a .safetensors file, or name=file.npy; repeat for more', collect)
    .option('--options <json>', 'options of the operator, such as \'{"axis": 1}\'', '{}')
    .addOption(
      new Option('--twin <twin>', 'which implementation runs').choices(['ref', 'gpu']).default('ref'),
    )
    .option(
      '--out <[name=]file>',
      'where results go: .safetensors, or name=file.npy; repeat for more',
      collect,
    )
    .option('--adapter <text>', 'part of the name of the GPU adapter to use')
    .option('--json', 'print what was written: names, dtypes, shapes')
    .action(runOp);
}

async function runOp(name: string, given: OpOptions): Promise<void> {
  const contract = contractOf('op', name);
  if (given.out === undefined) throw new ArgumentError('op', 'say where the results go: --out FILE');
  const outputs = planOutputs('op', contract, given.out);
  checkOutputs(
    'op',
    outputs.map((o) => o.path),
  );
  if (given.adapter !== undefined && given.twin === 'ref') {
    throw new ArgumentError('op', '--adapter chooses a GPU; add --twin gpu');
  }
  const options = readOptions('op', contract, given.options);
  const accepted =
    given.twin === 'gpu' ? (['f32', 'i32', 'u32'] as const) : (['f32', 'f64', 'i32', 'u32'] as const);
  const inputs = readInputs('op', contract, given.in ?? [], accepted);
  invoke(plans[contract.name as keyof typeof plans] as Operator, contract, inputs, options);

  const results =
    given.twin === 'gpu'
      ? await onGpu(contract, inputs, options, given.adapter)
      : onRef(contract, inputs, options);
  await writeFiles('op', outputFiles('op', outputs, results));
  if (given.json) {
    const written = Object.entries(results).map(([key, { dtype, shape }]) => ({ name: key, dtype, shape }));
    print(
      JSON.stringify({ op: name, twin: given.twin, outputs: written, files: outputs.map((o) => o.path) }),
    );
  }
}

function onRef(contract: Contract, inputs: Record<string, Tensor>, options: object): Record<string, Tensor> {
  const operator = (ref as unknown as Record<string, Operator>)[contract.name]!;
  return invoke(operator, contract, inputs, { ...options });
}

async function onGpu(
  contract: Contract,
  inputs: Record<string, Tensor>,
  options: object,
  adapter: string | undefined,
): Promise<Record<string, Tensor>> {
  // Loads Dawn: only where a GPU is asked for.
  const { openGpu } = await import('../gpu/index.ts');
  await using gpu = await openGpu(adapter === undefined ? {} : { adapter });
  try {
    const lifted = Object.entries(inputs).map(([key, t]) => [key, gpu.upload(t)] as const);
    const operator = gpu.ops[contract.name as keyof typeof gpu.ops] as unknown as Operator;
    const made = invoke(operator, contract, Object.fromEntries(lifted), { ...options });
    const read = Object.entries(made).map(async ([key, t]) => [key, await t.read()] as const);
    return Object.fromEntries(await Promise.all(read));
  } catch (error) {
    // From here on the call itself is good: what the adapter refuses, it refuses for its size.
    if (!failures.some((kind) => error instanceof kind)) throw error;
    const sizes = Object.entries(inputs).map(([key, t]) => `${key} ${t.dtype}${show(t.shape)}`);
    const what = [contract.name, ...sizes, JSON.stringify(options)].join(' ');
    // Dawn adds where in its own source code it noticed.
    const reason = (error as Error).message.replaceAll(/\s+at \w+ \([^()]*:\d+\)/g, '');
    throw new GpuError('op', `${reason} (while running ${what} on "${gpu.choice.chosen.name}")`, {
      cause: error,
    });
  }
}

const failures = [GpuError, DeviceLostError, UnsupportedError];
