import type { Binding, Gpu } from '../runtime/gpu.ts';
import type { GpuTensor } from '../runtime/gpuTensor.ts';
import {
  type Batch,
  batchesOf,
  bins,
  byLargest,
  inserted,
  type Layout,
  layOut,
  roundUp,
  type SelectionSizes,
  sortTile,
  spanOf,
  stateWords,
} from './selectLayout.ts';

/**
 * Where the keys come from: an operator's own kernels, built on lib/selection.wgsl as those of topK are. In all of them
 * bindings 1 to 3 are x, `second` (x itself if there is none) and the mask (x if there is none), in windows alike;
 * bindings 4 and 5 are the state and the digits.
 */
export interface SelectionSource {
  /** Serial kernels. */
  readonly file: string;
  readonly entries: Readonly<Record<'sample' | 'count' | 'mark' | 'collect' | 'write', string>> & {
    /** Few results of each of many rows, by one invocation per row. */
    readonly few?: string;
    /** A set of more than one block, written while x is read. Without it such a set comes in order of its keys. */
    readonly emit?: string;
  };
  /** Kernels for GPUs; without them the serial ones are taken. */
  readonly tiles?: {
    readonly file: string;
    readonly entries: Readonly<Record<'count' | 'mark' | 'collect' | 'short', string>>;
  };
  /** Constants of its kernels. */
  readonly constants?: Readonly<Record<string, number>>;
  /** The scores, [outer, length, inner]; bound in windows if they are too large for one binding. */
  readonly x: GpuTensor;
  /** Another tensor of the shape of x. */
  readonly second?: GpuTensor | undefined;
  readonly mask?: GpuTensor | undefined;
  /** Up to eight parameters of its own, which may depend on the batch. */
  readonly own?: (batch: Batch) => readonly (number | { readonly f32: number })[];
}

/** The results, seen as [outer, slots, inner], and [outer, inner] for counts. */
export interface SelectionResults {
  readonly values: GpuTensor;
  readonly indices: GpuTensor;
  readonly counts: GpuTensor;
}

/** Parameters that differ between the dispatches of one call; see SelectParams in lib/selection.wgsl. */
interface Varying {
  readonly k: number;
  readonly first: number;
  readonly count: number;
  readonly origin: number;
  readonly maskOrigin: number;
  readonly chunk: number;
  readonly chunks: number;
  readonly capacity: number;
  readonly room: number;
  readonly attempt: number;
  readonly level: number;
  readonly after: number;
  readonly slot: number;
  readonly fill: number;
  readonly outOrigin: number;
  readonly outLength: number;
  readonly countOrigin: number;
  readonly distance: number;
}

/** Entries first .. first + count of all rows of a batch, through bindings of what is read. */
interface Window {
  readonly reads: readonly [x: Binding, second: Binding, mask: Binding];
  readonly varying: Pick<Varying, 'first' | 'count' | 'origin' | 'maskOrigin'>;
}

/** A piece of the results of a batch, through bindings of values and indices. */
interface OutWindow {
  readonly values: Binding;
  readonly indices: Binding;
  readonly varying: Pick<Varying, 'outOrigin' | 'outLength'>;
}

// What a threshold rests on; the first level of a sort by index. See lib/selection.wgsl.
const bySample = 0;
const byCounting = 1;
const byCountingAll = 2;
const amongCandidates = 3;
const byIndex = 3;

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
  const offer = { tiles: source.tiles !== undefined, few: source.entries.few !== undefined };
  const layout = layOut(sizes, maxWords, gpu.family === 'gpu', offer);
  const emits = source.entries.emit !== undefined && !sizes.sorted && sizes.k > layout.block;
  const scratch = scratchFor(gpu, layout, emits);
  for (const batch of batchesOf(sizes, layout)) {
    const run = new BatchRun(gpu, source, sizes, layout, scratch, batch, results, maxWords);
    if (layout.short) run.selectShort();
    else if (emits) run.emitAll();
    else if (layout.few) run.selectFew();
    else run.selectInBlocks();
  }
}

