// sparsemax: y = max(x - tau, 0), tau such that the row adds up to 1. Not by sorting: Michelot's iteration takes the mean over the
// candidates, tau = (sum - 1) / count, and drops those that are not above it. Each round's candidates are among those of the
// round before, so it ends when none is dropped, after a few rounds. Everything is relative to the maximum:
// all candidates are within 1 of it, and the sums keep their digits. The maximum is taken on order keys, as in softmax.
// One invocation a row, or one workgroup a row (*Tiles).
// @uses lib/order.wgsl
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
override TILE: u32 = 64u;            // invocations per row of *Tiles: a power of two

struct Params { rows: u32, length: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

const NAN_BITS = 0x7fc00000u;
const NEG_INF_KEY = 0x007fffffu;
const POS_INF_KEY = 0xff800000u;
const INF_BITS = 0x7f800000u;

/// Monotone in the value, with -0 just below +0.
fn key(bits: u32) -> u32 { return bits ^ (bitcast<u32>(bitcast<i32>(bits) >> 31u) | 0x80000000u); }

/// The greatest key of elements begin, begin + step, ... of a row, or the largest number if NaN is among them.
fn maxKey(origin: u32, begin: u32, step: u32) -> u32 {
  var greatest = 0u;
  for (var j = begin; j < params.length; j += step) {
    let bits = x[origin + j];
    greatest = max(greatest, select(key(bits), 0xffffffffu, (bits & 0x7fffffffu) > INF_BITS));
  }
  return greatest;
}

fn isOrdinary(greatest: u32) -> bool { return greatest > NEG_INF_KEY && greatest < POS_INF_KEY; }
fn constantOf(greatest: u32) -> f32 { return bitcast<f32>(select(NAN_BITS, 0u, greatest <= NEG_INF_KEY)); }

/// The distance to the maximum, or -2 for whatever is farther than that.
fn below(bits: u32, top: f32) -> f32 {
  let low = top - 2.0;
  let near = key(bits) >= key(bitcast<u32>(low));
  return select(-2.0, bitcast<f32>(select(bitcast<u32>(top), bits, near)) - top, near);
}

/// Sum and number of the candidates above tau.
fn candidates(origin: u32, top: f32, tau: f32, begin: u32, step: u32) -> vec2f {
  var sum = 0.0;
  var count = 0.0;
  for (var j = begin; j < params.length; j += step) {
    let d = below(x[origin + j], top);
    let counts = d > tau;
    sum += select(0.0, d, counts);
    count += select(0.0, 1.0, counts);
  }
  return vec2f(sum, count);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn sparsemax(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let origin = row * params.length;
  let greatest = maxKey(origin, 0u, 1u);
  if (!isOrdinary(greatest)) {
    for (var j = 0u; j < params.length; j++) { y[origin + j] = constantOf(greatest); }
    return;
  }
  let top = bitcast<f32>(bitsOfOrderKey(greatest));
  var tau = -1.0;
  var before = 3e38;
  loop {
    let found = candidates(origin, top, tau, 0u, 1u);
    if (found.y >= before) { break; }
    before = found.y;
    tau = (found.x - 1.0) / found.y;
  }
  for (var j = 0u; j < params.length; j++) { y[origin + j] = max(below(x[origin + j], top) - tau, 0.0); }
}

var<workgroup> keys: array<u32, TILE>;
var<workgroup> sums: array<vec2f, TILE>;

/// The greatest key of the workgroup, the same in every invocation.
fn greatestOf(local: u32, mine: u32) -> u32 {
  keys[local] = mine;
  workgroupBarrier();
  for (var half = TILE / 2u; half > 0u; half /= 2u) {
    if (local < half) { keys[local] = max(keys[local], keys[local + half]); }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&keys[0]);
}

/// Two sums over the workgroup, the same in every invocation.
fn totalOf(local: u32, mine: vec2f) -> vec2f {
  sums[local] = mine;
  workgroupBarrier();
  for (var half = TILE / 2u; half > 0u; half /= 2u) {
    if (local < half) { sums[local] += sums[local + half]; }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&sums[0]);
}

@compute @workgroup_size(TILE)
fn sparsemaxTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups);
  if (row >= params.rows) { return; }   // uniform: a whole workgroup leaves
  let origin = row * params.length;
  let greatest = greatestOf(local, maxKey(origin, local, TILE));
  if (!isOrdinary(greatest)) {
    for (var j = local; j < params.length; j += TILE) { y[origin + j] = constantOf(greatest); }
    return;
  }
  let top = bitcast<f32>(bitsOfOrderKey(greatest));
  var tau = -1.0;
  var before = 3e38;
  loop {
    let found = totalOf(local, candidates(origin, top, tau, local, TILE));
    if (found.y >= before) { break; }
    before = found.y;
    tau = (found.x - 1.0) / found.y;
  }
  for (var j = local; j < params.length; j += TILE) { y[origin + j] = max(below(x[origin + j], top) - tau, 0.0); }
}

// Backward.
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

/// Sum of dy over the support, and its size.
fn supportOf(origin: u32, begin: u32, step: u32) -> vec2f {
  var sum = vec2f(0.0);
  for (var j = begin; j < params.length; j += step) {
    sum += select(vec2f(0.0), vec2f(dy[origin + j], 1.0), weights[origin + j] > 0.0);
  }
  return sum;
}

fn writeGradient(origin: u32, support: vec2f, begin: u32, step: u32) {
  let mean = support.x / max(support.y, 1.0);
  for (var j = begin; j < params.length; j += step) {
    dx[origin + j] = select(0.0, dy[origin + j] - mean, weights[origin + j] > 0.0);
  }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn sparsemaxBackward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                     @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  writeGradient(row * params.length, supportOf(row * params.length, 0u, 1u), 0u, 1u);
}

@compute @workgroup_size(TILE)
fn sparsemaxBackwardTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                          @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups);
  if (row >= params.rows) { return; }
  let origin = row * params.length;
  writeGradient(origin, totalOf(local, supportOf(origin, local, TILE)), local, TILE);
}
