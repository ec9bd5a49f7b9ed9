// poolQuery: a query per asked position, the mean of the features of a set of positions up to it. `poolSets` finds the set: a
// range of positions, of which masked ones are left out, and how many are left. All poolings are then one loop; no position after
// the asked one is looked at.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;

const NAN_BITS = 0x7fc00000u;
const MEAN = 0u;
const LAST = 1u;
const CLS = 2u;
const OWN = 3u;

struct Params {
  rows: u32,
  length: u32,
  width: u32,
  queries: u32,    // per row
  pooling: u32,
  hasMask: u32,
}

/// Positions first ..< end, of which `count` are not masked. A position that is not there has first > end.
struct Set { first: u32, end: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> positions: array<i32>;            // [rows, queries]
@group(0) @binding(2) var<storage, read> mask: array<u32>;                 // [rows, length]
@group(0) @binding(3) var<storage, read_write> sets: array<Set>;           // [rows, queries]

fn isMasked(at: u32) -> bool { return params.hasMask != 0u && mask[at] == 0u; }

@compute @workgroup_size(WORKGROUP_SIZE)
fn poolSets(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.queries) { return; }
  let asked = positions[id];
  if (asked < 0 || u32(asked) >= params.length) {
    sets[id] = Set(select(1u, 0u, asked == -1), 0u, 0u);
    return;
  }
  let p = u32(asked);
  let row = id / params.queries * params.length;
  var first = 0u;
  var end = 0u;
  var count = 0u;
  for (var t = 0u; t <= p; t++) {
    let takes = params.pooling == MEAN || (params.pooling == CLS && count == 0u)
      || (params.pooling == LAST && (t < p || count == 0u)) || (params.pooling == OWN && t == p);
    if (takes && !isMasked(row + t)) {
      if (params.pooling != MEAN || count == 0u) { first = t; }
      end = t + 1u;
      count = select(1u, count + 1u, params.pooling == MEAN);
    }
  }
  sets[id] = Set(first, end, count);
}

@group(0) @binding(1) var<storage, read> x: array<u32>;                    // bits, [rows, length, width]
@group(0) @binding(3) var<storage, read> setsIn: array<Set>;
@group(0) @binding(4) var<storage, read_write> queries: array<u32>;        // bits, [rows, queries, width]

@compute @workgroup_size(WORKGROUP_SIZE)
fn poolQuery(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.queries * params.width) { return; }
  let query = id / params.width;
  let row = query / params.queries * params.length;
  let own = setsIn[query];
  if (own.first > own.end) {
    queries[id] = NAN_BITS;
    return;
  }
  if (own.count == 0u) {
    queries[id] = 0u;
    return;
  }
  // One position alone is the first of its range. Its bits pass as they are, those of subnormals too.
  if (own.count == 1u) {
    queries[id] = x[(row + own.first) * params.width + id % params.width];
    return;
  }
  var sum = 0.0;
  for (var t = own.first; t < own.end; t++) {
    if (!isMasked(row + t)) { sum += bitcast<f32>(x[(row + t) * params.width + id % params.width]); }
  }
  queries[id] = bitcast<u32>(sum / f32(own.count));
}

@group(0) @binding(1) var<storage, read> dQueries: array<f32>;             // [rows, queries, width]
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;             // [rows, length, width]

@compute @workgroup_size(WORKGROUP_SIZE)
fn poolQueryBackward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                     @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.length * params.width) { return; }
  let place = id / params.width;
  let t = place % params.length;
  let row = place / params.length;
  var sum = 0.0;
  if (!isMasked(place)) {
    for (var q = row * params.queries; q < (row + 1u) * params.queries; q++) {
      let own = setsIn[q];
      if (own.first <= t && t < own.end) { sum += dQueries[q * params.width + id % params.width] / f32(own.count); }
    }
  }
  dx[id] = sum;
}
