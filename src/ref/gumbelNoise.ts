import { type Key, threefry2x32 } from '../core/key.ts';
import { planGumbelNoise } from '../core/ops/gumbelNoise.ts';
import { type Shape, Tensor } from '../core/tensor.ts';

/**
 * Standard Gumbel noise: G[i] = -log(-log(u[i])), with u[i] a uniform number of 64 bits.
 *
 * The high word of u[i] is `randomBits(key, shape)[i]`, the low word is the second word of the same cipher block.
 * The two logarithms are defined in integers ({@link gumbelOf}), so that every device gives the same bits.
 *
 * @param key two u32 words
 * @param shape sizes per axis
 * @returns f32 of that shape, in [-3.79, 44.4]
 * @throws ArgumentError, ShapeError
 * @accuracy exact by definition; |G - formula| <= half an ulp of G + 1.2e-7
 * @edge An element depends on the key and on its position only. Never infinite.
 * @source jax.random.gumbel draws the same u with 23 bits; the integer logarithm is Briggs' (1624)
 */
export function gumbelNoise(key: Key, shape: Shape): Tensor {
  const { size } = planGumbelNoise(key, shape);
  const noise = new Float32Array(size);
  for (let i = 0; i < size; i++) noise[i] = gumbelAt(key, i);
  return new Tensor('f32', shape, noise);
}

const words = new Uint32Array(2);

/** Element i of the noise of a key. */
export function gumbelAt(key: Key, i: number): number {
  threefry2x32(key, Math.floor(i / 2 ** 32), i >>> 0, words);
  return Math.fround(gumbelOf((words[0]! ^ words[1]!) >>> 0, words[1]!) / 2 ** 25);
}

/**
 * -log(-log(u)) in units of 2^-25, for u = (first 2^32 + second + 1/2) 2^-64.
 *
 * With E = -log(u), the noise is -log(E). A large noise means a small E, that is u close to 1, where 1 - u must keep its
 * relative precision. So everything starts from p = min(u, 1 - u) as a 64-bit fraction, p = m 2^-(32+s) with a full
 * word m and s leading zeros. All numbers below are integers; their units are powers of two.
 */
export function gumbelOf(first: number, second: number): number {
  const upper = first >= 2 ** 31;
  const high = (upper ? ~first : first) >>> 0;
  // The lowest bit stands for the half, and keeps p from being zero.
  const low = ((upper ? ~second : second) | 1) >>> 0;
  const s = high > 0 ? Math.clz32(high) : 32 + Math.clz32(low);
  const m = high > 0 ? ((high << s) | ((low >>> 1) >>> (31 - s))) >>> 0 : (low << (s - 32)) >>> 0;

  if (upper && s >= 6) {
    // p < 2^-6: E = p + p^2/2 + p^3/3 + ... = p h(p), so that -log(E) = -log(p) - log h(p), and
    // log h(p) = p/2 + 5p^2/24 + p^3/8 + ... (the next term is below 2^-27).
    const square = Math.floor(high ** 2 / 2 ** 32);
    const cube = ((square >>> 4) * (high >>> 10)) >>> 21; // p^3/8
    const correction = (high >>> 1) + (((square >>> 4) * 13653) >>> 12) + cube; // 13653 = 5/24 of 2^16
    return s * ln2 + rounded(negLog(m)) - rounded(correction);
  }
  if (upper) {
    // 2^-6 <= p < 1/2: u is a full word already.
    const e = negLog(first);
    const zeros = Math.clz32(e);
    return zeros * ln2 + rounded(negLog((e << zeros) >>> 0));
  }
  // u < 1/2: E = s log 2 - log(m), up to 44.4, in units of 2^-26.
  const e = s * 46516320 + ((negLog(m) + 32) >>> 6);
  const zeros = Math.clz32(e);
  return (zeros - 6) * ln2 + rounded(negLog((e << zeros) >>> 0));
}

/** log(2) in units of 2^-25. */
export const ln2 = 23258160;

/** Units of 2^-32 to units of 2^-25. */
export function rounded(x: number): number {
  return (x + 64) >>> 7;
}

/** log(1 + 2^-i) for i = 1..6 in units of 2^-32. */
const factors = [1741459379, 958394255, 505874286, 260380768, 132163268, 66589974] as const;

/**
 * -log(m 2^-32) in units of 2^-32, for a full word m (2^31 <= m < 2^32), within 4e-9.
 *
 * Briggs' method: multiply m by every factor 1 + 2^-i that keeps it below 1, which takes a shift and an addition, and
 * add up the logarithms of these factors. What remains is 1 - t with t < 2^-6, and -log(1 - t) = t + t^2/2 + t^3/3 + ...
 */
export function negLog(m: number): number {
  let log = 0;
  for (let i = 1; i <= factors.length; i++) {
    const larger = m + (m >>> i);
    if (larger < 2 ** 32) {
      m = larger;
      log += factors[i - 1]!;
    }
  }
  const t = 2 ** 32 - m;
  const square = Math.floor(t ** 2 / 2 ** 32);
  // 16 bits of either factor are enough for the small terms, and fit a 32-bit product.
  const cube = ((square >>> 4) * (t >>> 10)) >>> 18;
  const fourth = ((square >>> 4) ** 2) >>> 24;
  return log + t + (square >>> 1) + Math.floor(cube / 3) + (fourth >>> 2);
}
