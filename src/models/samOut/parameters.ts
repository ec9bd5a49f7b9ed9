import type { Backend } from '../../core/backend.ts';
import { foldIn, type Key } from '../../core/key.ts';
import { type AnyTensor, type Shape, sizeOf, type Tensor, tensor } from '../../core/tensor.ts';
import type { SamOutConfig } from './config.ts';

/** One layer's parameters. Weights are [out, in], as in PyTorch. */
export interface LayerParameters<T> {
  /** [3d, d]: gives a, b and c side by side. */
  readonly combined: T;
  /** [5]: the mixture's scalars. */
  readonly alphas: T;
  readonly w1: T;
  readonly b1: T;
  readonly wg: T;
  readonly bg: T;
  readonly w2: T;
  readonly b2: T;
  readonly gamma: T;
  readonly beta: T;
  /** A scalar: how much of the feed-forward output the residual takes. */
  readonly alpha: T;
  /** [heads, heads]: how much of each head every head gets. Only with `mixHeads`. */
  readonly mix?: T;
}

/** All parameters of a model. `head` is absent when the embedding serves as the head. */
export interface SamOutParameters<T> {
  /** [vocabulary, d] */
  readonly embedding: T;
  readonly layers: readonly LayerParameters<T>[];
  /** [vocabulary, d] */
  readonly head?: T;
}

/** The shape of every parameter. */
export function parameterShapes(config: SamOutConfig): SamOutParameters<Shape> {
  const { vocabulary, width: d } = config;
  const layer: LayerParameters<Shape> = {
    combined: [3 * d, d],
    alphas: [5],
    w1: [d, d],
    b1: [d],
    wg: [d, d],
    bg: [d],
    w2: [d, d],
    b2: [d],
    gamma: [d],
    beta: [d],
    alpha: [],
    ...(config.mixHeads ? { mix: [config.heads, config.heads] } : {}),
  };
  return {
    embedding: [vocabulary, d],
    layers: Array.from({ length: config.layers }, () => layer),
    ...(config.tied ? {} : { head: [vocabulary, d] }),
  };
}

/** Apply a function to every parameter; the path names it: `layers.0.w1`. */
export function mapParameters<A, B>(
  p: SamOutParameters<A>,
  f: (value: A, path: string) => B,
): SamOutParameters<B> {
  // In this order on purpose: `listParameters` promises it.
  const embedding = f(p.embedding, 'embedding');
  const layers = p.layers.map((layer, i) => {
    const mapped = Object.entries(layer).map(([name, value]) => [name, f(value as A, `layers.${i}.${name}`)]);
    return Object.fromEntries(mapped) as LayerParameters<B>;
  });
  return {
    embedding,
    layers,
    ...(p.head === undefined ? {} : { head: f(p.head, 'head') }),
  };
}

/** All parameters in a fixed order: embedding, layers, head. */
export function listParameters<T>(p: SamOutParameters<T>): T[] {
  const list: T[] = [];
  mapParameters(p, (value) => list.push(value));
  return list;
}

/** How many numbers a model learns; the seed's own counter leaves the scalars out. */
export function parameterCount(config: SamOutConfig): { readonly tensors: number; readonly scalars: number } {
  let tensors = 0;
  let scalars = 0;
  mapParameters(parameterShapes(config), (shape, path) => {
    if (path.endsWith('.alphas') || path.endsWith('.alpha')) scalars += sizeOf(shape);
    else tensors += sizeOf(shape);
  });
  return { tensors, scalars };
}

/**
 * Start values as PyTorch gives them: embedding N(0, 1) with a zero padding row, weights and biases of linear layers
 * uniform within 1 / sqrt(fan-in), scalars 0.5, layer normalisation and head mixing the identity. The same on both twins, since random bits are.
 */
export async function initialParameters<T extends AnyTensor>(
  backend: Backend<T>,
  config: SamOutConfig,
  key: Key,
): Promise<SamOutParameters<Tensor>> {
  const bound = 1 / Math.sqrt(config.width);
  const pending: Promise<void>[] = [];
  let n = 0;
  const result = mapParameters(parameterShapes(config), (shape, path) => {
    const size = sizeOf(shape);
    const name = path.split('.').at(-1)!;
    const data = new Float32Array(size);
    if (name === 'alpha' || name === 'alphas') data.fill(0.5);
    else if (name === 'gamma') data.fill(1);
    else if (name === 'mix') for (let i = 0; i < config.heads; i++) data[i * config.heads + i] = 1;
    else if (name !== 'beta') {
      const own = foldIn(key, n++);
      const normal = name === 'embedding';
      pending.push(
        draw(backend, own, size, normal, data).then(() => {
          for (let i = 0; i < size && !normal; i++) data[i] = bound * data[i]!;
          if (normal)
            data.fill(0, config.paddingIndex * config.width, (config.paddingIndex + 1) * config.width);
        }),
      );
    }
    return tensor(shape, data);
  });
  await Promise.all(pending);
  return result;
}

/** Fill with N(0, 1), or with uniform numbers in (-1, 1), from two words each. */
async function draw<T extends AnyTensor>(
  backend: Backend<T>,
  key: Key,
  size: number,
  normal: boolean,
  out: Float32Array,
): Promise<void> {
  using made = backend.ops.randomBits(key, [size, 2]);
  const bits = (await backend.read(made)).data;
  for (let i = 0; i < size; i++) {
    const u = (bits[2 * i]! + 0.5) / 2 ** 32;
    const v = (bits[2 * i + 1]! + 0.5) / 2 ** 32;
    out[i] = normal ? Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v) : 2 * u - 1;
  }
}
