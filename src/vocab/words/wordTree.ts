import { createHash } from 'node:crypto';
import { shares, sortedBy, startsOf } from '../../ref/lib/tree.ts';
import { createDots, type Dots } from './dots.ts';

/** Two levels of directions: roots, and the lists below each. All are bytes of one common scale. */
export interface WordTree {
  readonly d: number;
  readonly roots: number;
  readonly lists: number;
  /** [roots, stride] */
  readonly rootCodes: Int8Array;
  /** [lists, stride] */
  readonly listCodes: Int8Array;
  /** Where the lists of each root start: [roots + 1]. */
  readonly kids: Int32Array;
}

/** A tree as bytes: SHA-256 of the rest, kids, codes of roots, codes of lists. */
export function treeBytes({ kids, rootCodes, listCodes }: WordTree): Buffer {
  const rest = Buffer.concat(
    [kids, rootCodes, listCodes].map((a) => new Uint8Array(a.buffer, a.byteOffset, a.byteLength)),
  );
  return Buffer.concat([createHash('sha256').update(rest).digest(), rest]);
}

/** Read what `treeBytes` wrote; undefined if it is anything else. */
export function parseTree(bytes: Buffer, d: number, roots: number, lists: number): WordTree | undefined {
  const stride = Math.ceil(d / 16) * 16;
  const rest = bytes.subarray(32);
  if (rest.length !== 4 * (roots + 1) + stride * (roots + lists)) return undefined;
  if (!createHash('sha256').update(rest).digest().equals(bytes.subarray(0, 32))) return undefined;
  const copy = Uint8Array.from(rest).buffer;
  const at = 4 * (roots + 1);
  return {
    d,
    roots,
    lists,
    kids: new Int32Array(copy, 0, roots + 1),
    rootCodes: new Int8Array(copy, at, stride * roots),
    listCodes: new Int8Array(copy, at + stride * roots, stride * lists),
  };
}

/** Gives rows to lists. */
export interface Assigner {
  /** The list of each of `count` rows of codes: the best of those below its `beam` best roots; ties go to the lowest. */
  assign(codes: Int8Array, count: number, out: Int32Array): void;
}

/** A tree with its engine: roots first, then lists. */
export function createAssigner(tree: WordTree, beam: number): Assigner {
  const { roots, lists, kids, d } = tree;
  const dots = createDots(d, roots + lists);
  const { stride } = dots;
  dots.rows.set(tree.rootCodes);
  dots.rows.set(tree.listCodes, roots * stride);
  const width = Math.min(beam, roots);
  const bestRoots = new Int32Array(width);
  const bestSums = new Int32Array(width);
  return {
    assign(codes, count, out) {
      for (let i = 0; i < count; i++) {
        setQuery(dots, codes, i);
        dots.run(0, roots);
        const { sums } = dots;
        // Insertion into a short sorted list; an equal sum comes behind, so the lowest root wins.
        let filled = 0;
        let least = Number.NEGATIVE_INFINITY;
        for (let r = 0; r < roots; r++) {
          const sum = sums[r]!;
          if (sum <= least) continue;
          let at = filled < width ? filled++ : width - 1;
          for (; at > 0 && bestSums[at - 1]! < sum; at--) {
            bestSums[at] = bestSums[at - 1]!;
            bestRoots[at] = bestRoots[at - 1]!;
          }
          bestSums[at] = sum;
          bestRoots[at] = r;
          if (filled === width) least = bestSums[width - 1]!;
        }
        let best = -1;
        let most = -Infinity;
        for (let b = 0; b < filled; b++) {
          const first = kids[bestRoots[b]!]!;
          const size = kids[bestRoots[b]! + 1]! - first;
          if (size === 0) continue;
          dots.run(roots + first, size);
          const c = dots.largest(size);
          const sum = sums[c]!;
          if (sum > most || (sum === most && first + c < best)) {
            most = sum;
            best = first + c;
          }
        }
        out[i] = best;
      }
    },
  };
}

const rowsPerRoot = 512;

/** How a tree is trained. */
export interface TreeOptions {
  readonly d: number;
  readonly roots: number;
  readonly lists: number;
  readonly iterations: number;
  readonly refine: number;
  readonly beam: number;
}

/**
 * Train a tree on rows of codes [count, stride] by spherical k-means: the roots on a part of the rows, then the lists of each root on
 * its rows, then `refine` iterations over all lists. The lists are shared out by the numbers of rows, at least one per root.
 * Integers and f64 in a fixed order: the same rows give the same tree on every machine.
 */
