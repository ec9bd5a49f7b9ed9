import { ShapeError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType, requireShape, show } from '../tensor.ts';
import type { Contract, TensorField } from './contract.ts';

export interface PrefixMaskOptions {
  /**
   * Also allow the words that the prefix begins with: the pieces that a prefix longer than any word is spelled with.
   * @defaultValue false
   */
  readonly covers?: boolean;
}

export interface PrefixMaskOps<T extends AnyTensor> {
  /** Exclude the words that do not begin with a row's prefix. */
  prefixMask(logits: T, words: T, offsets: T, prefixes: T, prefixOffsets: T, options?: PrefixMaskOptions): T;
  /** Gradient of {@link PrefixMaskOps.prefixMask}. */
  prefixMaskBackward(
    dy: T,
    words: T,
    offsets: T,
    prefixes: T,
    prefixOffsets: T,
    options?: PrefixMaskOptions,
  ): T;
  /** Where the words that begin with a prefix lie in a sorted vocabulary. */
  prefixMaskRange(words: T, offsets: T, prefixes: T, prefixOffsets: T): Outputs<{ first: T; end: T }>;
}

const strings: readonly TensorField[] = [
  {
    name: 'words',
    dtypes: ['u32'],
    shape: '[ceil(bytes / 4)]',
    about: "the words' bytes one after another, four per element, the first in the lowest bits",
  },
  {
    name: 'offsets',
    dtypes: ['u32'],
    shape: '[V + 1]',
    about: 'word v is bytes offsets[v] up to offsets[v + 1]; does not fall',
  },
  { name: 'prefixes', dtypes: ['u32'], shape: '[ceil(bytes / 4)]', about: 'the prefixes, packed as words' },
  { name: 'prefixOffsets', dtypes: ['u32'], shape: '[Q + 1]', about: 'as offsets, one prefix per row' },
];
const names = strings.map((s) => s.name);
const coversOption = {
  name: 'covers',
  type: 'boolean',
  default: false,
  about: 'also allow the words that the prefix begins with',
} as const;
export const prefixMaskContract: Contract = {
  name: 'prefixMask',
  summary: "Exclude the words that do not begin with a row's prefix.",
  formula:
    'y[q, v] = logits[q, v] if word v begins with prefix q (covers: or prefix q begins with word v), else -Infinity',
  params: ['logits', ...names],
  inputs: [
    { name: 'logits', dtypes: ['f32', 'f64'], shape: '[..., V]', about: 'Q rows of scores of V words' },
    ...strings,
  ],
  options: [coversOption],
  outputs: [{ name: 'y', dtypes: ['f32', 'f64'], shape: 'logits', about: 'the scores that are left' }],
  edge: 'bytes are compared, not characters; a word without bytes (a special token) is never allowed; an empty prefix allows every other word; NaN stays where its word is allowed',
  accuracy: 'exact: copies',
  source:
    'Su, kexue.fm 9762 (roll back, restrict to a prefix); the covering sets of token healing in guidance',
};

export const prefixMaskBackwardContract: Contract = {
  name: 'prefixMaskBackward',
  summary: 'Gradient of prefixMask.',
  formula: 'dLogits[q, v] = dy[q, v] where the word is allowed, else 0',
  params: ['dy', ...names],
  inputs: [
    { name: 'dy', dtypes: ['f32', 'f64'], shape: '[..., V]', about: 'the gradient of y' },
    ...strings.map((s) => ({ ...s, about: 'as in the forward call' })),
  ],
  options: [coversOption],
  outputs: [{ name: 'dLogits', dtypes: ['f32', 'f64'], shape: 'dy', about: 'the gradient of logits' }],
  edge: 'as prefixMask',
  accuracy: 'exact: copies',
  source: 'a selection is its own transpose',
};

