// softmax along the middle axis of x seen as [outer, length, inner], and its gradient.
//
// A row is one (outer, inner). Three walks: the maximum, the sum of the exponentials, the result. The maximum is taken on
// order keys of the bits, which shows NaN and infinities too, and no infinity enters the arithmetic: WGSL may assume that
// there are none. Elements more than 104 below the maximum give 0 without arithmetic, as exp(-104) is below the smallest
// number; so a masked element (-infinity) needs no case of its own, and x - max cannot overflow.
//
// One invocation a row: `softmax` for rows that lie across others; on software drivers `softmaxFours` for contiguous rows,
// four elements per turn, and *Quads where rows are made of whole fours, which one access then loads. Or one workgroup a
// row: *Tiles, for contiguous rows on GPUs.
// @uses lib/order.wgsl
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;  // invocations per workgroup, 1..256
override TILE: u32 = 128u;           // invocations per row of the *Tiles entry points: a power of two, 1..256

struct Params { rows: u32, length: u32, inner: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

const NAN_BITS = 0x7fc00000u;
const NEG_INF_KEY = 0x007fffffu;   // key of -infinity
const POS_INF_KEY = 0xff800000u;   // key of +infinity; a row with NaN counts with a larger one
const INF_BITS = 0x7f800000u;

/// Monotone in the value, as orderKey but for NaN, and with -0 just below +0: three operations instead of ten.
fn key(bits: u32) -> u32 { return bits ^ (bitcast<u32>(bitcast<i32>(bits) >> 31u) | 0x80000000u); }
fn key4(bits: vec4u) -> vec4u { return bits ^ (bitcast<vec4u>(bitcast<vec4i>(bits) >> vec4u(31u)) | vec4u(0x80000000u)); }

/// What a row's greatest key says: its maximum, below which elements vanish, and rows that are not ordinary.
struct Shift { max: f32, low: u32, lowKey: u32 }

fn shiftOf(greatest: u32) -> Shift {
  let max = bitcast<f32>(bitsOfOrderKey(greatest));
  let low = bitcast<u32>(max - 104.0);
  return Shift(max, low, key(low));
}

fn isOrdinary(greatest: u32) -> bool { return greatest > NEG_INF_KEY && greatest < POS_INF_KEY; }

/// What every element of another row is: 0 when it is masked throughout, NaN when it holds NaN or +infinity.
fn constantOf(greatest: u32) -> f32 { return bitcast<f32>(select(NAN_BITS, 0u, greatest <= NEG_INF_KEY)); }

/// exp(x - max), from bits.
fn weight(bits: u32, shift: Shift) -> f32 {
  let counts = key(bits) >= shift.lowKey;
  return select(0.0, exp(bitcast<f32>(select(shift.low, bits, counts)) - shift.max), counts);
}

/// The place of a row's first element.
fn originOf(row: u32) -> u32 { return row / params.inner * params.length * params.inner + row % params.inner; }

/// The greatest key of elements begin, begin + step, ... of a row, or the largest number if NaN is among them.
fn maxKey(origin: u32, begin: u32, step: u32) -> u32 {
  var greatest = 0u;
  var magnitude = 0u;
  for (var j = begin; j < params.length; j += step) {
    let bits = x[origin + j * params.inner];
    greatest = max(greatest, key(bits));
    magnitude = max(magnitude, bits & 0x7fffffffu);
  }
  return select(greatest, 0xffffffffu, magnitude > INF_BITS);
}

fn sumWeights(origin: u32, shift: Shift, begin: u32, step: u32) -> f32 {
  var sum = 0.0;
  for (var j = begin; j < params.length; j += step) { sum += weight(x[origin + j * params.inner], shift); }
  return sum;
}

fn writeRow(origin: u32, shift: Shift, sum: f32, begin: u32, step: u32) {
  let scale = 1.0 / sum;
  for (var j = begin; j < params.length; j += step) {
    let at = origin + j * params.inner;
    y[at] = weight(x[at], shift) * scale;
  }
}

fn fillRow(origin: u32, value: f32, begin: u32, step: u32) {
  for (var j = begin; j < params.length; j += step) { y[origin + j * params.inner] = value; }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn softmax(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let origin = originOf(row);
  let top = maxKey(origin, 0u, 1u);
  if (!isOrdinary(top)) {
    fillRow(origin, constantOf(top), 0u, 1u);
    return;
  }
  let shift = shiftOf(top);
  writeRow(origin, shift, sumWeights(origin, shift, 0u, 1u), 0u, 1u);
}

var<workgroup> keys: array<u32, TILE>;
var<workgroup> sums: array<f32, TILE>;

/// The greatest key of the workgroup, the same in every invocation.
fn greatest(local: u32, mine: u32) -> u32 {
  keys[local] = mine;
  workgroupBarrier();
  for (var half = TILE / 2u; half > 0u; half /= 2u) {
    if (local < half) { keys[local] = max(keys[local], keys[local + half]); }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&keys[0]);
}

/// The sum over the workgroup, the same in every invocation. Each step adds the upper half of what is left to the lower.
fn total(local: u32, mine: f32) -> f32 {
  sums[local] = mine;
  workgroupBarrier();
  for (var half = TILE / 2u; half > 0u; half /= 2u) {
    if (local < half) { sums[local] += sums[local + half]; }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&sums[0]);
}

@compute @workgroup_size(TILE)
fn softmaxTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups);
  if (row >= params.rows) { return; }   // uniform: a whole workgroup leaves
  let origin = originOf(row);
  let top = greatest(local, maxKey(origin, local, TILE));
  if (!isOrdinary(top)) {
    fillRow(origin, constantOf(top), local, TILE);
    return;
  }
  let shift = shiftOf(top);
  writeRow(origin, shift, total(local, sumWeights(origin, shift, local, TILE)), local, TILE);
}

