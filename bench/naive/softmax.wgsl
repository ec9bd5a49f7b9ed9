// Naive softmax: one invocation per row of [rows, length], three plain loops.

struct Params { rows: u32, length: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn softmax(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) { return; }
  let first = id.x * params.length;
  var largest = x[first];
  for (var j = 0u; j < params.length; j++) { largest = max(largest, x[first + j]); }
  var sum = 0.0;
  for (var j = 0u; j < params.length; j++) { sum += exp(x[first + j] - largest); }
  for (var j = 0u; j < params.length; j++) { y[first + j] = exp(x[first + j] - largest) / sum; }
}
