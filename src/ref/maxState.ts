import {
  type MaxStateBackwardOptions,
  type MaxStateOptions,
  planMaxState,
  planMaxStateBackward,
  statePeriod,
} from '../core/ops/maxState.ts';
import { allocate, type Outputs, outputs, Tensor } from '../core/tensor.ts';

/**
 * The mixing step of SamOut: a running maximum over time, combined channel by channel.
 *
 * m[t] = max of c[s] over s <= t (and carryIn);
 * y[t] = alpha1 b[t] + alpha2 m[t] + alpha3 a[t] + alpha4 c[t] + (a[t] + b[t] + c[t]) m[t] + alpha5 m[t].
 *
 * @param abc f32 or f64 [B, T, 3C]: a, b and c side by side, as the merged projection gives them
 * @param alphas [5]
 * @param options.carryIn [B, C], the maximum of what came before; -Infinity = nothing came
 * @param options.mask u32 [B, T], nonzero = c[t] joins the maximum
 * @param options.reset u32 [B, T], nonzero = the position starts afresh: everything before it is forgotten
 * @param options.cap min(m, cap) stands for m in y; the states keep m itself
 * @returns y [B, T, C]; carryOut [B, C], the state after the last position; states [B, ceil(T/16), C], the state before
 * positions 0, 16, 32, ... (for the backward, and to go back to: a maximum cannot be undone)
 * @throws ShapeError, DTypeError, ArgumentError
 * @accuracy carryOut and states exact; y in f64, rounded once
 * @edge Nothing seen yet (masked from the start, no carry): m counts as 0 in y and the state is -Infinity, so that a
 * first c below 0 becomes the maximum. A masked position gives its y all the same, with the m so far. A reset acts
 * before the mask. Ties, NaN and zeros as in {@link cummax}. T = 0: carryOut = carryIn, or -Infinity.
 * @source seed 001, `gen_model`
 */
export function maxState(
  abc: Tensor,
  alphas: Tensor,
  options: MaxStateOptions<Tensor> = {},
): Outputs<{ y: Tensor; carryOut: Tensor; states: Tensor }> {
  const plan = planMaxState(abc, alphas, options);
  const { batch, length, channels } = plan;
  const [a1, a2, a3, a4, a5] = alphas.data as unknown as [number, number, number, number, number];
  const y = allocate(abc.dtype, batch * length * channels);
  const carryOut = allocate(abc.dtype, batch * channels);
  const states = allocate(
    abc.dtype,
    plan.statesShape.reduce((n, s) => n * s, 1),
  );
  for (let n = 0; n < batch; n++) {
    for (let i = 0; i < channels; i++) {
      let state = options.carryIn === undefined ? nothing : options.carryIn.data[n * channels + i]!;
      for (let t = 0; t < length; t++) {
        if (t % statePeriod === 0) {
          states[(n * plan.statesShape[1]! + t / statePeriod) * channels + i] = state;
        }
        const at = (n * length + t) * 3 * channels + i;
        const a = abc.data[at]!;
        const b = abc.data[at + channels]!;
        const c = abc.data[at + 2 * channels]!;
        state = found(state, n * length + t, options);
        if (takes(state, c, n * length + t, options)) state = c;
        const m = state === nothing ? 0 : isOver(state, plan.cap) ? plan.cap! : state;
        y[(n * length + t) * channels + i] = a1 * b + a2 * m + a3 * a + a4 * c + (a + b + c) * m + a5 * m;
      }
      carryOut[n * channels + i] = state;
    }
  }
  return outputs({
    y: new Tensor(abc.dtype, plan.yShape, y),
    carryOut: new Tensor(abc.dtype, plan.carryShape, carryOut),
    states: new Tensor(abc.dtype, plan.statesShape, states),
  });
}

/** The state before anything was seen: the identity of the maximum. */
const nothing = Number.NEGATIVE_INFINITY;

/** Whether the cap stands for a maximum. NaN is above nothing. */
function isOver(state: number, cap: number | undefined): boolean {
  return cap !== undefined && state > cap;
}

interface Flags {
  readonly mask?: Tensor;
  readonly reset?: Tensor;
}

/** What position `at` (counted over batch and time) finds: the state, or nothing where a document begins. */
function found(state: number, at: number, { reset }: Flags): number {
  return reset !== undefined && reset.data[at] !== 0 ? nothing : state;
}

