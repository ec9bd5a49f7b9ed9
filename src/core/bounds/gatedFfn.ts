import { type Bound, compareBound, gamma, minNormal, unitNearest, unitWgsl } from '../bounds.ts';
import {
  type GatedFfnOptions,
  type GatedFfnWeights,
  planGatedFfn,
  planGatedFfnBackward,
} from '../ops/gatedFfn.ts';
import type { Tensor } from '../tensor.ts';
import { type Curve, curves } from './activations.ts';
import { hasSubnormals } from './flushing.ts';
import type { Judge } from './judge.ts';
import { addProduct, given } from './matmul.ts';

/**
 * A matrix that a kernel knows only approximately: how large its elements are (signed where `value` is exact, else an
 * upper bound of the magnitude), and how far they may be off.
 */
interface Approximate extends Spread {
  readonly value: Float64Array;
}

interface Spread {
  /** In any conformant evaluation. */
  readonly fail: Float64Array;
  /** In round-to-nearest arithmetic. The roundings within one sum add up like a random walk. */
  readonly suspect: Float64Array;
  /** What flushing subnormals may add to `suspect`, at most in any element: it is no rounding, and adds up in full. */
  readonly flush: number;
}

const whyForward =
  'gamma_K of both products in a row: |W2| (|u| |act error| + |act(g)| |u error| + rounding) + gamma_(H+1)(2^-23) * (|b2| + |h| |W2|), u and g off by gamma_(D+1) * (|b| + |x||W|), act by its slope times that plus its own error';
const whyBackward =
  'the chain of products, each with gamma_K(2^-23) * sum |a||b| for its own rounding plus what its inexact factor carries in; act and its slope off by their Lipschitz constants times the error of g plus their own error';

/** Error bound of gatedFfn, composed along the layer. */
export function gatedFfnBound(
  x: Tensor,
  weights: GatedFfnWeights<Tensor>,
  options: GatedFfnOptions = {},
  independent = false,
): Bound {
  const { rows, d, h, e, activation } = planGatedFfn(x, weights, options);
  const { spread, times, paths } = chain(independent);
  const { u, g } = paths(x, weights, rows, d, h);
  const hidden = times(u, through(g, curves[activation].act));
  const y = spread(hidden, transpose(exact(weights.w2), e, h), rows, e, h, weights.b2);
  return boundOf(y, whyForward);
}

/** Error bounds of gatedFfnBackward, composed along the chain rule. */
export function gatedFfnBackwardBound(
  dy: Tensor,
  x: Tensor,
  weights: GatedFfnWeights<Tensor>,
  options: GatedFfnOptions = {},
  independent = false,
): Record<string, Bound> {
  const { rows, d, h, e, activation } = planGatedFfnBackward(dy, x, weights, options);
  const { product, spread, times, plus, paths } = chain(independent);
  const { u, g } = paths(x, weights, rows, d, h);
  const { act, slope } = curves[activation];
  const gradient = exact(dy);
  const dh = product(gradient, exact(weights.w2), rows, h, e);
  const open = through(g, act);
  const hidden = times(u, open);
  const du = times(dh, open);
  const dg = times(dh, times(u, through(g, slope)));
  const input = exact(x);
  const bound = (line: Spread): Bound => boundOf(line, whyBackward);
  const viaValue = spread(du, exact(weights.w1), rows, d, h);
  const viaGate = spread(dg, exact(weights.wg), rows, d, h);
  const ones = exact(new Float64Array(rows).fill(1));
  return {
    dx: bound(plus(viaValue, viaGate)),
    dw1: bound(spread(transpose(du, rows, h), input, h, d, rows)),
    dwg: bound(spread(transpose(dg, rows, h), input, h, d, rows)),
    dw2: bound(spread(transpose(gradient, rows, e), hidden, e, h, rows)),
    db1: bound(spread(ones, du, 1, h, rows)),
    dbg: bound(spread(ones, dg, 1, h, rows)),
    db2: bound(spread(ones, gradient, 1, e, rows)),
  };
}

