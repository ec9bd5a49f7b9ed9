import { foldIn } from '../../core/key.ts';
import type { AnnPlan, Metric } from '../../core/ops/hierarchicalAnn.ts';
import { randomBits } from '../randomBits.ts';
import type { Binding, Gpu } from '../runtime/gpu.ts';
import type { GpuTensor } from '../runtime/gpuTensor.ts';
import { assign, blockSize, type Cluster, type Groups, move } from './lloyd.ts';
import { randomRows } from './randomRows.ts';
import { gatherRows, inverseNorms, type Rows, rowWindows } from './rows.ts';
import { bitsFor, emptyOne, groupsFor, lanes, scan, sortKeys, startsOf } from './sort.ts';

const file = 'lib/annBuild.wgsl';

/** One level: padded centroids, and where the children of each start one level below. */
export interface Level {
  readonly centroids: Rows;
  offsets: GpuTensor;
}

/** The uniform struct of annBuild.wgsl. */
interface Params {
  count?: number;
  nodes?: number;
  children?: number;
  width?: number;
  beam?: number;
  beamIn?: number;
  first?: number;
  block?: number;
  old?: number;
  given?: number;
}

/** One dispatch of annBuild.wgsl with one invocation per item. */
export function build(
  gpu: Gpu,
  entry: string,
  items: number,
  p: Params,
  reads: readonly Binding[],
  writes: readonly GpuTensor[],
  constants: Readonly<Record<string, number>> = {},
): void {
  const { count, nodes, children, width, beam, beamIn, first, block, old, given } = p;
  gpu.dispatch({
    file,
    entry,
    constants: { ...lanes(gpu).constants, ...constants },
    params: [count, nodes, children, width, beam, beamIn, first, block, old, given].map((v) => v ?? 0),
    reads,
    writes,
    groups: groupsFor(gpu, items),
  });
}

/** 0, 1, 2, ...: u32 [count]. */
export function iota(gpu: Gpu, count: number): GpuTensor {
  const out = gpu.empty('i32', [count]);
  build(gpu, 'annIota', count, { count }, [], [out]);
  return out;
}

/** What vectors are clustered by: their directions, or their places. */
export function clusterOf(gpu: Gpu, x: Rows, metric: Metric): Cluster {
  return metric === 'l2'
    ? { x, weights: undefined, metric: 'l2' }
    : { x, weights: inverseNorms(gpu, x), metric: 'spherical' };
}

/** Train the centroids of every level on a random sample of x: the kernels of `trainTree` in src/ref/lib. */
export function trainTree(gpu: Gpu, x: Rows, plan: AnnPlan): Level[] {
  const { n, levels, sample, beam, key, iterations, refine, metric } = plan;
  if (levels.length === 0) return [];
  const cluster = clusterOf(gpu, gatherRows(gpu, x, randomRows(gpu, key, n, sample)), metric);
  const tree: Level[] = [];
  let order = iota(gpu, sample);
  let starts = startsOf(gpu, gpu.zeros('u32', [sample]), 1);
  let nodes = 1;
  for (const [depth, children] of levels.entries()) {
    const kids = gpu.empty('i32', [nodes + 1]);
    build(gpu, 'annShares', nodes + 1, { nodes, children }, [starts], [kids]);
    const groups = groupsOf(gpu, starts, kids, order, nodes);
    const centroids = first(gpu, cluster, { starts, kids, order, nodes, children }, tree.at(-1));
    for (let t = 0; t < iterations; t++) {
      const { nearest } = assign(gpu, cluster, centroids, children, { groups });
      const random = randomBits(gpu, foldIn(foldIn(key, depth + 1), t), [children]);
      const restarts = gpu.empty('u32', [children]);
      build(gpu, 'annRestart', children, { nodes, children }, [starts, kids, order, random], [restarts]);
      move(gpu, cluster, centroids, children, nearest, restarts);
    }
    const { nearest } = assign(gpu, cluster, centroids, children, { groups });
    const sorted = sortKeys(gpu, nearest, bitsFor(children));
    order = sorted.order;
    starts = startsOf(gpu, sorted.keys, children);
    if (depth > 0) tree[depth - 1]!.offsets = kids;
    tree.push({ centroids: { tensor: centroids, rows: children, width: x.width }, offsets: kids });
    nodes = children;
  }
  const lists = tree.at(-1)!.centroids;
  const nowhere = gpu.empty('u32', [lists.rows]);
  build(gpu, 'annNowhere', lists.rows, { count: lists.rows }, [], [nowhere]);
  for (let t = 0; t < refine; t++) {
    move(gpu, cluster, lists.tensor, lists.rows, listsFor(gpu, cluster.x, tree, metric, beam), nowhere);
  }
  return tree;
}

/** What the assignment needs to know about points in groups. */
function groupsOf(gpu: Gpu, starts: GpuTensor, kids: GpuTensor, order: GpuTensor, nodes: number): Groups {
  const blocks = gpu.empty('u32', [nodes + 1]);
  build(gpu, 'annPointBlocks', nodes + 1, { nodes, block: blockSize(gpu) }, [starts], [blocks]);
  scan(gpu, blocks);
  const info = gpu.empty('u32', [nodes + 1, 4]);
  build(gpu, 'annGroups', nodes + 1, { nodes }, [starts, kids, blocks], [info]);
  return { order, info, count: nodes };
}

/** The first centroids of a level. */
function first(
  gpu: Gpu,
  { x, weights }: Cluster,
  g: { starts: GpuTensor; kids: GpuTensor; order: GpuTensor; nodes: number; children: number },
  above: Level | undefined,
): GpuTensor {
  const { nodes, children } = g;
  const { width } = x;
  const centroids = gpu.empty('f32', [children, width * 4]);
  const reads = [
    g.starts,
    g.kids,
    g.order,
    x.tensor,
    weights ?? emptyOne(gpu),
    above?.centroids.tensor ?? x.tensor,
  ];
  const constants = { SCALED: weights ? 1 : 0 };
  build(gpu, 'annFirst', children * width, { nodes, children, width }, reads, [centroids], constants);
  return centroids;
}

/** The list of each row of x: u32 [rows]. */
export function listsFor(gpu: Gpu, x: Rows, tree: readonly Level[], metric: Metric, beam: number): GpuTensor {
  const constants = { DISTANCE: metric === 'l2' ? 1 : 0 };
  let keptAbove = emptyOne(gpu);
  let beamIn = 0;
  for (const [depth, { centroids }] of tree.entries()) {
    const width = depth === tree.length - 1 ? 1 : Math.min(beam, centroids.rows);
    const kept = gpu.empty('u32', [x.rows, width]);
    const offsets = tree[depth - 1]?.offsets ?? emptyOne(gpu);
    for (const { first, count, binding } of rowWindows(gpu, x)) {
      const p = { count, children: centroids.rows, width: x.width, beam: width, beamIn, first };
      build(gpu, 'annDescend', count, p, [binding, centroids.tensor, offsets, keptAbove], [kept], constants);
    }
    keptAbove = kept;
    beamIn = width;
  }
  return keptAbove;
}
