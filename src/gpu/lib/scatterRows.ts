import type { Gpu } from '../runtime/gpu.ts';
import type { GpuTensor } from '../runtime/gpuTensor.ts';
import { bitsFor, groupsFor, lanes, sortKeys } from './sort.ts';

const file = 'lib/scatterRows.wgsl';

/**
 * sums[ids[t]] += rows[t] for all t in a fixed order. Ids that are no row of `sums`, and `skip`, add nothing.
 * Call it inside of `gpu.run`: what it makes along the way is disposed there.
 * @param rows f32 [count, width]; @param ids i32 or u32 [count]; @param sums f32 [n, width], changed in place
 */
export function scatterRows(
  gpu: Gpu,
  rows: GpuTensor,
  ids: GpuTensor,
  sums: GpuTensor,
  width: number,
  skip?: number,
): void {
  if (rows.size === 0 || sums.size === 0) return;
  const { constants } = lanes(gpu);
  const n = sums.size / width;
  const [entry, each] = width % 4 === 0 ? ['scatterQuads', 4] : ['scatterAdd', 1];
  const params = [ids.size, n, width / each, skip ?? 0xffffffff];
  const keys = gpu.empty('u32', [ids.size]);
  const groups = groupsFor(gpu, ids.size);
  gpu.dispatch({ file, entry: 'scatterKeysOf', constants, params, reads: [ids], writes: [keys], groups });
  const sorted = sortKeys(gpu, keys, bitsFor(n + 1));
  gpu.dispatch({
    file,
    entry,
    constants,
    params,
    reads: [rows, sorted.keys, sorted.order],
    writes: [sums],
    groups: groupsFor(gpu, rows.size / each),
  });
  for (const t of [keys, sorted.keys, sorted.order]) t[Symbol.dispose]();
}