export const judgeGatedFfn: Judge = ({ inputs, options, want, got, independent = false }) => {
  const bound = gatedFfnBound(inputs.x!, weightsOf(inputs), options as GatedFfnOptions, independent);
  return { y: compareBound(want.y!, got.y!, { ...bound, statistics: independent }) };
};

export const judgeGatedFfnBackward: Judge = ({ inputs, options, want, got, independent = false }) => {
  const { dy, x } = inputs;
  const bounds = gatedFfnBackwardBound(dy!, x!, weightsOf(inputs), options as GatedFfnOptions, independent);
  return Object.fromEntries(
    Object.entries(want).map(([name, w]) => [
      name,
      compareBound(w, got[name]!, { ...bounds[name]!, statistics: independent }),
    ]),
  );
};

function weightsOf(inputs: Readonly<Record<string, Tensor | undefined>>): GatedFfnWeights<Tensor> {
  const { w1, b1, wg, bg, w2, b2 } = inputs;
  return given({ w1, b1, wg, bg, w2, b2 }) as unknown as GatedFfnWeights<Tensor>;
}

function exact(t: Tensor | Float64Array): Approximate {
  const value = t instanceof Float64Array ? t : Float64Array.from(t.data);
  const none = new Float64Array(value.length);
  // Exact, but for subnormals, which may be flushed as they are read.
  return { value, fail: none, suspect: none, flush: hasSubnormals(value) ? minNormal : 0 };
}

function boundOf({ fail, suspect, flush }: Spread, why: string): Bound {
  return { fail, suspect: suspect.map((v, i) => Math.min(v + flush, fail[i]!)), why };
}

/**
 * The steps of a chain. How the errors that an inexact factor carries in add up in a SUSPECT line: like a random walk where
 * the data are independent; in full otherwise, because equal rows have equal errors.
 */
function chain(independent: boolean) {
  const up = (v: number): number => (independent ? v * v : Math.abs(v));
  const down = (v: number): number => (independent ? Math.sqrt(v) : v);

  /** u = x w1ᵀ + b1 and g = x wgᵀ + bg. */
  function paths(x: Tensor, w: GatedFfnWeights<Tensor>, rows: number, d: number, h: number) {
    const input = exact(x);
    return {
      u: product(input, transpose(exact(w.w1), h, d), rows, h, d, w.b1),
      g: product(input, transpose(exact(w.wg), h, d), rows, h, d, w.bg),
    };
  }

  /** left [m, k] right [k, n] + bias, both with their true signs. */
  function product(
    left: Approximate,
    right: Approximate,
    m: number,
    n: number,
    k: number,
    bias?: Tensor,
  ): Approximate {
    const value = new Float64Array(m * n);
    addProduct(value, left.value, right.value, m, n, k);
    if (bias !== undefined) for (let i = 0; i < value.length; i++) value[i]! += bias.data[i % n]!;
    return { value, ...spread(left, right, m, n, k, bias) };
  }

  /** How far a computed product may be off: its own roundings, and what an inexact factor carries in. */
  function spread(
    left: Approximate,
    right: Approximate,
    m: number,
    n: number,
    k: number,
    bias?: Tensor,
  ): Spread {
    const multiply = (a: Float64Array, b: Float64Array): Float64Array => {
      const out = new Float64Array(m * n);
      // The error of an exact factor is zero throughout.
      if (a.some((v) => v !== 0) && b.some((v) => v !== 0)) addProduct(out, a, b, m, n, k);
      return out;
    };
    const [a, b] = [left.value.map(Math.abs), right.value.map(Math.abs)];
    const absolute = multiply(a, b);
    const fail = multiply(left.fail, b);
    const failRight = multiply(a, right.fail);
    const suspect = multiply(left.suspect.map(up), b.map(up));
    const suspectRight = multiply(a.map(up), right.suspect.map(up));
    const terms = k + 2;
    const g = gamma(terms);
    const walk = (6 * Math.sqrt(terms) + 1) * unitNearest;
    const flush =
      left.flush * largest(columnSums(b, n)) + right.flush * largest(rowSums(a, k)) + terms * minNormal;
    for (let i = 0; i < fail.length; i++) {
      const size = absolute[i]! + (bias === undefined ? 0 : Math.abs(bias.data[i % n]!));
      const carried = fail[i]! + failRight[i]!;
      fail[i] = carried + g * (size + carried) + flush;
      suspect[i] = down(suspect[i]! + suspectRight[i]!) + walk * size;
    }
    return { fail, suspect, flush };
  }

  /** a * b, element by element. */
  function times(a: Approximate, b: Approximate): Approximate {
    const value = new Float64Array(a.value.length);
    const fail = new Float64Array(a.value.length);
    const suspect = new Float64Array(a.value.length);
    for (let i = 0; i < value.length; i++) {
      const p = a.value[i]!;
      const q = b.value[i]!;
      const [dp, dq] = [a.fail[i]!, b.fail[i]!];
      const carried = Math.abs(p) * dq + Math.abs(q) * dp + dp * dq;
      value[i] = p * q;
      fail[i] = carried + unitWgsl * (Math.abs(p * q) + carried) + minNormal;
      const moved = down(up(p * b.suspect[i]!) + up(q * a.suspect[i]!));
      suspect[i] = moved + unitNearest * Math.abs(p * q);
    }
    const flush = largest(a.value) * b.flush + largest(b.value) * a.flush + minNormal;
    return { value, fail, suspect, flush };
  }

  /** The sum of two products in one accumulator: a rounding more, of what each of them may be in size, is in their terms. */
  function plus(a: Spread, b: Spread): Spread {
    return {
      fail: a.fail.map((v, i) => (v + b.fail[i]!) * (1 + 2 * unitWgsl)),
      suspect: a.suspect.map((v, i) => down(up(v) + up(b.suspect[i]!))),
      flush: a.flush + b.flush,
    };
  }

  return { product, spread, times, plus, paths };
}

