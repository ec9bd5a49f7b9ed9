import {
  type AttentionOptions,
  type AttentionPlan,
  planMultiHeadAttention,
  planMultiHeadAttentionBackward,
} from '../core/ops/multiHeadAttention.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'multiHeadAttention.wgsl';
/** Queries and keys of a tile, and features of the outputs that one workgroup works on. */
const side = 32;
const slice = 32;
/** Invocations of a workgroup on software drivers: the lanes of one vector there. */
const lanes = 8;

/** The kernel twin of `ref.multiHeadAttention`; the contract is `Ops.multiHeadAttention`. */
export function multiHeadAttention(
  gpu: Gpu,
  q: GpuTensor,
  k: GpuTensor,
  v: GpuTensor,
  options: AttentionOptions<GpuTensor> = {},
): Outputs<{ y: GpuTensor; lse: GpuTensor }> {
  const plan = planMultiHeadAttention(q, k, v, options);
  const { mask } = options;
  return gpu.run('multiHeadAttention', [q, k, v, mask], () => {
    const y = gpu.empty('f32', q.shape);
    const lse = gpu.empty('f32', [plan.items, plan.queries, plan.heads]);
    gpu.dispatch({
      ...kernel(gpu, plan, mask !== undefined, 'attention', '', plan.queries),
      reads: [q, k, v, mask ?? k],
      writes: [y, lse],
    });
    return outputs({ y, lse });
  });
}

/** The kernel twin of `ref.multiHeadAttentionBackward`; the contract is `Ops.multiHeadAttentionBackward`. */
export function multiHeadAttentionBackward(
  gpu: Gpu,
  dy: GpuTensor,
  q: GpuTensor,
  k: GpuTensor,
  v: GpuTensor,
  y: GpuTensor,
  lse: GpuTensor,
  options: AttentionOptions<GpuTensor> = {},
): Outputs<{ dq: GpuTensor; dk: GpuTensor; dv: GpuTensor }> {
  const plan = planMultiHeadAttentionBackward(dy, q, k, v, y, lse, options);
  const { mask } = options;
  return gpu.run('multiHeadAttentionBackward', [dy, q, k, v, y, lse, mask], () => {
    const dq = gpu.empty('f32', q.shape);
    const dk = gpu.empty('f32', k.shape);
    const dv = gpu.empty('f32', v.shape);
    const stats = gpu.empty('f32', [...lse.shape, 2]);
    gpu.dispatch({
      file,
      entry: 'attentionStats',
      params: scalars(plan, false),
      constants: { WORKGROUP_SIZE: 64 },
      reads: [dy, y, lse],
      writes: [stats],
      groups: gpu.grid(Math.ceil(lse.size / 64)),
    });
    const reads = [q, k, v, mask ?? k, dy, stats];
    const masked = mask !== undefined;
    const { queries, keys } = plan;
    gpu.dispatch({ ...kernel(gpu, plan, masked, 'attention', 'Queries', queries), reads, writes: [dq] });
    gpu.dispatch({ ...kernel(gpu, plan, masked, 'attention', 'Keys', keys), reads, writes: [dk, dv] });
    return outputs({ dq, dk, dv });
  });
}

/** The entry point, constants and workgroups for so many rows (queries or keys) of every head. */
function kernel(gpu: Gpu, plan: AttentionPlan, masked: boolean, stem: string, part: string, rows: number) {
  const { items, heads, dim } = plan;
  const common = { file, params: scalars(plan, masked) };
  // Tiles of 32 by 32 are mostly empty for sequences as short as the pieces of a token.
  if (gpu.family === 'gpu' && plan.queries >= 16 && plan.keys >= 16) {
    const groups = items * heads * Math.ceil(rows / side) * Math.ceil(dim / slice);
    return { ...common, entry: `${stem}Tiles${part}`, groups: gpu.grid(groups) };
  }
  if (gpu.family === 'gpu') {
    const groups = gpu.grid(Math.ceil((items * heads * rows) / 64));
    return { ...common, entry: stem + part, constants: { PACKED: 1, WORKGROUP_SIZE: 64 }, groups };
  }
  const groups = gpu.grid(items * heads * Math.ceil(rows / lanes));
  return {
    ...common,
    entry: stem + part,
    constants: { PACKED: 0, WORKGROUP_SIZE: lanes },
    groups,
  };
}

function scalars({ items, heads, queries, keys, width, dim, causal, scale }: AttentionPlan, masked: boolean) {
  return [items, heads, queries, keys, width, dim, Number(causal), Number(masked), { f32: scale }];
}
