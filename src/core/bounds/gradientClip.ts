import { type Bound, compareBound, gamma, minNormal, unitNearest, unitWgsl } from '../bounds.ts';
import { listNames } from '../ops/contract.ts';
import type { Tensor } from '../tensor.ts';
import { type Approximate, Arithmetic } from './arithmetic.ts';
import type { Judge } from './judge.ts';

interface Lines {
  readonly norm: Approximate;
  readonly factor: Approximate;
}

/**
 * Error bounds of gradientClip. A sum of millions of squares in an arbitrary order would allow any error at all, so the
 * contract limits the depth of the sum: 1,024 additions for each factor of 1,024 in the number of elements. Then the root,
 * the quotient and the product are followed through.
 */
export function gradientClipBound(
  grads: readonly Tensor[],
  maxNorm: number,
): { norm: Bound; factor: Bound; clipped: Bound[] } {
  const fail = lines(grads, maxNorm, unitWgsl);
  const suspect = lines(grads, maxNorm, unitNearest);
  const of = (which: (line: Lines, a: Arithmetic) => ArrayLike<number>, why: string): Bound => ({
    fail: Float64Array.from(which(fail, new Arithmetic(unitWgsl))),
    suspect: Float64Array.from(which(suspect, new Arithmetic(unitNearest))),
    why,
  });
  const depth = 'gamma of the depth of the sum of squares, halved by the root';
  return {
    norm: of(({ norm }, a) => [a.bound(norm)], depth),
    factor: of(({ factor }, a) => [a.bound(factor)], `${depth}, and a quotient`),
    clipped: grads.map((g) =>
      of(
        ({ factor }, a) => Float64Array.from(g.data, (x) => a.bound(a.mul(factor, a.input(x)))),
        `${depth}, a quotient and a product`,
      ),
    ),
  };
}

function lines(grads: readonly Tensor[], maxNorm: number, unit: number): Lines {
  let n = 0;
  let sum = 0;
  for (const { data } of grads) {
    n += data.length;
    for (let i = 0; i < data.length; i++) sum += data[i]! ** 2;
  }
  const depth = Math.min(n, 1024 * Math.max(1, Math.ceil(Math.log(n) / Math.log(1024)))) + 1;
  const relative = unit === unitWgsl ? gamma(depth) : (6 * Math.sqrt(depth) + 1) * unitNearest;
  const error = relative * sum + n * minNormal;
  // Beyond the largest f32 the sum overflows.
  const overflows = !(sum + error < 2 ** 128);
  const a = new Arithmetic(unit);
  const norm = a.sqrt({ value: sum, error: overflows ? Infinity : error });
  const quotient = a.div(a.constant(maxNorm), a.add(norm, a.constant(1e-6)));
  const least = quotient.value - quotient.error;
  const factor: Approximate = least >= 1 ? a.input(1) : { ...quotient, value: Math.min(1, quotient.value) };
  return { norm, factor: overflows ? { value: factor.value, error: 1 } : factor };
}

export const judgeGradientClip: Judge = ({ inputs, options, want, got }) => {
  const grads = listNames('gradientClip', 'grads', Object.keys(inputs)).map((name) => inputs[name]!);
  const bounds = gradientClipBound(grads, options.maxNorm as number);
  return Object.fromEntries(
    Object.keys(want).map((name) => {
      const at = /^clipped\.(\d+)$/.exec(name);
      const bound = at ? bounds.clipped[Number(at[1])]! : bounds[name as 'norm' | 'factor'];
      return [name, compareBound(want[name]!, got[name]!, bound)];
    }),
  );
};
