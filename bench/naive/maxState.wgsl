// Naive mixing step, not fused: the running maximum of c into memory, then one elementwise pass.

struct Params { rows: u32, channels: u32, length: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> abc: array<f32>;
@group(0) @binding(2) var<storage, read_write> maxima: array<f32>;

@compute @workgroup_size(64)
fn runningMaximum(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) { return; }
  let batch = id.x / params.channels;
  let channel = id.x % params.channels;
  var best = abc[(batch * params.length * 3u + 2u) * params.channels + channel];
  for (var t = 0u; t < params.length; t++) {
    let position = batch * params.length + t;
    best = max(best, abc[(position * 3u + 2u) * params.channels + channel]);
    maxima[position * params.channels + channel] = best;
  }
}

@group(0) @binding(2) var<storage, read> alphas: array<f32>;
@group(0) @binding(3) var<storage, read> m: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn mix(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows * params.length) { return; }
  let at = id.x / params.channels * 3u * params.channels + id.x % params.channels;
  let a = abc[at];
  let b = abc[at + params.channels];
  let c = abc[at + 2u * params.channels];
  y[id.x] = alphas[0] * b + alphas[1] * m[id.x] + alphas[2] * a + alphas[3] * c + (a + b + c) * m[id.x]
    + alphas[4] * m[id.x];
}
