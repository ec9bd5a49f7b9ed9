// log(1 - p), which WGSL's log loses for small p: it may be off by 2^-21 near 1.

/// log(1 - p) for 0 <= p <= 1/2, within some 1e-6 of itself: -2 atanh(z) with z = p / (2 - p) <= 1/3, by its series.
fn logOneMinus(p: f32) -> f32 {
  let z = p / (2.0 - p);
  let s = z * z;
  return -2.0 * z * (1.0 + s * (0.33333333 + s * (0.2 + s * (0.14285714 + s * (0.11111111 + s * (0.09090909 + s * 0.07692308))))));
}
