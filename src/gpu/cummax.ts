import {
  type CummaxBackwardOptions,
  type CummaxOptions,
  type CummaxPlan,
  planCummax,
  planCummaxBackward,
} from '../core/ops/cummax.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'cummax.wgsl';

/** The kernel twin of `ref.cummax`; the contract is `Ops.cummax`. */
export function cummax(
  gpu: Gpu,
  x: GpuTensor,
  options: CummaxOptions<GpuTensor> = {},
): Outputs<{ values: GpuTensor; indices: GpuTensor; carryOut: GpuTensor }> {
  const plan = planCummax(x, options);
  const { carryIn, mask = x } = options;
  return gpu.run('cummax', [x, carryIn, options.mask], () => {
    const values = gpu.empty('f32', x.shape);
    const indices = gpu.empty('i32', x.shape);
    const carryOut = gpu.empty('f32', plan.carryShape);
    const layout = chunking(gpu, plan);
    const params = paramsOf(plan, layout, carryIn !== undefined);
    // An absent tensor is stood in for by x, which no branch then reads.
    const carry = carryIn ?? x;
    const common = { file, constants: { WORKGROUP_SIZE: layout.workgroup }, params };
    if (layout.quads && options.mask === undefined) {
      const groups = gpu.grid(Math.ceil(layout.rows / 4 / layout.workgroup));
      gpu.dispatch({
        ...common,
        entry: 'cummaxQuads',
        reads: [x, carry],
        writes: [values, indices, carryOut],
        groups,
      });
      return outputs({ values, indices, carryOut });
    }
    const tiles = layout.tiles ? { file, params, groups: gpu.grid(layout.items) } : undefined;
    let states = x;
    if (layout.chunks > 1) {
      states = gpu.empty('u32', [layout.items, 2]);
      const reduce = { reads: [x, mask], writes: [states] };
      gpu.dispatch(
        tiles
          ? { ...tiles, ...reduce, entry: 'cummaxReduceTiles' }
          : { ...common, ...reduce, entry: 'cummaxReduce', groups: layout.groups },
      );
      const groups = gpu.grid(Math.ceil(layout.rows / layout.workgroup));
      gpu.dispatch({ ...common, entry: 'cummaxCarry', reads: [carry], writes: [states], groups });
    }
    const scan = { reads: [x, mask, carry, states], writes: [values, indices, carryOut] };
    gpu.dispatch(
      tiles
        ? { ...tiles, ...scan, entry: 'cummaxTiles' }
        : { ...common, ...scan, entry: 'cummax', groups: layout.groups },
    );
    return outputs({ values, indices, carryOut });
  });
}

/** The kernel twin of `ref.cummaxBackward`; the contract is `Ops.cummaxBackward`. */
export function cummaxBackward(
  gpu: Gpu,
  dValues: GpuTensor,
  indices: GpuTensor,
  options: CummaxBackwardOptions<GpuTensor> = {},
): Outputs<{ dx: GpuTensor; dCarryIn: GpuTensor }> {
  const plan = planCummaxBackward(dValues, indices, options);
  const { dCarryOut } = options;
  return gpu.run('cummaxBackward', [dValues, indices, dCarryOut], () => {
    const dx = gpu.empty('f32', dValues.shape);
    const dCarryIn = gpu.empty('f32', plan.carryShape);
    const layout = chunking(gpu, plan);
    const params = paramsOf(plan, layout, dCarryOut !== undefined);
    const carry = dCarryOut ?? dValues;
    const common = { file, constants: { WORKGROUP_SIZE: layout.workgroup }, params, groups: layout.groups };
    if (layout.quads) {
      const groups = gpu.grid(Math.ceil(layout.rows / 4 / layout.workgroup));
      const io = { reads: [dValues, indices, carry], writes: [dx, dCarryIn] };
      gpu.dispatch({ ...common, ...io, entry: 'cummaxBackwardQuads', groups });
      return outputs({ dx, dCarryIn });
    }
    let incoming = dValues;
    if (layout.chunks > 1) {
      incoming = gpu.empty('f32', [layout.items, 2]);
      gpu.dispatch({
        ...common,
        entry: 'cummaxBackwardReduce',
        reads: [dValues, indices],
        writes: [incoming],
      });
      const groups = gpu.grid(Math.ceil(layout.rows / layout.workgroup));
      gpu.dispatch({ ...common, entry: 'cummaxBackwardCarry', reads: [carry], writes: [incoming], groups });
    }
    const reads = [dValues, indices, carry, incoming];
    gpu.dispatch({ ...common, entry: 'cummaxBackward', reads, writes: [dx, dCarryIn] });
    return outputs({ dx, dCarryIn });
  });
}

interface Chunking {
  readonly rows: number;
  /** Elements per chunk, and chunks per row. */
  readonly chunk: number;
  readonly chunks: number;
  /** (row, chunk) pairs. */
  readonly items: number;
  readonly workgroup: number;
  readonly groups: [number, number, number];
  readonly tiles: boolean;
  /** Whole rows, four neighbours at a time. */
  readonly quads: boolean;
}

/** Cut rows into chunks only where there are too few rows to fill the machine: a cut row is read twice. */
function chunking(gpu: Gpu, { outer, length, inner }: CummaxPlan): Chunking {
  const rows = outer * inner;
  const onGpu = gpu.family === 'gpu';
  const tiles = onGpu && inner === 1;
  const enough = tiles ? 512 : onGpu ? 32768 : 128;
  const shortest = tiles ? 4096 : 64;
  const wanted = Math.min(Math.ceil(enough / Math.max(rows, 1)), Math.ceil(length / shortest));
  const chunk = Math.max(Math.ceil(length / Math.max(wanted, 1)), 1);
  const chunks = Math.max(Math.ceil(length / chunk), 1);
  const items = rows * chunks;
  const quads = chunks === 1 && inner % 4 === 0 && rows > 0;
  // A CPU runs a workgroup lane by lane: small ones keep its cores evenly loaded.
  const workgroup = onGpu ? 64 : 16;
  return {
    rows,
    chunk,
    chunks,
    items,
    workgroup,
    groups: gpu.grid(Math.ceil(items / workgroup)),
    tiles,
    quads,
  };
}

function paramsOf(plan: CummaxPlan, layout: Chunking, hasCarry: boolean): number[] {
  return [
    layout.rows,
    plan.inner,
    plan.length,
    layout.chunk,
    layout.chunks,
    hasCarry ? 1 : 0,
    plan.maskInner,
  ];
}
