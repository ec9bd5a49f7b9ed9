// Naive attention for one head: three kernels, and the whole matrix of scores in memory.

struct Params { items: u32, length: u32, width: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;

@compute @workgroup_size(8, 8)
fn products(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.length || id.y >= params.length) { return; }
  var sum = 0.0;
  for (var d = 0u; d < params.width; d++) {
    sum += q[(id.z * params.length + id.y) * params.width + d] * k[(id.z * params.length + id.x) * params.width + d];
  }
  scores[(id.z * params.length + id.y) * params.length + id.x] = sum / sqrt(f32(params.width));
}

@group(0) @binding(1) var<storage, read_write> rows: array<f32>;

@compute @workgroup_size(64)
fn normalise(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.items * params.length) { return; }
  let first = id.x * params.length;
  var top = rows[first];
  for (var j = 1u; j < params.length; j++) { top = max(top, rows[first + j]); }
  var sum = 0.0;
  for (var j = 0u; j < params.length; j++) { sum += exp(rows[first + j] - top); }
  for (var j = 0u; j < params.length; j++) { rows[first + j] = exp(rows[first + j] - top) / sum; }
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8, 8)
fn means(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.width || id.y >= params.length) { return; }
  var sum = 0.0;
  for (var j = 0u; j < params.length; j++) {
    sum += weights[(id.z * params.length + id.y) * params.length + j] * v[(id.z * params.length + j) * params.width + id.x];
  }
  y[(id.z * params.length + id.y) * params.width + id.x] = sum;
}
