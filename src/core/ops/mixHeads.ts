import { ShapeError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType, requireShape, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface MixHeadsOps<T extends AnyTensor> {
  /** Give every head a weighted sum of all heads, channel by channel. */
  mixHeads(x: T, weight: T): T;
  /** Gradients of {@link MixHeadsOps.mixHeads}. */
  mixHeadsBackward(dy: T, x: T, weight: T): Outputs<{ dx: T; dWeight: T }>;
}

const floats = ['f32', 'f64'] as const;
const xField = {
  name: 'x',
  dtypes: floats,
  shape: '[..., H * C]',
  about: 'the heads of a position side by side, C channels each',
} as const;
const weightField = {
  name: 'weight',
  dtypes: floats,
  shape: '[H, H]',
  about: 'how much of each head (column) every head (row) gets; its size says how many heads there are',
} as const;
const source =
  'the head_linear of the later versions of SamOut, a linear layer over the axis of the heads, without its product';

export const mixHeadsContract: Contract = {
  name: 'mixHeads',
  summary: 'Give every head a weighted sum of all heads.',
  formula: 'y[..., h, c] = sum over g of weight[h, g] x[..., g, c]',
  params: ['x', 'weight'],
  inputs: [xField, weightField],
  options: [],
  outputs: [{ name: 'y', dtypes: floats, shape: 'x', about: 'the mixed heads' }],
  accuracy: 'within gamma_(H+1) * sum over g of |weight||x|',
  edge: 'H = 0 or empty x gives an empty y; NaN and infinities: unspecified',
  source,
};

export const mixHeadsBackwardContract: Contract = {
  name: 'mixHeadsBackward',
  summary: 'Gradients of mixHeads.',
  formula:
    'dx[..., g, c] = sum over h of weight[h, g] dy[..., h, c]; dWeight[h, g] = sum over positions and c of dy[..., h, c] x[..., g, c]',
  params: ['dy', 'x', 'weight'],
  inputs: [{ name: 'dy', dtypes: floats, shape: 'x', about: 'the gradient of y' }, xField, weightField],
  options: [],
  outputs: [
    { name: 'dx', dtypes: floats, shape: 'x', about: 'the gradient of x' },
    { name: 'dWeight', dtypes: floats, shape: '[H, H]', about: 'the gradient of the weights' },
  ],
  accuracy: 'each gradient is a sum of n products, within gamma_(n+1) * sum of their absolute values',
  edge: 'the sums of dWeight have one fixed order: the same bits every time',
  source: 'the product rule',
};

/** Sizes of a mixHeads call. */
export interface MixHeadsPlan {
  /** Positions: all axes but the last. */
  readonly rows: number;
  readonly heads: number;
  /** Channels of a head. */
  readonly channels: number;
}

/** Check a mixHeads call. @throws DTypeError, ShapeError */
export function planMixHeads(x: AnyTensor, weight: AnyTensor): MixHeadsPlan {
  return check('mixHeads', x, weight);
}

/** Check a mixHeadsBackward call. @throws DTypeError, ShapeError */
export function planMixHeadsBackward(dy: AnyTensor, x: AnyTensor, weight: AnyTensor): MixHeadsPlan {
  const plan = check('mixHeadsBackward', x, weight);
  requireDType('mixHeadsBackward', 'dy', dy, [x.dtype]);
  requireShape('mixHeadsBackward', 'dy', dy, x.shape);
  return plan;
}

function check(op: string, x: AnyTensor, weight: AnyTensor): MixHeadsPlan {
  requireDType(op, 'x', x, floats);
  requireDType(op, 'weight', weight, [x.dtype]);
  const [heads = 0, columns = 0] = weight.shape;
  if (weight.shape.length !== 2 || heads !== columns) {
    throw new ShapeError(op, `weight has shape ${show(weight.shape)}; it must be square, [heads, heads]`);
  }
  const width = x.shape.at(-1) ?? 0;
  if (x.shape.length === 0 || (heads === 0 ? width !== 0 : width % heads !== 0)) {
    throw new ShapeError(
      op,
      `x has shape ${show(x.shape)}; its last axis must be a multiple of the ${heads} heads of weight`,
    );
  }
  return { rows: width === 0 ? 0 : x.size / width, heads, channels: heads === 0 ? 0 : width / heads };
}
