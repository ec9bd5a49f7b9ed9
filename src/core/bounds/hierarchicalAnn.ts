import { compareExact, failure, pass, type Verdict } from '../bounds.ts';
import {
  type AnnSearchOptions,
  type AnnShape,
  type AnnTensors,
  type Metric,
  planAnnAdd,
  planAnnSearch,
  planHierarchicalAnn,
  shapeOfIndex,
} from '../ops/hierarchicalAnn.ts';
import type { Tensor } from '../tensor.ts';
import type { Judge } from './judge.ts';
import { checkSelection, exactInF32 } from './selection.ts';
import { holdings, type Opened, openLevel, scoreWithSlack } from './tree.ts';

/**
 * Search: every id must be in a list that may have been probed, every score within its bound, and nothing better may be left
 * out of a list that must have been probed. Which lists these are follows from the centroids with the same margins.
 */
export const judgeAnnSearch: Judge = ({ inputs, options, want, got }) => {
  const index = inputs as unknown as AnnTensors<Tensor>;
  const queries = inputs.queries!;
  const { k, ...rest } = options as unknown as AnnSearchOptions & { k: number };
  const plan = planAnnSearch(index, queries, k, rest);
  const { n, d, metric, levels, lists, nprobe, beams, atLeast, sorted } = plan;
  const q = queries.data;
  const x = index.vectors.data;
  const bounds = levels.at(-1)?.offsets.data ?? Int32Array.of(0, n);
  const exactLevels = levels.map((l) => exactInF32(q, l.centroids.data, d));
  const exact = metric !== 'cosine' && exactInF32(q, x, d);
  const verdicts: { ids: Verdict; listsProbed: Verdict; scanned: Verdict } = {
    ids: pass(),
    listsProbed: pass(),
    scanned: pass(),
  };
  const probing: Metric = metric === 'l2' ? 'l2' : 'ip';
  for (let r = 0; r < plan.queries; r++) {
    let open: Opened | undefined;
    for (const [depth, level] of levels.entries()) {
      const scores = new Float64Array(level.size);
      const slacks = new Float64Array(level.size);
      for (let c = 0; c < level.size; c++) {
        if (open !== undefined && !mayBe(open, levels[depth - 1]!.offsets.data, c)) continue;
        const [score, slack] = scoreWithSlack(
          probing,
          q,
          r * d,
          level.centroids.data,
          c * d,
          d,
          exactLevels[depth]!,
        );
        scores[c] = score;
        // The reference orders centroids by scores rounded to f32; so does every kernel.
        slacks[c] = exactLevels[depth] ? 0 : slack + Math.abs(score) * 2 ** -23;
      }
      const isLists = depth === levels.length - 1;
      const enough = {
        nodes: isLists ? nprobe : beams[depth]!,
        lists: Math.min(nprobe, lists),
        vectors: atLeast,
      };
      open = openLevel(scores, slacks, open, levels[depth - 1]?.offsets.data, holdings(plan, depth), enough);
    }
    const certainly = open?.certain ?? Uint8Array.of(1);
    const possibly = open?.possible ?? Uint8Array.of(1);
    const norm = metric === 'cosine' ? inverseNorm(q, r, d) : 1;
    const ids: number[] = [];
    const scores: number[] = [];
    const slack: number[] = [];
    const certain: number[] = [];
    let surely = 0;
    for (let list = 0; list < possibly.length; list++) {
      if (possibly[list] === 0) continue;
      for (let at = bounds[list]!; at < bounds[list + 1]!; at++) {
        const [s, e] = scoreWithSlack(metric, q, r * d, x, at * d, d, exact, norm);
        ids.push(index.ids.data[index.order.data[at]!]!);
        scores.push(s);
        slack.push(e);
        certain.push(certainly[list]!);
        surely += certainly[list]!;
      }
    }
    const label = `query ${r}: `;
    // What was wanted is held to the same rule: it may come from an oracle.
    for (const [from, who] of [
      [want, 'wanted '],
      [got, ''],
    ] as const) {
      const row = {
        ids: from.ids!.data.subarray(r * k, (r + 1) * k),
        scores: from.scores!.data.subarray(r * k, (r + 1) * k),
        count: from.counts!.data[r]!,
      };
      const verdict = checkSelection(row, { ids, scores, slack, certain }, k, sorted, `${who}${label}`);
      if (from === got || verdict.verdict === 'FAIL') verdicts.ids = worse(verdicts.ids, verdict);
    }
    const least = certainly.reduce((sum, v) => sum + v, 0);
    const most = possibly.reduce((sum, v) => sum + v, 0);
    verdicts.listsProbed = worse(
      verdicts.listsProbed,
      between(`${label}lists probed`, got.listsProbed!.data[r]!, least, most),
    );
    verdicts.scanned = worse(
      verdicts.scanned,
      between(`${label}vectors scanned`, got.scanned!.data[r]!, surely, ids.length),
    );
  }
  const shapes = Object.fromEntries(
    Object.entries(want).map(([name, t]) => [
      name,
      t.size === got[name]!.size ? pass() : failure(`${name} has another size`),
    ]),
  );
  return { ...shapes, ...verdicts };
};

