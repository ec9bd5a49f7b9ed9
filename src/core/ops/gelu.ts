import { ArgumentError } from '../errors.ts';
import { type AnyTensor, requireDType, requireShape } from '../tensor.ts';
import type { Contract } from './contract.ts';

/** `exact` is x Phi(x) with the normal distribution's Phi; `tanh` its approximation by a hyperbolic tangent. */
export type GeluForm = 'exact' | 'tanh';

export const geluForms: readonly GeluForm[] = ['exact', 'tanh'];

export interface GeluOptions {
  /** @defaultValue 'exact' */
  readonly form?: GeluForm;
}

export interface GeluOps<T extends AnyTensor> {
  /** Gaussian error linear unit, element by element. */
  gelu(x: T, options?: GeluOptions): T;
  /** Gradient of {@link GeluOps.gelu}. */
  geluBackward(dy: T, x: T, options?: GeluOptions): T;
}

const floats = ['f32', 'f64'] as const;
const formOption = {
  name: 'form',
  type: 'string',
  default: 'exact',
  choices: geluForms,
  about: "'exact' is x Phi(x); 'tanh' its approximation",
} as const;
const source = 'Hendrycks and Gimpel, Gaussian Error Linear Units (2016); torch.nn.functional.gelu';

export const geluContract: Contract = {
  name: 'gelu',
  summary: 'Gaussian error linear unit, exact or by tanh.',
  formula: 'y = x Phi(x), or y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2',
  params: ['x'],
  inputs: [{ name: 'x', dtypes: floats, shape: 'any', about: 'the arguments' }],
  options: [formOption],
  outputs: [{ name: 'y', dtypes: floats, shape: 'x', about: 'a value per argument' }],
  accuracy:
    'the tail keeps relative accuracy: (60 + 2 x^2) ulp of x exp(-x^2 / 2) / 2 (exact); see src/core/bounds/gelu.ts',
  edge: 'NaN gives NaN; +Infinity itself; -Infinity the limit, -0 (torch: NaN); results below 2^-126 may be 0',
  source,
};

export const geluBackwardContract: Contract = {
  name: 'geluBackward',
  summary: 'Gradient of gelu.',
  formula: 'dx = dy (Phi(x) + x phi(x)), or the derivative of the approximation',
  params: ['dy', 'x'],
  inputs: [
    { name: 'dy', dtypes: floats, shape: 'any', about: 'the gradient of y' },
    { name: 'x', dtypes: floats, shape: 'dy', about: 'as in the forward call' },
  ],
  options: [formOption],
  outputs: [{ name: 'dx', dtypes: floats, shape: 'dy', about: 'the gradient of x' }],
  accuracy: '|dy| times the error of the slope, and a rounding',
  edge: 'NaN gives NaN; the slope is 1 at +Infinity and 0 at -Infinity; an infinite dy is unspecified',
  source,
};

/** Check a gelu call. @throws DTypeError, ArgumentError */
export function planGelu<T extends AnyTensor>(
  x: T,
  options: GeluOptions = {},
): { readonly size: number; readonly form: GeluForm } {
  return check('gelu', x, options);
}

/** Check a geluBackward call. @throws DTypeError, ShapeError, ArgumentError */
export function planGeluBackward<T extends AnyTensor>(
  dy: T,
  x: T,
  options: GeluOptions = {},
): { readonly size: number; readonly form: GeluForm } {
  const plan = check('geluBackward', x, options);
  requireDType('geluBackward', 'dy', dy, [x.dtype]);
  requireShape('geluBackward', 'x', x, dy.shape);
  return plan;
}

function check(op: string, x: AnyTensor, { form = 'exact' }: GeluOptions) {
  requireDType(op, 'x', x, floats);
  if (!geluForms.includes(form)) {
    throw new ArgumentError(op, `form is ${JSON.stringify(form)}; it must be one of ${geluForms.join(', ')}`);
  }
  return { size: x.size, form };
}
