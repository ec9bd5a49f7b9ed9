import type { Backend } from '../../core/backend.ts';
import { foldIn, type Key } from '../../core/key.ts';
import { type AnyTensor, type Shape, sizeOf, type Tensor, tensor } from '../../core/tensor.ts';
import type { HypernetConfig } from './config.ts';

/** A linear layer, [out, in] as in PyTorch. */
export interface Linear<T> {
  readonly weight: T;
  readonly bias: T;
}

export interface Norm<T> {
  readonly gamma: T;
  readonly beta: T;
}

/** LN(x + gelu(W2 gelu(W1 x))). */
export interface Projection<T> {
  readonly up: Linear<T>;
  readonly down: Linear<T>;
  readonly norm: Norm<T>;
}

/** One layer of the transformer, normalised after each residual. */
export interface HypernetLayer<T> {
  readonly query: Linear<T>;
  readonly key: Linear<T>;
  readonly value: Linear<T>;
  readonly output: Linear<T>;
  readonly attentionNorm: Norm<T>;
  readonly up: Linear<T>;
  readonly down: Linear<T>;
  readonly norm: Norm<T>;
}

/** From the first position's features to a row of a table. */
export interface Head<T> {
  readonly projection: Projection<T>;
  readonly linear: Linear<T>;
}

export interface HypernetParameters<T> {
  readonly input: Linear<T>;
  readonly projection: Projection<T>;
  /** [length + languages, hidden]; the rows from `length` on are those of the languages. */
  readonly positions: T;
  readonly norm: Norm<T>;
  readonly layers: readonly HypernetLayer<T>[];
  readonly inHead: Head<T>;
  /** Absent where the source is tied. */
  readonly outHead?: Head<T>;
  /** [extra, width in]: bytes that the source lacks. Absent where it has all. */
  readonly extra?: T;
}

/** The shape of every parameter. */
export function hypernetShapes(c: HypernetConfig): HypernetParameters<Shape> {
  const linear = (to: number, from: number): Linear<Shape> => ({ weight: [to, from], bias: [to] });
  const norm: Norm<Shape> = { gamma: [c.hidden], beta: [c.hidden] };
  const up = linear(c.inner, c.hidden);
  const down = linear(c.hidden, c.inner);
  const projection = { up, down, norm };
  const square = linear(c.hidden, c.hidden);
  const layer = {
    query: square,
    key: square,
    value: square,
    output: square,
    attentionNorm: norm,
    up,
    down,
    norm,
  };
  const head = { projection, linear: linear(c.width, c.hidden) };
  const read = c.tied ? c.width : 2 * c.width;
  return {
    input: linear(c.hidden, read),
    projection,
    positions: [c.length + c.languages, c.hidden],
    norm,
    layers: Array.from({ length: c.layers }, () => layer),
    inHead: head,
    ...(c.tied ? {} : { outHead: head }),
    ...(c.extra === 0 ? {} : { extra: [c.extra, read] }),
  };
}

type Tree<T> = T | readonly Tree<T>[] | { readonly [name: string]: Tree<T> };

/** Apply a function to every parameter in a fixed order; the path names it: `layers.0.query.weight`. */
export function mapHypernet<A, B>(
  p: HypernetParameters<A>,
  f: (value: A, path: string) => B,
  isLeaf: (value: unknown) => boolean = (v) => typeof (v as { dtype?: unknown }).dtype === 'string',
): HypernetParameters<B> {
  const walk = (value: unknown, path: string): unknown => {
    if (isLeaf(value)) return f(value as A, path);
    const under = (name: string | number): string => (path === '' ? `${name}` : `${path}.${name}`);
    if (Array.isArray(value)) return value.map((v, i) => walk(v, under(i)));
    return Object.fromEntries(
      Object.entries(value as object).map(([name, v]) => [name, walk(v, under(name))]),
    );
  };
  return walk(p as Tree<A>, '') as HypernetParameters<B>;
}

const isShape = (value: unknown): boolean => Array.isArray(value) && typeof value[0] === 'number';

/** Apply a function to the shape of every parameter. */
export function mapShapes<B>(c: HypernetConfig, f: (shape: Shape, path: string) => B): HypernetParameters<B> {
  return mapHypernet(hypernetShapes(c), f, isShape);
}

/** All parameters in the order of `mapHypernet`. */
export function listHypernet<T>(p: HypernetParameters<T>): T[] {
  const list: T[] = [];
  mapHypernet(p, (value) => list.push(value));
  return list;
}

/** Numbers that a hypernetwork learns. */
export function hypernetSize(c: HypernetConfig): number {
  let size = 0;
  mapShapes(c, (shape) => {
    size += sizeOf(shape);
  });
  return size;
}

/**
 * Start values as in BERT: weights, positions and extra rows N(0, 0.02^2), biases 0, layer normalisation the identity. The
 * same on both twins.
 */
export async function initialHypernet<T extends AnyTensor>(
  backend: Backend<T>,
  c: HypernetConfig,
  key: Key,
): Promise<HypernetParameters<Tensor>> {
  const pending: Promise<void>[] = [];
  let n = 0;
  const made = mapShapes(c, (shape, path) => {
    const data = new Float32Array(sizeOf(shape));
    if (path.endsWith('.gamma')) data.fill(1);
    else if (!path.endsWith('.bias') && !path.endsWith('.beta')) {
      pending.push(fillNormal(backend, foldIn(key, n++), data));
    }
    return tensor(shape, data);
  });
  await Promise.all(pending);
  return made;
}

async function fillNormal<T extends AnyTensor>(
  backend: Backend<T>,
  key: Key,
  out: Float32Array,
): Promise<void> {
  using drawn = backend.ops.randomBits(key, [out.length, 2]);
  const bits = (await backend.read(drawn)).data;
  for (let i = 0; i < out.length; i++) {
    const u = (bits[2 * i]! + 0.5) / 2 ** 32;
    const v = (bits[2 * i + 1]! + 0.5) / 2 ** 32;
    out[i] = 0.02 * Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
  }
}