/**
 * Building: the lists must hold each vector once, by ascending row, where the tree that was built leads it. The centroids
 * themselves depend on the order of roundings over many iterations; what is checked is that they are directions where
 * directions were clustered.
 */
export const judgeAnn: Judge = ({ inputs, options, want, got }) => {
  const vectors = inputs.vectors!;
  const plan = planHierarchicalAnn(vectors, { ...options, ...(inputs.ids ? { ids: inputs.ids } : {}) });
  const rank = ascending(inputs.ids?.data as Int32Array | undefined, plan.n);
  const tree = checkTree(got as unknown as AnnTensors<Tensor>, plan.metric, plan.levels);
  if (tree.verdict === 'FAIL') return { centroids: tree };
  return {
    ids: compareExact(want.ids!, got.ids!),
    order: checkLists(got as unknown as AnnTensors<Tensor>, plan.metric, plan.beam, (row) => [
      vectors,
      rank[row]!,
      plan.metric === 'cosine',
    ]),
    centroids: tree,
  };
};

/** Adding: as for building, with the tree of the old index. */
export const judgeAnnAdd: Judge = ({ inputs, options, want, got }) => {
  const index = inputs as unknown as AnnTensors<Tensor>;
  const added = inputs.newVectors!;
  const { n, metric, beam, levels } = planAnnAdd(index, added, {
    ...options,
    ...(inputs.newIds ? { newIds: inputs.newIds } : {}),
  });
  const verdicts: Record<string, Verdict> = { ids: compareExact(want.ids!, got.ids!) };
  for (const name of Object.keys(want).filter((name) => name.endsWith('entroids'))) {
    verdicts[name] = compareExact(want[name]!, got[name]!);
  }
  const places = new Int32Array(n);
  index.order.data.forEach((row, at) => {
    places[row] = at;
  });
  const known = new Map(Array.from(index.ids.data, (id, row) => [id, row]));
  let fresh = 0;
  const given = inputs.newIds?.data;
  const byId = new Map(Array.from({ length: added.shape[0]! }, (_, i) => [given?.[i] ?? -1, i]));
  const sourceOf = (row: number): [Tensor, number, boolean] => {
    const id = want.ids!.data[row]!;
    const old = known.get(id);
    if (old !== undefined) return [index.vectors, places[old]!, false];
    return [added, given === undefined ? fresh++ : byId.get(id)!, metric === 'cosine'];
  };
  const sources = Array.from(want.ids!.data, (_, row) => sourceOf(row));
  const result = got as unknown as AnnTensors<Tensor>;
  const tree = checkTree(
    result,
    metric,
    levels.map((l) => l.size),
  );
  verdicts.order = tree.verdict === 'FAIL' ? tree : checkLists(result, metric, beam, (row) => sources[row]!);
  return verdicts;
};

/** Offsets rise from 0 to the end of the level below, and directions have length 1. */
function checkTree(index: AnnTensors<Tensor>, metric: Metric, sizes: readonly number[]): Verdict {
  const shape = shapeOfIndex('judge', index, metric);
  if (shape.levels.length !== sizes.length || shape.levels.some((l, i) => l.size !== sizes[i])) {
    return failure(
      `levels of ${shape.levels.map((l) => l.size).join(', ')} nodes, wanted ${sizes.join(', ')}`,
    );
  }
  for (const [i, { offsets, centroids, size }] of shape.levels.entries()) {
    const end = shape.levels[i + 1]?.size ?? shape.n;
    const o = offsets.data;
    for (let c = 0; c < size; c++) {
      if (!(o[c]! <= o[c + 1]!)) return failure(`offsets of level ${i} fall from ${o[c]} to ${o[c + 1]}`);
    }
    if (o[0] !== 0 || o[size] !== end)
      return failure(`offsets of level ${i} run from ${o[0]} to ${o[size]}, not from 0 to ${end}`);
    for (let c = 0; c < size; c++) {
      let squares = 0;
      for (let j = 0; j < shape.d; j++) squares += centroids.data[c * shape.d + j]! ** 2;
      // Only a node whose points are all zero has no direction.
      const off = metric === 'l2' ? 0 : Math.min(Math.abs(squares - 1), squares);
      if (!(off <= (shape.d + 16) * 2 ** -22))
        return failure(`centroid ${c} of level ${i} has the squared length ${squares}`);
    }
  }
  return pass(0, 'offsets rise, directions have length 1');
}

