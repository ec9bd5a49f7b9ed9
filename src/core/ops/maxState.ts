import { ArgumentError, ShapeError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType, requireShape, type Shape, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

/** `states` holds the running maximum before position 0, 16, 32, ...: enough to find every other one from c again. */
export const statePeriod = 16;

export interface MaxStateOptions<T> {
  /** [B, C]: the running maximum of what came before. -Infinity: nothing came. */
  readonly carryIn?: T;
  /** u32 [B, T], nonzero = the position's c joins the maximum. */
  readonly mask?: T;
  /** u32 [B, T], nonzero = a document begins here: what came before is forgotten, the carry too. */
  readonly reset?: T;
  /** What m counts as in y at most; the state itself is not touched. Absent: no cap */
  readonly cap?: number;
}

export interface MaxStateBackwardOptions<T> {
  /** As in the forward call. */
  readonly mask?: T;
  /** As in the forward call. */
  readonly reset?: T;
  /** As in the forward call. */
  readonly cap?: number;
  /** [B, C]: the gradient of `carryOut`. */
  readonly dCarryOut?: T;
}

export interface MaxStateOps<T extends AnyTensor> {
  /** The mixing step of SamOut: a running maximum over time, combined with its neighbours channel by channel. */
  maxState(abc: T, alphas: T, options?: MaxStateOptions<T>): Outputs<{ y: T; carryOut: T; states: T }>;
  /** Gradient of {@link MaxStateOps.maxState}, of the five scalars and the carry too. */
  maxStateBackward(
    dy: T,
    abc: T,
    alphas: T,
    states: T,
    options?: MaxStateBackwardOptions<T>,
  ): Outputs<{ dabc: T; dAlphas: T; dCarryIn: T }>;
}

const floats = ['f32', 'f64'] as const;
const abcField = {
  name: 'abc',
  dtypes: floats,
  shape: '[B, T, 3C]',
  about: 'a, b, c side by side, as one projection gives them',
} as const;
const alphasField = {
  name: 'alphas',
  dtypes: floats,
  shape: '[5]',
  about: 'the five scalars of the mixture',
} as const;
const maskField = {
  name: 'mask',
  dtypes: ['u32'],
  shape: '[B, T]',
  about: 'nonzero = the position joins the maximum; 0 = it is passed over',
  optional: true,
} as const;
const capField = {
  name: 'cap',
  type: 'number',
  about: 'm counts as min(m, cap) in y; the state is not touched; absent = no cap',
} as const;
const resetField = {
  name: 'reset',
  dtypes: ['u32'],
  shape: '[B, T]',
  about: 'nonzero = a document begins here, and the state starts afresh',
  optional: true,
} as const;

export const maxStateContract: Contract = {
  name: 'maxState',
  summary: 'The mixing step of SamOut: a running maximum over time, combined channel by channel.',
  formula:
    'm[t] = max of c[s] over s <= t since the last reset, and carryIn; y = alpha1 b + alpha2 m + alpha3 a + alpha4 c + (a + b + c) m + alpha5 m; with cap, min(m, cap) stands for m in y',
  params: ['abc', 'alphas'],
  inputs: [
    abcField,
    alphasField,
    {
      name: 'carryIn',
      dtypes: floats,
      shape: '[B, C]',
      about: 'the running maximum of what came before; -Infinity = nothing',
      optional: true,
    },
    maskField,
    resetField,
  ],
  options: [capField],
  outputs: [
    { name: 'y', dtypes: floats, shape: '[B, T, C]', about: 'the mixture' },
    { name: 'carryOut', dtypes: floats, shape: '[B, C]', about: 'the state after the last position' },
    {
      name: 'states',
      dtypes: floats,
      shape: '[B, ceil(T / 16), C]',
      about: 'the state before positions 0, 16, 32, ...: for the backward, and to go back to',
    },
  ],
  accuracy: 'carryOut and states exact, bit for bit; y within gamma_8 * sum of its absolute terms',
  edge: 'nothing seen yet: m counts as 0 in y, and the state is -Infinity; NaN is above no cap, +Infinity above each; a masked position gives its y with the m of the positions before it; reset acts before the mask; the maximum treats NaN and zeros as cummax does; T = 0: carryOut = carryIn',
  source: 'seed 001 (SamOut), gen_model; torch.cummax',
};

export const maxStateBackwardContract: Contract = {
  name: 'maxStateBackward',
  summary: 'Gradient of maxState.',
  formula:
    'da = dy (alpha3 + m); db = dy (alpha1 + m); dm = dy (alpha2 + alpha5 + a + b + c); dc[t] = dy (alpha4 + m) + sum of dm[u] over u with m[u] taken at t; dAlphas = sums of dy b, dy m, dy a, dy c, dy m',
  params: ['dy', 'abc', 'alphas', 'states'],
  inputs: [
    { name: 'dy', dtypes: floats, shape: '[B, T, C]', about: 'the gradient of y' },
    abcField,
    alphasField,
    {
      name: 'states',
      dtypes: floats,
      shape: '[B, ceil(T / 16), C]',
      about: 'as the forward call returned them',
    },
    maskField,
    resetField,
    {
      name: 'dCarryOut',
      dtypes: floats,
      shape: '[B, C]',
      about: 'the gradient of carryOut',
      optional: true,
    },
  ],
  options: [capField],
  outputs: [
    { name: 'dabc', dtypes: floats, shape: '[B, T, 3C]', about: 'the gradients of a, b, c side by side' },
    { name: 'dAlphas', dtypes: floats, shape: '[5]', about: 'the gradients of the five scalars' },
    { name: 'dCarryIn', dtypes: floats, shape: '[B, C]', about: 'the gradient of carryIn' },
  ],
  accuracy: 'each output is a sum of products: within gamma_n * sum of its absolute terms',
  edge: 'the whole gradient of a tie goes to the latest position; where nothing was seen, m is the constant 0 and has no gradient; nor has an m above the cap; T = 0: dCarryIn = dCarryOut',
  source: 'derivatives of the formula; the maximum as in cummaxBackward',
};

/** Sizes of a maxState call. */
export interface MaxStatePlan {
  readonly batch: number;
  readonly length: number;
  readonly channels: number;
  readonly yShape: Shape;
  readonly carryShape: Shape;
  readonly statesShape: Shape;
  /** Rounded to the tensors' type. */
  readonly cap: number | undefined;
}

/** Check a maxState call and work out its sizes. @throws ShapeError, DTypeError */
export function planMaxState<T extends AnyTensor>(
  abc: T,
  alphas: T,
  options: MaxStateOptions<T> = {},
): MaxStatePlan {
  const op = 'maxState';
  const plan = planCommon(op, abc, alphas, options);
  if (options.carryIn !== undefined) {
    requireDType(op, 'carryIn', options.carryIn, [abc.dtype]);
    requireShape(op, 'carryIn', options.carryIn, plan.carryShape);
  }
  return plan;
}

/** Check a maxStateBackward call and work out its sizes. @throws ShapeError, DTypeError */
export function planMaxStateBackward<T extends AnyTensor>(
  dy: T,
  abc: T,
  alphas: T,
  states: T,
  options: MaxStateBackwardOptions<T> = {},
): MaxStatePlan {
  const op = 'maxStateBackward';
  const plan = planCommon(op, abc, alphas, options);
  requireDType(op, 'dy', dy, [abc.dtype]);
  requireShape(op, 'dy', dy, plan.yShape);
  requireDType(op, 'states', states, [abc.dtype]);
  requireShape(op, 'states', states, plan.statesShape);
  if (options.dCarryOut !== undefined) {
    requireDType(op, 'dCarryOut', options.dCarryOut, [abc.dtype]);
    requireShape(op, 'dCarryOut', options.dCarryOut, plan.carryShape);
  }
  return plan;
}

function planCommon<T extends AnyTensor>(
  op: string,
  abc: T,
  alphas: T,
  { mask, reset, cap }: { readonly mask?: T; readonly reset?: T; readonly cap?: number },
): MaxStatePlan {
  requireDType(op, 'abc', abc, floats);
  const [batch = 0, length = 0, width = 0] = abc.shape;
  if (abc.shape.length !== 3 || width % 3 !== 0) {
    throw new ShapeError(
      op,
      `abc has shape ${show(abc.shape)}; it must be [B, T, 3C], a, b and c side by side`,
    );
  }
  requireDType(op, 'alphas', alphas, [abc.dtype]);
  requireShape(op, 'alphas', alphas, [5]);
  for (const [name, flags] of [
    ['mask', mask],
    ['reset', reset],
  ] as const) {
    if (flags === undefined) continue;
    requireDType(op, name, flags, ['u32']);
    requireShape(op, name, flags, [batch, length]);
  }
  if (cap !== undefined && !Number.isFinite(abc.dtype === 'f32' ? Math.fround(cap) : cap)) {
    throw new ArgumentError(op, `cap is ${cap}; it must be a finite number`);
  }
  const channels = width / 3;
  return {
    batch,
    length,
    channels,
    yShape: [batch, length, channels],
    carryShape: [batch, channels],
    statesShape: [batch, Math.ceil(length / statePeriod), channels],
    cap: cap !== undefined && abc.dtype === 'f32' ? Math.fround(cap) : cap,
  };
}
