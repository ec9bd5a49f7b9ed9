import { type Bound, compareBound, minNormal, unitNearest, unitWgsl } from '../bounds.ts';
import { type AdamWOptions, planAdamW } from '../ops/adamW.ts';
import type { Tensor } from '../tensor.ts';
import { Arithmetic } from './arithmetic.ts';
import type { Judge } from './judge.ts';

/**
 * Error bounds of adamW: a dozen operations for each element, each with the error that WGSL grants it, followed through.
 * The sharper line takes + - * as rounded to nearest.
 */
export function adamWBound(
  inputs: { param: Tensor; grad: Tensor; m: Tensor; v: Tensor },
  step: number,
  options: AdamWOptions<Tensor> = {},
): { param: Bound; m: Bound; v: Bound } {
  const { param, grad, m, v } = inputs;
  const plan = planAdamW(param, grad, m, v, step, options);
  const lines = () => ({ fail: new Float64Array(plan.size), suspect: new Float64Array(plan.size) });
  const made = { param: lines(), m: lines(), v: lines() };
  for (const line of ['fail', 'suspect'] as const) {
    const a = new Arithmetic(line === 'fail' ? unitWgsl : unitNearest);
    const factor = a.input(options.factor?.data[0] ?? 1);
    const beta1 = a.constant(plan.beta1);
    const gain1 = a.constant(1 - plan.beta1);
    const beta2 = a.constant(plan.beta2);
    const gain2 = a.constant(1 - plan.beta2);
    const decay = a.constant(plan.coupledDecay);
    const shrink = a.constant(plan.shrink);
    const stepSize = a.constant(plan.stepSize);
    const rootScale = a.constant(1 / plan.rootCorrection);
    const eps = a.constant(plan.eps);
    for (let i = 0; i < plan.size; i++) {
      const p = a.input(param.data[i]!);
      const g = a.add(a.mul(factor, a.input(grad.data[i]!)), a.mul(decay, p));
      const mean = a.add(a.mul(beta1, a.input(m.data[i]!)), a.mul(gain1, g));
      const square = a.add(a.mul(beta2, a.input(v.data[i]!)), a.mul(gain2, a.mul(g, g)));
      // The kernel keeps the root away from zero by the smallest normal number.
      const kept = { value: square.value, error: square.error + minNormal };
      const root = a.add(a.mul(a.sqrt(kept), rootScale), eps);
      const moved = a.sub(a.mul(shrink, p), a.mul(stepSize, a.div(mean, root)));
      made.param[line][i] = a.bound(moved);
      made.m[line][i] = a.bound(mean);
      made.v[line][i] = a.bound(square);
    }
  }
  const why = 'the rounding of each operation of the step, followed through';
  return { param: { ...made.param, why }, m: { ...made.m, why }, v: { ...made.v, why } };
}

export const judgeAdamW: Judge = ({ inputs, options, want, got }) => {
  const { param, grad, m, v, factor } = inputs as Record<string, Tensor>;
  const step = options.step as number;
  const bounds = adamWBound({ param: param!, grad: grad!, m: m!, v: v! }, step, {
    ...options,
    ...(factor === undefined ? {} : { factor }),
  });
  return {
    param: compareBound(want.param!, got.param!, bounds.param),
    m: compareBound(want.m!, got.m!, bounds.m),
    v: compareBound(want.v!, got.v!, bounds.v),
  };
};