/** Each vector is there once, unchanged (or scaled to length 1), in a list where the tree leads it, by ascending row. */
function checkLists(
  index: AnnTensors<Tensor>,
  metric: Metric,
  beam: number,
  sourceOf: (row: number) => [source: Tensor, at: number, scaled: boolean],
): Verdict {
  const { n, d, levels } = shapeOfIndex('judge', index, metric);
  const seen = new Uint8Array(n);
  const order = index.order.data;
  const stored = index.vectors.data;
  const bounds = levels.at(-1)?.offsets.data ?? Int32Array.of(0, n);
  let worst = 0;
  for (let list = 0; list + 1 < bounds.length; list++) {
    for (let at = bounds[list]!; at < bounds[list + 1]!; at++) {
      const row = order[at]!;
      if (!(row >= 0 && row < n) || seen[row] !== 0)
        return failure(`order holds the row ${row} twice, or it does not exist`);
      seen[row] = 1;
      if (at > bounds[list]! && order[at - 1]! > row)
        return failure(`list ${list} is not in ascending order of rows`);
      const [source, from, scaled] = sourceOf(row);
      const factor = scaled ? inverseNorm(source.data, from, d) : 1;
      for (let j = 0; j < d; j++) {
        const v = source.data[from * d + j]! * factor;
        const error = Math.abs(stored[at * d + j]! - v);
        const allowed = scaled ? (d + 16) * 2 ** -23 * Math.abs(v) + 2 ** -126 : 0;
        if (!(error <= allowed))
          return failure(`vector ${row} holds ${stored[at * d + j]} in column ${j}, wanted ${v}`);
        if (error > 0) worst = Math.max(worst, error / allowed);
      }
      const better = wrongList(levels, metric, beam, stored, at, d, list);
      if (better !== undefined) return failure(`vector ${row} is in list ${list}, but ${better}`);
    }
  }
  return pass(worst, 'each vector once, in its best list or within the bounds of two scores of it');
}

/** Why a vector cannot be in this list, if it cannot. */
function wrongList(
  levels: AnnShape<Tensor>['levels'],
  metric: Metric,
  beam: number,
  x: ArrayLike<number>,
  at: number,
  d: number,
  list: number,
): string | undefined {
  const probing: Metric = metric === 'l2' ? 'l2' : 'ip';
  let open: Opened | undefined;
  for (const [depth, { centroids, size }] of levels.entries()) {
    const scores = new Float64Array(size);
    const slacks = new Float64Array(size);
    const above = levels[depth - 1]?.offsets.data;
    for (let c = 0; c < size; c++) {
      if (open !== undefined && !mayBe(open, above!, c)) continue;
      const [score, slack] = scoreWithSlack(probing, x, at * d, centroids.data, c * d, d, false);
      scores[c] = score;
      slacks[c] = slack;
    }
    const nodes = depth === levels.length - 1 ? 1 : beam;
    open = openLevel(scores, slacks, open, above, () => [0, 0], { nodes, lists: 0, vectors: 0 });
    if (depth === levels.length - 1 && open.possible[list] === 0)
      return `others score better beyond their bounds`;
  }
  return undefined;
}

/** Whether a node lies below one that may be open. */
function mayBe(open: Opened, offsets: ArrayLike<number>, child: number): boolean {
  let low = 0;
  let high = open.possible.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (offsets[middle]! <= child) low = middle;
    else high = middle;
  }
  return open.possible[low] !== 0;
}

function inverseNorm(x: ArrayLike<number>, row: number, d: number): number {
  let squares = 0;
  for (let j = row * d; j < (row + 1) * d; j++) squares += x[j]! ** 2;
  return squares >= 2 ** -100 ? 1 / Math.sqrt(squares) : 0;
}

/** The numbers of ids in ascending order. */
function ascending(ids: Int32Array | undefined, n: number): number[] {
  const rank = Array.from({ length: n }, (_, i) => i);
  return ids === undefined ? rank : rank.sort((a, b) => ids[a]! - ids[b]!);
}

function between(what: string, value: number, least: number, most: number): Verdict {
  if (value >= least && value <= most) return pass(0, `${what}: ${value}`);
  return failure(`${what}: ${value}, wanted ${least === most ? least : `${least} to ${most}`}`);
}

function worse(a: Verdict, b: Verdict): Verdict {
  if (a.verdict === 'FAIL') return a;
  return b.verdict === 'FAIL' || b.worst > a.worst ? b : a;
}
