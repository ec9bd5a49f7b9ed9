import {
  planSmoothTopK,
  planSmoothTopKBackward,
  planSmoothTopKJvp,
  relaxationOf,
  type SmoothTopKOptions,
  type SmoothTopKPlan,
} from '../core/ops/smoothTopK.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import { relaxWithStates } from './lib/relaxations.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

const file = 'smoothTopK.wgsl';
/** What the iterated softmax is to give, as the kernel counts it. */
const modes = { values: 0, backward: 1, forward: 2 } as const;

/** The kernel twin of `ref.smoothTopK`. */
export function smoothTopK(
  gpu: Gpu,
  x: GpuTensor,
  k: number,
  options: SmoothTopKOptions = {},
): Outputs<{ values: GpuTensor; threshold: GpuTensor }> {
  const plan = planSmoothTopK(x, k, options);
  return gpu.run('smoothTopK', [x], () => {
    const { out, states } = relaxed(gpu, plan, k, x);
    if (plan.method === 'gradTopK' || plan.method === 'iteratedSoftmax') {
      return outputs({ values: out, threshold: gpu.zeros('f32', plan.rowShape) });
    }
    return outputs({ values: out, threshold: perRow(gpu, plan, k, states).threshold });
  });
}

/** The kernel twin of `ref.smoothTopKBackward`. */
export function smoothTopKBackward(
  gpu: Gpu,
  dValues: GpuTensor,
  x: GpuTensor,
  k: number,
  options: SmoothTopKOptions = {},
): Outputs<{ dx: GpuTensor; dK: GpuTensor; dTemperature: GpuTensor }> {
  const plan = planSmoothTopKBackward(dValues, x, k, options);
  return gpu.run('smoothTopKBackward', [dValues, x], () => {
    const { out, states, bases } = relaxed(gpu, plan, k, x, { given: dValues, mode: 'backward' });
    const rows = perRow(gpu, plan, k, states);
    const dK =
      plan.method === 'gradTopK' || plan.method === 'iteratedSoftmax'
        ? gpu.zeros('f32', plan.rowShape)
        : rows.dK;
    return outputs({ dx: out, dK, dTemperature: byTemperature(gpu, plan, x, out, bases ?? rows.bases) });
  });
}

/** The kernel twin of `ref.smoothTopKJvp`. */
export function smoothTopKJvp(
  gpu: Gpu,
  tangent: GpuTensor,
  x: GpuTensor,
  k: number,
  options: SmoothTopKOptions = {},
): GpuTensor {
  const plan = planSmoothTopKJvp(tangent, x, k, options);
  // All Jacobians but that of the iterated softmax are symmetric.
  return gpu.run(
    'smoothTopKJvp',
    [tangent, x],
    () => relaxed(gpu, plan, k, x, { given: tangent, mode: 'forward' }).out,
  );
}

interface Product {
  readonly given: GpuTensor;
  readonly mode: 'backward' | 'forward';
}

/** The values, or a product of the Jacobian; with the states of the rows, or the smallest score of each. */
function relaxed(
  gpu: Gpu,
  plan: SmoothTopKPlan,
  k: number,
  x: GpuTensor,
  product?: Product,
): { out: GpuTensor; states?: GpuTensor | undefined; bases?: GpuTensor } {
  const { method, rows, length, rowShape, temperature } = plan;
  if (method === 'iteratedSoftmax') return iterated(gpu, plan, k, x, product);
  const settings = {
    rows,
    length,
    shape: [...rowShape, k],
    rowShape,
    temperature,
    relaxation: relaxationOf[method],
  };
  const gradient =
    product === undefined ? undefined : { dKHot: product.given, positions: undefined, slots: length };
  return relaxWithStates(gpu, settings, k, x, {}, gradient);
}

function iterated(
  gpu: Gpu,
  { rows, length, temperature, rowShape }: SmoothTopKPlan,
  k: number,
  x: GpuTensor,
  product?: Product,
): { out: GpuTensor; bases: GpuTensor } {
  const out = gpu.empty('f32', x.shape);
  const bases = gpu.empty('f32', rowShape);
  if (x.size === 0) return { out, bases };
  const mode = modes[product?.mode ?? 'values'];
  const keeps = mode === modes.backward ? Math.max(k, 1) : 0;
  const words = Math.max(keeps, 2) * length;
  const batch = Math.max(Math.min(rows, Math.floor(gpu.maxBindingBytes / 4 / words)), 1);
  const table = gpu.empty('f32', [keeps > 0 ? batch * keeps * length : 64]);
  const rolling = gpu.empty('f32', [batch, 2, length]);
  const lanes = gpu.family === 'gpu' ? 64 : 8;
  for (let row = 0; row < rows; row += batch) {
    const here = Math.min(batch, rows - row);
    gpu.dispatch({
      file,
      entry: 'iteratedSoftmax',
      constants: { LANES: lanes, MODE: mode },
      params: [here, row, length, k, 1, 1, { f32: 1 / temperature }],
      reads: [x, product?.given ?? x],
      writes: [out, table, rolling, bases],
      groups: gpu.grid(Math.ceil(here / lanes)),
    });
  }
  return { out, bases };
}

/** What is said of every row. */
function perRow(
  gpu: Gpu,
  { rows, length, rowShape }: SmoothTopKPlan,
  k: number,
  states: GpuTensor | undefined,
): Record<'threshold' | 'bases' | 'dK', GpuTensor> {
  const make = (): GpuTensor => gpu.empty('f32', rowShape);
  const made = { threshold: make(), bases: make(), dK: make() };
  const lanes = gpu.family === 'gpu' ? 64 : 8;
  if (rows > 0) {
    gpu.dispatch({
      file,
      entry: 'smoothTopK',
      constants: { LANES: lanes },
      params: [rows, 0, length, k, 1, 1, { f32: 1 }],
      // Rows without entries have no state: zeros pass for one.
      reads: [states ?? gpu.zeros('f32', [rows, 16])],
      writes: [made.threshold, made.bases, made.dK],
      groups: gpu.grid(Math.ceil(rows / lanes)),
    });
  }
  return made;
}

/** -sum of dx (x - base) / temperature, per row. */
function byTemperature(
  gpu: Gpu,
  { rows, length, rowShape, temperature }: SmoothTopKPlan,
  x: GpuTensor,
  dx: GpuTensor,
  bases: GpuTensor,
): GpuTensor {
  if (x.size === 0) return gpu.zeros('f32', rowShape);
  const dTemperature = gpu.empty('f32', rowShape);
  const lanes = gpu.family === 'gpu' ? 64 : 8;
  const chunk = 1024;
  const chunks = Math.ceil(length / chunk);
  const partials = gpu.empty('f32', [rows, chunks]);
  const common = {
    file,
    constants: { LANES: lanes },
    params: [rows, 0, length, 0, chunk, chunks, { f32: 1 / temperature }],
  };
  gpu.dispatch({
    ...common,
    entry: 'smoothTopKSum',
    reads: [x, dx, bases],
    writes: [partials],
    groups: gpu.grid(Math.ceil((rows * chunks) / lanes)),
  });
  gpu.dispatch({
    ...common,
    entry: 'smoothTopKTemperature',
    reads: [partials, dx],
    writes: [dTemperature],
    groups: gpu.grid(Math.ceil(rows / lanes)),
  });
  return dTemperature;
}
