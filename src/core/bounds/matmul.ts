import { type Bound, compareBound, sumBound } from '../bounds.ts';
import {
  type MatmulBackwardOptions,
  type MatmulOptions,
  type MatmulPlan,
  planMatmul,
  planMatmulBackward,
} from '../ops/matmul.ts';
import type { Tensor, TypedArray } from '../tensor.ts';
import { flushing, subnormalsOf } from './flushing.ts';
import type { Judge } from './judge.ts';

/**
 * Error bound of matmul: an element is a sum of K rounded products and a bias in some order, so it is within
 * gamma_(K+1) * (|bias| + sum |a||b|) of the exact one, whatever cancels.
 */
export function matmulBound(a: Tensor, b: Tensor, options: MatmulOptions<Tensor> = {}): Bound {
  const plan = planMatmul(a, b, options);
  const absolute = productOfAbsolutes(plan, a, b);
  const bias = options.bias?.data;
  if (bias !== undefined) {
    for (let i = 0; i < absolute.length; i++) absolute[i]! += Math.abs(bias[i % plan.n]!);
  }
  const terms = plan.k + (bias === undefined ? 0 : 1);
  const bound = sumBound(absolute, terms, `gamma_n(2^-23) * (|bias| + sum |a||b|), n = ${terms} + 1`);
  const small = subnormalsOf(a);
  const smallB = subnormalsOf(b);
  const ofA = small && flushing(bound, productOfAbsolutes(plan, small, b));
  return smallB ? flushing(ofA ?? bound, productOfAbsolutes(plan, a, smallB)) : (ofA ?? bound);
}

/** Error bounds of matmulBackward: each gradient is a sum over n, m or all rows, and over the broadcast axes. */
export function matmulBackwardBound(
  dy: Tensor,
  a: Tensor,
  b: Tensor,
  options: MatmulBackwardOptions = {},
): { da: Bound; db: Bound; dBias: Bound } {
  const plan = planMatmulBackward(dy, a, b, options);
  const { m, n, batch } = plan;
  const { da, db, dBias } = absoluteGradients(plan, dy, a, b);
  const shared = (items: number): number => (items === 0 ? 0 : batch / items);
  const why = 'gamma_n(2^-23) * sum of the absolute products, n = their number + 1';
  let ofA = sumBound(da, n * shared(plan.aItems), why);
  let ofB = sumBound(db, m * shared(plan.bItems), why);
  // da is a product of dy and b, db one of dy and a: what subnormals of the one or the other lose.
  const smallDy = subnormalsOf(dy);
  const lost = [
    smallDy && absoluteGradients(plan, smallDy, a, b),
    absoluteGradients(plan, dy, subnormalsOf(a), subnormalsOf(b)),
  ];
  for (const part of lost) {
    if (part === undefined) continue;
    ofA = flushing(ofA, part.da);
    ofB = flushing(ofB, part.db);
  }
  const ofBias = sumBound(dBias, m * batch, 'gamma_n(2^-23) * sum |dy| over the rows');
  return { da: ofA, db: ofB, dBias: ofBias };
}

/** Sums of the absolute terms of each gradient; without a or b, zeros for what they are factors of. */
function absoluteGradients(
  plan: MatmulPlan,
  dy: Tensor,
  a: Tensor | undefined,
  b: Tensor | undefined,
): { da: Float64Array; db: Float64Array; dBias: Float64Array } {
  const { m, n, k, batch, transposeA, transposeB } = plan;
  const da = new Float64Array(plan.aItems * m * k);
  const db = new Float64Array(plan.bItems * k * n);
  const dBias = new Float64Array(n);
  for (let item = 0; item < batch; item++) {
    const [i, j] = operandsOf(plan, item);
    const g = absolutes(dy.data, item * m * n, m, n, false);
    for (let at = 0; at < g.length; at++) dBias[at % n]! += g[at]!;
    // In the layout that a and b are stored in: da = dy bᵀ or its transpose, db = aᵀ dy or its transpose.
    if (b !== undefined) {
      const bT = absolutes(b.data, j * k * n, n, k, !transposeB);
      const daItem = da.subarray(i * m * k, (i + 1) * m * k);
      if (transposeA) addProduct(daItem, absolutes(bT, 0, k, n, true), absolutes(g, 0, n, m, true), k, m, n);
      else addProduct(daItem, g, bT, m, k, n);
    }
    if (a !== undefined) {
      const aT = absolutes(a.data, i * m * k, k, m, !transposeA);
      const dbItem = db.subarray(j * k * n, (j + 1) * k * n);
      if (transposeB) addProduct(dbItem, absolutes(g, 0, n, m, true), absolutes(aT, 0, m, k, true), n, k, m);
      else addProduct(dbItem, aT, g, k, n, m);
    }
  }
  return { da, db, dBias };
}

