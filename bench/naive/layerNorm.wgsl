// Naive layer normalization: one invocation per row of [rows, width], three plain loops.

struct Params { rows: u32, width: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn layerNorm(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) { return; }
  let first = id.x * params.width;
  var sum = 0.0;
  for (var j = 0u; j < params.width; j++) { sum += x[first + j]; }
  let mean = sum / f32(params.width);
  var squares = 0.0;
  for (var j = 0u; j < params.width; j++) { squares += (x[first + j] - mean) * (x[first + j] - mean); }
  let rstd = inverseSqrt(squares / f32(params.width) + params.eps);
  for (var j = 0u; j < params.width; j++) { y[first + j] = gamma[j] * (x[first + j] - mean) * rstd + beta[j]; }
}
