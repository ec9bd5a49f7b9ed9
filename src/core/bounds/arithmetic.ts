import { minNormal, unitNearest, unitWgsl } from '../bounds.ts';

/** A number in double precision, and how far a correct evaluation in f32 may be from it. */
export interface Approximate {
  readonly value: number;
  readonly error: number;
}

/**
 * Arithmetic that carries an error bound along, for formulas with a fixed number of steps. Each operation adds the errors
 * of its operands, as they act on the result, to the error that WGSL grants the operation itself: one unit for + - *,
 * 2.5 ulp for /, 2 + 2.5 ulp for sqrt (it is inherited from 1 / inverseSqrt), 3 + 2|x| ulp for exp, and for log 2^-21
 * absolute on [0.5, 2] and 3 ulp elsewhere. Results below the normal numbers may be flushed to zero.
 */
export class Arithmetic {
  readonly #unit: number;

  /** @param unit the error of + - *: `unitWgsl` for what is allowed, `unitNearest` for rounding to nearest */
  constructor(unit: number) {
    this.#unit = unit;
  }

  /** An element of an input tensor: exact, unless it is subnormal. */
  input(value: number): Approximate {
    return { value, error: Math.abs(value) < minNormal ? Math.abs(value) : 0 };
  }

  /** A number that the host computed in double precision and rounded to f32. */
  constant(value: number): Approximate {
    return { value, error: Math.abs(value) * unitNearest + (value === 0 ? 0 : minNormal) };
  }

  add(a: Approximate, b: Approximate): Approximate {
    return this.#round(a.value + b.value, a.error + b.error, this.#unit);
  }

  sub(a: Approximate, b: Approximate): Approximate {
    return this.#round(a.value - b.value, a.error + b.error, this.#unit);
  }

  mul(a: Approximate, b: Approximate): Approximate {
    const error = Math.abs(a.value) * b.error + Math.abs(b.value) * a.error + a.error * b.error;
    return this.#round(a.value * b.value, error, this.#unit);
  }

  div(a: Approximate, b: Approximate): Approximate {
    const size = Math.abs(b.value);
    const least = size - b.error;
    if (!(least > 0)) return { value: a.value / b.value, error: Infinity };
    const error = (a.error + (Math.abs(a.value) * b.error) / size) / least;
    return this.#round(a.value / b.value, error, 2.5 * unitWgsl);
  }

  /** Of a number that is not negative. */
  sqrt(a: Approximate): Approximate {
    const value = Math.sqrt(a.value);
    const below = value - Math.sqrt(Math.max(a.value - a.error, 0));
    const above = Math.sqrt(a.value + a.error) - value;
    return this.#round(value, Math.max(below, above), 4.5 * unitWgsl);
  }

  exp(a: Approximate): Approximate {
    const value = Math.exp(a.value);
    return this.#round(
      value,
      value * Math.expm1(a.error),
      (3 + 2 * (Math.abs(a.value) + a.error)) * unitWgsl,
    );
  }

  /** Of a positive number. */
  log(a: Approximate): Approximate {
    const value = Math.log(a.value);
    const least = a.value - a.error;
    if (!(least > 0)) return { value, error: Infinity };
    const near = a.value + a.error >= 0.5 && least <= 2 ? 2 ** -21 : 0;
    return { value, error: Math.log(a.value / least) + Math.max(near, 3 * unitWgsl * Math.abs(value)) };
  }

  /** The bound for a result: its error, and that of rounding the reference to f32. */
  bound(a: Approximate): number {
    return a.error + Math.abs(a.value) * unitNearest + 2 ** -149;
  }

  #round(value: number, error: number, unit: number): Approximate {
    return { value, error: error + (Math.abs(value) + error) * unit + minNormal };
  }
}
