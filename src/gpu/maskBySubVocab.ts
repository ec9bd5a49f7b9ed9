import {
  type MaskBySubVocabPlan,
  planMaskBySubVocab,
  planMaskBySubVocabBackward,
} from '../core/ops/maskBySubVocab.ts';
import { groupsFor, lanes } from './lib/sort.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'maskBySubVocab.wgsl';

/** The kernel twin of `ref.maskBySubVocab`; a word of N or more is left out. */
export function maskBySubVocab(gpu: Gpu, logits: GpuTensor, words: GpuTensor): GpuTensor {
  const plan = planMaskBySubVocab(logits, words);
  return gpu.run('maskBySubVocab', [logits, words], () => keep(gpu, plan, logits, words, 0xff800000));
}

/** The kernel twin of `ref.maskBySubVocabBackward`. */
export function maskBySubVocabBackward(gpu: Gpu, dy: GpuTensor, words: GpuTensor): GpuTensor {
  const plan = planMaskBySubVocabBackward(dy, words);
  return gpu.run('maskBySubVocabBackward', [dy, words], () => keep(gpu, plan, dy, words, 0));
}

function keep(
  gpu: Gpu,
  { rows, tokens, length, k }: MaskBySubVocabPlan,
  from: GpuTensor,
  words: GpuTensor,
  outside: number,
): GpuTensor {
  const flags = gpu.zeros('u32', [rows, Math.ceil(length / 32)]);
  const params = [rows, tokens, length, k, outside];
  gpu.dispatch({
    file,
    entry: 'maskFlags',
    constants: lanes(gpu).constants,
    params,
    reads: [words],
    writes: [flags],
    groups: groupsFor(gpu, rows * k),
  });
  const out = gpu.empty('f32', from.shape);
  const [workgroup, per] = gpu.family === 'gpu' ? [64, 4] : [16, 16];
  gpu.dispatch({
    file,
    entry: 'maskApply',
    constants: { WORKGROUP_SIZE: workgroup, PER: per },
    params,
    reads: [from, flags],
    writes: [out],
    groups: gpu.grid(rows * tokens * Math.ceil(length / (workgroup * per))),
  });
  return out;
}
