import { expect } from 'vitest';
import { type Tensor, tensor } from '../../src/core/tensor.ts';

/**
 * Check a backward operator of the reference against f64 central differences in random directions:
 * <dy, (f(x + h v) - f(x - h v)) / 2h> = <backward(dy), v>. Works in f64, away from kinks.
 *
 * @param forward inputs to the outputs that dy belongs to
 * @param backward inputs and dy to the gradients, in the order of the inputs (undefined: not differentiable)
 */
export function expectGradient(
  inputs: readonly Tensor[],
  forward: (inputs: readonly Tensor[]) => readonly Tensor[],
  backward: (inputs: readonly Tensor[], dy: readonly Tensor[]) => readonly (Tensor | undefined)[],
  { h = 1e-5, tolerance = 1e-6, seed = 1 }: { h?: number; tolerance?: number; seed?: number } = {},
): void {
  const random = stream(seed);
  const x = inputs.map(toF64);
  const y = forward(x);
  const dy = y.map((t) => like(t, () => random()));
  const gradients = backward(x, dy);
  gradients.forEach((gradient, i) => {
    if (gradient === undefined) return;
    const at = x[i]!;
    expect(gradient.shape, `shape of gradient ${i}`).toEqual(at.shape);
    const v = like(at, () => random());
    const move = (step: number): readonly Tensor[] =>
      forward(x.map((t, j) => (j === i ? like(t, (k) => t.data[k]! + step * v.data[k]!) : t)));
    const up = move(h);
    const down = move(-h);
    let numeric = 0;
    let scale = 1;
    dy.forEach((d, o) => {
      for (let k = 0; k < d.size; k++) {
        const slope = (up[o]!.data[k]! - down[o]!.data[k]!) / (2 * h);
        numeric += d.data[k]! * slope;
        scale += Math.abs(d.data[k]! * slope);
      }
    });
    const analytic = dot(gradient, v);
    const error = Math.abs(numeric - analytic) / scale;
    // Written so that NaN fails.
    expect(
      error <= tolerance,
      `gradient ${i}: numeric ${numeric}, analytic ${analytic}, off by ${error} of the scale`,
    ).toBe(true);
  });
}

/** sum a[i] b[i] in f64. */
export function dot(a: Tensor, b: Tensor): number {
  let sum = 0;
  for (let i = 0; i < a.size; i++) sum += a.data[i]! * b.data[i]!;
  return sum;
}

/** The same numbers as f64; integers stay as they are. */
export function toF64(t: Tensor): Tensor {
  return t.dtype === 'f32' ? tensor(t.shape, Float64Array.from(t.data)) : t;
}

function like(t: Tensor, value: (index: number) => number): Tensor {
  return tensor(
    t.shape,
    Float64Array.from({ length: t.size }, (_, k) => value(k)),
  );
}

function stream(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}
