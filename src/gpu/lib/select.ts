import type { Binding, Gpu } from '../runtime/gpu.ts';
import type { GpuTensor } from '../runtime/gpuTensor.ts';
import {
  type Batch,
  batchesOf,
  few,
  type Layout,
  layOut,
  type SelectionSizes,
  spanOf,
} from './selectLayout.ts';

const eight = 8;
const bins = 2048;
/** Words of state per row, and of digit counts: two attempts, three levels. */
const stateWords = 16;
const digitWords = 6 * bins;
/** Invocations that take the sample of one row. */
const sampleLanes = 64;

/** Where the keys come from: an operator's own kernels, built on lib/selection.wgsl. */
export interface SelectionSource {
  readonly file: string;
  /** Its entry points, by the step they do. */
  readonly entries: Readonly<
    Record<'sample' | 'guess' | 'count' | 'mark' | 'collect' | 'emit' | 'write', string>
  >;
  /** The scores, [outer, length, inner]; bound in windows if they are too large for one binding. */
  readonly x: GpuTensor;
  readonly mask: GpuTensor | undefined;
  /** Up to eight parameters of its own. */
  readonly own?: readonly (number | { readonly f32: number })[];
}

/** The results, seen as [outer, slots, inner], and [outer, inner] for counts. */
export interface SelectionResults {
  readonly values: GpuTensor;
  readonly indices: GpuTensor;
  readonly counts: GpuTensor;
}

/** Parameters that differ between the dispatches of one batch. */
interface Varying {
  readonly k: number;
  readonly first: number;
  readonly count: number;
  readonly origin: number;
  readonly maskOrigin: number;
  readonly chunk: number;
  readonly chunks: number;
  readonly capacity: number;
  readonly attempt: number;
  readonly level: number;
  readonly after: number;
  readonly slot: number;
  readonly fill: number;
  readonly outOrigin: number;
  readonly outLength: number;
  readonly countOrigin: number;
}

/** Entries first .. first + count of all rows of a batch, through bindings of x and of the mask. */
interface Window {
  readonly x: Binding;
  readonly mask: Binding;
  readonly varying: Pick<Varying, 'first' | 'count' | 'origin' | 'maskOrigin'>;
}

/** A piece of the results of a batch, through bindings of values and indices. */
interface OutWindow {
  readonly values: Binding;
  readonly indices: Binding;
  readonly varying: Pick<Varying, 'outOrigin' | 'outLength'>;
}

/**
 * Select the k best entries of every row and write them out.
 *
 * Per batch of rows and block of results: guess a threshold from a sample, mark and tally what reaches it in one pass
 * over x, decide where candidates go (or, in rows where the guess failed, count all digits and mark again), collect the
 * candidates, put them in order, write. Which rows retry is known to the GPU alone: the kernels of the second attempt
 * are always enqueued, and leave at once where there is nothing to do.
 */
