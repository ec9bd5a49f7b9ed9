import {
  type MatmulBackwardOptions,
  type MatmulOptions,
  type MatmulPlan,
  planMatmul,
  planMatmulBackward,
} from '../core/ops/matmul.ts';
import { allocate, type Outputs, outputs, Tensor, type TypedArray } from '../core/tensor.ts';

/**
 * Matrix product, batched, with optional transposes and bias.
 *
 * y[..., m, n] = bias[n] + sum over k of a[..., m, k] * b[..., k, n]
 *
 * @param a f32 or f64 [..., M, K], or [..., K, M] with transposeA
 * @param b like a, [..., K, N], or [..., N, K] with transposeB; leading axes broadcast as in torch.matmul
 * @param options.bias [N], added to every row
 * @returns y [..., M, N]
 * @throws ShapeError, DTypeError
 * @accuracy f64 sums, rounded once
 * @edge K = 0 gives the bias, or zeros; empty M, N or batch give an empty y
 * @source torch.matmul
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions<Tensor> = {}): Tensor {
  const plan = planMatmul(a, b, options);
  const { m, n, k, transposeA, transposeB } = plan;
  const bias = options.bias?.data;
  const y = allocate(a.dtype, plan.batch * m * n);
  for (let item = 0; item < plan.batch; item++) {
    const [i, j] = operandsOf(plan, item);
    const rows = matrix(a.data, i * m * k, m, k, transposeA);
    const columns = matrix(b.data, j * k * n, n, k, !transposeB);
    y.set(product(rows, columns, m, n, k, bias), item * m * n);
  }
  return new Tensor(a.dtype, plan.shape, y);
}

/**
 * Gradients of {@link matmul}: da = dy bᵀ and db = aᵀ dy (transposed back where the operand was given transposed), each
 * summed over the axes along which its tensor was broadcast; dBias = the sum of dy over all rows.
 *
 * @param dy f32 or f64 [..., M, N]
 * @param a as in the forward call; @param b likewise
 * @returns da shaped like a, db shaped like b, dBias [N]
 * @throws ShapeError, DTypeError
 * @accuracy f64 sums, rounded once
 * @edge Sums over nothing are 0.
 * @source Differentials of bilinear maps
 */
export function matmulBackward(
  dy: Tensor,
  a: Tensor,
  b: Tensor,
  options: MatmulBackwardOptions = {},
): Outputs<{ da: Tensor; db: Tensor; dBias: Tensor }> {
  const plan = planMatmulBackward(dy, a, b, options);
  const { m, n, k, transposeA, transposeB } = plan;
  const da = new Float64Array(a.size);
  const db = new Float64Array(b.size);
  const dBias = new Float64Array(n);
  for (let item = 0; item < plan.batch; item++) {
    const [i, j] = operandsOf(plan, item);
    const g = dy.data.subarray(item * m * n, (item + 1) * m * n);
    for (let at = 0; at < g.length; at++) dBias[at % n]! += g[at]!;
    // da = dy bᵀ: the columns of bᵀ are the rows of b. db = aᵀ dy.
    const dLeft = product(matrix(g, 0, m, n, false), matrix(b.data, j * k * n, k, n, transposeB), m, k, n);
    const dRight = product(matrix(a.data, i * m * k, k, m, !transposeA), matrix(g, 0, n, m, true), k, n, m);
    addTo(da, i * m * k, transposeA ? matrix(dLeft, 0, k, m, true) : dLeft);
    addTo(db, j * k * n, transposeB ? matrix(dRight, 0, n, k, true) : dRight);
  }
  const like = (shape: readonly number[], sums: Float64Array): Tensor => {
    const data = allocate(a.dtype, sums.length);
    data.set(sums);
    return new Tensor(a.dtype, shape, data);
  };
  return outputs({ da: like(a.shape, da), db: like(b.shape, db), dBias: like([n], dBias) });
}

/** Which matrix of a and which of b the product number `item` multiplies. */
function operandsOf(plan: MatmulPlan, item: number): [number, number] {
  let i = 0;
  let j = 0;
  let rest = item;
  for (const group of [...plan.groups].reverse()) {
    const digit = rest % group.size;
    rest = Math.floor(rest / group.size);
    i += digit * group.a;
    j += digit * group.b;
  }
  return [i, j];
}

/**
 * left times right plus bias: [m, k] by rows, right by columns ([n, k]), so that both are walked in order of memory.
 * Four columns at a time: one sum alone would leave the processor waiting for each addition.
 */
function product(
  left: Float64Array,
  right: Float64Array,
  m: number,
  n: number,
  k: number,
  bias?: TypedArray,
): Float64Array {
  const y = new Float64Array(m * n);
  const sums = new Float64Array(4);
  for (let column = 0; column < n; column += 4) {
    const used = Math.min(4, n - column);
    // Past the last column the last one is summed again, and not used.
    const [c0, c1, c2, c3] = [0, 1, 2, 3].map((c) => (column + Math.min(c, used - 1)) * k) as Four;
    for (let row = 0; row < m; row++) {
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      let s3 = 0;
      for (let at = row * k, i = 0; i < k; i++, at++) {
        const factor = left[at]!;
        s0 += factor * right[c0 + i]!;
        s1 += factor * right[c1 + i]!;
        s2 += factor * right[c2 + i]!;
        s3 += factor * right[c3 + i]!;
      }
      sums[0] = s0;
      sums[1] = s1;
      sums[2] = s2;
      sums[3] = s3;
      for (let c = 0; c < used; c++) y[row * n + column + c] = sums[c]! + (bias?.[column + c] ?? 0);
    }
  }
  return y;
}

type Four = [number, number, number, number];

/** The matrix [rows, columns] that starts at `from`, in f64; `transposed` says that it is stored as [columns, rows]. */
function matrix(
  data: TypedArray,
  from: number,
  rows: number,
  columns: number,
  transposed: boolean,
): Float64Array {
  const out = new Float64Array(rows * columns);
  if (!transposed) out.set(data.subarray(from, from + out.length));
  else {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) out[r * columns + c] = data[from + c * rows + r]!;
    }
  }
  return out;
}

function addTo(sums: Float64Array, from: number, terms: Float64Array): void {
  for (let t = 0; t < terms.length; t++) sums[from + t]! += terms[t]!;
}