fn weight4(bits: vec4u, shift: Shift) -> vec4f {
  let counts = key4(bits) >= vec4u(shift.lowKey);
  let d = bitcast<vec4f>(select(vec4u(shift.low), bits, counts)) - shift.max;
  return select(vec4f(0.0), exp(d), counts);
}

/// The greatest of four keys, or the largest number if NaN is among what they stand for.
fn topOf(greatest: vec4u, magnitude: vec4u) -> u32 {
  let top = select(greatest, vec4u(0xffffffffu), magnitude > vec4u(INF_BITS));
  return max(max(top.x, top.y), max(top.z, top.w));
}

/// Four neighbours, which need not be aligned.
fn four(at: u32) -> vec4u { return vec4u(x[at], x[at + 1u], x[at + 2u], x[at + 3u]); }

@compute @workgroup_size(WORKGROUP_SIZE)
fn softmaxFours(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let begin = row * params.length;
  let end = begin + params.length;
  let whole = begin + params.length / 4u * 4u;
  var greatest4 = vec4u(0u);
  var magnitude4 = vec4u(0u);
  for (var at = begin; at < whole; at += 4u) {
    let bits = four(at);
    greatest4 = max(greatest4, key4(bits));
    magnitude4 = max(magnitude4, bits & vec4u(0x7fffffffu));
  }
  for (var at = whole; at < end; at++) {
    greatest4.x = max(greatest4.x, key(x[at]));
    magnitude4.x = max(magnitude4.x, x[at] & 0x7fffffffu);
  }
  let top = topOf(greatest4, magnitude4);
  if (!isOrdinary(top)) {
    for (var at = begin; at < end; at++) { y[at] = constantOf(top); }
    return;
  }
  let shift = shiftOf(top);
  var sum = vec4f(0.0);
  for (var at = begin; at < whole; at += 4u) { sum += weight4(four(at), shift); }
  for (var at = whole; at < end; at++) { sum.x += weight(x[at], shift); }
  let scale = 1.0 / dot(sum, vec4f(1.0));
  for (var at = begin; at < whole; at += 4u) {
    let w = weight4(four(at), shift) * scale;
    y[at] = w.x;
    y[at + 1u] = w.y;
    y[at + 2u] = w.z;
    y[at + 3u] = w.w;
  }
  for (var at = whole; at < end; at++) { y[at] = weight(x[at], shift) * scale; }
}

@group(0) @binding(1) var<storage, read> x4: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> y4: array<vec4f>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn softmaxQuads(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let quads = params.length / 4u;
  let origin = row * quads;
  var greatest4 = vec4u(0u);
  var magnitude4 = vec4u(0u);
  for (var j = 0u; j < quads; j++) {
    let bits = x4[origin + j];
    greatest4 = max(greatest4, key4(bits));
    magnitude4 = max(magnitude4, bits & vec4u(0x7fffffffu));
  }
  let top = topOf(greatest4, magnitude4);
  if (!isOrdinary(top)) {
    for (var j = 0u; j < quads; j++) { y4[origin + j] = vec4f(constantOf(top)); }
    return;
  }
  let shift = shiftOf(top);
  var sum = vec4f(0.0);
  for (var j = 0u; j < quads; j++) { sum += weight4(x4[origin + j], shift); }
  let scale = 1.0 / dot(sum, vec4f(1.0));
  for (var j = 0u; j < quads; j++) { y4[origin + j] = weight4(x4[origin + j], shift) * scale; }
}

// --- Backward. ---

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> probabilities: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

fn sumProducts(origin: u32, begin: u32, step: u32) -> f32 {
  var sum = 0.0;
  for (var j = begin; j < params.length; j += step) {
    let at = origin + j * params.inner;
    sum += dy[at] * probabilities[at];
  }
  return sum;
}

fn writeGradient(origin: u32, sum: f32, begin: u32, step: u32) {
  for (var j = begin; j < params.length; j += step) {
    let at = origin + j * params.inner;
    dx[at] = probabilities[at] * (dy[at] - sum);
  }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn softmaxBackward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                   @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let origin = originOf(row);
  writeGradient(origin, sumProducts(origin, 0u, 1u), 0u, 1u);
}

@compute @workgroup_size(TILE)
fn softmaxBackwardTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                        @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups);
  if (row >= params.rows) { return; }
  let origin = originOf(row);
  writeGradient(origin, total(local, sumProducts(origin, local, TILE)), local, TILE);
}

@group(0) @binding(1) var<storage, read> dy4: array<vec4f>;
@group(0) @binding(2) var<storage, read> probabilities4: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> dx4: array<vec4f>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn softmaxBackwardQuads(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                        @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let quads = params.length / 4u;
  let origin = row * quads;
  var sum4 = vec4f(0.0);
  for (var j = 0u; j < quads; j++) { sum4 += dy4[origin + j] * probabilities4[origin + j]; }
  let sum = dot(sum4, vec4f(1.0));
  for (var j = 0u; j < quads; j++) { dx4[origin + j] = probabilities4[origin + j] * (dy4[origin + j] - sum); }
}
