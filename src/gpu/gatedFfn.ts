import {
  activations,
  type GatedFfnGradients,
  type GatedFfnOptions,
  type GatedFfnPlan,
  type GatedFfnWeights,
  planGatedFfn,
  planGatedFfnBackward,
} from '../core/ops/gatedFfn.ts';
import { outputs } from '../core/tensor.ts';
import {
  type Factor,
  multiply,
  type Product,
  pack,
  panelLanes,
  panelled,
  panelRows,
  sumRows,
} from './matmul.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';
import type { GpuTexture } from './runtime/texturePool.ts';

const file = 'gatedFfn.wgsl';
const workgroup = 64;

/** The kernel twin of `ref.gatedFfn`; the contract is `Ops.gatedFfn`. */
export function gatedFfn(
  gpu: Gpu,
  x: GpuTensor,
  weights: GatedFfnWeights<GpuTensor>,
  options: GatedFfnOptions = {},
): GpuTensor {
  const plan = planGatedFfn(x, weights, options);
  const { rows, h: hidden, e, shape } = plan;
  const { w2, b2 } = weights;
  return gpu.run('gatedFfn', [x, ...Object.values(weights)], () => {
    const y = gpu.empty('f32', shape);
    if (y.size === 0) return y;
    const last = { ...byRows(rows, e, hidden), b: transposed(w2, hidden), y, ...biased(b2) };
    const lanes = panelLanes(gpu);
    const constants = { ACTIVATION: activations.indexOf(plan.activation) };
    if (gpu.family === 'gpu') {
      const h = gatedTiles(gpu, x, weights, plan);
      multiply(gpu, { ...last, a: plain(h, hidden) });
      return y;
    }
    const { u, g } = paths(gpu, x, weights, plan);
    if (lanes === undefined) {
      const h = gpu.empty('f32', [rows, hidden]);
      gpu.dispatch({
        file,
        entry: 'gatedFfnGate',
        constants: { ...constants, WORKGROUP_SIZE: workgroup },
        params: [h.size, 0, 0, 0, 0],
        reads: [u, g],
        writes: [h],
        groups: gpu.grid(Math.ceil(h.size / workgroup)),
      });
      multiply(gpu, { ...last, a: plain(h, hidden) });
      return y;
    }
    const depth = Math.ceil(hidden / 4);
    const count = Math.ceil(rows / panelRows);
    using panels = panelled(gpu, { count, texels: depth * panelRows }, (out, perPanel) => ({
      file,
      entry: 'gatedFfnPack',
      constants: { ...constants, WORKGROUP_SIZE: workgroup },
      params: [0, rows, hidden, depth, count],
      reads: [u, g],
      writes: [out],
      groups: perPanel(1),
    }));
    multiply(gpu, { ...last, a: { ...plain(u, hidden), panels } });
    return y;
  });
}

/** The kernel twin of `ref.gatedFfnBackward`; the contract is `Ops.gatedFfnBackward`. */
export function gatedFfnBackward(
  gpu: Gpu,
  dy: GpuTensor,
  x: GpuTensor,
  weights: GatedFfnWeights<GpuTensor>,
  options: GatedFfnOptions = {},
): GatedFfnGradients<GpuTensor> {
  const plan = planGatedFfnBackward(dy, x, weights, options);
  const { rows, d, h: hidden, e } = plan;
  const { w1, wg, w2 } = weights;
  return gpu.run('gatedFfnBackward', [dy, x, ...Object.values(weights)], () => {
    const { u, g } = paths(gpu, x, weights, plan);
    const h = gpu.empty('f32', [rows, hidden]);
    multiply(gpu, { ...byRows(rows, hidden, e), a: plain(dy, e), b: plain(w2, hidden, 'b'), y: h });
    gpu.dispatch({
      file,
      entry: 'gatedFfnSlopes',
      constants: { ACTIVATION: activations.indexOf(plan.activation), WORKGROUP_SIZE: workgroup },
      params: [h.size, 0, 0, 0, 0],
      writes: [u, g, h],
      groups: gpu.grid(Math.ceil(h.size / workgroup)),
    });
    // From here on u and g hold their gradients, and h holds h.
    const dx = gpu.empty('f32', x.shape);
    const back = { ...byRows(rows, d, hidden), y: dx };
    multiply(gpu, { ...back, a: plain(u, hidden), b: plain(w1, d, 'b') });
    multiply(gpu, { ...back, a: plain(g, hidden), b: plain(wg, d, 'b'), accumulate: true });
    const outer = (left: GpuTensor, m: number, right: GpuTensor, n: number): GpuTensor => {
      const y = gpu.empty('f32', [m, n]);
      multiply(gpu, {
        ...byRows(m, n, rows),
        a: { tensor: left, items: 1, outer: 1, step: m },
        b: plain(right, n, 'b'),
        y,
      });
      return y;
    };
    const bias = (given: GpuTensor | undefined, gradient: GpuTensor, width: number) =>
      given && sumRows(gpu, gradient, 1, rows, width);
    return outputs({
      dx,
      dw1: outer(u, hidden, x, d),
      db1: bias(weights.b1, u, hidden),
      dwg: outer(g, hidden, x, d),
      dbg: bias(weights.bg, g, hidden),
      dw2: outer(dy, e, h, hidden),
      db2: bias(weights.b2, dy, e),
    });
  });
}

