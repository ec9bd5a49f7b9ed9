// The plainest skipTuning: one invocation per element.
struct Params { size: u32, u: u32, d: u32, rho: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> d: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn skipTuning(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.size) { return; }
  let row = i / (params.u + params.d);
  let at = i % (params.u + params.d);
  if (at < params.u) { y[i] = u[row * params.u + at]; } else { y[i] = params.rho * d[row * params.d + at - params.u]; }
}
