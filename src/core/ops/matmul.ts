import { ShapeError } from '../errors.ts';
import { type AnyTensor, type Outputs, requireDType, requireShape, type Shape, show } from '../tensor.ts';
import type { Contract } from './contract.ts';

export interface MatmulOptions<T> {
  /** Read a as [..., K, M]. @defaultValue false */
  readonly transposeA?: boolean;
  /** Read b as [..., N, K], the layout of PyTorch's weights. @defaultValue false */
  readonly transposeB?: boolean;
  /** [N], added to every row. */
  readonly bias?: T;
}

export interface MatmulBackwardOptions {
  /** @defaultValue false */
  readonly transposeA?: boolean;
  /** @defaultValue false */
  readonly transposeB?: boolean;
}

export interface MatmulOps<T extends AnyTensor> {
  /** Matrix product, batched, with optional transposes and bias. */
  matmul(a: T, b: T, options?: MatmulOptions<T>): T;
  /** Gradients of {@link MatmulOps.matmul}. */
  matmulBackward(dy: T, a: T, b: T, options?: MatmulBackwardOptions): Outputs<{ da: T; db: T; dBias: T }>;
}

const transposes = [
  { name: 'transposeA', type: 'boolean', default: false, about: 'a is stored as [..., K, M]' },
  { name: 'transposeB', type: 'boolean', default: false, about: 'b is stored as [..., N, K]' },
] as const;

const floats = ['f32', 'f64'] as const;
const batchRule =
  'leading axes broadcast as in torch.matmul: aligned at the right, each pair equal, or 1, or absent';

export const matmulContract: Contract = {
  name: 'matmul',
  summary: 'Matrix product, batched, with optional transposes and bias.',
  formula: 'y[..., m, n] = bias[n] + sum over k of a[..., m, k] * b[..., k, n]',
  params: ['a', 'b'],
  inputs: [
    {
      name: 'a',
      dtypes: floats,
      shape: '[..., M, K]',
      about: 'the left factor; [..., K, M] with transposeA',
    },
    {
      name: 'b',
      dtypes: floats,
      shape: '[..., K, N]',
      about: 'the right factor; [..., N, K] with transposeB',
    },
    { name: 'bias', dtypes: floats, shape: '[N]', about: 'added to every row', optional: true },
  ],
  options: transposes,
  outputs: [{ name: 'y', dtypes: floats, shape: '[..., M, N]', about: 'the product' }],
  accuracy:
    'within gamma_(K+1) * (|bias| + sum over k of |a||b|); a row of y does not depend, bit for bit, on the other rows nor on the batch',
  edge: `${batchRule}; at most 4 groups of neighbouring axes that broadcast alike; K = 0 gives the bias, or zeros; empty M, N or batch give an empty y; NaN and infinity in the inputs: unspecified`,
  source: 'torch.matmul, torch.nn.functional.linear',
};

export const matmulBackwardContract: Contract = {
  name: 'matmulBackward',
  summary: 'Gradients of matmul.',
  formula:
    'da = dy bᵀ, db = aᵀ dy, each summed over the axes along which its tensor was broadcast; dBias = sum of dy over all rows',
  params: ['dy', 'a', 'b'],
  inputs: [
    { name: 'dy', dtypes: floats, shape: '[..., M, N]', about: 'the gradient of y' },
    { name: 'a', dtypes: floats, shape: '[..., M, K]', about: 'as in the forward call' },
    { name: 'b', dtypes: floats, shape: '[..., K, N]', about: 'as in the forward call' },
  ],
  options: transposes,
  outputs: [
    { name: 'da', dtypes: floats, shape: 'a', about: 'the gradient of a' },
    { name: 'db', dtypes: floats, shape: 'b', about: 'the gradient of b' },
    { name: 'dBias', dtypes: floats, shape: '[N]', about: 'the gradient of bias, had there been one' },
  ],
  accuracy: 'each gradient is a sum of m products, within gamma_(m+1) * sum of their absolute values',
  edge: `${batchRule}; sums over nothing are 0`,
  source: 'Differentials of bilinear maps; torch.autograd of torch.matmul',
};

/** Neighbouring batch axes that broadcast alike, seen as one. A stride of 0 repeats the same item. */
export interface BatchGroup {
  readonly size: number;
  /** Distance between items, in items of a and of b. */
  readonly a: number;
  readonly b: number;
}