/** h in one kernel, for GPUs. */
function gatedTiles(
  gpu: Gpu,
  x: GpuTensor,
  { w1, b1, wg, bg }: GatedFfnWeights<GpuTensor>,
  { rows, d, h: hidden, activation }: GatedFfnPlan,
): GpuTensor {
  const h = gpu.empty('f32', [rows, hidden]);
  const side = Math.ceil(rows / 128) * Math.ceil(hidden / 64) >= 128 ? 16 : 8;
  const groups = Math.ceil(rows / (8 * side)) * Math.ceil(hidden / (4 * side));
  gpu.dispatch({
    file,
    entry: 'gatedFfnTiles',
    constants: { ACTIVATION: activations.indexOf(activation), TILE_X: side, TILE_Y: side, TILE_K: 16 },
    params: [rows, hidden, d, b1 === undefined ? 0 : 1, bg === undefined ? 0 : 1],
    // An absent bias is stood in for by x, which no branch then reads.
    reads: [x, w1, wg, b1 ?? x, bg ?? x],
    writes: [h],
    groups: gpu.grid(groups),
  });
  return h;
}

/** u = x w1ᵀ + b1 and g = x wgᵀ + bg; x is packed once for both where products run from panels. */
function paths(
  gpu: Gpu,
  x: GpuTensor,
  { w1, b1, wg, bg }: GatedFfnWeights<GpuTensor>,
  { rows, d, h: hidden }: GatedFfnPlan,
): { u: GpuTensor; g: GpuTensor } {
  const u = gpu.empty('f32', [rows, hidden]);
  const g = gpu.empty('f32', [rows, hidden]);
  const first = { ...byRows(rows, hidden, d), a: plain(x, d), b: transposed(w1, d), ...biased(b1) };
  const lanes = panelLanes(gpu);
  const panels: GpuTexture | undefined = lanes === undefined ? undefined : pack(gpu, first, 'a', lanes);
  const a = panels === undefined ? first.a : { ...first.a, panels };
  multiply(gpu, { ...first, a, y: u });
  multiply(gpu, { ...byRows(rows, hidden, d), a, b: transposed(wg, d), ...biased(bg), y: g });
  panels?.[Symbol.dispose]();
  return { u, g };
}

function byRows(m: number, n: number, k: number): Pick<Product, 'm' | 'n' | 'k' | 'batch' | 'groups'> {
  return { m, n, k, batch: 1, groups: [] };
}

/** A matrix by rows of `width`, as the left factor (its columns are the steps), or as the right one (its rows are). */
function plain(t: GpuTensor, width: number, side: 'a' | 'b' = 'a'): Factor {
  return { tensor: t, items: 1, ...(side === 'a' ? { outer: width, step: 1 } : { outer: 1, step: width }) };
}

/** A weight [out, width] as the right factor: its transpose. */
function transposed(w: GpuTensor, width: number): Factor {
  return { tensor: w, items: 1, outer: width, step: 1 };
}

function biased(bias: GpuTensor | undefined): { bias?: GpuTensor } {
  return bias === undefined ? {} : { bias };
}
