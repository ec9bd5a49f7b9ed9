// smoothTopK: what it has beyond the relaxations of gumbelTopK (gumbelTopK.threshold.wgsl, gumbelTopK.tables.wgsl): the
// threshold, the gradients of k and of the temperature, and the iterated softmax.
// @uses lib/grid.wgsl

override LANES: u32 = 8u;       // invocations per workgroup
override MODE: u32 = 0u;        // iterated: 0 values, 1 transposed Jacobian, 2 Jacobian

const EXCLUDED = 0xff800000u;   // bits of -infinity
const INFINITE = 0x7f800000u;   // bits of +infinity, and the exponent of NaN
const NAN_BITS = 0x7fc00000u;

const CONSTANT = 2u;            // statuses of a row: see gumbelTopK.threshold.wgsl
const BAD = 3u;

struct Params {
  rows: u32,        // of this batch
  row: u32,         // the first of them
  length: u32,
  k: u32,
  chunk: u32,       // elements per partial sum
  chunks: u32,      // partial sums per row
  inverse: f32,     // 1 / temperature
}

struct Row {        // as in gumbelTopK.threshold.wgsl
  status: u32,
  base: f32,
  lambda: f32,
  miss: f32,
  high: f32,
  highSum: f32,
  highSlope: f32,
  low: f32,
  lowSum: f32,
  slope: f32,
  mean: f32,
  lowSlope: f32,
  points: vec4f,
}

@group(0) @binding(0) var<uniform> params: Params;

fn isNan(bits: u32) -> bool { return (bits & 0x7fffffffu) > INFINITE; }

// --- per row: threshold, base and the gradient of k ---

@group(0) @binding(1) var<storage, read> states: array<Row>;
@group(0) @binding(2) var<storage, read_write> threshold: array<u32>;
@group(0) @binding(3) var<storage, read_write> bases: array<f32>;
@group(0) @binding(4) var<storage, read_write> dK: array<u32>;

@compute @workgroup_size(LANES)
fn smoothTopK(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * LANES + local;
  if (i >= params.rows) { return; }
  let row = states[i];
  var lambda = bitcast<u32>(row.base + row.lambda);
  var mean = bitcast<u32>(row.mean);
  if (row.status == CONSTANT) {
    lambda = EXCLUDED;
    mean = 0u;
  }
  if (row.status == BAD) {
    lambda = NAN_BITS;
    mean = NAN_BITS;
  }
  threshold[i] = select(lambda, INFINITE, params.k == 0u && row.status != BAD);
  bases[i] = row.base;
  dK[i] = mean;
}

// --- the gradient of the temperature: -sum of dx (x - base) / temperature, in two steps and always in the same order ---

@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> dx: array<u32>;
@group(0) @binding(3) var<storage, read> basesAgain: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;        // [rows, chunks]

@compute @workgroup_size(LANES)
fn smoothTopKSum(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * LANES + local;
  if (id >= params.rows * params.chunks) { return; }
  let row = id / params.chunks;
  let base = basesAgain[row];
  let first = id % params.chunks * params.chunk;
  let end = min(first + params.chunk, params.length);
  var total = 0.0;
  for (var start = first; start < end; start += 32u) {
    var part = 0.0;
    for (var i = start; i < min(start + 32u, end); i++) {
      let at = row * params.length + i;
      let bits = x[at];
      if (bits != EXCLUDED) { part += bitcast<f32>(dx[at]) * (bitcast<f32>(bits) - base); }
    }
    total += part;
  }
  partials[id] = total;
}

@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(3) var<storage, read_write> dTemperature: array<u32>;

@compute @workgroup_size(LANES)
fn smoothTopKTemperature(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                         @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * LANES + local;
  if (row >= params.rows) { return; }
  var total = 0.0;
  for (var c = 0u; c < params.chunks; c++) { total += sums[row * params.chunks + c]; }
  // A row with a refused score is NaN as a whole, and its sum may be anything.
  let bad = params.length > 0u && isNan(dx[row * params.length]);
  dTemperature[row] = select(bitcast<u32>(0.0 - total * params.inverse), NAN_BITS, bad);
}

// --- the iterated softmax: k times values += softmax((1 - values) x), x relative to the smallest ---
// An invocation per row in both families: a counter-example need not be fast. `table` keeps the values before each step for the
// way back; `rolling` holds [2, length]: the values, and their tangent or the gradient handed back.

@group(0) @binding(2) var<storage, read> given: array<f32>;                 // gradient or tangent
@group(0) @binding(3) var<storage, read_write> out: array<u32>;
@group(0) @binding(4) var<storage, read_write> table: array<f32>;           // [rows, k, length] for MODE 1
@group(0) @binding(5) var<storage, read_write> rolling: array<f32>;
@group(0) @binding(6) var<storage, read_write> leasts: array<f32>;          // [all rows]: the smallest score

const FAR = -3.402823e38;

/// (1 - values) x of an entry.
fn argument(bits: u32, taken: f32, least: f32) -> f32 {
  return (1.0 - taken) * ((bitcast<f32>(bits) - least) * params.inverse);
}

