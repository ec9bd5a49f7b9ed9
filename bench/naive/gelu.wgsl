// Naive gelu by tanh: one invocation per element. Not by the built-in tanh, with which 1 + tanh loses all digits below -3.

struct Params { size: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn gelu(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.size) { return; }
  let v = x[i];
  y[i] = v / (1.0 + exp(min(-1.5957691 * (v + 0.044715 * v * v * v), 88.0)));
}
