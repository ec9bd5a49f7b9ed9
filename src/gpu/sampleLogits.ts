import {
  planSampleLogits,
  type SampleLogitsOptions,
  type SampleLogitsPlan,
} from '../core/ops/sampleLogits.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import type { Binding, Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.sampleLogits`; the contract is `Ops.sampleLogits`. */
export function sampleLogits(
  gpu: Gpu,
  logits: GpuTensor,
  options: SampleLogitsOptions = {},
): Outputs<{ ids: GpuTensor; logProbs: GpuTensor }> {
  const plan = planSampleLogits(logits, options);
  return gpu.run('sampleLogits', [logits], () => {
    const ids = gpu.empty('i32', plan.shape);
    const logProbs = gpu.empty('f32', plan.shape);
    const most = rowsPerBinding(gpu, plan);
    for (let row = 0; row < plan.rows; row += most) {
      const rows = Math.min(most, plan.rows - row);
      const window = (tensor: GpuTensor, width: number): Binding => ({
        tensor,
        offset: row * width,
        length: rows * width,
      });
      draw(gpu, plan, options, {
        row,
        rows,
        logits: window(logits, plan.words),
        ids: window(ids, 1),
        logProbs: window(logProbs, 1),
      });
    }
    return outputs({ ids, logProbs });
  });
}

/** Rows that fit one binding, in steps of 64: windows begin at multiples of 256 bytes. A row has 128 sums beside it. */
function rowsPerBinding(gpu: Gpu, { rows, words }: SampleLogitsPlan): number {
  const fit = Math.floor(gpu.maxBindingBytes / 4 / Math.max(words, 128));
  // Rows that do not fit at all are refused by the dispatch, which knows how to say so.
  return rows <= fit ? rows : Math.max(Math.floor(fit / 64) * 64, 64);
}

interface Window {
  readonly row: number;
  readonly rows: number;
  readonly logits: Binding;
  readonly ids: Binding;
  readonly logProbs: Binding;
}

function draw(gpu: Gpu, plan: SampleLogitsPlan, { key = [0, 0] }: SampleLogitsOptions, w: Window): void {
  const { words, temperature, topK, topP } = plan;
  const { row, rows, logits } = w;
  const onGpu = gpu.family === 'gpu';
  // Enough parts to fill the machine, not so short that putting them together is the work.
  const shortest = onGpu ? 64 : 256;
  const wanted = Math.ceil((onGpu ? 65536 : 128) / rows);
  const chunk = Math.ceil(words / Math.max(1, Math.min(Math.ceil(words / shortest), wanted, 2048)));
  const parts = Math.ceil(words / chunk);
  const workgroup = onGpu ? 64 : 8;
  const base = row * words;
  const run = (entry: string, items: number, reads: Binding[], writes: Binding[], level = 0): void =>
    gpu.dispatch({
      file: 'sampleLogits.wgsl',
      entry,
      constants: { WORKGROUP_SIZE: workgroup },
      params: [
        rows,
        words,
        parts,
        chunk,
        level,
        topK ?? 0,
        // A number of f32 above 0, since 0 means that there is no limit.
        { f32: topP === undefined ? 0 : Math.max(topP, 2 ** -126) },
        { f32: temperature === 0 ? 0 : 1 / temperature },
        { f32: 100 * temperature },
        Math.floor(base / 2 ** 32),
        base >>> 0,
        key[0],
        key[1],
      ],
      reads,
      writes,
      groups: gpu.grid(Math.ceil(items / workgroup)),
    });
  const all = rows * parts;
  const stats = gpu.empty('u32', [all, 4]);
  const summary = gpu.empty('u32', [rows, 4]);
  run('sampleStats', all, [logits], [stats]);
  run('sampleSummary', rows, [stats], [summary]);
  let best = stats;
  if (temperature > 0) {
    best = gpu.empty('u32', [all, 2]);
    // What is absent is stood in for by the summary, which no branch then reads.
    let cutK = summary;
    let cutP = summary;
    if (topK !== undefined) {
      const ladder = gpu.empty('u32', [all, 16]);
      const sums = gpu.empty('u32', [8, rows, 16]);
      for (let level = 0; level < 8; level++) {
        run('sampleCounts', all, [logits, sums], [ladder], level);
        run('sampleCountSums', rows * 16, [ladder], [sums], level);
      }
      cutK = gpu.empty('u32', [all, 4]);
      run('sampleCountTies', all, [logits, sums], [cutK]);
      run('sampleCountCut', rows, [], [cutK]);
    }
    if (topP !== undefined) {
      const ladder = gpu.empty('f32', [all, 16]);
      const sums = gpu.empty('f32', [8, rows, 16]);
      for (let level = 0; level < 8; level++) {
        run('sampleMasses', all, [logits, summary, cutK, sums], [ladder], level);
        run('sampleMassSums', rows * 16, [ladder], [sums], level);
      }
      cutP = gpu.empty('u32', [all, 4]);
      run('sampleMassTies', all, [logits, summary, cutK, sums], [cutP]);
      run('sampleMassCut', rows, [summary, sums], [cutP]);
    }
    run('sampleDraw', all, [logits, summary, cutK, cutP], [best]);
  }
  run('sampleChoose', rows, [logits, summary, best], [w.ids, w.logProbs]);
}
