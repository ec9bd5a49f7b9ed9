// Threefry-2x32 with 20 rounds: the counter-based generator of Salmon, Moraes, Dror and Shaw (2011), as in JAX.

/// Four rounds: add the second word to the first, rotate the second, xor it with the first.
fn threefryRounds(x: vec2u, rotations: vec4u) -> vec2u {
  var a = x.x + x.y;
  var b = ((x.y << rotations.x) | (x.y >> (32u - rotations.x))) ^ a;
  a += b;
  b = ((b << rotations.y) | (b >> (32u - rotations.y))) ^ a;
  a += b;
  b = ((b << rotations.z) | (b >> (32u - rotations.z))) ^ a;
  a += b;
  b = ((b << rotations.w) | (b >> (32u - rotations.w))) ^ a;
  return vec2u(a, b);
}

/// Two random words from two words of a counter (high, low).
fn threefry2x32(key: vec2u, counter: vec2u) -> vec2u {
  const odd = vec4u(13u, 15u, 26u, 6u);
  const even = vec4u(17u, 29u, 16u, 24u);
  let parity = key.x ^ key.y ^ 0x1bd11bdau;
  var x = counter + key;
  x = threefryRounds(x, odd) + vec2u(key.y, parity + 1u);
  x = threefryRounds(x, even) + vec2u(parity, key.x + 2u);
  x = threefryRounds(x, odd) + vec2u(key.x, key.y + 3u);
  x = threefryRounds(x, even) + vec2u(key.y, parity + 4u);
  return threefryRounds(x, odd) + vec2u(parity, key.x + 5u);
}

/// The 64-bit counter (high, low) of element i after a base.
fn counterAt(base: vec2u, i: u32) -> vec2u {
  let low = base.y + i;
  return vec2u(base.x + select(0u, 1u, low < i), low);
}
