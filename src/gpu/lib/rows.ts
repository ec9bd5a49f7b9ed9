import type { Binding, Gpu } from '../runtime/gpu.ts';
import type { GpuTensor } from '../runtime/gpuTensor.ts';
import { emptyOne, groupsFor, lanes } from './sort.ts';

const file = 'lib/rows.wgsl';

/** Rows of whole vec4: [rows, 4 width], zero where the dimensions end. */
export interface Rows {
  readonly tensor: GpuTensor;
  readonly rows: number;
  /** vec4 per row. */
  readonly width: number;
}

/** A part of the rows that one binding holds. */
export interface RowWindow {
  readonly first: number;
  readonly count: number;
  readonly binding: Binding;
}

/** Rows as whole vec4; where the dimension is a multiple of 4, this is the tensor itself. */
export function padded(gpu: Gpu, t: GpuTensor, rows: number, d: number): Rows {
  const width = Math.ceil(d / 4);
  if (d % 4 === 0) return { tensor: t, rows, width };
  const out = gpu.empty('f32', [rows, width * 4]);
  gpu.dispatch({
    file,
    entry: 'padRows',
    constants: lanes(gpu).constants,
    params: [rows, d, width, 0, 0, 0, 0, 0],
    reads: [t],
    writes: [out],
    groups: groupsFor(gpu, rows * width),
  });
  return { tensor: out, rows, width };
}

/** A tensor [rows, d] of padded rows; where the dimension is a multiple of 4, it is the same one. */
export function unpadded(gpu: Gpu, { tensor, rows, width }: Rows, d: number): GpuTensor {
  if (d % 4 === 0) return tensor;
  const out = gpu.empty('f32', [rows, d]);
  gpu.dispatch({
    file,
    entry: 'unpadRows',
    constants: lanes(gpu).constants,
    params: [rows, d, width, 0, 0, 0, 0, 0],
    reads: [tensor],
    writes: [out],
    groups: groupsFor(gpu, rows * width),
  });
  return out;
}

/** Rows in windows that fit a binding, each starting at a multiple of 64 rows, as do windows of one number per row. */
export function rowWindows(gpu: Gpu, { tensor, rows, width }: Rows): RowWindow[] {
  const most = Math.max(Math.floor(gpu.maxBindingBytes / (width * 16 * 64)) * 64, 64);
  if (rows <= most) return [{ first: 0, count: rows, binding: tensor }];
  const out: RowWindow[] = [];
  for (let first = 0; first < rows; first += most) {
    const count = Math.min(most, rows - first);
    out.push({ first, count, binding: { tensor, offset: first * width * 4, length: count * width * 4 } });
  }
  return out;
}

/** Rows `chosen` of the source, in that order; times their weights, if there are any. */
export function gatherRows(gpu: Gpu, source: Rows, chosen: GpuTensor, weights?: GpuTensor): Rows {
  const { width } = source;
  const rows = chosen.size;
  const tensor = gpu.empty('f32', [rows, width * 4]);
  const out = { tensor, rows, width };
  for (const to of rowWindows(gpu, out)) {
    for (const from of rowWindows(gpu, source)) {
      gpu.dispatch({
        file,
        entry: 'gatherRows',
        constants: lanes(gpu).constants,
        params: [to.count, width * 4, width, weights ? 1 : 0, from.first, from.count, to.first, 0],
        reads: [from.binding, chosen, weights ?? emptyOne(gpu)],
        writes: [to.binding],
        groups: groupsFor(gpu, to.count * width),
      });
    }
  }
  return out;
}

/** 1 / |row| for each row, 0 for rows of zeros: f32 [rows]. */
export function inverseNorms(gpu: Gpu, source: Rows): GpuTensor {
  const out = gpu.empty('f32', [source.rows]);
  for (const { first, count, binding } of rowWindows(gpu, source)) {
    gpu.dispatch({
      file,
      entry: 'inverseNorms',
      constants: lanes(gpu).constants,
      params: [count, 0, source.width, 0, 0, 0, first, 0],
      reads: [binding],
      writes: [out],
      groups: groupsFor(gpu, count),
    });
  }
  return out;
}

/** The sum of all terms, written to element `at` of `to`; the order of the additions depends on their number only. */
export function sumInto(gpu: Gpu, terms: GpuTensor, to: GpuTensor, at: number): void {
  const chunk = 64;
  let now = terms;
  for (;;) {
    const chunks = Math.ceil(now.size / chunk);
    const last = chunks <= 1;
    const next = last ? to : gpu.empty('f32', [chunks]);
    gpu.dispatch({
      file,
      entry: 'sumChunks',
      constants: lanes(gpu).constants,
      params: [now.size, 0, 0, 0, 0, 0, last ? at : 0, chunk],
      reads: [now],
      writes: [next],
      groups: groupsFor(gpu, chunks),
    });
    if (last) return;
    now = next;
  }
}
