import { ArgumentError } from '../errors.ts';
import { type Key, requireKey } from '../key.ts';
import { type AnyTensor, requireDType } from '../tensor.ts';
import type { Contract, OptionField } from './contract.ts';

export interface DropoutOps<T extends AnyTensor> {
  /** Set elements to 0 at random and scale the others up; the key alone says which. */
  dropout(x: T, p: number, key: Key): T;
  /** Gradient of {@link DropoutOps.dropout}: the same elements of dy, scaled alike. */
  dropoutBackward(dy: T, p: number, key: Key): T;
}

const floats = ['f32', 'f64'] as const;
const options: readonly OptionField[] = [
  { name: 'p', type: 'number', about: 'the share that is set to 0, from 0 to below 1' },
  { name: 'key', type: 'key', about: 'two u32 words; another one for every use' },
];
const edge =
  'p = 0: y = x; a dropped element is 0 whatever it was; NaN and infinities that stay: unspecified; p is rounded to a multiple of 2^-32';
const source =
  'Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), in the scaled form of torch.nn.Dropout';

export const dropoutContract: Contract = {
  name: 'dropout',
  summary: 'Set elements to 0 at random and scale the others up; the key says which.',
  formula:
    'y[i] = x[i] / (1 - p) where randomBits(key)[i] >= 2^32 p, else 0; the scale is 2^32 / (2^32 - round(2^32 p)), rounded once',
  params: ['x', 'p', 'key'],
  inputs: [{ name: 'x', dtypes: floats, shape: 'any', about: 'the values' }],
  options,
  outputs: [{ name: 'y', dtypes: floats, shape: 'x', about: 'what stays, scaled' }],
  accuracy: 'which elements stay: exact; their values: one rounding',
  edge,
  source,
};

export const dropoutBackwardContract: Contract = {
  name: 'dropoutBackward',
  summary: 'Gradient of dropout.',
  formula: 'dx = dropout(dy, p, key)',
  params: ['dy', 'p', 'key'],
  inputs: [{ name: 'dy', dtypes: floats, shape: 'any', about: 'the gradient of y' }],
  options,
  outputs: [{ name: 'dx', dtypes: floats, shape: 'dy', about: 'the gradient of x' }],
  accuracy: 'which elements stay: exact; their values: one rounding',
  edge,
  source: 'the map is linear and diagonal',
};

/** What a call of dropout comes to. */
export interface DropoutPlan {
  readonly size: number;
  /** An element stays whose random word is at least this. */
  readonly threshold: number;
  /** In the precision of the tensor. */
  readonly scale: number;
}

/** Check a dropout call. @throws DTypeError, ArgumentError */
export function planDropout(x: AnyTensor, p: number, key: Key): DropoutPlan {
  return check('dropout', 'x', x, p, key);
}

/** Check a dropoutBackward call. @throws DTypeError, ArgumentError */
export function planDropoutBackward(dy: AnyTensor, p: number, key: Key): DropoutPlan {
  return check('dropoutBackward', 'dy', dy, p, key);
}

function check(op: string, name: string, x: AnyTensor, p: number, key: Key): DropoutPlan {
  requireDType(op, name, x, floats);
  if (!(p >= 0 && p < 1)) throw new ArgumentError(op, `p is ${p}; it must be at least 0 and below 1`);
  requireKey(op, key);
  const threshold = Math.min(Math.round(p * 2 ** 32), 2 ** 32 - 1);
  const scale = 2 ** 32 / (2 ** 32 - threshold);
  return { size: x.size, threshold, scale: x.dtype === 'f32' ? Math.fround(scale) : scale };
}
