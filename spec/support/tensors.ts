import * as fc from 'fast-check';
import { type Shape, type Tensor, tensor } from '../../src/core/tensor.ts';

/** Sizes around every edge that a kernel could get wrong: 0, 1, powers of two and their neighbours. */
export function size(
  max: number,
  edges: readonly number[] = [2, 4, 8, 16, 32, 64, 128, 256, 1024],
): fc.Arbitrary<number> {
  const around = [0, 1, ...edges.flatMap((e) => [e - 1, e, e + 1])].filter((n) => n <= max);
  return fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...new Set(around)) },
    { weight: 2, arbitrary: fc.integer({ min: 1, max }) },
  );
}

const small = fc.integer({ min: -3, max: 3 });
const zeros = fc.constantFrom(0, -0);
const subnormals = fc.constantFrom(2 ** -149, -(2 ** -149), 2 ** -127, -(2 ** -127), 2 ** -126);
const extremes = fc.constantFrom(3.4028234663852886e38, -3.4028234663852886e38, 1e30, -1e30);
const infinities = fc.constantFrom(Infinity, -Infinity);
const plain = fc.float({ noNaN: true, noDefaultInfinity: true });
const unit = fc.float({ min: -4, max: 4, noNaN: true });

/** Any f32 at all. Ties are common (small integers), and so are both zeros, subnormals, extremes, infinities and NaN. */
export const anyFloat: fc.Arbitrary<number> = fc.oneof(
  { weight: 6, arbitrary: small },
  { weight: 2, arbitrary: zeros },
  { weight: 1, arbitrary: subnormals },
  { weight: 1, arbitrary: extremes },
  { weight: 1, arbitrary: infinities },
  { weight: 1, arbitrary: fc.constant(Number.NaN) },
  { weight: 4, arbitrary: plain },
);

/** Finite f32 of a size that arithmetic is done with: ties and zeros are common, nothing overflows in a sum. */
export const tameFloat: fc.Arbitrary<number> = fc.oneof(
  { weight: 3, arbitrary: small },
  { weight: 1, arbitrary: zeros },
  { weight: 4, arbitrary: unit },
);

/**
 * Numbers around the smallest normal one, zeros, and others up to 1000: what a device flushes as it reads it may be a factor
 * of something large.
 */
export const wideFloat: fc.Arbitrary<number> = fc.oneof(
  { weight: 4, arbitrary: fc.float({ min: -(2 ** -125), max: 2 ** -125, noNaN: true }) },
  { weight: 1, arbitrary: fc.float({ min: -1000, max: 1000, noNaN: true }) },
  { weight: 1, arbitrary: fc.integer({ min: -1000, max: 1000 }) },
  { weight: 1, arbitrary: zeros },
);

/** Integers in [-8, 8]: sums of their products are exact in f32, so results compare without any tolerance. */
export const exactFloat: fc.Arbitrary<number> = fc.integer({ min: -8, max: 8 });

/** A tensor of one of several ranks, its data drawn flat so that counterexamples shrink well. */
export function tensorOf(
  element: fc.Arbitrary<number>,
  shape: fc.Arbitrary<Shape>,
  dtype: 'f32' | 'f64' | 'i32' | 'u32' = 'f32',
): fc.Arbitrary<Tensor> {
  return shape.chain((s) => {
    const n = s.reduce((a, b) => a * b, 1);
    // A short pattern, repeated: large tensors stay cheap to draw, and ties become common at every distance.
    return fc
      .array(element, { minLength: Math.min(n, 1), maxLength: Math.max(Math.min(n, 97), 1) })
      .map((pattern) =>
        tensor(
          s,
          Float64Array.from({ length: n }, (_, i) => pattern[i % pattern.length]!),
          dtype,
        ),
      );
  });
}

/** Shapes of rank 1 to 3 with at most `max` elements, together with an axis to work along (negative ones included). */
export function shapeAndAxis(max = 4096): fc.Arbitrary<{ shape: Shape; axis: number }> {
  return fc
    .tuple(
      size(Math.min(max, 1500)),
      fc.constantFrom(1, 2, 3, 5, 17, 64),
      fc.constantFrom(1, 2, 3, 16),
      fc.nat(2),
      fc.nat(2),
      fc.boolean(),
    )
    .map(([length, b, c, rank, at, negative]) => {
      const axis = Math.min(at, rank);
      const shape = [length, b, c].slice(0, rank + 1);
      [shape[0], shape[axis]] = [shape[axis]!, shape[0]!];
      while (shape.reduce((x, y) => x * y, 1) > max) {
        const k = shape.findIndex((s, i) => i !== axis && s > 1);
        if (k < 0) break;
        shape[k] = 1;
      }
      return { shape, axis: negative ? axis - shape.length : axis };
    });
}