export const prefixMaskRangeContract: Contract = {
  name: 'prefixMaskRange',
  summary: 'Where the words that begin with a prefix lie in a sorted vocabulary.',
  formula: 'words first[q] up to end[q] - 1 begin with prefix q; first[q] words come before it',
  params: [...names],
  inputs: strings.map((s) =>
    s.name === 'words' ? { ...s, about: `${s.about}; the words sorted bytewise, shorter first` } : s,
  ),
  options: [],
  outputs: [
    { name: 'first', dtypes: ['i32'], shape: '[Q]', about: 'the first word of the range' },
    {
      name: 'end',
      dtypes: ['i32'],
      shape: '[Q]',
      about: 'the word after the last; first when there is none',
    },
  ],
  edge: 'an empty prefix gives all words; words that are not sorted: the reference throws, the kernel gives the range that its bisections end at',
  accuracy: 'exact: integers',
  source: 'bisection of a sorted list; one range instead of a mask is what a vocabulary of 10^8 words needs',
};

/** Sizes of a prefixMask call. */
export interface PrefixMaskPlan {
  readonly rows: number;
  readonly words: number;
  readonly covers: boolean;
}

/** Check a prefixMask call. @throws ShapeError, DTypeError */
export function planPrefixMask(
  logits: AnyTensor,
  words: AnyTensor,
  offsets: AnyTensor,
  prefixes: AnyTensor,
  prefixOffsets: AnyTensor,
  options: PrefixMaskOptions = {},
): PrefixMaskPlan {
  return planMask('prefixMask', 'logits', logits, [words, offsets, prefixes, prefixOffsets], options);
}

/** Check a prefixMaskBackward call. @throws ShapeError, DTypeError */
export function planPrefixMaskBackward(
  dy: AnyTensor,
  words: AnyTensor,
  offsets: AnyTensor,
  prefixes: AnyTensor,
  prefixOffsets: AnyTensor,
  options: PrefixMaskOptions = {},
): PrefixMaskPlan {
  return planMask('prefixMaskBackward', 'dy', dy, [words, offsets, prefixes, prefixOffsets], options);
}

/** Check a prefixMaskRange call. @throws ShapeError, DTypeError */
export function planPrefixMaskRange(
  words: AnyTensor,
  offsets: AnyTensor,
  prefixes: AnyTensor,
  prefixOffsets: AnyTensor,
): { readonly words: number; readonly prefixes: number } {
  const op = 'prefixMaskRange';
  return {
    words: countStrings(op, 'words', words, 'offsets', offsets),
    prefixes: countStrings(op, 'prefixes', prefixes, 'prefixOffsets', prefixOffsets),
  };
}

function planMask(
  op: string,
  name: string,
  scores: AnyTensor,
  [words, offsets, prefixes, prefixOffsets]: readonly AnyTensor[],
  { covers = false }: PrefixMaskOptions,
): PrefixMaskPlan {
  requireDType(op, name, scores, ['f32', 'f64']);
  const count = countStrings(op, 'words', words!, 'offsets', offsets!);
  const rows = countStrings(op, 'prefixes', prefixes!, 'prefixOffsets', prefixOffsets!);
  requireShape(op, name, scores, [...scores.shape.slice(0, -1), count]);
  if (scores.size !== rows * count) {
    throw new ShapeError(
      op,
      `${name} has shape ${show(scores.shape)}, but there are ${rows} prefixes; it must hold a row for each`,
    );
  }
  return { rows, words: count, covers };
}

function countStrings(
  op: string,
  bytesName: string,
  bytes: AnyTensor,
  offsetsName: string,
  offsets: AnyTensor,
): number {
  requireDType(op, bytesName, bytes, ['u32']);
  requireDType(op, offsetsName, offsets, ['u32']);
  requireShape(op, bytesName, bytes, [bytes.size]);
  requireShape(op, offsetsName, offsets, [offsets.size]);
  if (offsets.size === 0)
    throw new ShapeError(op, `${offsetsName} is empty; it must hold a first offset and one per string`);
  return offsets.size - 1;
}
