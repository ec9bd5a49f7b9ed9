// Naive Adam without weight decay: one pass for each result, one invocation per element, as a list of array operations
// would do it. Reads the gradient twice and both new moments once more: 40 bytes per parameter.

struct Params { count: u32, beta1: f32, gain1: f32, beta2: f32, gain2: f32, stepSize: f32, rootScale: f32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn mean(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i < params.count) { result[i] = params.beta1 * a[i] + params.gain1 * b[i]; }
}

@compute @workgroup_size(64)
fn square(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i < params.count) { result[i] = params.beta2 * a[i] + params.gain2 * b[i] * b[i]; }
}

@compute @workgroup_size(64)
fn moveParam(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i < params.count) {
    result[i] = a[i] - params.stepSize * b[i] / (sqrt(c[i]) * params.rootScale + params.eps);
  }
}