type Scratch = Readonly<
  Record<
    'state' | 'digits' | 'sample' | 'marks' | 'tallies' | 'candidates' | 'ordered' | 'counters',
    GpuTensor
  >
>;

/** Buffers for one batch; those that a layout has no use for are small, but there, since each binding needs one. */
function scratchFor(gpu: Gpu, layout: Layout, emits: boolean): Scratch {
  const rows = layout.slabs * layout.width;
  const { short, few, tiles, room, parts, sampleSize, chunks, words, digitWords, block } = layout;
  const some = (wanted: boolean, ...shape: number[]): GpuTensor =>
    gpu.empty('u32', wanted ? [rows, ...shape] : [64]);
  const sampled = !short && !few && (sampleSize > 0 || emits);
  const sorts = !short && !few && !emits && !tiles;
  return {
    state: some(!short, stateWords),
    digits: some(sampled, digitWords),
    sample: some(sampled, sampleSize),
    marks: some(!short && !few, words),
    // Also one tally per part of the candidates.
    tallies: some(!short && !few, Math.max(chunks, parts), 2),
    candidates: some(!short && !emits, room, 2),
    ordered: some(sorts, room, 2),
    counters: some(sorts && block > inserted, parts + 1, bins),
  };
}

/** The selection from one batch of rows: a sequence of dispatches. */
class BatchRun {
  readonly #gpu: Gpu;
  readonly #source: SelectionSource;
  readonly #sizes: SelectionSizes;
  readonly #layout: Layout;
  readonly #scratch: Scratch;
  readonly #batch: Batch;
  readonly #windows: readonly Window[];
  readonly #outWindows: readonly OutWindow[];
  readonly #counts: Binding;
  /** What holds for all dispatches of a block. */
  #varying: Partial<Varying>;

  constructor(
    gpu: Gpu,
    source: SelectionSource,
    sizes: SelectionSizes,
    layout: Layout,
    scratch: Scratch,
    batch: Batch,
    results: SelectionResults,
    maxWords: number,
  ) {
    this.#gpu = gpu;
    this.#source = source;
    this.#sizes = sizes;
    this.#layout = layout;
    this.#scratch = scratch;
    this.#batch = batch;
    this.#windows = windowsOf(source, sizes, layout, batch);
    this.#outWindows = outWindowsOf(results, sizes, batch, maxWords);
    const counts = spanOf(batch.a * sizes.inner + batch.b, batch.rows);
    this.#counts = { tensor: results.counts, ...counts };
    this.#varying = { k: sizes.k, fill: sizes.slots, slot: 0, after: 0, countOrigin: counts.origin };
  }

