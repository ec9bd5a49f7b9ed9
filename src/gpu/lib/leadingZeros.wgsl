// Counting leading zeros through the exponent of a float.

/// Leading zero bits of x > 0. Up to 24 significant bits convert to f32 exactly, and its exponent is the answer; the
/// builtin is spelled out in some 20 operations by Dawn's SPIR-V writer.
fn leadingZeros(x: u32) -> u32 {
  let exact = select(x, x & 0xffffff00u, x >= 0x1000000u);
  return 158u - (bitcast<u32>(f32(exact)) >> 23u);
}
