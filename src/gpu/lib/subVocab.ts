import type { SubVocabHeadPlan } from '../../core/ops/subVocabHead.ts';
import { gatherRows } from '../gatherRows.ts';
import { multiply } from '../matmul.ts';
import type { Gpu } from '../runtime/gpu.ts';
import type { GpuTensor } from '../runtime/gpuTensor.ts';
import { scatterRows } from './scatterRows.ts';
import { groupsFor, lanes } from './sort.ts';

/** Words first ..< first + columns of every sub-vocabulary, and what belongs to them. */
export interface WordChunk {
  readonly first: number;
  readonly columns: number;
  /** i32 [rows, columns] */
  readonly words: GpuTensor;
  /** Their rows of the table: f32 [rows, columns, width]. */
  readonly gathered: GpuTensor;
}

/** Work through the words of the sub-vocabularies chunk by chunk; what is made in a step is disposed after it. */
export function forChunks(
  gpu: Gpu,
  { rows, k, chunk }: SubVocabHeadPlan,
  table: GpuTensor,
  words: GpuTensor,
  body: (chunk: WordChunk) => void,
): void {
  for (let first = 0; first < k; first += chunk) {
    const columns = Math.min(chunk, k - first);
    gpu.run('chunk', [table, words], () => {
      const own = columns === k ? words.reshape([rows, k]) : gpu.empty('i32', [rows, columns]);
      if (columns !== k) {
        gpu.dispatch({
          file: 'lib/subVocab.wgsl',
          entry: 'takeColumns',
          constants: lanes(gpu).constants,
          params: [rows, k, first, columns],
          reads: [words],
          writes: [own],
          groups: groupsFor(gpu, rows * columns),
        });
      }
      body({ first, columns, words: own, gathered: gatherRows(gpu, table, own) });
    });
  }
}

/** The logits of a chunk, x times its rows transposed: f32 [rows, tokens, columns]. */
export function chunkLogits(
  gpu: Gpu,
  { rows, tokens, width }: SubVocabHeadPlan,
  x: GpuTensor,
  { columns, gathered }: WordChunk,
): GpuTensor {
  const y = gpu.empty('f32', [rows, tokens, columns]);
  multiply(gpu, {
    ...batched(rows),
    m: tokens,
    n: columns,
    k: width,
    a: { tensor: x, items: rows, outer: width, step: 1 },
    b: { tensor: gathered, items: rows, outer: width, step: 1 },
    y,
  });
  return y;
}

/** Add what the gradient g [rows, tokens, columns] of a chunk's logits gives to dx and dTable; both hold numbers already. */
export function chunkGradients(
  gpu: Gpu,
  { rows, tokens, width }: SubVocabHeadPlan,
  x: GpuTensor,
  g: GpuTensor,
  { columns, words, gathered }: WordChunk,
  dx: GpuTensor,
  dTable: GpuTensor,
): void {
  multiply(gpu, {
    ...batched(rows),
    m: tokens,
    n: width,
    k: columns,
    a: { tensor: g, items: rows, outer: columns, step: 1 },
    b: { tensor: gathered, items: rows, outer: 1, step: width },
    y: dx,
    accumulate: true,
  });
  const dGathered = gpu.empty('f32', [rows, columns, width]);
  multiply(gpu, {
    ...batched(rows),
    m: columns,
    n: width,
    k: tokens,
    a: { tensor: g, items: rows, outer: 1, step: columns },
    b: { tensor: x, items: rows, outer: 1, step: width },
    y: dGathered,
  });
  scatterRows(gpu, dGathered, words, dTable, width);
}

function batched(rows: number) {
  return { batch: rows, groups: [{ size: rows, a: 1, b: 1 }] };
}
