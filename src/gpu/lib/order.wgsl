// Order-preserving integer keys of f32 bits, so that comparisons are exact on every device: WGSL may ignore the sign of
// zero, flush subnormals and assume that NaN does not occur, but u32 comparison is exact.

/// True for every NaN bit pattern.
fn isNanBits(bits: u32) -> bool {
  return (bits & 0x7fffffffu) > 0x7f800000u;
}

/// Monotone in the value: -inf < ... < -0 = +0 < ... < +inf < NaN. No number has the key 0, which is free for "none".
fn orderKey(bits: u32) -> u32 {
  if (isNanBits(bits)) { return 0xffffffffu; }
  let canonical = select(bits, 0u, (bits & 0x7fffffffu) == 0u);
  return canonical ^ select(0x80000000u, 0xffffffffu, (canonical >> 31u) != 0u);
}

/// The bits of the number with a given key (+0 for the key of zero). Not for the key of NaN.
fn bitsOfOrderKey(key: u32) -> u32 {
  return key ^ select(0xffffffffu, 0x80000000u, (key >> 31u) != 0u);
}

/// `orderKey` of four at once.
fn orderKey4(bits: vec4u) -> vec4u {
  let magnitude = bits & vec4u(0x7fffffffu);
  let canonical = select(bits, vec4u(0u), magnitude == vec4u(0u));
  let key = canonical ^ select(vec4u(0x80000000u), vec4u(0xffffffffu), (canonical >> vec4u(31u)) != vec4u(0u));
  return select(key, vec4u(0xffffffffu), magnitude > vec4u(0x7f800000u));
}
