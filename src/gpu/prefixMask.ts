import {
  type PrefixMaskOptions,
  type PrefixMaskPlan,
  planPrefixMask,
  planPrefixMaskBackward,
  planPrefixMaskRange,
} from '../core/ops/prefixMask.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { elementwise } from './runtime/elementwise.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'prefixMask.wgsl';
const minusInfinity = 0xff800000;

/** The kernel twin of `ref.prefixMask`. The bytes of the words must fit one binding. */
export function prefixMask(
  gpu: Gpu,
  logits: GpuTensor,
  words: GpuTensor,
  offsets: GpuTensor,
  prefixes: GpuTensor,
  prefixOffsets: GpuTensor,
  options: PrefixMaskOptions = {},
): GpuTensor {
  const plan = planPrefixMask(logits, words, offsets, prefixes, prefixOffsets, options);
  const strings = [words, offsets, prefixes, prefixOffsets];
  return keep(gpu, 'prefixMask', plan, logits, strings, minusInfinity);
}

/** The kernel twin of `ref.prefixMaskBackward`. */
export function prefixMaskBackward(
  gpu: Gpu,
  dy: GpuTensor,
  words: GpuTensor,
  offsets: GpuTensor,
  prefixes: GpuTensor,
  prefixOffsets: GpuTensor,
  options: PrefixMaskOptions = {},
): GpuTensor {
  const plan = planPrefixMaskBackward(dy, words, offsets, prefixes, prefixOffsets, options);
  return keep(gpu, 'prefixMaskBackward', plan, dy, [words, offsets, prefixes, prefixOffsets], 0);
}

/** The kernel twin of `ref.prefixMaskRange`. */
export function prefixMaskRange(
  gpu: Gpu,
  words: GpuTensor,
  offsets: GpuTensor,
  prefixes: GpuTensor,
  prefixOffsets: GpuTensor,
): Outputs<{ first: GpuTensor; end: GpuTensor }> {
  const plan = planPrefixMaskRange(words, offsets, prefixes, prefixOffsets);
  const reads = [words, offsets, prefixes, prefixOffsets];
  return gpu.run('prefixMaskRange', reads, () => {
    const first = gpu.empty('i32', [plan.prefixes]);
    const end = gpu.empty('i32', [plan.prefixes]);
    const size = gpu.family === 'gpu' ? 64 : 4;
    gpu.dispatch({
      file,
      entry: 'prefixMaskRange',
      constants: { WORKGROUP_SIZE: size },
      params: [plan.prefixes, plan.words, 0, 0, 0],
      reads,
      writes: [first, end],
      groups: gpu.grid(Math.ceil(plan.prefixes / size)),
    });
    return outputs({ first, end });
  });
}

/** Copy the values of allowed words and replace the others, window after window. */
function keep(
  gpu: Gpu,
  op: string,
  plan: PrefixMaskPlan,
  values: GpuTensor,
  strings: GpuTensor[],
  excluded: number,
): GpuTensor {
  return gpu.run(op, [values, ...strings], () => {
    const kept = gpu.empty('f32', values.shape);
    const most = Math.floor(gpu.maxBindingBytes / 256) * 64;
    for (let offset = 0; offset < values.size; offset += most) {
      const length = Math.min(most, values.size - offset);
      gpu.dispatch({
        file,
        entry: 'prefixMask',
        ...elementwise(gpu, length),
        params: [length, plan.words, plan.covers ? 1 : 0, excluded, offset],
        reads: [...strings, { tensor: values, offset, length }],
        writes: [{ tensor: kept, offset, length }],
      });
    }
    return kept;
  });
}
