import type { Gpu } from '../runtime/gpu.ts';
import type { GpuTensor } from '../runtime/gpuTensor.ts';
import { topK } from '../topK.ts';
import { type Rows, rowWindows } from './rows.ts';
import { emptyOne, groupsFor, lanes, scan } from './sort.ts';

const file = 'hierarchicalAnn.emit.wgsl';
const bins = 2048;

/** How many rows are looked at for a threshold, and how many places are kept for what reaches it. */
export interface EmitPlan {
  readonly samples: number;
  readonly stride: number;
  /** The place in the sample that is surely behind the k-th of all rows. */
  readonly rank: number;
  readonly capacity: number;
}

/**
 * A plan to select k of n rows by emission, or undefined where it would save nothing. The sample is spread evenly over all rows,
 * so it holds k samples / n of the k best, give or take the square root: four deviations further on all of them are above the
 * threshold, and once in ten thousand queries they are not, which costs time.
 */
export function planEmit(n: number, k: number, maxWords: number): EmitPlan | undefined {
  if (k === 0) return undefined;
  const stride = Math.max(Math.floor(n / 8192), 8);
  const samples = Math.floor(n / stride);
  const expected = (k * samples) / n;
  const rank = Math.ceil(expected + 4 * Math.sqrt(expected) + 3);
  const capacity = Math.ceil((rank + 4 * Math.sqrt(rank) + 8) * (n / samples));
  const words = 1 + bins + Math.ceil(n / 32) + 2 * capacity;
  return capacity <= n / 4 && words <= maxWords ? { samples, stride, rank, capacity } : undefined;
}

/** Words of scratch per query. */
export function emitWords(n: number, { capacity }: EmitPlan): number {
  return 1 + bins + Math.ceil(n / 32) + 2 * capacity;
}

/** What is searched: rows list after list, and which queries have opened which list. */
export interface EmitInput {
  readonly rows: Rows;
  readonly queries: Rows;
  readonly starts: GpuTensor;
  readonly masks: GpuTensor;
  readonly blocks: GpuTensor;
  readonly grid: GpuTensor;
  readonly ranks: GpuTensor;
  readonly scales: GpuTensor | undefined;
  readonly distance: boolean;
  readonly blockSize: number;
  readonly parents: number;
  readonly base: number;
  readonly size: number;
}

/** The k best rows of each query, which has opened at least k: indices are rows, [size, k]. */
export function emitBest(
  gpu: Gpu,
  { rows, queries, starts, masks, blocks, grid, ranks, scales, ...given }: EmitInput,
  k: number,
  sorted: boolean,
  plan: EmitPlan,
): { indices: GpuTensor; values: GpuTensor } {
  const { distance, blockSize, parents, base, size } = given;
  const { samples, stride, rank, capacity } = plan;
  const n = rows.rows;
  const constants = { ...lanes(gpu).constants, SCALED: scales ? 1 : 0 };
  const scoring = { ...constants, DISTANCE: distance ? 1 : 0 };
  const one = emptyOne(gpu);
  const params = (over: { first?: number; count?: number; mode?: number; level?: number } = {}): number[] => {
    const { first = 0, count = n, mode = 0, level = 0 } = over;
    const all = [parents, n, rows.width, size, first, count, base, k, mode, level, capacity];
    return [...all, samples, stride, rank];
  };
  const words = Math.ceil(n / 32);
  const windows = rowWindows(gpu, rows);

  const sample = gpu.empty('f32', [size, samples]);
  gpu.dispatch({
    file,
    entry: 'annNoSample',
    constants,
    params: params(),
    writes: [sample],
    groups: groupsFor(gpu, size * samples),
  });
  for (const { first, count, binding } of windows) {
    gpu.dispatch({
      file,
      entry: 'annSample',
      constants: scoring,
      params: params({ first, count }),
      reads: [binding, queries.tensor, starts, blocks, masks, scales ?? one],
      writes: [sample],
      groups: groupsFor(gpu, samples),
    });
  }
  const best = topK(gpu, sample, rank);
  const plans = gpu.empty('u32', [size, 4]);
  gpu.dispatch({
    file,
    entry: 'annGuess',
    constants,
    params: params(),
    reads: [best.values, scales ?? one],
    writes: [plans],
    groups: groupsFor(gpu, size),
  });

  const room = gpu.zeros('u32', [size * emitWords(n, plan)]);
  const emit = (mode: number, level: number, groups: GpuTensor): void => {
    for (const { first, count, binding } of windows) {
      gpu.dispatch({
        file,
        entry: 'annEmit',
        constants: { ...scoring, BLOCK: blockSize },
        params: params({ first, count, mode, level }),
        reads: [binding, queries.tensor, starts, blocks, masks, ranks, plans],
        writes: [room],
        groups: { indirect: groups },
      });
    }
  };
  emit(0, 0, grid);
  const again = gpu.empty('u32', [3]);
  const check = { file, constants, params: params(), reads: [grid] };
  gpu.dispatch({ ...check, entry: 'annCheck', writes: [plans, room, again], groups: [1] });
  const forget = { ...check, entry: 'annForget', writes: [plans, room] };
  gpu.dispatch({ ...forget, groups: { indirect: again } });
  for (let level = 0; level < 6; level++) {
    emit(1, level, again);
    const pick = { ...check, entry: 'annPick', params: params({ level }), writes: [plans, room] };
    gpu.dispatch({ ...pick, groups: [size] });
  }
  emit(2, 0, again);

  const counts = gpu.empty('u32', [size * words]);
  gpu.dispatch({
    file,
    entry: 'annWords',
    constants,
    params: params(),
    reads: [room],
    writes: [counts],
    groups: groupsFor(gpu, size * words),
  });
  scan(gpu, counts);
  const ordered = gpu.empty('f32', [size, capacity]);
  const orderedRows = gpu.empty('u32', [size, capacity]);
  gpu.dispatch({
    file,
    entry: 'annOrder',
    constants,
    params: params(),
    reads: [room, counts],
    writes: [ordered, orderedRows],
    groups: groupsFor(gpu, size * capacity),
  });
  const { indices, values } = topK(gpu, ordered, k, { sorted });
  const chosen = gpu.empty('i32', [size, k]);
  gpu.dispatch({
    file,
    entry: 'annChosen',
    constants,
    params: params(),
    reads: [indices, orderedRows],
    writes: [chosen],
    groups: groupsFor(gpu, size * k),
  });
  return { indices: chosen, values };
}