export const judgeMatmul: Judge = ({ inputs, options, want, got, independent = false }) => {
  const bound = matmulBound(inputs.a!, inputs.b!, { ...options, ...given({ bias: inputs.bias }) });
  return { y: compareBound(want.y!, got.y!, { ...bound, statistics: independent }) };
};

export const judgeMatmulBackward: Judge = ({ inputs, options, want, got, independent = false }) => {
  const bounds = matmulBackwardBound(inputs.dy!, inputs.a!, inputs.b!, options);
  const compare = (name: 'da' | 'db' | 'dBias') =>
    compareBound(want[name]!, got[name]!, { ...bounds[name], statistics: independent });
  return { da: compare('da'), db: compare('db'), dBias: compare('dBias') };
};

/** sum over k of |a||b|, in the layout of y. */
function productOfAbsolutes(plan: MatmulPlan, a: Tensor, b: Tensor): Float64Array {
  const { m, n, k, batch } = plan;
  const out = new Float64Array(batch * m * n);
  for (let item = 0; item < batch; item++) {
    const [i, j] = operandsOf(plan, item);
    const left = absolutes(a.data, i * m * k, m, k, plan.transposeA);
    const right = absolutes(b.data, j * k * n, k, n, plan.transposeB);
    addProduct(out.subarray(item * m * n, (item + 1) * m * n), left, right, m, n, k);
  }
  return out;
}

/** out += left right, all by rows. */
export function addProduct(
  out: Float64Array,
  left: Float64Array,
  right: Float64Array,
  m: number,
  n: number,
  k: number,
): void {
  for (let r = 0; r < m; r++) {
    let s = 0;
    // Four steps of k at a time: the row of out is then read and written a quarter as often.
    for (; s + 3 < k; s += 4) {
      const at = r * k + s;
      const [f0, f1, f2, f3] = [left[at]!, left[at + 1]!, left[at + 2]!, left[at + 3]!];
      for (let o = r * n, q = s * n, c = 0; c < n; c++, o++, q++) {
        out[o]! += f0 * right[q]! + f1 * right[q + n]! + f2 * right[q + 2 * n]! + f3 * right[q + 3 * n]!;
      }
    }
    for (; s < k; s++) {
      const f = left[r * k + s]!;
      for (let o = r * n, q = s * n, c = 0; c < n; c++, o++, q++) out[o]! += f * right[q]!;
    }
  }
}

function absolutes(
  data: TypedArray,
  from: number,
  rows: number,
  columns: number,
  transposed: boolean,
): Float64Array {
  const out = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      out[r * columns + c] = Math.abs(data[from + (transposed ? c * rows + r : r * columns + c)]!);
    }
  }
  return out;
}

function operandsOf(plan: MatmulPlan, item: number): [number, number] {
  let i = 0;
  let j = 0;
  let rest = item;
  for (const group of [...plan.groups].reverse()) {
    i += (rest % group.size) * group.a;
    j += (rest % group.size) * group.b;
    rest = Math.floor(rest / group.size);
  }
  return [i, j];
}

/** A record without the entries that are undefined. */
export function given<V>(record: Readonly<Record<string, V | undefined>>): Record<string, V> {
  return Object.fromEntries(Object.entries(record).filter(([, v]) => v !== undefined)) as Record<string, V>;
}
