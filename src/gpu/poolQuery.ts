import {
  type PoolQueryOptions,
  type PoolQueryPlan,
  planPoolQuery,
  planPoolQueryBackward,
  poolings,
} from '../core/ops/poolQuery.ts';
import { groupsFor, lanes } from './lib/sort.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'poolQuery.wgsl';

/** The kernel twin of `ref.poolQuery`; a position that is not there gives NaN. */
export function poolQuery(
  gpu: Gpu,
  x: GpuTensor,
  positions: GpuTensor,
  options: PoolQueryOptions<GpuTensor> = {},
): GpuTensor {
  const plan = planPoolQuery(x, positions, options);
  return gpu.run('poolQuery', [x, positions, options.mask], () => {
    const queries = gpu.empty('f32', plan.shape);
    pool(gpu, 'poolQuery', plan, positions, options, x, queries);
    return queries;
  });
}

/** The kernel twin of `ref.poolQueryBackward`. */
export function poolQueryBackward(
  gpu: Gpu,
  dQueries: GpuTensor,
  x: GpuTensor,
  positions: GpuTensor,
  options: PoolQueryOptions<GpuTensor> = {},
): GpuTensor {
  const plan = planPoolQueryBackward(dQueries, x, positions, options);
  return gpu.run('poolQueryBackward', [dQueries, x, positions, options.mask], () => {
    const dx = gpu.empty('f32', x.shape);
    pool(gpu, 'poolQueryBackward', plan, positions, options, dQueries, dx);
    return dx;
  });
}

/** The sets of positions, then one entry point that goes through them. */
function pool(
  gpu: Gpu,
  entry: string,
  { rows, length, width, queries, pooling }: PoolQueryPlan,
  positions: GpuTensor,
  { mask }: PoolQueryOptions<GpuTensor>,
  from: GpuTensor,
  to: GpuTensor,
): void {
  const { constants } = lanes(gpu);
  const params = [rows, length, width, queries, poolings.indexOf(pooling), mask === undefined ? 0 : 1];
  const sets = gpu.empty('u32', [rows, queries, 3]);
  // Something has to be bound where there is no mask; nothing reads it.
  const reads = [mask ?? positions];
  gpu.dispatch({
    file,
    entry: 'poolSets',
    constants,
    params,
    reads: [positions, ...reads],
    writes: [sets],
    groups: groupsFor(gpu, rows * queries),
  });
  gpu.dispatch({
    file,
    entry,
    constants,
    params,
    reads: [from, ...reads, sets],
    writes: [to],
    groups: groupsFor(gpu, to.size),
  });
}