/** Sizes of a matmul call. */
export interface MatmulPlan {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Number of products. */
  readonly batch: number;
  /** Outermost first; at most {@link maxBatchGroups}. */
  readonly groups: readonly BatchGroup[];
  /** Number of matrices in a and in b. */
  readonly aItems: number;
  readonly bItems: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** The shape of y. */
  readonly shape: Shape;
}

/** How many groups of batch axes a kernel can take. */
export const maxBatchGroups = 4;

/** Check a matmul call and work out its sizes. @throws ShapeError, DTypeError */
export function planMatmul<T extends AnyTensor>(a: T, b: T, options: MatmulOptions<T> = {}): MatmulPlan {
  const plan = planProduct('matmul', a, b, options);
  const { bias } = options;
  if (bias !== undefined) {
    requireDType('matmul', 'bias', bias, [a.dtype]);
    requireShape('matmul', 'bias', bias, [plan.n]);
  }
  return plan;
}

/** Check a matmulBackward call and work out the sizes of its forward call. @throws ShapeError, DTypeError */
export function planMatmulBackward<T extends AnyTensor>(
  dy: T,
  a: T,
  b: T,
  options: MatmulBackwardOptions = {},
): MatmulPlan {
  const plan = planProduct('matmulBackward', a, b, options);
  requireDType('matmulBackward', 'dy', dy, [a.dtype]);
  requireShape('matmulBackward', 'dy', dy, plan.shape);
  return plan;
}

function planProduct(
  op: string,
  a: AnyTensor,
  b: AnyTensor,
  { transposeA = false, transposeB = false }: MatmulBackwardOptions,
): MatmulPlan {
  requireDType(op, 'a', a, floats);
  requireDType(op, 'b', b, [a.dtype]);
  for (const [name, t] of [
    ['a', a],
    ['b', b],
  ] as const) {
    if (t.shape.length < 2) {
      throw new ShapeError(op, `${name} has shape ${show(t.shape)}; it must have at least two axes`);
    }
  }
  const [m, k] = matrix(a.shape, transposeA);
  const [kb, n] = matrix(b.shape, transposeB);
  if (k !== kb) {
    throw new ShapeError(
      op,
      `a of shape ${show(a.shape)}${transposeA ? ' transposed' : ''} has K = ${k}, b of shape ${show(b.shape)}${transposeB ? ' transposed' : ''} has K = ${kb}; they must be equal`,
    );
  }
  const aBatch = a.shape.slice(0, -2);
  const bBatch = b.shape.slice(0, -2);
  const { groups, shape } = broadcast(op, aBatch, bBatch);
  const count = (s: Shape): number => s.reduce((x, y) => x * y, 1);
  return {
    m,
    n,
    k,
    batch: count(shape),
    groups,
    aItems: count(aBatch),
    bItems: count(bBatch),
    transposeA,
    transposeB,
    shape: [...shape, m, n],
  };
}

function matrix(shape: Shape, transposed: boolean): [number, number] {
  const [rows, columns] = shape.slice(-2) as [number, number];
  return transposed ? [columns, rows] : [rows, columns];
}

function broadcast(op: string, a: Shape, b: Shape): { groups: BatchGroup[]; shape: Shape } {
  const rank = Math.max(a.length, b.length);
  const shape: number[] = [];
  const groups: BatchGroup[] = [];
  let aItems = 1;
  let bItems = 1;
  let last = '';
  // From the innermost axis outwards, so that the strides are known.
  for (let axis = 1; axis <= rank; axis++) {
    const inA = a.at(-axis) ?? 1;
    const inB = b.at(-axis) ?? 1;
    if (inA !== inB && inA !== 1 && inB !== 1) {
      throw new ShapeError(
        op,
        `batch axes ${show(a)} of a and ${show(b)} of b do not fit; aligned at the right, each pair must be equal, or 1, or absent`,
      );
    }
    const size = inA === 1 ? inB : inA;
    shape.unshift(size);
    if (size === 1) continue;
    const kind = inA === inB ? 'both' : inA === 1 ? 'b' : 'a';
    if (kind === last) {
      const [outer] = groups as [BatchGroup];
      groups[0] = { ...outer, size: outer.size * size };
    } else {
      groups.unshift({ size, a: kind === 'b' ? 0 : aItems, b: kind === 'a' ? 0 : bItems });
    }
    last = kind;
    aItems *= inA;
    bItems *= inB;
  }
  if (groups.length > maxBatchGroups) {
    throw new ShapeError(
      op,
      `batch axes ${show(a)} and ${show(b)} alternate between broadcast and not ${groups.length} times; ${maxBatchGroups} is the most: expand one tensor first`,
    );
  }
  return { groups, shape };
}
