import { ArgumentError, ShapeError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType, requireInteger, requireShape, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface SurfaceFormsOptions {
  /** Places of a form; what is longer is cut off. @defaultValue 7 */
  readonly length?: number;
  /** Fills the unused places. @defaultValue -1 */
  readonly padding?: number;
}

export interface SurfaceFormsOps<T extends AnyTensor> {
  /** Spell every word with the cheapest sequence of pieces. */
  surfaceForms(
    words: T,
    offsets: T,
    pieces: T,
    pieceOffsets: T,
    ids: T,
    costs: T,
    options?: SurfaceFormsOptions,
  ): Outputs<{ forms: T; counts: T }>;
}

const packed = 'bytes one after another, four per element, the first in the lowest bits';

export const surfaceFormsContract: Contract = {
  name: 'surfaceForms',
  summary: 'Decomposition of every word into the cheapest sequence of pieces, byte by byte.',
  formula:
    'forms[n] = ids of the pieces whose bytes joined are word n and whose costs add up to the least; of equal ones, at every end the longest last piece',
  params: ['words', 'offsets', 'pieces', 'pieceOffsets', 'ids', 'costs'],
  inputs: [
    { name: 'words', dtypes: ['u32'], shape: '[ceil(bytes / 4)]', about: `the words' ${packed}` },
    {
      name: 'offsets',
      dtypes: ['u32'],
      shape: '[N + 1]',
      about: 'word n is bytes offsets[n] up to offsets[n + 1]',
    },
    {
      name: 'pieces',
      dtypes: ['u32'],
      shape: '[ceil(bytes / 4)]',
      about: `the pieces' ${packed}; sorted bytewise, no two equal, none empty`,
    },
    { name: 'pieceOffsets', dtypes: ['u32'], shape: '[P + 1]', about: 'as offsets' },
    { name: 'ids', dtypes: ['i32'], shape: '[P]', about: 'the id of each piece' },
    {
      name: 'costs',
      dtypes: ['u32'],
      shape: '[P]',
      about: 'below 2^24, such as -1024 log p rounded; all 1: fewest pieces',
    },
  ],
  options: [
    { name: 'length', type: 'integer', default: 7, about: 'places of a form; what is longer is cut off' },
    { name: 'padding', type: 'integer', default: -1, about: 'fills the unused places' },
  ],
  outputs: [
    { name: 'forms', dtypes: ['i32'], shape: '[N, length]', about: 'ids, then padding' },
    {
      name: 'counts',
      dtypes: ['i32'],
      shape: '[N]',
      about: 'pieces before anything was cut off; 0: empty, or it cannot be spelled',
    },
  ],
  accuracy: 'exact: integers',
  edge: 'a word that no pieces spell, or an empty one: padding, count 0; words have at most 255 bytes; pieces out of order, larger costs or longer words: an error of the reference, unspecified on the GPU',
  source:
    "Viterbi (1967) with integer costs; the tie rule of the tokenizers library's Unigram model; ZeTT's surface forms of length 7",
};

export interface SurfaceFormsPlan {
  readonly words: number;
  readonly pieces: number;
  readonly length: number;
  readonly padding: number;
}

/** Check a surfaceForms call. @throws ShapeError, DTypeError, ArgumentError */
export function planSurfaceForms(
  words: AnyTensor,
  offsets: AnyTensor,
  pieces: AnyTensor,
  pieceOffsets: AnyTensor,
  ids: AnyTensor,
  costs: AnyTensor,
  { length = 7, padding = -1 }: SurfaceFormsOptions = {},
): SurfaceFormsPlan {
  const op = 'surfaceForms';
  for (const [name, t, dtype] of [
    ['words', words, 'u32'],
    ['offsets', offsets, 'u32'],
    ['pieces', pieces, 'u32'],
    ['pieceOffsets', pieceOffsets, 'u32'],
    ['ids', ids, 'i32'],
    ['costs', costs, 'u32'],
  ] as const) {
    requireDType(op, name, t, [dtype]);
    if (t.shape.length !== 1)
      throw new ShapeError(op, `${name} has shape ${show(t.shape)}; it must have one axis`);
  }
  for (const [name, t] of [
    ['offsets', offsets],
    ['pieceOffsets', pieceOffsets],
  ] as const) {
    if (t.size < 1)
      throw new ShapeError(op, `${name} is empty; it holds one number more than there are strings`);
  }
  const count = pieceOffsets.size - 1;
  requireShape(op, 'ids', ids, [count]);
  requireShape(op, 'costs', costs, [count]);
  requireInteger(op, 'length', length, 1, 255);
  if (!Number.isInteger(padding) || padding < -(2 ** 31) || padding >= 2 ** 31) {
    throw new ArgumentError(op, `padding is ${padding}; it must be an i32`);
  }
  return { words: offsets.size - 1, pieces: count, length, padding };
}
