// Gumbel noise -log(-log(u)) in integer arithmetic, so that every device gives the same bits: WGSL's own log may be off
// by 2^-21 near 1, which is the whole upper tail, and differs from driver to driver.
//
// Fractions are u32 in units of 2^-32 unless a comment says otherwise. The logarithm is Briggs' (1624): multiply by the
// factors 1 + 2^-i that fit, by shift and add, and sum the logarithms of the factors.
// @uses lib/leadingZeros.wgsl
// @uses lib/threefry.wgsl

/// floor(t^2 / 2^32) for t < 2^26, from products that fit 32 bits: t = a 2^10 + b.
fn squareFraction(t: u32) -> u32 {
  let a = t >> 10u;
  let b = t & 1023u;
  return (a * a + ((a * b + ((b * b) >> 11u)) >> 9u)) >> 12u;
}

/// -log(m 2^-32) for m >= 2^31. m + (m >> i) fits if it does not wrap around, and then it is the larger one.
fn negLog(mantissa: u32) -> u32 {
  var m = mantissa;
  var log = 0u;
  var larger = m + (m >> 1u);
  log += select(0u, 1741459379u, larger >= m);
  m = max(m, larger);
  larger = m + (m >> 2u);
  log += select(0u, 958394255u, larger >= m);
  m = max(m, larger);
  larger = m + (m >> 3u);
  log += select(0u, 505874286u, larger >= m);
  m = max(m, larger);
  larger = m + (m >> 4u);
  log += select(0u, 260380768u, larger >= m);
  m = max(m, larger);
  larger = m + (m >> 5u);
  log += select(0u, 132163268u, larger >= m);
  m = max(m, larger);
  larger = m + (m >> 6u);
  log += select(0u, 66589974u, larger >= m);
  m = max(m, larger);
  // What remains is 1 - t with t < 2^-6: the series t + t^2/2 + t^3/3 + t^4/4.
  let t = 0u - m;
  let square = squareFraction(t);
  let cube = ((square >> 4u) * (t >> 10u)) >> 18u;
  let fourth = ((square >> 4u) * (square >> 4u)) >> 24u;
  // 21846 / 2^16 divides by 3, exactly for what a cube can be (below 2^14).
  return log + t + (square >> 1u) + ((cube * 21846u) >> 16u) + (fourth >> 2u);
}

const LN2_Q25: i32 = 23258160;    // log(2) in units of 2^-25
const LN2_Q26: u32 = 46516320u;   // log(2) in units of 2^-26

/// The noise in units of 2^-25, for u = (first 2^32 + second + 1/2) 2^-64. The three cases (u below 1/2, u close to 1,
/// between) run as one: SIMD lanes would walk through all of them anyway.
fn gumbelFixed(first: u32, second: u32) -> i32 {
  let upper = first >= 0x80000000u;
  // p = min(u, 1 - u) = mantissa 2^-(32 + s); the lowest bit stands for the half and keeps p from being zero.
  let high = select(first, ~first, upper);
  let low = select(second, ~second, upper) | 1u;
  let top = select(high, low, high == 0u);
  let next = select(low, 0u, high == 0u);
  let zeros = leadingZeros(top);
  let s = zeros + select(0u, 32u, high == 0u);
  let mantissa = (top << zeros) | ((next >> 1u) >> (31u - zeros));
  let tail = upper && s >= 6u;

  // E = -log(u): in units of 2^-26 and up to 44.4 below 1/2, in units of 2^-32 above; not used in the tail.
  let logarithm = negLog(select(mantissa, first, upper));
  let e = select(s * LN2_Q26 + ((logarithm + 32u) >> 6u), logarithm, upper);
  let zerosOfE = leadingZeros(e);

  // In the tail E = p h(p), and log h(p) = p/2 + 5p^2/24 + p^3/8 up to 2^-27.
  let square = squareFraction(high & 0x3ffffffu);
  let cube = ((square >> 4u) * (high >> 10u)) >> 21u;
  let correction = (high >> 1u) + (((square >> 4u) * 13653u) >> 12u) + cube;

  let exponent = select(i32(zerosOfE) - select(6, 0, upper), i32(s), tail);
  let rest = negLog(select(e << zerosOfE, mantissa, tail));
  return exponent * LN2_Q25 + i32((rest + 64u) >> 7u) - select(0, i32((correction + 64u) >> 7u), tail);
}

/// The f32 bits of g 2^-25, rounded to nearest, ties to even.
fn bitsOfFixed(g: i32) -> u32 {
  let magnitude = u32(abs(g));
  let drop = 8u - min(8u, leadingZeros(max(magnitude, 1u)));
  let half = (1u << drop) >> 1u;
  let even = (magnitude >> drop) & min(half, 1u);
  let kept = ((magnitude + max(half, 1u) - 1u + even) >> drop) << drop;
  // At most 24 significant bits: the conversion and the scaling are exact.
  return bitcast<u32>(f32(kept) * 0x1p-25f) | (bitcast<u32>(g) & 0x80000000u);
}

/// The f32 bits of the noise of one counter.
fn gumbelBits(key: vec2u, counter: vec2u) -> u32 {
  let words = threefry2x32(key, counter);
  return bitsOfFixed(gumbelFixed(words.x ^ words.y, words.y));
}
