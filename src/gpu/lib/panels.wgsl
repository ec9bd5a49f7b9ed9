// Panels: a matrix cut into strips that one workgroup of a CPU adapter reads from front to back, kept in a scratch texture
// of vec4f (runtime/texturePool.ts). Reading a texel costs a software driver one 128-bit load, reading four elements of a
// buffer costs it four checked ones; and a strip is contiguous, where rows of a matrix lie pages apart.

/// Rows of the left factor per panel.
const PANEL_ROWS: u32 = 16u;

/// Where texel i of a scratch texture of width 2^bits is.
fn texelAt(i: u32, bits: u32) -> vec2u {
  return vec2u(i & ((1u << bits) - 1u), i >> bits);
}