/** The largest magnitude. */
function largest(values: Float64Array): number {
  return values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
}

function columnSums(t: Float64Array, columns: number): Float64Array {
  const sums = new Float64Array(columns);
  for (let i = 0; i < t.length; i++) sums[i % columns]! += t[i]!;
  return sums;
}

function rowSums(t: Float64Array, columns: number): Float64Array {
  const sums = new Float64Array(columns === 0 ? 0 : t.length / columns);
  for (let i = 0; i < t.length; i++) sums[Math.floor(i / columns)]! += t[i]!;
  return sums;
}

function transpose(t: Approximate, rows: number, columns: number): Approximate {
  const turn = (from: Float64Array): Float64Array => {
    const out = new Float64Array(from.length);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) out[c * rows + r] = from[r * columns + c]!;
    }
    return out;
  };
  return { value: turn(t.value), fail: turn(t.fail), suspect: turn(t.suspect), flush: t.flush };
}

function through(g: Approximate, f: Curve): Approximate {
  const value = new Float64Array(g.value.length);
  const fail = new Float64Array(g.value.length);
  const suspect = new Float64Array(g.value.length);
  let flush = 0;
  for (let i = 0; i < value.length; i++) {
    const at = g.value[i]!;
    // The evaluation happens at the kernel's own g, which may be a little further out.
    const own = Math.max(f.error(at - g.fail[i]!), f.error(at), f.error(at + g.fail[i]!));
    const lost = f.flushed(Math.abs(at) + g.fail[i]!) * minNormal;
    const moved = (by: number): number =>
      f.lipschitz * by + (f.jump !== undefined && Math.abs(at) <= by ? f.jump : 0);
    value[i] = f.value(at);
    fail[i] = moved(g.fail[i]!) + own + lost;
    suspect[i] = moved(g.suspect[i]! + g.flush) + own;
    flush = Math.max(flush, lost);
  }
  return { value, fail, suspect, flush: f.lipschitz * g.flush + flush };
}
