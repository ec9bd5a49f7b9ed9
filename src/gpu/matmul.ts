import {
  type BatchGroup,
  type MatmulBackwardOptions,
  type MatmulOptions,
  type MatmulPlan,
  planMatmul,
  planMatmulBackward,
} from '../core/ops/matmul.ts';
import { type Outputs, outputs } from '../core/tensor.ts';
import type { Binding, Dispatch, Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';
import type { GpuTexture } from './runtime/texturePool.ts';

const file = 'matmul.wgsl';
/** Rows of the left factor per panel, as in lib/panels.wgsl. */
export const panelRows = 16;
const workgroup = 64;

/** The kernel twin of `ref.matmul`; the contract is `Ops.matmul`. */
export function matmul(
  gpu: Gpu,
  a: GpuTensor,
  b: GpuTensor,
  options: MatmulOptions<GpuTensor> = {},
): GpuTensor {
  const plan = planMatmul(a, b, options);
  const { bias } = options;
  return gpu.run('matmul', [a, b, bias], () => {
    const y = gpu.empty('f32', plan.shape);
    multiply(gpu, { ...joined(forward(plan, a, b)), y, ...(bias === undefined ? {} : { bias }) });
    return y;
  });
}

/** The kernel twin of `ref.matmulBackward`; the contract is `Ops.matmulBackward`. */
export function matmulBackward(
  gpu: Gpu,
  dy: GpuTensor,
  a: GpuTensor,
  b: GpuTensor,
  options: MatmulBackwardOptions = {},
): Outputs<{ da: GpuTensor; db: GpuTensor; dBias: GpuTensor }> {
  const plan = planMatmulBackward(dy, a, b, options);
  return gpu.run('matmulBackward', [dy, a, b], () => {
    const joinedPlan = joined(forward(plan, a, b));
    const { m, n, k } = joinedPlan;
    const g: Factor = { tensor: dy, items: joinedPlan.batch, outer: n, step: 1 };
    const gT: Factor = { tensor: dy, items: joinedPlan.batch, outer: 1, step: n };
    const strides = (own: 'a' | 'b'): readonly BatchGroup[] => {
      // dy has one matrix per batch index: its strides are those of a full batch.
      let full = joinedPlan.batch;
      return joinedPlan.groups.map((group) => {
        full /= Math.max(group.size, 1);
        return own === 'a' ? { ...group, a: full } : { ...group, b: full };
      });
    };
    // da = dy bᵀ: the sum runs over n. As an operand, b keeps its strides and swaps their roles.
    const byN = { ...joinedPlan.b, outer: joinedPlan.b.step, step: joinedPlan.b.outer };
    const da = gradient(gpu, joinedPlan.groups, 'a', a.shape, m * k, (y) => ({
      ...joinedPlan,
      ...(plan.transposeA
        ? { m: k, n: m, k: n, a: byN, b: g, groups: swapped(strides('a')) }
        : { m, n: k, k: n, a: g, b: byN, groups: strides('a') }),
      y,
    }));
    // db = aᵀ dy: the sum runs over m.
    const byM = { ...joinedPlan.a, outer: joinedPlan.a.step, step: joinedPlan.a.outer };
    const db = gradient(gpu, joinedPlan.groups, 'b', b.shape, k * n, (y) => ({
      ...joinedPlan,
      ...(plan.transposeB
        ? { m: n, n: k, k: m, a: gT, b: byM, groups: swapped(strides('b')) }
        : { m: k, n, k: m, a: byM, b: gT, groups: strides('b') }),
      y,
    }));
    const dBias = sumRows(gpu, dy, 1, plan.batch * plan.m, plan.n);
    return outputs({ da, db, dBias });
  });
}

/** One factor of a product: how far a step along its own rows (or columns) and a step along k move in it. */
export interface Factor {
  /** A tensor, or a window of one: some rows of a table, for instance. */
  readonly tensor: Binding;
  readonly items: number;
  readonly outer: number;
  readonly step: number;
  /** The factor as panels, if they were made already. */
  readonly panels?: GpuTexture;
}

/** y = a b + bias over a batch; `accumulate` adds to what y holds. */
export interface Product {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batch: number;
  readonly groups: readonly BatchGroup[];
  readonly a: Factor;
  readonly b: Factor;
  readonly y: Binding;
  readonly bias?: Binding;
  readonly accumulate?: boolean;
  /** The tile of the kernel for GPUs. Default: what suits the size. */
  readonly tile?: Tile;
}

/** Invocations along n and m of a workgroup of `matmulTiles`, each with 8 columns or rows, and steps of k per tile. */
export interface Tile {
  readonly x: number;
  readonly y: number;
  readonly k: number;
}

/** Enqueue a product with the kernel that suits the adapter. */
export function multiply(gpu: Gpu, p: Product): void {
  const { m, n, batch } = p;
  if (m === 0 || n === 0 || batch === 0) return;
  const flags = [p.bias === undefined ? 0 : 1, p.accumulate ? 1 : 0];
  const digits = padded(p.groups);
  const tail = [...digits.map((g) => g.size), ...digits.map((g) => g.a), ...digits.map((g) => g.b)];
  const lanes = panelLanes(gpu);
  // A stand-in for the bias that is not there; nothing reads it, and an output may not be bound as an input too.
  const shift = p.bias ?? p.a.tensor;
  if (lanes !== undefined) {
    const { steps, columnPanels, rowPanels } = panelSizes(p, lanes);
    const made: GpuTexture[] = [];
    const panelsOf = (factor: Factor, side: 'a' | 'b'): GpuTexture => {
      if (factor.panels !== undefined) return factor.panels;
      const texture = pack(gpu, p, side, lanes);
      made.push(texture);
      return texture;
    };
    const a = panelsOf(p.a, 'a');
    const b = panelsOf(p.b, 'b');
    gpu.dispatch({
      file: 'matmul.subgroups.wgsl',
      entry: 'matmulPanels',
      constants: { LANES: lanes },
      params: [
        m,
        n,
        steps,
        rowPanels,
        columnPanels,
        batch,
        ...flags,
        a.widthBits,
        b.widthBits,
        0,
        0,
        ...tail,
      ],
      reads: [shift],
      writes: [p.y],
      textures: [a, b],
      groups: gpu.grid(rowPanels * columnPanels * batch),
    });
    for (const texture of made) texture[Symbol.dispose]();
    return;
  }
  const strides = [p.a.outer, p.a.step, p.b.step, p.b.outer];
  const call = {
    file,
    params: [m, n, p.k, batch, ...strides, ...flags, 0, 0, ...tail],
    reads: [p.a.tensor, p.b.tensor, shift],
    writes: [p.y],
  };
  if (gpu.family === 'gpu') {
    const { x, y, k } = p.tile ?? tileFor(p);
    const groups = gpu.grid(Math.ceil(n / (8 * x)) * Math.ceil(m / (8 * y)) * batch);
    gpu.dispatch({ ...call, entry: 'matmulTiles', constants: { TILE_X: x, TILE_Y: y, TILE_K: k }, groups });
  } else {
    const size = 8;
    const groups = gpu.grid(Math.ceil(n / (4 * size)) * Math.ceil(m / 4) * batch);
    gpu.dispatch({ ...call, entry: 'matmulRows', constants: { WORKGROUP_SIZE: size }, groups });
  }
}

/** Large tiles read less; small ones make enough workgroups to fill the machine. */
function tileFor({ m, n, batch }: Product): Tile {
  const large = Math.ceil(m / 128) * Math.ceil(n / 128) * batch;
  return large >= 128 ? { x: 16, y: 16, k: 16 } : { x: 8, y: 8, k: 16 };
}

/** The subgroup size for the panel kernel, or undefined where another kernel is better or the size varies. */
export function panelLanes(gpu: Gpu): number | undefined {
  const { subgroupMinSize, subgroupMaxSize: size } = gpu.info;
  if (gpu.family !== 'cpu-vulkan' || !gpu.subgroups || size === undefined) return undefined;
  return subgroupMinSize === size && [4, 8, 16, 32].includes(size) ? size : undefined;
}

function panelSizes({ m, n, k }: Pick<Product, 'm' | 'n' | 'k'>, lanes: number) {
  return {
    steps: Math.ceil(k / 4),
    rowPanels: Math.ceil(m / panelRows),
    columnPanels: Math.ceil(n / (4 * lanes)),
  };
}

/** Cut one factor into the panels that matmul.subgroups.wgsl reads. */
export function pack(gpu: Gpu, p: Omit<Product, 'y'>, side: 'a' | 'b', lanes: number): GpuTexture {
  const { steps, rowPanels, columnPanels } = panelSizes(p, lanes);
  const f = p[side];
  const left = side === 'a';
  const panels = left ? rowPanels : columnPanels;
  const width = left ? panelRows : lanes;
  const depth = left ? steps : steps * 4;
  // The vec4f of a panel run along k in the left factor, and along n in the right one.
  const [rows, columns, rowStride, columnStride] = left
    ? [p.m, p.k, f.outer, f.step]
    : [p.k, p.n, f.step, f.outer];
  const itemStride = rows * columns;
  const aligned = itemStride % 4 === 0;
  const byRows = aligned && columnStride === 1 && columns % 4 === 0 && rowStride % 4 === 0;
  const byColumns = !byRows && aligned && rowStride === 1 && rows % 4 === 0 && columnStride % 4 === 0;
  return panelled(gpu, { count: panels * f.items, texels: depth * width }, (out, perPanel) => ({
    file,
    entry: byRows ? 'matmulPackRows' : byColumns ? 'matmulPackColumns' : 'matmulPack',
    constants: { WORKGROUP_SIZE: workgroup },
    params: [
      ...[rows, columns, rowStride, columnStride, itemStride, panels, panels * f.items, depth],
      ...[Math.log2(width), left ? 1 : 0],
    ],
    reads: [f.tensor],
    writes: [out],
    groups: perPanel(byColumns ? 4 : 1),
  }));
}

/** Run a kernel that writes panels, and put them into a texture. Its grid has a panel per step of y and z. */
export function panelled(
  gpu: Gpu,
  { count, texels }: { count: number; texels: number },
  dispatch: (out: GpuTensor, perPanel: (texelsEach: number) => [number, number, number]) => Dispatch,
): GpuTexture {
  const out = gpu.empty('f32', [count, texels, 4]);
  const y = Math.min(count, gpu.maxGroups);
  gpu.dispatch(
    dispatch(out, (each) => [Math.ceil(texels / each / workgroup), y, y === 0 ? 0 : Math.ceil(count / y)]),
  );
  const texture = gpu.texture(count * texels);
  gpu.copyToTexture(out, texture);
  out[Symbol.dispose]();
  return texture;
}

/** out[o, i] = sum over r of x[o, r, i], in two steps where there are many rows. */
export function sumRows(gpu: Gpu, x: GpuTensor, outer: number, rows: number, inner: number): GpuTensor {
  const chunk = rows > 64 ? Math.ceil(Math.sqrt(rows)) : Math.max(rows, 1);
  const chunks = Math.max(Math.ceil(rows / chunk), 1);
  const out = gpu.empty('f32', chunks > 1 ? [outer, chunks, inner] : outer === 1 ? [inner] : [outer, inner]);
  gpu.dispatch({
    file,
    entry: 'matmulSum',
    constants: { WORKGROUP_SIZE: workgroup },
    params: [outer, rows, inner, chunk, chunks],
    reads: [x],
    writes: [out],
    groups: gpu.grid(Math.ceil((outer * chunks * inner) / workgroup)),
  });
  return chunks > 1 ? sumRows(gpu, out, outer, chunks, inner) : out;
}

type Shapes = Omit<Product, 'y'>;

function forward(plan: MatmulPlan, a: GpuTensor, b: GpuTensor): Shapes {
  const { m, n, k } = plan;
  return {
    m,
    n,
    k,
    batch: plan.batch,
    groups: plan.groups,
    a: {
      tensor: a,
      items: plan.aItems,
      ...(plan.transposeA ? { outer: 1, step: m } : { outer: k, step: 1 }),
    },
    b: {
      tensor: b,
      items: plan.bItems,
      ...(plan.transposeB ? { outer: k, step: 1 } : { outer: 1, step: n }),
    },
  };
}

/** A batch of matrices a, stored by rows, times one b is one product of a taller matrix: a layer over a batch of tokens. */
function joined(p: Shapes): Shapes {
  if (p.a.outer !== p.k || p.b.items !== 1 || p.a.items !== p.batch) return p;
  return { ...p, m: p.m * p.batch, batch: 1, groups: [], a: { ...p.a, items: 1 } };
}

function swapped(groups: readonly BatchGroup[]): BatchGroup[] {
  return groups.map(({ size, a, b }) => ({ size, a: b, b: a }));
}

function padded(groups: readonly BatchGroup[]): BatchGroup[] {
  const missing = Array.from({ length: 4 - groups.length }, () => ({ size: 1, a: 0, b: 0 }));
  return [...missing, ...groups];
}

/** The gradient of one factor: a product per batch index, then sums over the axes along which the factor was broadcast. */
function gradient(
  gpu: Gpu,
  groups: readonly BatchGroup[],
  own: 'a' | 'b',
  shape: readonly number[],
  size: number,
  product: (y: GpuTensor) => Product,
): GpuTensor {
  const batch = groups.reduce((count, g) => count * g.size, 1);
  const repeats = groups.some((g) => g[own] === 0);
  if (batch === 0) return gpu.zeros('f32', shape);
  let sum = gpu.empty('f32', repeats ? [batch, size] : shape);
  multiply(gpu, product(sum));
  if (!repeats) return sum;
  let outer = 1;
  for (const [i, g] of groups.entries()) {
    const inner = size * groups.slice(i + 1).reduce((count, later) => count * later.size, 1);
    if (g[own] === 0) sum = sumRows(gpu, sum, outer, g.size, inner);
    else outer *= g.size;
  }
  return sum.reshape(shape);
}
