import { DTypeError, FormatError, ShapeError } from '../../core/errors.ts';
import { requireShape, type Shape, show, type Tensor, tensor } from '../../core/tensor.ts';
import type { SamOutConfig } from './config.ts';
import { mapParameters, parameterShapes, type SamOutParameters } from './parameters.ts';

/** The names of the seed's PyTorch modules, by our names within a layer. */
const layerNames: Readonly<Record<string, string>> = {
  combined: 'self_attention.combined.weight',
  w1: 'ffn.ffn1.weight',
  b1: 'ffn.ffn1.bias',
  wg: 'ffn.gate.weight',
  bg: 'ffn.gate.bias',
  w2: 'ffn.ffn2.weight',
  b2: 'ffn.ffn2.bias',
  gamma: 'layer_norm.weight',
  beta: 'layer_norm.bias',
  alpha: 'alpha',
  mix: 'head_mixing.weight',
};

/** Our path as the seed's name; the five mixture scalars are five tensors there. */
function namesOf(path: string): string[] {
  if (path === 'embedding') return ['em.weight'];
  if (path === 'head') return ['head.weight'];
  const [, layer, name = ''] = path.split('.');
  if (name === 'alphas')
    return [1, 2, 3, 4, 5].map((i) => `decoder_layers.${layer}.self_attention.alpha${i}`);
  return [`decoder_layers.${layer}.${layerNames[name]}`];
}

/** The parameters under the names that PyTorch's `state_dict()` gives them in the seed's code. */
export function toStateDict(parameters: SamOutParameters<Tensor>): Record<string, Tensor> {
  const dict: Record<string, Tensor> = {};
  mapParameters(parameters, (t, path) => {
    const names = namesOf(path);
    if (names.length === 1) dict[names[0]!] = t;
    else for (const [i, name] of names.entries()) dict[name] = tensor([], [t.data[i]!], t.dtype);
  });
  return dict;
}

/**
 * The parameters of a PyTorch checkpoint of the seed's code.
 * @throws FormatError naming what is missing or surplus; ShapeError, DTypeError naming what does not fit
 */
export function fromStateDict(
  config: SamOutConfig,
  dict: Readonly<Record<string, Tensor>>,
): SamOutParameters<Tensor> {
  const op = 'samOut checkpoint';
  const shapes = parameterShapes(config);
  const wanted = new Set<string>();
  mapParameters(shapes, (_, path) => {
    for (const name of namesOf(path)) wanted.add(name);
  });
  const missing = [...wanted].filter((name) => dict[name] === undefined);
  const surplus = Object.keys(dict).filter((name) => !wanted.has(name));
  const list = (names: string[]): string =>
    `${names.slice(0, 5).join(', ')}${names.length > 5 ? `, and ${names.length - 5} more` : ''}`;
  if (missing.length > 0 || surplus.length > 0) {
    const parts = [];
    if (missing.length > 0) parts.push(`${missing.length} tensors are missing: ${list(missing)}`);
    if (surplus.length > 0) parts.push(`${surplus.length} tensors do not belong to it: ${list(surplus)}`);
    const hint = 'a model of other layers or a tied head needs its own configuration';
    throw new FormatError(op, `${parts.join('; ')}; ${hint}`);
  }
  const take = (name: string, shape: Shape): Tensor => {
    const t = dict[name]!;
    if (t.dtype !== 'f32') throw new DTypeError(op, `${name} has dtype ${t.dtype}; it must be f32`);
    requireShape(op, name, t, shape);
    const bad = t.data.findIndex((v) => !Number.isFinite(v));
    if (bad >= 0)
      throw new FormatError(op, `${name} holds ${t.data[bad]} at element ${bad}; weights must be finite`);
    return t;
  };
  return mapParameters(shapes, (shape, path) => {
    const names = namesOf(path);
    if (names.length === 1) return take(names[0]!, shape);
    return tensor(
      shape,
      names.map((name) => scalar(op, take(name, dict[name]!.size === 1 ? dict[name]!.shape : []))),
    );
  });
}

function scalar(op: string, t: Tensor): number {
  if (t.size !== 1) throw new ShapeError(op, `a scalar has shape ${show(t.shape)}`);
  return t.data[0]!;
}

/**
 * The configuration that a checkpoint's shapes tell: vocabulary, width, layers, tied or not, heads if they are mixed. Other
 * heads cannot be seen in it, nor can the padding index, a cap or dropout.
 * @throws FormatError if it is no SamOut checkpoint
 */
export function configOf(
  dict: Readonly<Record<string, Tensor>>,
): Pick<SamOutConfig, 'vocabulary' | 'width' | 'layers' | 'tied' | 'mixHeads'> & { readonly heads?: number } {
  const embedding = dict['em.weight'];
  if (embedding === undefined || embedding.shape.length !== 2) {
    throw new FormatError('samOut checkpoint', 'there is no matrix em.weight; this is no SamOut checkpoint');
  }
  const numbers = Object.keys(dict).flatMap((n) =>
    [...n.matchAll(/^decoder_layers\.(\d+)\./g)].map((m) => Number(m[1])),
  );
  const [vocabulary = 0, width = 0] = embedding.shape;
  const mixing = dict['decoder_layers.0.head_mixing.weight'];
  return {
    vocabulary,
    width,
    layers: Math.max(-1, ...numbers) + 1,
    tied: dict['head.weight'] === undefined,
    mixHeads: mixing !== undefined,
    ...(mixing === undefined ? {} : { heads: mixing.shape[0]! }),
  };
}
