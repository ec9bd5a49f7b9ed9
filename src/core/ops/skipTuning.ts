import { ArgumentError, ShapeError } from '../errors.ts';
import {
  type AnyTensor,
  normalizeAxis,
  type Outputs,
  requireDType,
  requireShape,
  type Shape,
  show,
} from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface SkipTuningOptions {
  /** `concat`: the skip stands beside the backbone, as in a U-Net. `add`: it is added, as a residual. @defaultValue 'concat' */
  readonly mode?: 'concat' | 'add';
  /** Along which the two stand side by side: the channels of [batch, channels, ...]. @defaultValue 1 */
  readonly axis?: number;
}

export interface SkipTuningOps<T extends AnyTensor> {
  /** Join a skip connection to a backbone, scaled. */
  skipTuning(u: T, d: T, rho: number, options?: SkipTuningOptions): T;
  /** Gradient of {@link SkipTuningOps.skipTuning}. */
  skipTuningBackward(dy: T, u: T, d: T, rho: number, options?: SkipTuningOptions): Outputs<{ du: T; dd: T }>;
}

const rho = { name: 'rho', type: 'number', about: 'the scale of the skip; 1 changes no bit' } as const;
const options = [
  rho,
  {
    name: 'mode',
    type: 'string',
    default: 'concat',
    choices: ['concat', 'add'],
    about: 'concat: [u, rho d] side by side; add: u + rho d',
  },
  { name: 'axis', type: 'integer', default: 1, about: 'of concat; negative ones count from the back' },
] as const;
const floats = ['f32', 'f64'] as const;

export const skipTuningContract: Contract = {
  name: 'skipTuning',
  summary: 'A skip connection joined to the backbone, scaled by one number.',
  formula: 'concat: y = [u, rho d] along axis; add: y = u + rho d',
  params: ['u', 'd', 'rho'],
  inputs: [
    { name: 'u', dtypes: floats, shape: '[..., U, ...]', about: 'the backbone, which is not scaled' },
    { name: 'd', dtypes: floats, shape: '[..., D, ...]', about: 'the skip; add: the shape of u' },
  ],
  options,
  outputs: [
    {
      name: 'y',
      dtypes: floats,
      shape: '[..., U + D, ...]',
      about: 'what the decoder gets; add: shape of u',
    },
  ],
  accuracy: 'concat: one product, exact for rho = 1 and 0; add: a product and a sum',
  edge: 'rho = 1 passes the bits of u and d on, NaN payloads and subnormals included (add: the bits of the plain sum); rho = 0 with an infinite or NaN skip gives NaN',
  source: "Ma et al., arXiv 2402.15170; kexue.fm 10077; the form `add` is Su's remark there",
};

export const skipTuningBackwardContract: Contract = {
  name: 'skipTuningBackward',
  summary: 'Gradient of skipTuning.',
  formula: 'concat: du and dd are the parts of dy, dd times rho; add: du = dy, dd = rho dy',
  params: ['dy', 'u', 'd', 'rho'],
  inputs: [
    { name: 'dy', dtypes: floats, shape: '[..., U + D, ...]', about: 'the gradient of y' },
    { name: 'u', dtypes: floats, shape: '[..., U, ...]', about: 'only its shape is used' },
    { name: 'd', dtypes: floats, shape: '[..., D, ...]', about: 'only its shape is used' },
  ],
  options,
  outputs: [
    { name: 'du', dtypes: floats, shape: 'u', about: 'the gradient of u' },
    { name: 'dd', dtypes: floats, shape: 'd', about: 'the gradient of d' },
  ],
  accuracy: 'one product; copies for rho = 1',
  edge: 'as the forward',
  source: 'the product rule',
};

/** Sizes of a skipTuning call: [outer, u + d, inner], of which the first u and the last d along the middle are the inputs. */
export interface SkipTuningPlan {
  readonly add: boolean;
  readonly outer: number;
  readonly u: number;
  readonly d: number;
  readonly inner: number;
  readonly shape: Shape;
}

/** Check a skipTuning call. @throws ShapeError, DTypeError, ArgumentError */
export function planSkipTuning(
  u: AnyTensor,
  d: AnyTensor,
  scale: number,
  options: SkipTuningOptions = {},
): SkipTuningPlan {
  return check('skipTuning', u, d, scale, options);
}

/** Check a skipTuningBackward call. @throws ShapeError, DTypeError, ArgumentError */
export function planSkipTuningBackward(
  dy: AnyTensor,
  u: AnyTensor,
  d: AnyTensor,
  scale: number,
  options: SkipTuningOptions = {},
): SkipTuningPlan {
  const plan = check('skipTuningBackward', u, d, scale, options);
  requireDType('skipTuningBackward', 'dy', dy, [u.dtype]);
  requireShape('skipTuningBackward', 'dy', dy, plan.shape);
  return plan;
}

function check(
  op: string,
  u: AnyTensor,
  d: AnyTensor,
  scale: number,
  { mode = 'concat', axis = 1 }: SkipTuningOptions,
): SkipTuningPlan {
  requireDType(op, 'u', u, floats);
  requireDType(op, 'd', d, [u.dtype]);
  if (mode !== 'concat' && mode !== 'add')
    throw new ArgumentError(op, `mode is ${mode}; it must be concat or add`);
  if (typeof scale !== 'number' || !Number.isFinite(Math.fround(scale)))
    throw new ArgumentError(op, `rho is ${scale}; it must be a finite f32`);
  if (mode === 'add') {
    requireShape(op, 'd', d, u.shape);
    return { add: true, outer: 1, u: u.size, d: 0, inner: 1, shape: u.shape };
  }
  const at = normalizeAxis(op, axis, u.shape);
  const fits = d.shape.length === u.shape.length && d.shape.every((s, i) => i === at || s === u.shape[i]);
  if (!fits) {
    throw new ShapeError(
      op,
      `d has shape ${show(d.shape)}; but for axis ${at} it must be that of u, ${show(u.shape)}`,
    );
  }
  const product = (sizes: Shape): number => sizes.reduce((a, b) => a * b, 1);
  return {
    add: false,
    outer: product(u.shape.slice(0, at)),
    u: u.shape[at]!,
    d: d.shape[at]!,
    inner: product(u.shape.slice(at + 1)),
    shape: u.shape.map((s, i) => (i === at ? s + d.shape[at]! : s)),
  };
}