  /** Rows that one workgroup sorts whole. */
  selectShort(): void {
    const { sorted, length } = this.#sizes;
    const room = Math.max(2 ** Math.ceil(Math.log2(length)), 2);
    const { state, marks } = this.#scratch;
    for (const out of this.#outWindows) {
      const over = { ...out.varying, room, level: sorted ? 0 : byIndex };
      const writes = [state, this.#counts, marks, out.values, out.indices];
      this.#stream('tiles', this.#source.tiles!.entries.short, this.#batch.rows, writes, over);
    }
  }

  /** One invocation per row for everything but the writing. */
  selectFew(): void {
    const { state, digits, candidates } = this.#scratch;
    const { entries } = this.#source;
    const over = { level: this.#sizes.sorted ? 0 : byIndex };
    this.#stream('serial', entries.few!, this.#perRow(), [state, digits, candidates], over);
    this.#write(candidates, 0);
  }

  /** A set without candidates: the exact threshold first, by counting, and then straight to the results. */
  emitAll(): void {
    const { state, digits, marks, tallies, candidates } = this.#scratch;
    this.#gpu.clear(state);
    this.#gpu.clear(digits);
    this.#mark(byCountingAll);
    for (const out of this.#outWindows) {
      const writes = [state, out.indices, marks, tallies, out.values];
      const groups = this.#lanes(this.#layout.chunks);
      this.#stream('serial', this.#source.entries.emit!, groups, writes, out.varying);
    }
    // Only the padding of short rows, and the counts.
    this.#write(candidates, 1);
  }

  /** Candidates, in order, written; block by block. */
  selectInBlocks(): void {
    const { k, slots, sorted } = this.#sizes;
    const { block } = this.#layout;
    const { state, digits, sample, ordered } = this.#scratch;
    this.#gpu.clear(state);
    for (let slot = 0; slot < Math.max(k, 1); slot += block) {
      const more = slot + block < k;
      const wanted = more ? block : k - slot;
      this.#varying = {
        ...this.#varying,
        k: wanted,
        slot,
        fill: more ? block : slots - slot,
        after: slot > 0 ? 1 : 0,
      };
      if (wanted > 0) {
        if (this.#layout.sampleSize > 0) this.#guess();
        this.#mark(bySample);
        if (this.#layout.sampleSize > 0) this.#mark(byCounting);
        this.#collect();
      }
      const best = wanted > 0 ? this.#order(sorted) : ordered;
      if (more) this.#step('advance', this.#perRow(), [state, digits, sample, best]);
      this.#write(best, 0);
    }
  }

  #guess(): void {
    const { state, digits, sample } = this.#scratch;
    const { sampleSize, rank, workgroup } = this.#layout;
    this.#gpu.clear(digits);
    const writes = [state, digits, sample];
    const each = workgroup < 64 ? 4 : 1;
    const takers = roundUp(sampleSize / each, workgroup);
    const take = { chunks: takers, chunk: each };
    this.#stream('serial', this.#source.entries.sample, this.#lanes(takers), writes, take);
    const rankers = roundUp(sampleSize / 8, workgroup);
    const level = byLargest(rank, sampleSize) ? 0 : 1;
    this.#step('rankPivots', this.#lanes(rankers), writes, { chunks: rankers, level });
  }

  /** Find the threshold, mark what reaches it, and decide what becomes of the marked. */
  #mark(attempt: number): void {
    const { state, digits, sample, marks, tallies } = this.#scratch;
    const { tiles, chunks, exact } = this.#layout;
    const kind = tiles ? 'tiles' : 'serial';
    const entries = tiles ? this.#source.tiles!.entries : this.#source.entries;
    const groups = tiles ? this.#batch.rows * chunks : this.#lanes(chunks);
    if (attempt !== bySample && exact) {
      for (const level of [0, 1, 2]) {
        this.#stream(kind, entries.count, groups, [state, digits], { attempt, level });
      }
    }
    this.#stream(kind, entries.mark, groups, [state, digits, marks, tallies], { attempt });
    // A set that is emitted has no candidates that would have to fit anywhere.
    const over = attempt === byCountingAll ? { attempt, capacity: 0xffffffff } : { attempt };
    const writes = [state, digits, sample, tallies];
    if (tiles) this.#stepTiles('decideTiles', this.#batch.rows, writes, over);
    else this.#step('decide', this.#perRow(), writes, over);
  }

  #collect(): void {
    const { state, digits, marks, tallies, candidates } = this.#scratch;
    const { tiles, chunks } = this.#layout;
    const writes = [state, digits, marks, tallies, candidates];
    if (tiles) {
      this.#stream('tiles', this.#source.tiles!.entries.collect, this.#batch.rows * chunks, writes);
    } else this.#stream('serial', this.#source.entries.collect, this.#lanes(chunks), writes);
  }

  /** Put the candidates in order, or bring them down to k by ascending index. Returns where they are then. */
  #order(sorted: boolean): GpuTensor {
    const { tiles, exact, parts } = this.#layout;
    if (tiles) {
      this.#sortTiles(0);
      if (!sorted) this.#sortTiles(byIndex);
      return this.#scratch.candidates;
    }
    if ((this.#varying.k ?? 0) <= inserted) return this.#sortFew(sorted);
    // Where there are counts for digits, a set is found without sorting.
    return !sorted && exact && parts > 1 ? this.#keep() : this.#sortByDigits(sorted);
  }

  #sortFew(sorted: boolean): GpuTensor {
    const { state, digits, candidates, ordered } = this.#scratch;
    const over = { level: sorted ? 0 : byIndex };
    this.#step('sortFew', this.#perRow(), [state, digits, candidates, ordered], over);
    return ordered;
  }