export function select(
  gpu: Gpu,
  source: SelectionSource,
  sizes: SelectionSizes,
  results: SelectionResults,
): void {
  const maxWords = Math.floor(gpu.maxBindingBytes / 4);
  const layout = layOut(sizes, maxWords);
  const { guess, block, capacity, chunks, parts, sampleSize } = layout;
  const rows = layout.slabs * layout.width;
  const large = guess === 'large';
  const scratch = (...shape: number[]): GpuTensor => gpu.empty('u32', [rows, ...shape]);
  // Writable bindings may not overlap: each that a kernel leaves unused needs a buffer of its own.
  const none = (): GpuTensor => gpu.empty('u32', [64]);
  const state = scratch(stateWords);
  const digits = large ? scratch(digitWords) : none();
  const sample = large ? scratch(sampleSize) : none();
  const marks = scratch(layout.words);
  const tallies = scratch(chunks, 2);
  // Beyond one block, a set needs no candidates: it is written while x is read.
  const emits = !sizes.sorted && sizes.k > block;
  const room = emits ? 1 : capacity;
  const [candidates, ordered] = [scratch(room, 2), scratch(room, 2)];
  const counters = block > few && !emits ? scratch(parts + 1, bins) : none();
  const dummy: Binding = { tensor: source.x, offset: 0, length: Math.min(source.x.size, 64) };

  for (const batch of batchesOf(sizes, layout)) {
    const windows = windowsOf(source, sizes, layout, batch);
    const outWindows = outWindowsOf(results, sizes, batch, maxWords);
    const countSpan = spanOf(batch.a * sizes.inner + batch.b, batch.rows);
    const counts: Binding = { tensor: results.counts, ...countSpan };
    const perRow = Math.ceil(batch.rows / eight);
    const lanes = (perRowOfX: number): number =>
      perRowOfX === 1 ? perRow : (batch.rows * perRowOfX) / eight;

    const blocks = emits ? 1 : Math.max(Math.ceil(sizes.k / block), 1);
    gpu.clear(state);
    for (let b = 0; b < blocks; b++) {
      const slot = b * block;
      const k = emits ? sizes.k : Math.min(block, sizes.k - slot);
      const last = b === blocks - 1;
      const common = {
        k,
        slot,
        fill: last ? sizes.slots - slot : k,
        after: b > 0 ? 1 : 0,
        countOrigin: countSpan.origin,
      };
      const step = (
        entry: string,
        groups: number,
        writes: readonly Binding[],
        over: Partial<Varying> = {},
      ): void =>
        gpu.dispatch({
          file: 'lib/selectionSteps.wgsl',
          entry,
          params: paramsOf(sizes, layout, batch, { ...common, ...over }, []),
          reads: [dummy, dummy, dummy],
          writes,
          groups: gpu.grid(groups),
        });
      const stream = (
        entry: string,
        groups: number,
        writes: readonly Binding[],
        over: Partial<Varying> = {},
        vector = false,
      ): void => {
        for (const w of windows) {
          const constants = vector ? { VECTOR: canVector(sizes, batch, w, b) ? 1 : 0 } : {};
          gpu.dispatch({
            file: source.file,
            entry,
            constants,
            params: paramsOf(sizes, layout, batch, { ...common, ...w.varying, ...over }, source.own ?? []),
            reads: [w.x, w.x, w.mask],
            writes,
            groups: gpu.grid(groups),
          });
        }
      };
      const markAndDecide = (attempt: number): void => {
        if (attempt > 0 && large) {
          for (const level of [0, 1, 2]) {
            stream(source.entries.count, lanes(chunks), [state, digits], { attempt, level });
          }
        }
        stream(source.entries.mark, lanes(chunks), [state, digits, marks, tallies], { attempt }, true);
        const over = { attempt, ...(emits ? { capacity: 0xffffffff } : {}) };
        step('decide', perRow, [state, digits, sample, tallies], over);
      };

      if (k > 0) {
        if (large) gpu.clear(digits);
        if (emits) markAndDecide(2);
        else {
          if (large) {
            const over = { chunks: sampleLanes, chunk: Math.ceil(sampleSize / sampleLanes) };
            stream(source.entries.sample, lanes(sampleLanes), [state, digits, sample], over);
            for (const level of [1, 2]) {
              step('countSample', lanes(sampleLanes), [state, digits, sample], { ...over, level });
            }
          } else if (guess === 'small') stream(source.entries.guess, perRow, [state]);
          markAndDecide(0);
          if (guess !== 'all') markAndDecide(1);
          stream(source.entries.collect, lanes(chunks), [state, digits, marks, tallies, candidates]);
        }
      }
      let best = ordered;
      if (k > 0 && !emits) {
        if (k <= few) {
          // A set of several blocks is emitted instead, so that a set here is never followed by another block.
          step('sortFew', perRow, [state, digits, candidates, ordered], { level: sizes.sorted ? 0 : 3 });
        } else {
          for (const level of sizes.sorted ? [0, 1, 2] : [0, 1, 2, 3, 4, 5]) {
            const [from, to] = level % 2 === 0 ? [candidates, ordered] : [ordered, candidates];
            step('sortCount', lanes(parts), [state, digits, from, tallies, counters], { level });
            step('sortScan', (batch.rows * bins) / eight, [state, digits, from, to, counters], { level });
            step('sortMove', lanes(parts), [state, digits, from, to, counters], { level });
            best = to;
          }
        }
        if (!last) step('advance', perRow, [state, digits, candidates, ordered]);
      }
      for (const out of outWindows) {
        const groups = Math.ceil((batch.rows * common.fill) / eight);
        if (emits) {
          const writes = [state, out.indices, marks, tallies, out.values];
          stream(source.entries.emit, lanes(chunks), writes, out.varying);
        }
        // After `emit`, this only pads short rows and writes the counts.
        const over = { ...out.varying, level: emits ? 1 : 0 };
        stream(source.entries.write, groups, [state, counts, best, out.values, out.indices], over);
      }
    }
  }
}