export function trainWordTree(codes: Int8Array, count: number, options: TreeOptions): WordTree {
  const { d, roots, lists, iterations, refine, beam } = options;
  const stride = codes.length / count;
  const inverse = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let squares = 0;
    for (let j = i * stride; j < (i + 1) * stride; j++) squares += codes[j]! * codes[j]!;
    inverse[i] = squares === 0 ? 0 : 1 / Math.sqrt(squares);
  }
  const all = Int32Array.from({ length: count }, (_, i) => i);
  const top = createDots(d, roots);
  const assignments = new Int32Array(count);
  // A few hundred rows say where a root is.
  const step = Math.max(Math.floor(count / (rowsPerRoot * roots)), 1);
  const some = Int32Array.from({ length: Math.ceil(count / step) }, (_, i) => i * step);
  seedFrom(codes, stride, some, roots, top.rows);
  for (let t = 0; t < iterations; t++) {
    nearest(top, 0, roots, codes, some, assignments);
    moveTo(codes, stride, inverse, assignments, some, 0, roots, top.rows);
  }
  nearest(top, 0, roots, codes, all, assignments);
  const rootCodes = top.rows.slice();
  const starts = startsOf(assignments, roots);
  const members = sortedBy(assignments, starts);
  const kids = shares(starts, lists);
  const bottom = createDots(d, lists);
  for (let r = 0; r < roots; r++) {
    const own = members.subarray(starts[r]!, starts[r + 1]!);
    const [first, size] = [kids[r]!, kids[r + 1]! - kids[r]!];
    const place = bottom.rows.subarray(first * stride, (first + size) * stride);
    if (own.length === 0) {
      for (let c = 0; c < size; c++) place.set(rootCodes.subarray(r * stride, (r + 1) * stride), c * stride);
      continue;
    }
    seedFrom(codes, stride, own, size, place);
    for (let t = 0; t <= iterations; t++) {
      nearest(bottom, first, size, codes, own, assignments);
      if (t < iterations) moveTo(codes, stride, inverse, assignments, own, first, size, bottom.rows);
    }
  }
  for (let t = 0; t < refine; t++) {
    const tree = { d, roots, lists, rootCodes, listCodes: bottom.rows.slice(), kids };
    createAssigner(tree, beam).assign(codes, count, assignments);
    moveTo(codes, stride, inverse, assignments, all, 0, lists, bottom.rows);
  }
  return { d, roots, lists, rootCodes, listCodes: bottom.rows.slice(), kids };
}

/** Copy row i of codes into the query of the engine. */
function setQuery(dots: Dots, codes: Int8Array, i: number): void {
  const { query, stride } = dots;
  const from = i * stride;
  for (let j = 0; j < stride; j++) query[j] = codes[from + j]!;
}

/** First centroids: the directions of members at equal distances in their order. */
function seedFrom(codes: Int8Array, stride: number, members: Int32Array, size: number, out: Int8Array): void {
  for (let c = 0; c < size; c++) {
    const i = members[Math.floor((c * members.length) / size)]!;
    setDirection(Float64Array.from(codes.subarray(i * stride, (i + 1) * stride)), 0, stride, out, c);
  }
}

/** The best of the centroids first..first + size - 1 for each member; ties go to the lowest. */
function nearest(
  dots: Dots,
  first: number,
  size: number,
  codes: Int8Array,
  members: Int32Array,
  assignments: Int32Array,
): void {
  for (const i of members) {
    setQuery(dots, codes, i);
    dots.run(first, size);
    assignments[i] = first + dots.largest(size);
  }
}

/**
 * Move the centroids first..first + size - 1 to the directions of the sums of their members' directions; one without
 * members stays.
 */
function moveTo(
  codes: Int8Array,
  stride: number,
  inverse: Float64Array,
  assignments: Int32Array,
  members: Int32Array,
  first: number,
  size: number,
  rows: Int8Array,
): void {
  const sums = new Float64Array(size * stride);
  for (const i of members) {
    const at = (assignments[i]! - first) * stride;
    const weight = inverse[i]!;
    for (let j = 0; j < stride; j++) sums[at + j]! += weight * codes[i * stride + j]!;
  }
  for (let c = 0; c < size; c++) setDirection(sums, c * stride, stride, rows, first + c);
}

/** Row c of the centroids becomes the direction of a vector, with the length of all centroids; zero changes nothing. */
function setDirection(from: Float64Array, at: number, stride: number, rows: Int8Array, c: number): void {
  let squares = 0;
  for (let j = 0; j < stride; j++) squares += from[at + j]! ** 2;
  if (squares === 0) return;
  // An element is 38 on average then; the rare ones beyond 127 are cut.
  const scale = (0.3 * 127 * Math.sqrt(stride)) / Math.sqrt(squares);
  for (let j = 0; j < stride; j++) {
    const code = Math.round(from[at + j]! * scale);
    rows[c * stride + j] = Math.max(-127, Math.min(127, code));
  }
}
