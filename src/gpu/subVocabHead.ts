import {
  planSubVocabHead,
  planSubVocabHeadBackward,
  type SubVocabHeadOptions,
  type SubVocabHeadPlan,
} from '../core/ops/subVocabHead.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { groupsFor, lanes } from './lib/sort.ts';
import { chunkGradients, chunkLogits, forChunks, type WordChunk } from './lib/subVocab.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.subVocabHead`; a word outside of [-1, N) gives NaN. */
export function subVocabHead(
  gpu: Gpu,
  x: GpuTensor,
  table: GpuTensor,
  words: GpuTensor,
  options: SubVocabHeadOptions = {},
): GpuTensor {
  const plan = planSubVocabHead(x, table, words, options);
  return gpu.run('subVocabHead', [x, table, words], () => {
    const logits = gpu.empty('f32', [...plan.tokenShape, plan.k]);
    forChunks(gpu, plan, table, words, (chunk) => {
      move(gpu, 'headPut', plan, chunk, chunkLogits(gpu, plan, x, chunk), logits);
    });
    return logits;
  });
}

/** The kernel twin of `ref.subVocabHeadBackward`. */
export function subVocabHeadBackward(
  gpu: Gpu,
  dLogits: GpuTensor,
  x: GpuTensor,
  table: GpuTensor,
  words: GpuTensor,
  options: SubVocabHeadOptions = {},
): Outputs<{ dx: GpuTensor; dTable: GpuTensor }> {
  const plan = planSubVocabHeadBackward(dLogits, x, table, words, options);
  return gpu.run('subVocabHeadBackward', [dLogits, x, table, words], () => {
    const dx = gpu.zeros('f32', x.shape);
    const dTable = gpu.zeros('f32', table.shape);
    if (x.size === 0) return outputs({ dx, dTable });
    forChunks(gpu, plan, table, words, (chunk) => {
      const g = gpu.empty('f32', [plan.rows, plan.tokens, chunk.columns]);
      move(gpu, 'headTake', plan, chunk, dLogits, g);
      chunkGradients(gpu, plan, x, g, chunk, dx, dTable);
    });
    return outputs({ dx, dTable });
  });
}

/** Between logits of a chunk and those of all words, in the direction that the entry point says. */
function move(
  gpu: Gpu,
  entry: 'headPut' | 'headTake',
  { rows, tokens, k }: SubVocabHeadPlan,
  { first, columns, words }: WordChunk,
  from: GpuTensor,
  to: GpuTensor,
): void {
  gpu.dispatch({
    file: 'subVocabHead.wgsl',
    entry,
    constants: lanes(gpu).constants,
    params: [rows, tokens, k, first, columns],
    reads: [words, from],
    writes: [to],
    groups: groupsFor(gpu, rows * tokens * columns),
  });
}
