// Arrivals of Poisson processes in integer arithmetic, for noise that comes in falling order: the same bits on every device.
//
// Times are 64-bit integers (high, low) in units of 2^-40: up to 2^24, with the resolution of one arrival in 10^12.
// @uses lib/gumbel.wgsl

const LN2_Q32: u32 = 2977044472u;   // log(2) in units of 2^-32

/// The 64-bit product (high, low) of two words.
fn wideProduct(a: u32, b: u32) -> vec2u {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let cross = (a & 0xffffu) * (b >> 16u);
  let other = (a >> 16u) * (b & 0xffffu);
  let middle = (low >> 16u) + (cross & 0xffffu) + (other & 0xffffu);
  return vec2u((a >> 16u) * (b >> 16u) + (cross >> 16u) + (other >> 16u) + (middle >> 16u),
               (middle << 16u) | (low & 0xffffu));
}

fn addWide(a: vec2u, b: vec2u) -> vec2u {
  let low = a.y + b.y;
  return vec2u(a.x + b.x + select(0u, 1u, low < b.y), low);
}

/// -log(1 - p) for p = (first 2^32 + second) 2^-64, at least one unit.
fn exponentialTime(first: u32, second: u32) -> vec2u {
  if (first < 0x4000000u) {
    // p < 2^-6: p + p^2/2 + p^3/3 + p^4/4.
    let s = wideProduct(first, first);
    let square = (s.x << 7u) | (s.y >> 25u);
    let c = wideProduct(square, first);
    let cube = (c.x << 1u) | (c.y >> 31u);
    let fourth = wideProduct(cube, first).x;
    let p = vec2u(first >> 24u, (first << 8u) | (second >> 24u));
    let time = addWide(p, vec2u(0u, square + cube / 3u + (fourth >> 2u)));
    return vec2u(time.x, select(time.y, 1u, (time.x | time.y) == 0u));
  }
  // 1 - p = mantissa 2^-(32 + s); its lowest bit keeps it from being zero.
  let high = ~first;
  let low = ~second | 1u;
  let top = select(high, low, high == 0u);
  let next = select(low, 0u, high == 0u);
  let zeros = leadingZeros(top);
  let s = zeros + select(0u, 32u, high == 0u);
  let mantissa = (top << zeros) | ((next >> 1u) >> (31u - zeros));
  let fine = addWide(wideProduct(s, LN2_Q32), vec2u(0u, negLog(mantissa)));
  return vec2u((fine.x << 8u) | (fine.y >> 24u), fine.y << 8u);
}

/// -log(time / count) as f32 bits, for a time above 0 and 1 <= count <= 64.
fn gumbelOfTime(time: vec2u, count: u32) -> u32 {
  let wide = time.x > 0u;
  let top = select(time.y, time.x, wide);
  let next = select(0u, time.y, wide);
  let zeros = leadingZeros(top);
  let mantissa = (top << zeros) | ((next >> 1u) >> (31u - zeros));
  let bits = select(32u, 64u, wide) - zeros;
  let zerosOfCount = leadingZeros(count);
  let exponent = 72 - i32(zerosOfCount) - i32(bits);
  let fraction = i32((negLog(mantissa) + 64u) >> 7u) - i32((negLog(count << zerosOfCount) + 64u) >> 7u);
  return bitsOfFixed(exponent * LN2_Q25 + fraction);
}
