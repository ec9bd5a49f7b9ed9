// The keys that gumbelTopK selects by, made from logits and noise as they are read; and a cheap bound on them.
// @uses lib/addBits.wgsl
// @uses lib/gumbel.wgsl
// @uses lib/order.wgsl
// @uses lib/selection.wgsl

override KEYED: bool = false;    // noise is drawn; otherwise it is read
override VECTOR: bool = false;   // of no use here: loads are a small part of the work

@group(0) @binding(1) var<storage, read> logits: array<u32>;    // bits of f32
@group(0) @binding(2) var<storage, read> noise: array<u32>;     // the same window, if noise is given
@group(0) @binding(3) var<storage, read> mask: array<u32>;

const INFINITE = 0x7f800000u;   // the exponent of infinities and NaN
const NEG_INF_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;
const BAD_KEY = 0xffffffffu;    // of inputs that are refused: above all others, so that they show in the results

// Of the operator's own parameters: the words of the key, and the 64-bit position of the batch's first element.
fn noiseKey() -> vec2u { return params.own[0].xy; }
fn firstCounter() -> vec2u { return params.own[0].zw; }

/// Where an entry lies in the bound window.
fn placeOf(row: u32, index: u32) -> u32 { return params.origin + row * params.length + index - params.first; }

fn isMasked(row: u32, index: u32) -> bool {
  if (params.maskInner == 0u) { return false; }
  return mask[params.maskOrigin + row * params.length + index - params.first] == 0u;
}

/// The key of an entry of the bound window, 0 if it cannot be selected.
fn keyAt(row: u32, index: u32) -> u32 {
  let place = placeOf(row, index);
  let bits = logits[place];
  if (bits == NEG_INF_BITS || isMasked(row, index)) { return 0u; }
  var added = 0u;
  if (KEYED) { added = gumbelBits(noiseKey(), counterAt(firstCounter(), row * params.length + index)); }
  else { added = noise[place]; }
  let sum = addBits(bits, added);
  let bad = (bits & INFINITE) == INFINITE || (added & INFINITE) == INFINITE || (sum & INFINITE) == INFINITE;
  let key = select(orderKey(sum), BAD_KEY, bad);
  if (params.after != 0u) {
    let last = row * STATE;
    if (!comesBefore(state[last + LAST_KEY], state[last + LAST_INDEX], key, index)) { return 0u; }
  }
  return key;
}

/// Can the score of an entry reach the threshold? False only if it certainly cannot.
///
/// With u as in lib/gumbel.wgsl, the noise is at most -log(1 - u), and 1 - u is at least ~first 2^-32. Read as a number,
/// the bits of a float are a lower bound of its log2 (log2(1 + m) >= m), in units of 2^-23. The margins cover all
/// roundings: of the bound, of the sum here, and of the score.
fn mayReach(row: u32, index: u32, threshold: f32) -> bool {
  let place = placeOf(row, index);
  let bits = logits[place];
  var bound = 0.0;
  var margin = 1e-3;
  if (KEYED) {
    let words = threefry2x32(noiseKey(), counterAt(firstCounter(), row * params.length + index));
    let left = ~(words.x ^ words.y);
    // 110.2104 = (127 + 32) log 2, 8.262958e-8 = log(2) 2^-23
    bound = select(110.2104 - f32(bitcast<u32>(f32(left))) * 8.262958e-8, 50.0, left == 0u);
  } else {
    let added = noise[place];
    if ((added & INFINITE) == INFINITE) { return true; }
    bound = bitcast<f32>(added);
    margin += abs(bound) * 1e-6;
  }
  if ((bits & INFINITE) == INFINITE) { return bits != NEG_INF_BITS; }
  let logit = bitcast<f32>(bits);
  return logit + bound + (margin + abs(logit) * 1e-6) >= threshold;
}

/// The number that `mayReach` needs of a threshold, and whether it has one: everything reaches the keys that are no finite
/// number's but are low, and the high one (of refused inputs) is met by looking closely.
struct Least { value: f32, bounded: bool }

fn leastOf(threshold: u32) -> Least {
  let low = orderKey(NEG_INF_BITS);
  let bounded = threshold > low && threshold < orderKey(INFINITE);
  return Least(bitcast<f32>(bitsOfOrderKey(select(low + 1u, threshold, bounded))), bounded);
}

/// The score of a key of the results.
fn scoreOf(key: u32) -> u32 { return select(bitsOfOrderKey(key), NAN_BITS, key == BAD_KEY); }
