// Naive selection: sort everything with a bitonic network in global memory, one dispatch per step, then take the first k.
// Pairs are ordered by value (descending), then by index (ascending). Rows are padded to a power of two.

struct Params { rows: u32, length: u32, padded: u32, k: u32, block: u32, distance: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> madePairs: array<vec2u>;
@group(0) @binding(2) var<storage, read> noise: array<f32>;
@group(0) @binding(3) var<storage, read_write> noisyPairs: array<vec2u>;
@group(0) @binding(1) var<storage, read_write> pairs: array<vec2u>;
@group(0) @binding(1) var<storage, read> sortedPairs: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> indices: array<i32>;

const NOTHING = 0xffffffffu;  // the index of a padding pair: after every other

fn comesFirst(a: vec2u, b: vec2u) -> bool {
  if (a.y == NOTHING || b.y == NOTHING) { return b.y == NOTHING; }
  let va = bitcast<f32>(a.x);
  let vb = bitcast<f32>(b.x);
  return va > vb || (va == vb && a.y < b.y);
}

@compute @workgroup_size(64)
fn makePairs(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.rows * params.padded) { return; }
  let row = i / params.padded;
  let at = i % params.padded;
  if (at < params.length) { madePairs[i] = vec2u(bitcast<u32>(x[row * params.length + at]), at); }
  else { madePairs[i] = vec2u(0u, NOTHING); }
}

@compute @workgroup_size(64)
fn makeNoisyPairs(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.rows * params.padded) { return; }
  let row = i / params.padded;
  let at = i % params.padded;
  if (at < params.length) {
    let j = row * params.length + at;
    noisyPairs[i] = vec2u(bitcast<u32>(x[j] + noise[j]), at);
  } else { noisyPairs[i] = vec2u(0u, NOTHING); }
}

@compute @workgroup_size(64)
fn sortStep(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.rows * params.padded) { return; }
  let at = i % params.padded;
  let other = at ^ params.distance;
  if (other < at) { return; }
  let j = i - at + other;
  let first = pairs[i];
  let second = pairs[j];
  let ascending = (at & params.block) == 0u;
  if (comesFirst(second, first) == ascending) {
    pairs[i] = second;
    pairs[j] = first;
  }
}

@compute @workgroup_size(64)
fn takeFirst(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows * params.k) { return; }
  let p = sortedPairs[id.x / params.k * params.padded + id.x % params.k];
  values[id.x] = bitcast<f32>(p.x);
  indices[id.x] = i32(p.y);
}