/** Whether c becomes the maximum there: NaN always does, else what is not smaller, so that the later of a tie wins. */
function takes(state: number, c: number, at: number, { mask }: Flags): boolean {
  if (mask !== undefined && mask.data[at] === 0) return false;
  return Number.isNaN(c) || !(Number.isNaN(state) || c < state);
}

/**
 * Gradient of {@link maxState}.
 *
 * With g = dy: da = g (alpha3 + m), db = g (alpha1 + m), dm = g (alpha2 + alpha5 + a + b + c);
 * dc[t] = g (alpha4 + m) + the sum of dm[u] over all u whose maximum was taken at t;
 * dAlphas = sums over everything of g b, g m, g a, g c, g m.
 *
 * A maximum belongs to consecutive positions, so one walk from the last to the first adds dm up and pays it out where
 * the maximum was taken. What is left at the front belongs to the carry; a reset drops what is left there.
 *
 * @param dy [B, T, C]
 * @param abc, alphas, options.mask, options.reset, options.cap as in the forward call
 * @param states [B, ceil(T/16), C] as the forward call returned them: its first row is carryIn
 * @param options.dCarryOut [B, C], the gradient of carryOut
 * @returns dabc [B, T, 3C], dAlphas [5], dCarryIn [B, C]
 * @throws ShapeError, DTypeError
 * @accuracy f64 sums, rounded once
 * @edge A tie's gradient goes to the latest position, whole. Where nothing was seen, m is the constant 0 and has no
 * gradient, nor has one above the cap. alpha2 and alpha5 multiply the same m, so their gradients are equal. T = 0: dCarryIn = dCarryOut.
 * @source the derivative of the formula above
 */
export function maxStateBackward(
  dy: Tensor,
  abc: Tensor,
  alphas: Tensor,
  states: Tensor,
  options: MaxStateBackwardOptions<Tensor> = {},
): Outputs<{ dabc: Tensor; dAlphas: Tensor; dCarryIn: Tensor }> {
  const plan = planMaxStateBackward(dy, abc, alphas, states, options);
  const { batch, length, channels } = plan;
  const [a1, a2, a3, a4, a5] = alphas.data as unknown as [number, number, number, number, number];
  const { dCarryOut, reset } = options;
  const dabc = allocate(abc.dtype, abc.size);
  const dCarryIn = allocate(abc.dtype, batch * channels);
  const sums = { a: 0, b: 0, c: 0, m: 0 };
  const maxima = new Float64Array(length); // of one row: the state after each position,
  const taken = new Uint8Array(length); // and whether the position itself is that maximum
  for (let n = 0; n < batch; n++) {
    for (let i = 0; i < channels; i++) {
      let state = length > 0 ? states.data[n * plan.statesShape[1]! * channels + i]! : nothing;
      for (let t = 0; t < length; t++) {
        const c = abc.data[((n * length + t) * 3 + 2) * channels + i]!;
        state = found(state, n * length + t, options);
        taken[t] = Number(takes(state, c, n * length + t, options));
        if (taken[t]) state = c;
        maxima[t] = state;
      }
      let rest = dCarryOut === undefined ? 0 : dCarryOut.data[n * channels + i]!;
      for (let t = length - 1; t >= 0; t--) {
        const at = (n * length + t) * 3 * channels + i;
        const a = abc.data[at]!;
        const b = abc.data[at + channels]!;
        const c = abc.data[at + 2 * channels]!;
        const g = dy.data[(n * length + t) * channels + i]!;
        const seen = maxima[t] !== nothing;
        const over = isOver(maxima[t]!, plan.cap);
        const m = !seen ? 0 : over ? plan.cap! : maxima[t]!;
        if (seen && !over) rest += g * (a2 + a5 + a + b + c);
        dabc[at] = g * (a3 + m);
        dabc[at + channels] = g * (a1 + m);
        dabc[at + 2 * channels] = g * (a4 + m) + (taken[t] ? rest : 0);
        if (taken[t] || (reset !== undefined && reset.data[n * length + t] !== 0)) rest = 0;
        sums.a += g * a;
        sums.b += g * b;
        sums.c += g * c;
        sums.m += g * m;
      }
      dCarryIn[n * channels + i] = rest;
    }
  }
  const dAlphas = allocate(abc.dtype, 5);
  dAlphas.set([sums.b, sums.m, sums.a, sums.c, sums.m]);
  return outputs({
    dabc: new Tensor(abc.dtype, abc.shape, dabc),
    dAlphas: new Tensor(abc.dtype, [5], dAlphas),
    dCarryIn: new Tensor(abc.dtype, plan.carryShape, dCarryIn),
  });
}
