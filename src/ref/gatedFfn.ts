import {
  type GatedFfnGradients,
  type GatedFfnOptions,
  type GatedFfnWeights,
  planGatedFfn,
  planGatedFfnBackward,
} from '../core/ops/gatedFfn.ts';
import { outputs, Tensor, tensor } from '../core/tensor.ts';
import { gates } from './lib/gates.ts';
import { matmul } from './matmul.ts';

/**
 * Gated feed-forward layer: y = W2 ((W1 x + b1) * act(Wg x + bg)) + b2, for every row x.
 *
 * @param x f32 or f64 [..., D]
 * @param weights w1, wg [H, D]; w2 [E, H]; b1, bg [H] and b2 [E] may be left out
 * @param options.activation relu (default), silu = g / (1 + exp(-g)), gelu = g Phi(g), geluTanh = its tanh approximation
 * @returns y [..., E]
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 throughout, rounded once
 * @edge D = 0 or H = 0: sums over nothing are 0.
 * @source Shazeer, GLU Variants Improve Transformer (2020)
 */
export function gatedFfn(x: Tensor, weights: GatedFfnWeights<Tensor>, options: GatedFfnOptions = {}): Tensor {
  const { rows, d, activation, shape } = planGatedFfn(x, weights, options);
  const w = wideWeights(weights);
  const { u, g } = paths(wide(x, [rows, d]), w);
  const { act } = gates[activation];
  const h = map(u, (value, i) => value * act(g.data[i]!));
  const y = matmul(h, w.w2, { transposeB: true, ...(w.b2 === undefined ? {} : { bias: w.b2 }) });
  return narrow(x, shape, y);
}

/**
 * Gradients of {@link gatedFfn}. With u = W1 x + b1, g = Wg x + bg, h = u * act(g):
 *
 * dh = dy W2, du = dh * act(g), dg = dh * u * act'(g); dx = du W1 + dg Wg;
 * dw1 = duᵀ x, dwg = dgᵀ x, dw2 = dyᵀ h; the gradients of the biases are the sums of du, dg, dy over the rows.
 *
 * @param dy f32 or f64 [..., E]; the rest as in the forward call
 * @returns dx and the gradient of each weight that was given, shaped like it
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy f64 throughout, rounded once
 * @edge The derivative of relu at 0 and -0 is 0.
 * @source The chain rule
 */
export function gatedFfnBackward(
  dy: Tensor,
  x: Tensor,
  weights: GatedFfnWeights<Tensor>,
  options: GatedFfnOptions = {},
): GatedFfnGradients<Tensor> {
  const { rows, d, e, activation } = planGatedFfnBackward(dy, x, weights, options);
  const w = wideWeights(weights);
  const wx = wide(x, [rows, d]);
  const wdy = wide(dy, [rows, e]);
  const { u, g } = paths(wx, w);
  const { act, slope } = gates[activation];
  const dh = matmul(wdy, w.w2);
  const h = map(u, (value, i) => value * act(g.data[i]!));
  const du = map(dh, (value, i) => value * act(g.data[i]!));
  const dg = map(dh, (value, i) => value * u.data[i]! * slope(g.data[i]!));
  const viaValue = matmul(du, w.w1);
  const viaGate = matmul(dg, w.wg);
  const transposeA = true;
  const bias = (name: 'b1' | 'bg' | 'b2', gradient: Tensor): Tensor | undefined =>
    weights[name] && narrow(x, weights[name].shape, columnSums(gradient));
  return outputs({
    dx: narrow(
      x,
      x.shape,
      map(viaValue, (value, i) => value + viaGate.data[i]!),
    ),
    dw1: narrow(x, weights.w1.shape, matmul(du, wx, { transposeA })),
    db1: bias('b1', du),
    dwg: narrow(x, weights.wg.shape, matmul(dg, wx, { transposeA })),
    dbg: bias('bg', dg),
    dw2: narrow(x, weights.w2.shape, matmul(wdy, h, { transposeA })),
    db2: bias('b2', wdy),
  });
}

/** u = W1 x + b1 and g = Wg x + bg, for every row. */
function paths(x: Tensor, w: GatedFfnWeights<Tensor>): { u: Tensor; g: Tensor } {
  return {
    u: matmul(x, w.w1, { transposeB: true, ...(w.b1 === undefined ? {} : { bias: w.b1 }) }),
    g: matmul(x, w.wg, { transposeB: true, ...(w.bg === undefined ? {} : { bias: w.bg }) }),
  };
}

/** The same numbers in f64, so that nothing is rounded on the way. */
function wide(t: Tensor, shape: readonly number[] = t.shape): Tensor {
  return tensor(shape, t.data instanceof Float64Array ? t.data : Float64Array.from(t.data));
}

function wideWeights(weights: GatedFfnWeights<Tensor>): GatedFfnWeights<Tensor> {
  const given = Object.entries(weights).filter(([, t]) => t !== undefined);
  return Object.fromEntries(given.map(([name, t]) => [name, wide(t)])) as unknown as GatedFfnWeights<Tensor>;
}

/** The result under its shape, rounded once to the dtype of the inputs. */
function narrow(like: Tensor, shape: readonly number[], t: Tensor): Tensor {
  return new Tensor(like.dtype, shape, like.dtype === 'f64' ? t.data : Float32Array.from(t.data));
}

function map(t: Tensor, f: (value: number, index: number) => number): Tensor {
  const data = new Float64Array(t.size);
  for (let i = 0; i < data.length; i++) data[i] = f(t.data[i]!, i);
  return tensor(t.shape, data);
}

function columnSums(t: Tensor): Tensor {
  const columns = t.shape[1]!;
  const sums = new Float64Array(columns);
  for (let i = 0; i < t.size; i++) sums[i % columns]! += t.data[i]!;
  return tensor([columns], sums);
}
