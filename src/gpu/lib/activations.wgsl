// The gate's nonlinearities and their derivatives. Which one is a constant of the pipeline, so the others cost nothing.
// WGSL's exp has an error of 3 + 2|x| ulp and may assume that nothing overflows: each form below calls it with an argument
// <= 0 only, and none of them cancels. WGSL has neither erf nor an accurate tanh near 0; see docs/gatedFfn.md.

override ACTIVATION: u32 = 0u;   // 0 relu, 1 silu, 2 gelu (with the error function), 3 gelu (tanh approximation)

/// sigmoid(g) and sigmoid(-g).
fn sigmoids(g: f32) -> vec2f {
  let e = exp(-abs(g));
  let s = vec2f(1.0, e) / (1.0 + e);
  return select(s.yx, s, g >= 0.0);
}

/// exp(-g^2 / 2); 0 from |g| = 14 on, where it is below the smallest f32 that survives flushing.
fn bell(g: f32) -> f32 {
  let z = min(abs(g), 14.0);
  return exp(-0.5 * z * z);
}

/// Phi(g), the distribution function of the standard normal: (1 + erf(g / sqrt 2)) / 2.
/// Phi(-z) = exp(-z^2 / 2) t P(t) with t = 1 / (1 + 0.35 z), z >= 0. P was fitted to the least relative error over
/// 0 <= z <= 14, which is 4.1e-8; the tail keeps relative accuracy, because nothing is subtracted from it.
fn normalCdf(g: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.35 * abs(g));
  var p = -0.029145658;
  p = p * t + 0.14397046;
  p = p * t - 0.25571188;
  p = p * t + 0.15917167;
  p = p * t - 0.023108255;
  p = p * t + 0.10550739;
  p = p * t + 0.11983301;
  p = p * t + 0.13986185;
  p = p * t + 0.1396214;
  let tail = bell(g) * p * t;
  return select(tail, 1.0 - tail, g >= 0.0);
}

const SQRT_8_OVER_PI: f32 = 1.5957691;
const CUBE: f32 = 0.044715;

/// 2 sqrt(2 / pi) (g + 0.044715 g^3), so that (1 + tanh(half of it)) / 2 is its sigmoid. Beyond 20 it has saturated.
fn twiceCubic(g: f32) -> f32 {
  let z = clamp(g, -20.0, 20.0);
  return SQRT_8_OVER_PI * (z + CUBE * z * z * z);
}

fn activation(g: f32) -> f32 {
  if (ACTIVATION == 1u) { return g * sigmoids(g).x; }
  if (ACTIVATION == 2u) { return g * normalCdf(g); }
  if (ACTIVATION == 3u) { return g * sigmoids(twiceCubic(g)).x; }
  return max(g, 0.0);
}

/// The derivative; that of relu at 0 is 0.
fn slope(g: f32) -> f32 {
  if (ACTIVATION == 1u) {
    let s = sigmoids(g);
    return s.x * (1.0 + g * s.y);
  }
  if (ACTIVATION == 2u) { return normalCdf(g) + g * (0.3989423 * bell(g)); }
  if (ACTIVATION == 3u) {
    let s = sigmoids(twiceCubic(g));
    let z = clamp(g, -20.0, 20.0);
    return s.x + g * (s.x * s.y) * (SQRT_8_OVER_PI * (1.0 + 3.0 * CUBE * z * z));
  }
  return select(0.0, 1.0, g > 0.0);
}
