import type { Activation } from '../../core/ops/gatedFfn.ts';

/** Each activation with its derivative. */
export const gates: Readonly<
  Record<Activation, { act: (g: number) => number; slope: (g: number) => number }>
> = {
  relu: { act: (g) => Math.max(g, 0), slope: (g) => (g > 0 ? 1 : 0) },
  silu: { act: (g) => g * sigmoid(g), slope: (g) => sigmoid(g) * (1 + g * sigmoid(-g)) },
  gelu: {
    act: (g) => g * normalCdf(g),
    slope: (g) => normalCdf(g) + (g * Math.exp((-g * g) / 2)) / Math.sqrt(2 * Math.PI),
  },
  // (1 + tanh z) / 2 = sigmoid(2 z), which does not cancel for negative z.
  geluTanh: {
    act: (g) => g * sigmoid(2 * cubic(g)),
    slope: (g) => {
      const p = sigmoid(2 * cubic(g));
      return p + 2 * g * p * sigmoid(-2 * cubic(g)) * root * (1 + 3 * 0.044715 * g * g);
    },
  },
};

const root = Math.sqrt(2 / Math.PI);

function cubic(g: number): number {
  return root * (g + 0.044715 * g * g * g);
}

function sigmoid(g: number): number {
  return g < 0 ? Math.exp(g) / (1 + Math.exp(g)) : 1 / (1 + Math.exp(-g));
}

/**
 * Phi(g), the distribution function of the standard normal, to about 1e-15 of its value.
 * Near 0: Phi(g) = 1/2 + phi(g) (g + g^3/3 + g^5/(3 5) + ...). Far out: the continued fraction of Mills' ratio,
 * 1 - Phi(z) = phi(z) / (z + 1/(z + 2/(z + 3/(z + ...)))). (Abramowitz and Stegun 26.2.11 and 26.2.14)
 */
function normalCdf(g: number): number {
  const density = Math.exp((-g * g) / 2) / Math.sqrt(2 * Math.PI);
  const z = Math.abs(g);
  if (z < 3) {
    let term = g;
    let sum = g;
    for (let n = 3; Math.abs(term) > 1e-17 * Math.abs(sum); n += 2) {
      term *= (g * g) / n;
      sum += term;
    }
    return 0.5 + density * sum;
  }
  let fraction = z;
  for (let n = 60; n >= 1; n--) fraction = z + n / fraction;
  const tail = density / fraction;
  return g < 0 ? tail : 1 - tail;
}
