import type { AnnShape, Metric } from '../ops/hierarchicalAnn.ts';
import type { Tensor } from '../tensor.ts';
import { scoreSlack } from './selection.ts';

/** Which nodes of a level are open in every correct evaluation, and which may be. */
export interface Opened {
  readonly certain: Uint8Array;
  readonly possible: Uint8Array;
}

/** When to stop opening nodes of a level: all three must hold. */
export interface Enough {
  readonly nodes: number;
  readonly lists: number;
  readonly vectors: number;
}

/** The exact score of a vector with row i of others, and how far a correct evaluation may be from it. */
export function scoreWithSlack(
  metric: Metric,
  q: ArrayLike<number>,
  qAt: number,
  others: ArrayLike<number>,
  at: number,
  d: number,
  exact: boolean,
  inverse = 1,
): [score: number, slack: number] {
  let score = 0;
  let absolute = 0;
  if (metric === 'l2') {
    for (let j = 0; j < d; j++) score -= (q[qAt + j]! - others[at + j]!) ** 2;
  } else {
    for (let j = 0; j < d; j++) {
      const product = q[qAt + j]! * others[at + j]!;
      score += product;
      absolute += Math.abs(product);
    }
  }
  return [score * inverse, scoreSlack(metric, d, absolute * inverse, score * inverse, exact)];
}

/**
 * Which nodes of a level may be open, given which of the level above are: nodes are opened in order of their scores until
 * there is enough. A node is open for certain if even all nodes that could come before it are not enough; it may be
 * open if those that must come before it are not enough.
 *
 * @param parents where the children of each node above start; null at the top
 * @param below how many lists and vectors a node holds
 */
export function openLevel(
  scores: Float64Array,
  slacks: Float64Array,
  above: Opened | undefined,
  parents: ArrayLike<number> | undefined,
  below: (node: number) => [lists: number, vectors: number],
  enough: Enough,
): Opened {
  const size = scores.length;
  const mayTakePart = new Uint8Array(size).fill(above === undefined ? 1 : 0);
  const takesPart = new Uint8Array(size).fill(above === undefined ? 1 : 0);
  if (above !== undefined && parents !== undefined) {
    for (let p = 0; p + 1 < parents.length; p++) {
      mayTakePart.fill(above.possible[p]!, parents[p]!, parents[p + 1]!);
      takesPart.fill(above.certain[p]!, parents[p]!, parents[p + 1]!);
    }
  }
  // Nodes by the highest score they could have (of those that may take part), and by the lowest (of those that do),
  // with running sums of what they hold.
  const high = running(
    Array.from({ length: size }, (_, c) => c).filter((c) => mayTakePart[c]),
    (c) => scores[c]! + slacks[c]!,
    below,
  );
  const low = running(
    Array.from({ length: size }, (_, c) => c).filter((c) => takesPart[c]),
    (c) => scores[c]! - slacks[c]!,
    below,
  );
  const settled = mayTakePart.every((may, c) => may === takesPart[c]);
  const certain = new Uint8Array(size);
  const possible = new Uint8Array(size);
  const goesOn = ([nodes, lists, vectors]: Sums): boolean =>
    nodes < enough.nodes || lists < enough.lists || vectors < enough.vectors;
  for (let c = 0; c < size; c++) {
    if (mayTakePart[c] === 0) continue;
    const [lists, vectors] = below(c);
    // All that could outrank it; itself is among them, with slack or without.
    const before = high.upTo(scores[c]! - slacks[c]!, true);
    const without: Sums = [before[0] - 1, before[1] - lists, before[2] - vectors];
    if (takesPart[c] !== 0 && goesOn(without)) certain[c] = 1;
    if (goesOn(low.upTo(scores[c]! + slacks[c]!, false))) possible[c] = 1;
    // Equal exact scores without slack: the lower index comes first.
    if (slacks[c] === 0 && certain[c] === 0 && possible[c] !== 0) {
      const ties = high.ties(scores[c]!, c);
      const first: Sums = [without[0] - ties[0], without[1] - ties[1], without[2] - ties[2]];
      if (takesPart[c] !== 0 && goesOn(first)) certain[c] = 1;
      else if (settled) possible[c] = 0;
    }
  }
  return { certain, possible };
}

type Sums = readonly [nodes: number, lists: number, vectors: number];

function running(
  nodes: number[],
  keyOf: (c: number) => number,
  below: (node: number) => [number, number],
): { upTo(limit: number, inclusive: boolean): Sums; ties(score: number, c: number): Sums } {
  nodes.sort((a, b) => keyOf(b) - keyOf(a));
  const keys = Float64Array.from(nodes, keyOf);
  const sums: Sums[] = [[0, 0, 0]];
  for (const c of nodes) {
    const [lists, vectors] = below(c);
    const [n, l, v] = sums.at(-1)!;
    sums.push([n + 1, l + lists, v + vectors]);
  }
  /** What has a key above the limit, or at it. */
  const count = (limit: number, inclusive: boolean): number => {
    let [a, b] = [0, keys.length];
    while (a < b) {
      const middle = (a + b) >> 1;
      if (keys[middle]! > limit || (inclusive && keys[middle] === limit)) a = middle + 1;
      else b = middle;
    }
    return a;
  };
  return {
    upTo: (limit, inclusive) => sums[count(limit, inclusive)]!,
    ties: (score, c) => {
      let found: Sums = [0, 0, 0];
      for (let i = count(score, false); i < keys.length && keys[i] === score; i++) {
        if (nodes[i]! <= c) continue;
        const [lists, vectors] = below(nodes[i]!);
        found = [found[0] + 1, found[1] + lists, found[2] + vectors];
      }
      return found;
    },
  };
}

/** How many lists and vectors a node of a level holds. */
export function holdings({ levels }: AnnShape<Tensor>, depth: number): (node: number) => [number, number] {
  return (node) => {
    let [first, last] = [node, node + 1];
    for (let level = depth; level < levels.length - 1; level++) {
      first = levels[level]!.offsets.data[first]!;
      last = levels[level]!.offsets.data[last]!;
    }
    const lists = last - first;
    const offsets = levels.at(-1)!.offsets.data;
    return [lists, offsets[last]! - offsets[first]!];
  };
}
