import { ArgumentError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface GradientClipOps<T extends AnyTensor> {
  /** Scale all gradients of a model by one factor, so that together their L2 norm is at most `maxNorm`. */
  gradientClip(grads: readonly T[], maxNorm: number): Outputs<{ clipped: T[]; norm: T }>;
  /** The factor and the norm alone, for an optimizer that multiplies by it (`adamW` with `factor`). */
  gradientClipFactor(grads: readonly T[], maxNorm: number): Outputs<{ factor: T; norm: T }>;
}

const float = ['f32', 'f64'] as const;
const grads = {
  name: 'grads',
  dtypes: float,
  shape: 'any',
  about: 'the gradients of all parameters',
  list: true,
} as const;
const maxNorm = { name: 'maxNorm', type: 'number', about: 'the largest norm to let through, >= 0' } as const;
const norm = {
  name: 'norm',
  dtypes: float,
  shape: '[]',
  about: 'the L2 norm of all gradients together, before clipping',
} as const;
const formula = 'norm = sqrt(sum of g^2 over all gradients); factor = min(1, maxNorm / (norm + 1e-6))';
const accuracy =
  'no square goes through more than 1024 additions for each factor of 1024 in the number of elements, so the norm is within half of gamma of that many';
const edge =
  'one norm over all tensors, not one each; a gradient with NaN: norm, factor and all results are NaN; with an infinity, or a norm above 1.8e19 on the GPU: norm Infinity, factor 0; the order of the sums is fixed, so the same gradients give the same bits';
const source = 'Pascanu, Mikolov, Bengio (2013); torch.nn.utils.clip_grad_norm_';

export const gradientClipContract: Contract = {
  name: 'gradientClip',
  summary: 'Scale all gradients of a model so that their common L2 norm is at most maxNorm.',
  formula: `${formula}; clipped = factor g`,
  params: ['grads', 'maxNorm'],
  inputs: [grads],
  options: [maxNorm],
  outputs: [
    { name: 'clipped', dtypes: float, shape: 'as grads', about: 'the gradients, scaled', list: true },
    norm,
  ],
  accuracy,
  edge,
  source,
};

export const gradientClipFactorContract: Contract = {
  name: 'gradientClipFactor',
  summary: 'The factor and the norm of gradientClip, without writing the gradients again.',
  formula,
  params: ['grads', 'maxNorm'],
  inputs: [grads],
  options: [maxNorm],
  outputs: [{ name: 'factor', dtypes: float, shape: '[]', about: 'what gradientClip multiplies by' }, norm],
  accuracy,
  edge,
  source,
};

/** Check a gradientClip call. @throws DTypeError, ArgumentError */
export function planGradientClip(
  grads: readonly AnyTensor[],
  maxNorm: number,
  op = 'gradientClip',
): { readonly size: number } {
  if (!Array.isArray(grads) || grads.length === 0)
    throw new ArgumentError(op, 'grads is not a list with at least one tensor; give [gradient, ...]');
  const { dtype } = grads[0] as AnyTensor;
  for (const [i, g] of grads.entries()) requireDType(op, `grads.${i}`, g, i === 0 ? float : [dtype]);
  if (!(maxNorm >= 0 && maxNorm < Infinity))
    throw new ArgumentError(op, `maxNorm is ${maxNorm}; it must be a finite number >= 0`);
  return { size: grads.reduce((n, g) => n + g.size, 0) };
}

/** Check a gradientClipFactor call. @throws DTypeError, ArgumentError */
export function planGradientClipFactor(
  grads: readonly AnyTensor[],
  maxNorm: number,
): { readonly size: number } {
  return planGradientClip(grads, maxNorm, 'gradientClipFactor');
}