  #sortByDigits(sorted: boolean): GpuTensor {
    const { state, digits, tallies, counters, candidates, ordered } = this.#scratch;
    const lanes = this.#lanes(this.#layout.parts);
    let [from, to] = [candidates, ordered];
    for (let level = 0; level < (sorted ? 3 : 6); level++) {
      this.#step('sortCount', lanes, [state, digits, from, tallies, counters], { level });
      if (this.#layout.parts > 1) {
        // One invocation per digit: more of them per workgroup, since each has little to do.
        const scanners = (this.#batch.rows * bins) / 64;
        const constants = { WORKGROUP: 64 };
        this.#step('sortScan', scanners, [state, digits, from, to, counters], { level }, constants);
      }
      this.#step('sortMove', lanes, [state, digits, from, to, counters], { level });
      [from, to] = [to, from];
    }
    return from;
  }

  /** Drop the candidates that are too many, by their exact threshold. */
  #keep(): GpuTensor {
    const { state, digits, tallies, candidates, ordered, sample } = this.#scratch;
    const { parts } = this.#layout;
    const lanes = this.#lanes(parts);
    const over = { attempt: amongCandidates, chunks: parts };
    this.#gpu.clear(digits);
    for (const level of [0, 1, 2]) {
      this.#step('countCandidates', lanes, [state, digits, candidates], { ...over, level });
    }
    this.#step('tallyCandidates', lanes, [state, digits, candidates, tallies], over);
    this.#step('decide', this.#perRow(), [state, digits, sample, tallies], over);
    this.#step('keepCandidates', lanes, [state, digits, candidates, tallies, ordered], over);
    return ordered;
  }

  /** A bitonic sort in place: within tiles first, then in blocks of growing size. */
  #sortTiles(by: number): void {
    const { state, digits, candidates } = this.#scratch;
    const { room } = this.#layout;
    const { rows } = this.#batch;
    const writes = [state, digits, candidates];
    const tiles = (rows * room) / sortTile;
    this.#stepTiles('sortTiles', tiles, writes, { after: by });
    for (let block = 2 * sortTile; block <= room; block *= 2) {
      // The distances from block / 2 down to a tile, three in each pass as far as they go.
      let left = Math.log2(block / sortTile);
      for (let distance = block / 2; left > 0; ) {
        const steps = Math.min(left, 3);
        const over = { level: block, distance, after: by };
        const groups = Math.ceil((rows * room) / 2 ** steps / 256);
        this.#stepTiles('sortApart', groups, writes, over, { STEPS: steps });
        distance /= 2 ** steps;
        left -= steps;
      }
      this.#stepTiles('sortWithin', tiles, writes, { level: block, after: by });
    }
  }

  #write(best: GpuTensor, level: number): void {
    const { state } = this.#scratch;
    const { rows, width } = this.#batch;
    const fill = this.#varying.fill ?? 0;
    const groups = width === 1 && fill >= 64 ? rows * Math.ceil(fill / 64) : Math.ceil((rows * fill) / 64);
    for (const out of this.#outWindows) {
      const writes = [state, this.#counts, best, out.values, out.indices];
      const over = { ...out.varying, level };
      this.#stream('serial', this.#source.entries.write, groups, writes, over, { WORKGROUP: 64 });
    }
  }

  #perRow(): number {
    return Math.ceil(this.#batch.rows / this.#layout.workgroup);
  }

  /** Workgroups for so many invocations per row. */
  #lanes(perRow: number): number {
    return perRow === 1 ? this.#perRow() : (this.#batch.rows * perRow) / this.#layout.workgroup;
  }

  /** A serial step that does not read x. */
  #step(
    entry: string,
    groups: number,
    writes: readonly Binding[],
    over: Partial<Varying> = {},
    constants: Record<string, number> = { WORKGROUP: this.#layout.workgroup },
  ): void {
    this.#dispatch('lib/selectionSteps.wgsl', entry, groups, this.#nothing(), writes, over, constants);
  }

  #stepTiles(
    entry: string,
    groups: number,
    writes: readonly Binding[],
    over: Partial<Varying> = {},
    constants: Record<string, number> = {},
  ): void {
    this.#dispatch('lib/selectionTiles.wgsl', entry, groups, this.#nothing(), writes, over, constants);
  }

  /** A step that reads x, once per window. */
  #stream(
    kind: 'serial' | 'tiles',
    entry: string,
    groups: number,
    writes: readonly Binding[],
    over: Partial<Varying> = {},
    constants: Record<string, number> = kind === 'serial' ? { WORKGROUP: this.#layout.workgroup } : {},
  ): void {
    const file = kind === 'serial' ? this.#source.file : this.#source.tiles!.file;
    const { mark } = kind === 'serial' ? this.#source.entries : this.#source.tiles!.entries;
    const loads = [mark, this.#source.entries.few];
    for (const w of this.#windows) {
      const vector = loads.includes(entry) && this.#canVector(w) ? { VECTOR: 1 } : {};
      this.#dispatch(
        file,
        entry,
        groups,
        w.reads,
        writes,
        { ...w.varying, ...over },
        { ...constants, ...vector, ...this.#source.constants },
      );
    }
  }

  /** May entries be loaded four at a time? Only if every row is contiguous and starts at a multiple of four. */
  #canVector({ varying }: Window): boolean {
    const { inner, length, maskInner } = this.#sizes;
    const aligned = varying.origin % 4 === 0 && (this.#batch.rows === 1 || length % 4 === 0);
    return (
      inner === 1 && maskInner === 0 && this.#varying.after === 0 && aligned && this.#layout.chunk % 4 === 0
    );
  }

  /** Bindings for steps that do not read x. */
  #nothing(): readonly Binding[] {
    const { x } = this.#source;
    const dummy = { tensor: x, offset: 0, length: Math.min(x.size, 64) };
    return [dummy, dummy, dummy];
  }

  #dispatch(
    file: string,
    entry: string,
    groups: number,
    reads: readonly Binding[],
    writes: readonly Binding[],
    over: Partial<Varying>,
    constants: Record<string, number>,
  ): void {
    const v = { ...this.#varying, ...over };
    const own = this.#source.own?.(this.#batch) ?? [];
    const params = paramsOf(this.#sizes, this.#layout, this.#batch, v, own);
    this.#gpu.dispatch({ file, entry, constants, params, reads, writes, groups: this.#gpu.grid(groups) });
  }
}

function windowsOf(source: SelectionSource, sizes: SelectionSizes, layout: Layout, batch: Batch): Window[] {
  const { length, inner, maskInner } = sizes;
  const { x, second = x, mask } = source;
  const slabs = batch.rows / batch.width;
  const out: Window[] = [];
  for (let first = 0; first < Math.max(length, 1); first += layout.window) {
    const count = Math.min(layout.window, length - first);
    // From the first element that a row of the batch has in this window to the last one.
    const entries = (slabs - 1) * length + count;
    const start = (batch.a * length + first) * inner + batch.b;
    const span = spanOf(start, Math.max((entries - 1) * inner + batch.width, 0));
    const maskSpan = maskInner === inner ? span : spanOf(batch.a * length + first, entries);
    const whole = { tensor: x, ...span };
    out.push({
      reads: [whole, { tensor: second, ...span }, mask === undefined ? whole : { tensor: mask, ...maskSpan }],
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
    v.room ?? layout.room,
    layout.digitWords,
    layout.sampleSize,
    layout.draws,
    layout.stride,
    layout.rank,
    v.attempt ?? bySample,
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
    v.distance ?? 0,
  ];
  return [...fields, ...own, ...new Array<number>(8 - own.length).fill(0)];
}