/** May entries be loaded four at a time? Only if every row is contiguous and starts at a multiple of four. */
function canVector(sizes: SelectionSizes, batch: Batch, { varying }: Window, block: number): boolean {
  const aligned = varying.origin % 4 === 0 && (batch.rows === 1 || sizes.length % 4 === 0);
  return sizes.inner === 1 && sizes.maskInner === 0 && block === 0 && aligned;
}

function windowsOf(source: SelectionSource, sizes: SelectionSizes, layout: Layout, batch: Batch): Window[] {
  const { length, inner, maskInner } = sizes;
  const slabs = batch.rows / batch.width;
  const out: Window[] = [];
  for (let first = 0; first < Math.max(length, 1); first += layout.window) {
    const count = Math.min(layout.window, length - first);
    // From the first element that a row of the batch has in this window to the last one.
    const entries = (slabs - 1) * length + count;
    const start = (batch.a * length + first) * inner + batch.b;
    const span = spanOf(start, Math.max((entries - 1) * inner + batch.width, 0));
    const maskWhole = maskInner === inner;
    const maskSpan = maskWhole ? span : spanOf(batch.a * length + first, entries);
    const x = { tensor: source.x, ...span };
    out.push({
      x,
      mask: source.mask === undefined ? x : { tensor: source.mask, ...maskSpan },
      varying: { first, count, origin: span.origin, maskOrigin: maskSpan.origin },
    });
  }
  return out;
}

function outWindowsOf(
  { values, indices }: SelectionResults,
  { slots, inner }: SelectionSizes,
  batch: Batch,
  maxWords: number,
): OutWindow[] {
  const start = batch.a * slots * inner + batch.b;
  const all = (batch.rows / batch.width - 1) * slots * inner + (slots - 1) * inner + batch.width;
  const step = Math.floor(maxWords / 64) * 64 - 64;
  const out: OutWindow[] = [];
  for (let at = 0; at < all; at += step) {
    const span = spanOf(start + at, Math.min(step, all - at));
    out.push({
      values: { tensor: values, ...span },
      indices: { tensor: indices, ...span },
      varying: { outOrigin: (span.origin - at) >>> 0, outLength: span.length },
    });
  }
  return out;
}

/** The fields of SelectParams in lib/selection.wgsl, in order. */
function paramsOf(
  sizes: SelectionSizes,
  layout: Layout,
  batch: Batch,
  v: Partial<Varying>,
  own: readonly (number | { readonly f32: number })[],
): (number | { readonly f32: number })[] {
  const fields = [
    batch.rows,
    batch.width,
    sizes.length,
    sizes.inner,
    v.k ?? 0,
    v.first ?? 0,
    v.count ?? 0,
    v.origin ?? 0,
    v.chunk ?? layout.chunk,
    v.chunks ?? layout.chunks,
    layout.words,
    v.capacity ?? layout.capacity,
    layout.sampleSize,
    layout.stride,
    layout.rank,
    v.attempt ?? 0,
    v.level ?? 0,
    layout.parts,
    sizes.largest ? 1 : 0,
    v.after ?? 0,
    sizes.maskInner,
    v.maskOrigin ?? 0,
    sizes.slots,
    v.slot ?? 0,
    v.fill ?? 0,
    v.outOrigin ?? 0,
    v.outLength ?? 0,
    v.countOrigin ?? 0,
  ];
  return [...fields, ...own, ...new Array<number>(8 - own.length).fill(0)];
}
