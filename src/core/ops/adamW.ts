import { ArgumentError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType, requireInteger, requireShape } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface AdamWOptions<T> {
  /** Learning rate. @defaultValue 0.001 */
  readonly lr?: number;
  /** Decay of the mean of gradients, in [0, 1). @defaultValue 0.9 */
  readonly beta1?: number;
  /** Decay of the mean of squared gradients, in [0, 1). @defaultValue 0.999 */
  readonly beta2?: number;
  /** Added to the root, above 0. @defaultValue 1e-8 */
  readonly eps?: number;
  /** @defaultValue 0.01 */
  readonly weightDecay?: number;
  /** true: AdamW, the decay shrinks the parameter; false: Adam, the decay is added to the gradient. @defaultValue true */
  readonly decoupled?: boolean;
  /** A scalar that the gradient is multiplied by first, such as the one of `gradientClipFactor`. */
  readonly factor?: T;
}

export interface AdamWOps<T extends AnyTensor> {
  /** One step of AdamW or Adam: the parameter and both moments after it. */
  adamW(
    param: T,
    grad: T,
    m: T,
    v: T,
    step: number,
    options?: AdamWOptions<T>,
  ): Outputs<{ param: T; m: T; v: T }>;
}

const float = ['f32', 'f64'] as const;

export const adamWContract: Contract = {
  name: 'adamW',
  summary: 'One step of AdamW, or of Adam, on one tensor of parameters.',
  formula:
    "g = factor grad (+ weightDecay param unless decoupled); m' = beta1 m + (1 - beta1) g; v' = beta2 v + (1 - beta2) g^2; param' = param (1 - lr weightDecay if decoupled) - lr / (1 - beta1^step) m' / (sqrt(v') / sqrt(1 - beta2^step) + eps)",
  params: ['param', 'grad', 'm', 'v', 'step'],
  inputs: [
    { name: 'param', dtypes: float, shape: 'any', about: 'the parameters' },
    { name: 'grad', dtypes: float, shape: 'param', about: 'their gradient' },
    { name: 'm', dtypes: float, shape: 'param', about: 'running mean of gradients; zeros before step 1' },
    {
      name: 'v',
      dtypes: float,
      shape: 'param',
      about: 'running mean of squared gradients, never negative; zeros before step 1',
    },
    {
      name: 'factor',
      dtypes: float,
      shape: '[]',
      about: 'multiplies the gradient first, such as the result of gradientClipFactor',
      optional: true,
    },
  ],
  options: [
    { name: 'step', type: 'integer', about: 'the number of this step, from 1: the bias correction needs it' },
    { name: 'lr', type: 'number', default: 0.001, about: 'learning rate' },
    { name: 'beta1', type: 'number', default: 0.9, about: 'decay of m, in [0, 1)' },
    { name: 'beta2', type: 'number', default: 0.999, about: 'decay of v, in [0, 1)' },
    { name: 'eps', type: 'number', default: 1e-8, about: 'added to the root, at least 2^-126' },
    { name: 'weightDecay', type: 'number', default: 0.01, about: 'weight decay, >= 0' },
    {
      name: 'decoupled',
      type: 'boolean',
      default: true,
      about: 'true: AdamW, the decay shrinks the parameter; false: Adam, the decay is added to the gradient',
    },
  ],
  outputs: [
    { name: 'param', dtypes: float, shape: 'param', about: 'the parameters after the step' },
    { name: 'm', dtypes: float, shape: 'param', about: 'the mean of gradients after the step' },
    { name: 'v', dtypes: float, shape: 'param', about: 'the mean of squared gradients after the step' },
  ],
  accuracy:
    'each rounding of the formula followed through for each element; + - * within one neighbour, / 2.5 ulp, sqrt 5 ulp',
  edge: 'inputs are not changed: the results are new tensors; a gradient of zero still decays and still moves by the old mean; NaN and infinity are what the device makes of them',
  source:
    'Kingma and Ba, "Adam" (2015); Loshchilov and Hutter, "Decoupled weight decay regularization" (2019); torch.optim.AdamW and Adam for where eps and the corrections stand',
};

/** The numbers of a step, in double precision. */
export interface AdamWPlan {
  readonly size: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** Weight decay that is added to the gradient (Adam); 0 when decoupled. */
  readonly coupledDecay: number;
  /** What the parameter is multiplied by (AdamW): 1 - lr weightDecay; 1 when coupled. */
  readonly shrink: number;
  /** lr / (1 - beta1^step). */
  readonly stepSize: number;
  /** sqrt(1 - beta2^step). */
  readonly rootCorrection: number;
}

/** Check an adamW call and work out its numbers. @throws ShapeError, DTypeError, ArgumentError */
export function planAdamW<T extends AnyTensor>(
  param: T,
  grad: T,
  m: T,
  v: T,
  step: number,
  options: AdamWOptions<T> = {},
): AdamWPlan {
  const op = 'adamW';
  requireDType(op, 'param', param, float);
  for (const [name, t] of Object.entries({ grad, m, v })) {
    requireDType(op, name, t, [param.dtype]);
    requireShape(op, name, t, param.shape);
  }
  requireInteger(op, 'step', step, 1, 2 ** 53 - 1);
  const { lr = 0.001, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0.01 } = options;
  for (const [name, beta] of Object.entries({ beta1, beta2 })) {
    if (!(beta >= 0 && beta < 1))
      throw new ArgumentError(op, `${name} is ${beta}; it must be at least 0 and below 1`);
  }
  for (const [name, value] of Object.entries({ lr, weightDecay })) {
    if (!(value >= 0 && value < Infinity))
      throw new ArgumentError(op, `${name} is ${value}; it must be a finite number >= 0`);
  }
  // Below the normal numbers a GPU may read 0, and 0 / 0 would follow.
  if (!(eps >= 2 ** -126 && eps < Infinity))
    throw new ArgumentError(op, `eps is ${eps}; it must be at least 2^-126 (1.2e-38)`);
  const { factor, decoupled = true } = options;
  if (factor !== undefined) {
    requireDType(op, 'factor', factor, [param.dtype]);
    requireShape(op, 'factor', factor, []);
  }
  return {
    size: param.size,
    beta1,
    beta2,
    eps,
    coupledDecay: decoupled ? 0 : weightDecay,
    shrink: decoupled ? 1 - lr * weightDecay : 1,
    stepSize: lr / (1 - beta1 ** step),
    rootCorrection: Math.sqrt(1 - beta2 ** step),
  };
}
