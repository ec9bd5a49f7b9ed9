// f32 addition in integers. WGSL lets an addition return either neighbour of the exact sum, flush subnormals and be
// reassociated; where sums decide a selection, they must be the same everywhere.
// @uses lib/leadingZeros.wgsl

/// The bits of a + b, rounded to nearest, ties to even; a and b are bits of finite numbers. Overflow gives infinity.
fn addBits(a: u32, b: u32) -> u32 {
  let swap = (a & 0x7fffffffu) < (b & 0x7fffffffu);
  let x = select(a, b, swap);   // the larger magnitude
  let y = select(b, a, swap);
  let ex = (x >> 23u) & 255u;
  let ey = (y >> 23u) & 255u;
  // Significands with three bits below the last one: two for rounding, and one that stands for all that is shifted out.
  let mx = ((x & 0x7fffffu) | select(0x800000u, 0u, ex == 0u)) << 3u;
  let my = ((y & 0x7fffffu) | select(0x800000u, 0u, ey == 0u)) << 3u;
  let shift = min(max(ex, 1u) - max(ey, 1u), 31u);
  let lost = (my & ((1u << shift) - 1u)) != 0u;
  let aligned = (my >> shift) | select(0u, 1u, lost);
  let same = ((x ^ y) >> 31u) == 0u;
  var sum = select(mx - aligned, mx + aligned, same);
  if (sum == 0u) { return select(0u, x & 0x80000000u, same); }
  // The leading bit belongs at place 26. Right by one after a carry; left as far as the exponent allows.
  var e = max(ex, 1u);
  let carry = sum >> 27u;
  sum = (sum >> carry) | (sum & carry);
  e += carry;
  let left = min(leadingZeros(sum) - 5u, e - 1u);
  sum <<= left;
  e -= left;
  let kept = (sum + 3u + ((sum >> 3u) & 1u)) >> 3u;
  // The implicit bit of a normal number, and a carry from rounding, go into the exponent by themselves.
  return min(((e - 1u) << 23u) + kept, 0x7f800000u) | (x & 0x80000000u);
}