@compute @workgroup_size(LANES)
fn iteratedSoftmax(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                   @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * LANES + local;
  if (id >= params.rows) { return; }
  let row = params.row + id;
  let origin = row * params.length;
  let values = id * 2u * params.length;
  let other = values + params.length;
  let kept = id * params.k * params.length;
  var live = 0u;
  var bad = false;
  var least = 0.0;
  var owner = 0u;                      // the first of the smallest: all others count relative to it
  for (var i = 0u; i < params.length; i++) {
    let bits = x[origin + i];
    rolling[values + i] = 0.0;
    rolling[other + i] = 0.0;
    if (MODE == 1u) {
      rolling[other + i] = given[origin + i];
      out[origin + i] = 0u;
    }
    if (bits == EXCLUDED) { continue; }
    if ((bits & INFINITE) == INFINITE) { bad = true; }
    else if (live == 0u || bitcast<f32>(bits) < least) {
      least = bitcast<f32>(bits);
      owner = i;
    }
    live++;
  }
  let steps = select(min(params.k, live), 0u, bad);
  for (var s = 0u; s < steps; s++) {
    let top = largest(origin, values, least, s, kept);
    var total = 0.0;
    var mean = 0.0;                    // of the tangents of the arguments
    for (var i = 0u; i < params.length; i++) {
      let bits = x[origin + i];
      if (bits == EXCLUDED) { continue; }
      let e = exp(max(argument(bits, rolling[values + i], least) - top, -100.0));
      total += e;
      if (MODE == 2u) { mean += e * moved(origin, i, owner, values, least); }
    }
    mean /= total;
    for (var i = 0u; i < params.length; i++) {
      let bits = x[origin + i];
      if (bits == EXCLUDED) { continue; }
      let p = exp(max(argument(bits, rolling[values + i], least) - top, -100.0)) / total;
      // The tangent first: it depends on the values before this step.
      if (MODE == 2u) { rolling[other + i] += p * (moved(origin, i, owner, values, least) - mean); }
      rolling[values + i] += p;
    }
  }
  if (MODE == 1u) { handBack(origin, kept, other, steps, least, owner); }
  for (var i = 0u; i < params.length; i++) {
    if (MODE == 0u) { out[origin + i] = bitcast<u32>(rolling[values + i]); }
    if (MODE == 2u) { out[origin + i] = bitcast<u32>(rolling[other + i]); }
    if (bad) { out[origin + i] = NAN_BITS; }
  }
  leasts[row] = least;
}

/// The largest argument of a step. On the way to a gradient it also keeps the values before the step.
fn largest(origin: u32, values: u32, least: f32, step: u32, kept: u32) -> f32 {
  var top = FAR;
  for (var i = 0u; i < params.length; i++) {
    let bits = x[origin + i];
    if (MODE == 1u) { table[kept + step * params.length + i] = rolling[values + i]; }
    if (bits != EXCLUDED) { top = max(top, argument(bits, rolling[values + i], least)); }
  }
  return top;
}

/// How the argument of an entry moves with the tangent.
fn moved(origin: u32, i: u32, owner: u32, values: u32, least: f32) -> f32 {
  let dx = (given[origin + i] - given[origin + owner]) * params.inverse;
  let value = (bitcast<f32>(x[origin + i]) - least) * params.inverse;
  return (1.0 - rolling[values + i]) * dx - rolling[values + params.length + i] * value;
}

/// From the last step to the first. dy = p (g - sum of p g); dx += dy (1 - values); g -= dy x.
fn handBack(origin: u32, kept: u32, other: u32, steps: u32, least: f32, owner: u32) {
  for (var left = steps; left > 0u; left--) {
    let now = kept + (left - 1u) * params.length;
    var top = FAR;
    for (var i = 0u; i < params.length; i++) {
      let bits = x[origin + i];
      if (bits != EXCLUDED) { top = max(top, argument(bits, table[now + i], least)); }
    }
    var total = 0.0;
    var mean = 0.0;                    // of g
    for (var i = 0u; i < params.length; i++) {
      let bits = x[origin + i];
      if (bits == EXCLUDED) { continue; }
      let e = exp(max(argument(bits, table[now + i], least) - top, -100.0));
      total += e;
      mean += e * rolling[other + i];
    }
    mean /= total;
    for (var i = 0u; i < params.length; i++) {
      let bits = x[origin + i];
      if (bits == EXCLUDED) { continue; }
      let taken = table[now + i];
      let p = exp(max(argument(bits, taken, least) - top, -100.0)) / total;
      let dy = p * (rolling[other + i] - mean);
      out[origin + i] = bitcast<u32>(bitcast<f32>(out[origin + i]) + dy * (1.0 - taken));
      rolling[other + i] -= dy * ((bitcast<f32>(bits) - least) * params.inverse);
    }
  }
  var all = 0.0;
  for (var i = 0u; i < params.length; i++) { all += bitcast<f32>(out[origin + i]); }
  for (var i = 0u; i < params.length; i++) {
    let own = bitcast<f32>(out[origin + i]) - select(0.0, all, i == owner);
    out[origin + i] = bitcast<u32>(own * params.inverse);
  }
}
