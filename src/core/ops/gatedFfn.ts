import { ArgumentError, ShapeError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType, requireShape, type Shape, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

/** The weights of a gated FFN in PyTorch's layout [out, in]. */
export interface GatedFfnWeights<T> {
  /** [H, D], the value path. */
  readonly w1: T;
  /** [H] */
  readonly b1?: T;
  /** [H, D], the gate path. */
  readonly wg: T;
  /** [H] */
  readonly bg?: T;
  /** [E, H], back to the features. */
  readonly w2: T;
  /** [E] */
  readonly b2?: T;
}

/** The gate's nonlinearity. `gelu` is g Phi(g) with the error function; `geluTanh` is its tanh approximation. */
export type Activation = 'relu' | 'silu' | 'gelu' | 'geluTanh';

/** In the order of the numbers that the kernels know them by. */
export const activations: readonly Activation[] = ['relu', 'silu', 'gelu', 'geluTanh'];

export interface GatedFfnOptions {
  /** @defaultValue 'relu' */
  readonly activation?: Activation;
}

/** Gradients under the names of their weights; a bias that was not given has none. */
export type GatedFfnGradients<T extends AnyTensor> = Outputs<{
  dx: T;
  dw1: T;
  db1: T | undefined;
  dwg: T;
  dbg: T | undefined;
  dw2: T;
  db2: T | undefined;
}>;

export interface GatedFfnOps<T extends AnyTensor> {
  /** Gated feed-forward layer. */
  gatedFfn(x: T, weights: GatedFfnWeights<T>, options?: GatedFfnOptions): T;
  /** Gradients of {@link GatedFfnOps.gatedFfn}. */
  gatedFfnBackward(dy: T, x: T, weights: GatedFfnWeights<T>, options?: GatedFfnOptions): GatedFfnGradients<T>;
}

const floats = ['f32', 'f64'] as const;
const weightNames = ['w1', 'b1', 'wg', 'bg', 'w2', 'b2'] as const;
const weights = { record: 'weights', of: weightNames };
const weightFields = [
  { name: 'w1', dtypes: floats, shape: '[H, D]', about: 'the value path' },
  { name: 'b1', dtypes: floats, shape: '[H]', about: 'its bias', optional: true },
  { name: 'wg', dtypes: floats, shape: '[H, D]', about: 'the gate path' },
  { name: 'bg', dtypes: floats, shape: '[H]', about: 'its bias', optional: true },
  { name: 'w2', dtypes: floats, shape: '[E, H]', about: 'back to the features' },
  { name: 'b2', dtypes: floats, shape: '[E]', about: 'its bias', optional: true },
];
const options: Contract['options'] = [
  {
    name: 'activation',
    type: 'string',
    default: 'relu',
    choices: activations,
    about: "of the gate; 'gelu' uses the error function, 'geluTanh' the tanh approximation",
  },
];

export const gatedFfnContract: Contract = {
  name: 'gatedFfn',
  summary: 'Gated feed-forward layer.',
  formula: 'y = W2 ((W1 x + b1) * act(Wg x + bg)) + b2, for every row x',
  params: ['x', weights],
  inputs: [{ name: 'x', dtypes: floats, shape: '[..., D]', about: 'the rows' }, ...weightFields],
  options,
  outputs: [{ name: 'y', dtypes: floats, shape: '[..., E]', about: 'a row per row of x' }],
  accuracy:
    'the bounds of two matrix products and of the activation, composed (src/core/bounds/gatedFfn.ts); a row of y does not depend, bit for bit, on the other rows',
  edge: 'D = 0 or H = 0: sums over nothing are 0; relu(-0) is 0; NaN and infinity in the inputs: unspecified',
  source:
    'Shazeer, GLU Variants Improve Transformer (2020); the relu form is the feed-forward layer of SamOut',
};

export const gatedFfnBackwardContract: Contract = {
  name: 'gatedFfnBackward',
  summary: 'Gradients of gatedFfn.',
  formula:
    "dh = dy W2, du = dh * act(g), dg = dh * u * act'(g); dx = du W1 + dg Wg; dw1 = duᵀ x, dwg = dgᵀ x, dw2 = dyᵀ h; biases: sums over rows",
  params: ['dy', 'x', weights],
  inputs: [
    { name: 'dy', dtypes: floats, shape: '[..., E]', about: 'the gradient of y' },
    { name: 'x', dtypes: floats, shape: '[..., D]', about: 'as in the forward call' },
    ...weightFields,
  ],
  options,
  outputs: [
    { name: 'dx', dtypes: floats, shape: 'x', about: 'the gradient of x' },
    { name: 'dw1', dtypes: floats, shape: 'w1', about: 'the gradient of w1' },
    {
      name: 'db1',
      dtypes: floats,
      shape: 'b1',
      about: 'the gradient of b1, if it was given',
      optional: true,
    },
    { name: 'dwg', dtypes: floats, shape: 'wg', about: 'the gradient of wg' },
    {
      name: 'dbg',
      dtypes: floats,
      shape: 'bg',
      about: 'the gradient of bg, if it was given',
      optional: true,
    },
    { name: 'dw2', dtypes: floats, shape: 'w2', about: 'the gradient of w2' },
    {
      name: 'db2',
      dtypes: floats,
      shape: 'b2',
      about: 'the gradient of b2, if it was given',
      optional: true,
    },
  ],
  accuracy: 'the bounds of the chained products, composed (src/core/bounds/gatedFfn.ts)',
  edge: 'the derivative of relu at 0 and -0 is 0; no rows: the gradients of the weights are 0',
  source: 'The chain rule; torch.autograd of the same formula',
};

/** Sizes of a gatedFfn call: x seen as [rows, d]. */
export interface GatedFfnPlan {
  readonly rows: number;
  /** Features in, hidden units, features out. */
  readonly d: number;
  readonly h: number;
  readonly e: number;
  readonly activation: Activation;
  /** The shape of y. */
  readonly shape: Shape;
}

/** Check a gatedFfn call and work out its sizes. @throws ShapeError, DTypeError, ArgumentError */
export function planGatedFfn<T extends AnyTensor>(
  x: T,
  weights: GatedFfnWeights<T>,
  options: GatedFfnOptions = {},
): GatedFfnPlan {
  return plan('gatedFfn', x, weights, options);
}

/** Check a gatedFfnBackward call and work out its sizes. @throws ShapeError, DTypeError, ArgumentError */
export function planGatedFfnBackward<T extends AnyTensor>(
  dy: T,
  x: T,
  weights: GatedFfnWeights<T>,
  options: GatedFfnOptions = {},
): GatedFfnPlan {
  const op = 'gatedFfnBackward';
  const sizes = plan(op, x, weights, options);
  requireDType(op, 'dy', dy, [x.dtype]);
  requireShape(op, 'dy', dy, sizes.shape);
  return sizes;
}

function plan<T extends AnyTensor>(
  op: string,
  x: T,
  weights: GatedFfnWeights<T>,
  { activation = 'relu' }: GatedFfnOptions,
): GatedFfnPlan {
  if (!activations.includes(activation)) {
    throw new ArgumentError(
      op,
      `activation is ${JSON.stringify(activation)}; it must be one of ${activations.join(', ')}`,
    );
  }
  requireDType(op, 'x', x, floats);
  const d = x.shape.at(-1);
  if (d === undefined) throw new ShapeError(op, 'x is a scalar; it must have a last axis of features');
  for (const name of weightNames) {
    const w = weights[name];
    if (w === undefined) {
      if (name.startsWith('w')) throw new ArgumentError(op, `the weight ${name} is missing`);
    } else {
      requireDType(op, name, w, [x.dtype]);
    }
  }
  const [h, inputs] = weights.w1.shape;
  if (weights.w1.shape.length !== 2 || inputs !== d) {
    throw new ShapeError(
      op,
      `w1 has shape ${show(weights.w1.shape)}; it must be [H, ${d}] for x of shape ${show(x.shape)}`,
    );
  }
  const hidden = h as number;
  requireShape(op, 'wg', weights.wg, [hidden, d]);
  const [e] = weights.w2.shape;
  if (weights.w2.shape.length !== 2 || weights.w2.shape[1] !== hidden) {
    throw new ShapeError(op, `w2 has shape ${show(weights.w2.shape)}; it must be [E, ${hidden}]`);
  }
  const out = e as number;
  if (weights.b1 !== undefined) requireShape(op, 'b1', weights.b1, [hidden]);
  if (weights.bg !== undefined) requireShape(op, 'bg', weights.bg, [hidden]);
  if (weights.b2 !== undefined) requireShape(op, 'b2', weights.b2, [out]);
  const rows = x.shape.slice(0, -1).reduce((a, b) => a * b, 1);
  return { rows, d, h: hidden, e: out, activation, shape: [...x.shape.slice(0, -1), out] };
}
