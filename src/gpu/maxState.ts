import {
  type MaxStateBackwardOptions,
  type MaxStateOptions,
  type MaxStatePlan,
  planMaxState,
  planMaxStateBackward,
  statePeriod,
} from '../core/ops/maxState.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'maxState.wgsl';

/** The kernel twin of `ref.maxState`; the contract is `Ops.maxState`. */
export function maxState(
  gpu: Gpu,
  abc: GpuTensor,
  alphas: GpuTensor,
  options: MaxStateOptions<GpuTensor> = {},
): Outputs<{ y: GpuTensor; carryOut: GpuTensor; states: GpuTensor }> {
  const plan = planMaxState(abc, alphas, options);
  const { carryIn, mask, reset } = options;
  return gpu.run('maxState', [abc, alphas, carryIn, mask, reset], () => {
    const y = gpu.empty('f32', plan.yShape);
    const carryOut = gpu.empty('f32', plan.carryShape);
    const states = gpu.empty('f32', plan.statesShape);
    const layout = layoutOf(gpu, plan);
    const flags = flagsOf(gpu, abc, mask, reset);
    const params = paramsOf(plan, layout, carryIn !== undefined, flags.kind);
    const constants = constantsOf(plan, layout);
    const common = { file, constants, params };
    // An absent tensor is stood in for by abc, which no branch then reads.
    const carry = carryIn ?? abc;
    if (layout.chunks > 1) {
      const cuts = gpu.empty('u32', [layout.chunks, plan.batch]);
      gpu.dispatch({
        ...common,
        entry: 'maxStateReduce',
        reads: [abc, flags.tensor],
        writes: [states, cuts],
        groups: layout.groups,
      });
      const groups = gpu.grid(Math.ceil(layout.rows / layout.workgroup));
      gpu.dispatch({ ...common, entry: 'maxStateCarry', reads: [carry, cuts], writes: [states], groups });
    }
    gpu.dispatch({
      ...common,
      entry: layout.quads ? 'maxStateQuads' : 'maxState',
      reads: [abc, alphas, carry, flags.tensor],
      writes: [y, carryOut, states],
      groups: layout.groups,
    });
    return outputs({ y, carryOut, states });
  });
}

/** The kernel twin of `ref.maxStateBackward`; the contract is `Ops.maxStateBackward`. */
export function maxStateBackward(
  gpu: Gpu,
  dy: GpuTensor,
  abc: GpuTensor,
  alphas: GpuTensor,
  states: GpuTensor,
  options: MaxStateBackwardOptions<GpuTensor> = {},
): Outputs<{ dabc: GpuTensor; dAlphas: GpuTensor; dCarryIn: GpuTensor }> {
  const plan = planMaxStateBackward(dy, abc, alphas, states, options);
  const { mask, reset, dCarryOut } = options;
  return gpu.run('maxStateBackward', [dy, abc, alphas, states, mask, reset, dCarryOut], () => {
    const dabc = gpu.empty('f32', abc.shape);
    const dAlphas = gpu.empty('f32', [5]);
    const dCarryIn = gpu.empty('f32', plan.carryShape);
    const layout = layoutOf(gpu, plan);
    const flags = flagsOf(gpu, abc, mask, reset);
    const params = paramsOf(plan, layout, dCarryOut !== undefined, flags.kind);
    const common = { file, constants: constantsOf(plan, layout), params };
    const cut = layout.chunks > 1;
    // What a chunk gets from its right and gives to its left; one chunk gets dCarryOut and gives dCarryIn.
    const sums = cut ? gpu.empty('f32', [layout.chunks, plan.batch, plan.channels]) : dCarryIn;
    if (cut) {
      const open = gpu.empty('u32', sums.shape);
      gpu.dispatch({
        ...common,
        entry: 'maxStateBackwardReduce',
        reads: [dy, abc, alphas, states, flags.tensor],
        writes: [sums, open],
        groups: layout.groups,
      });
      const carry = { reads: [dCarryOut ?? dy, open], writes: [sums] };
      const groups = gpu.grid(Math.ceil(layout.rows / layout.workgroup));
      gpu.dispatch({ ...common, ...carry, entry: 'maxStateBackwardCarry', groups });
    } else if (dCarryOut !== undefined) gpu.copy(dCarryOut, dCarryIn);
    const partials = gpu.empty('f32', [4, layout.items]);
    gpu.dispatch({
      ...common,
      entry: layout.quads ? 'maxStateBackwardQuads' : 'maxStateBackward',
      reads: [dy, abc, alphas, states, flags.tensor],
      writes: [dabc, sums, partials],
      groups: layout.groups,
    });
    if (cut) gpu.copy(sums, dCarryIn, dCarryIn.size);
    const span = 64;
    const constants = { WORKGROUP_SIZE: layout.workgroup, SPAN: span };
    const spans = gpu.empty('f32', [4, span]);
    gpu.dispatch({
      ...common,
      constants,
      entry: 'maxStateSpans',
      reads: [partials],
      writes: [spans],
      groups: [Math.ceil((4 * span) / layout.workgroup)],
    });
    gpu.dispatch({
      ...common,
      constants: { SPAN: span },
      entry: 'maxStateAlphas',
      reads: [spans],
      writes: [dAlphas],
      groups: [1],
    });
    return outputs({ dabc, dAlphas, dCarryIn });
  });
}

