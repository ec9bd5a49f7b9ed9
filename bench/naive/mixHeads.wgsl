// Naive mixHeads: one invocation per element.

struct Params { size: u32, heads: u32, channels: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn mixHeads(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.size) { return; }
  let width = params.heads * params.channels;
  let head = i % width / params.channels;
  var sum = 0.0;
  for (var g = 0u; g < params.heads; g++) {
    sum += weight[head * params.heads + g] * x[i / width * width + g * params.channels + i % params.channels];
  }
  y[i] = sum;
}
