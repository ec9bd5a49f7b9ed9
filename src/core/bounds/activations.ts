import { unitWgsl } from '../bounds.ts';
import type { Activation } from '../ops/gatedFfn.ts';

/** A function of one variable: a bound of its magnitude, of its slope, of a jump, and of its error when computed in f32. */
export interface Curve {
  /** The value, or an upper bound of its magnitude. */
  value(g: number): number;
  readonly lipschitz: number;
  /** Size of the jump at 0; an argument that may be on either side of it may give either value. @defaultValue 0 */
  readonly jump?: number;
  /** Largest error of its evaluation at g with WGSL's exp, division and rounding. */
  error(g: number): number;
  /** How many times over an exp that is flushed to zero is missing in the result. */
  flushed(g: number): number;
}

const u = unitWgsl;

function sigmoid(g: number): number {
  return g < 0 ? Math.exp(g) / (1 + Math.exp(g)) : 1 / (1 + Math.exp(-g));
}

/**
 * Relative error of sigmoid(z) computed as 1 / (1 + e) or e / (1 + e), e = exp(-|z|): exp has 3 + 2|z| ulp, which reaches
 * the result in full for z < 0 and damped by e / (1 + e) above; the sum 1, the division 2.5 ulp; `argument` is the
 * relative error of z itself, which exp multiplies by |z|.
 */
function sigmoidError(z: number, argument = 0): number {
  const fromExp = 3 * u + Math.abs(z) * (2 * u + argument);
  return 4 * u + fromExp * (z < 0 ? 1 : sigmoid(-z));
}

/** Upper bound of the tail of the standard normal, Phi(-|g|) <= exp(-g^2/2) / 2. */
function tail(g: number): number {
  return Math.exp((-g * g) / 2) / 2;
}

/**
 * Absolute error of the kernels' Phi(g). Its tail exp(-z^2/2) t P(t): P fits to 4.1e-8 (0.4 u) and costs 9 steps of two
 * roundings with |P|(t) <= 2.24 P(t) (41 u); t is off by 4.5 u, which P takes 2.28-fold (10.3 u); exp has 3 + z^2 ulp and
 * an argument off by z^2 / 2 * 2 u; three products (3 u). For g > 0 one subtraction from 1 is added.
 */
function phiError(g: number): number {
  return tail(g) * (60 + 2 * g * g) * u + (g > 0 ? u : 0);
}

function density(g: number): number {
  return Math.exp((-g * g) / 2) / Math.sqrt(2 * Math.PI);
}

const root = Math.sqrt(8 / Math.PI);
const clamped = (g: number): number => Math.max(-20, Math.min(20, g));
const cubic = (g: number): number => root * (clamped(g) + 0.044715 * clamped(g) ** 3);
/** Relative error of the cubic: both terms have one sign; constants and four products and a sum. */
const cubicError = 6 * u;

// The Lipschitz constants are the largest |f'| and |f''|: 1.0998, 1.1290 and 1.1290; 1/2, 0.7979 and 0.7979.
export const curves: Readonly<Record<Activation, { act: Curve; slope: Curve }>> = {
  relu: {
    act: { value: (g) => Math.max(g, 0), lipschitz: 1, error: () => 0, flushed: () => 1 },
    slope: { value: (g) => (g > 0 ? 1 : 0), lipschitz: 0, jump: 1, error: () => 0, flushed: () => 0 },
  },
  silu: {
    act: {
      value: (g) => g * sigmoid(g),
      lipschitz: 1.1,
      error: (g) => Math.abs(g) * sigmoid(g) * (sigmoidError(g) + u),
      flushed: (g) => 2 + g,
    },
    slope: {
      value: (g) => sigmoid(g) * (1 + g * sigmoid(-g)),
      lipschitz: 0.5,
      error: (g) => {
        const inner = Math.abs(g) * sigmoid(-g);
        return sigmoid(g) * ((1 + inner) * (sigmoidError(g) + 3 * u) + inner * (sigmoidError(-g) + u));
      },
      flushed: (g) => 4 + 2 * g,
    },
  },
  gelu: {
    act: {
      value: (g) => (g > 0 ? g : Math.abs(g) * tail(g)),
      lipschitz: 1.13,
      error: (g) => Math.abs(g) * (phiError(g) + u * (g > 0 ? 1 : tail(g))),
      flushed: (g) => 2 + 2 * g,
    },
    slope: {
      value: (g) => (g > 0 ? 1 : tail(g)) + Math.abs(g) * density(g),
      lipschitz: 0.8,
      error: (g) =>
        phiError(g) + Math.abs(g) * density(g) * (8 + 2 * g * g) * u + 2 * u * (g > 0 ? 1 : tail(g)),
      flushed: (g) => 3 + 3 * g,
    },
  },
  geluTanh: {
    act: {
      value: (g) => g * sigmoid(cubic(g)),
      lipschitz: 1.13,
      error: (g) => Math.abs(g) * sigmoid(cubic(g)) * (sigmoidError(cubic(g), cubicError) + u),
      flushed: (g) => 2 + g,
    },
    slope: {
      value: (g) => sigmoid(cubic(g)) + Math.abs(g) * bend(g),
      lipschitz: 0.8,
      error: (g) => {
        const z = cubic(g);
        const [one, other] = [sigmoidError(z, cubicError), sigmoidError(-z, cubicError)];
        return sigmoid(z) * (one + 2 * u) + Math.abs(g) * bend(g) * (one + other + 10 * u);
      },
      // The exp is multiplied by g and by the slope of the cubic.
      flushed: (g) => 4 + 2 * g * (1 + root * (1 + 3 * 0.044715 * clamped(g) ** 2)),
    },
  },
};

/** sigmoid(z) sigmoid(-z) dz/dg for z = cubic(g). */
function bend(g: number): number {
  const z = cubic(g);
  return sigmoid(z) * sigmoid(-z) * root * (1 + 3 * 0.044715 * clamped(g) ** 2);
}