interface Layout {
  /** (batch, channel) pairs. */
  readonly rows: number;
  /** Positions per chunk, and chunks per row. */
  readonly chunk: number;
  readonly chunks: number;
  /** Four channels per invocation. */
  readonly quads: boolean;
  /** Invocations of the main kernel. */
  readonly items: number;
  readonly workgroup: number;
  readonly groups: [number, number, number];
}

/** Cut rows into chunks only where there are too few rows to fill the machine: c of a cut row is read twice. */
function layoutOf(gpu: Gpu, { batch, length, channels }: MaxStatePlan): Layout {
  const rows = batch * channels;
  const onGpu = gpu.family === 'gpu';
  const enough = onGpu ? 32768 : 128;
  const wanted = Math.min(Math.ceil(enough / Math.max(rows, 1)), Math.ceil(length / 64));
  // The state before a chunk is one of the saved states, so chunks begin where these do.
  const chunk = Math.max(Math.ceil(length / Math.max(wanted, 1) / statePeriod), 1) * statePeriod;
  const chunks = Math.max(Math.ceil(length / chunk), 1);
  // A software driver gathers lane by lane, so four channels cost little more than one. A GPU wants the threads.
  const quads = !onGpu && chunks === 1 && channels % 4 === 0;
  const items = quads ? rows / 4 : rows * chunks;
  const workgroup = onGpu ? 64 : 16;
  return { rows, chunk, chunks, quads, items, workgroup, groups: gpu.grid(Math.ceil(items / workgroup)) };
}

/** Without a cap the kernels are compiled without one. */
function constantsOf({ cap }: MaxStatePlan, { workgroup }: Layout) {
  return { WORKGROUP_SIZE: workgroup, ...(cap === undefined ? {} : { CAPPED: 1 }) };
}

function paramsOf(plan: MaxStatePlan, layout: Layout, hasCarry: boolean, flags: number) {
  const { rows, chunk, chunks, items } = layout;
  return [
    rows,
    plan.channels,
    plan.length,
    chunk,
    chunks,
    hasCarry ? 1 : 0,
    flags,
    items,
    { f32: plan.cap ?? 0 },
  ];
}

/** Mask and reset as one tensor, with the number that tells the kernels what it holds. */
function flagsOf(
  gpu: Gpu,
  absent: GpuTensor,
  mask: GpuTensor | undefined,
  reset: GpuTensor | undefined,
): { tensor: GpuTensor; kind: number } {
  if (mask === undefined || reset === undefined) {
    return { tensor: mask ?? reset ?? absent, kind: mask ? 1 : reset ? 2 : 0 };
  }
  const tensor = gpu.empty('u32', mask.shape);
  gpu.dispatch({
    file,
    entry: 'maxStateFlags',
    constants: { WORKGROUP_SIZE: 64 },
    params: [0, 0, 0, 0, 0, 0, 0, mask.size, 0],
    reads: [mask, reset],
    writes: [tensor],
    groups: gpu.grid(Math.ceil(mask.size / 64)),
  });
  return { tensor, kind: 3 };
}
