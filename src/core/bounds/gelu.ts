import { type Bound, compareBound, minNormal, unitNearest, unitWgsl } from '../bounds.ts';
import type { GeluForm } from '../ops/gelu.ts';
import type { Tensor } from '../tensor.ts';
import { curves } from './activations.ts';
import type { Judge } from './judge.ts';

const curveOf = (form: GeluForm | undefined) => curves[form === 'tanh' ? 'geluTanh' : 'gelu'];

/** Error bound of gelu: that of the curve, what flushing may lose, and the rounding of the reference. */
export function geluBound(x: Tensor, y: Tensor, form?: GeluForm): Bound {
  const { act } = curveOf(form);
  const fail = Float64Array.from(x.data, (v, i) => {
    if (!Number.isFinite(v)) return 0;
    return (
      act.error(v) + act.flushed(Math.abs(v)) * minNormal + unitNearest * Math.abs(y.data[i]!) + 2 ** -149
    );
  });
  return { fail, why: 'the error of the curve with the exp and the division that WGSL grants' };
}

/** Error bound of geluBackward: |dy| times that of the slope, and a product. */
export function geluBackwardBound(dy: Tensor, x: Tensor, form?: GeluForm): Bound {
  const { slope } = curveOf(form);
  const fail = Float64Array.from(x.data, (v, i) => {
    const g = Math.abs(dy.data[i]!);
    const at = Number.isFinite(v) ? v : Math.sign(v) * 40;
    if (Number.isNaN(at)) return 0;
    const carried = g * (slope.error(at) + slope.flushed(Math.abs(at)) * minNormal);
    return carried + 2 * unitWgsl * (g * slope.value(at) + carried) + 2 * minNormal;
  });
  return { fail, why: '|dy| times the error of the slope, and two roundings' };
}

// No test for bias: the errors of exp and of the fitted curve have signs of their own.
export const judgeGelu: Judge = ({ inputs, options, want, got }) => ({
  y: compareBound(want.y!, got.y!, geluBound(inputs.x!, want.y!, options.form as GeluForm | undefined)),
});

export const judgeGeluBackward: Judge = ({ inputs, options, want, got }) => ({
  dx: compareBound(
    want.dx!,
    got.dx!,
    geluBackwardBound(inputs.dy!, inputs.x!, options.form as GeluForm | undefined),
  ),
});
