// Naive clipping of one gradient: an invocation adds up 1,024 neighbouring squares one after the other, a single one adds
// up these sums, then one invocation per element scales. (A single invocation for all squares fails: it loses 2e-4.)

struct Params { count: u32, maxNorm: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn squares(@builtin(global_invocation_id) id: vec3u) {
  var sum = 0.0;
  for (var i = id.x * 1024u; i < min((id.x + 1u) * 1024u, params.count); i++) { sum += g[i] * g[i]; }
  if (id.x * 1024u < params.count) { sums[id.x] = sum; }
}

@compute @workgroup_size(1)
fn total() {
  var sum = 0.0;
  for (var i = 0u; i < (params.count + 1023u) / 1024u; i++) { sum += g[i]; }
  sums[0] = sqrt(sum);
}

@group(0) @binding(2) var<storage, read> norm: array<f32>;
@group(0) @binding(3) var<storage, read_write> clipped: array<f32>;

@compute @workgroup_size(64)
fn scale(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i < params.count) { clipped[i] = g[i] * min(1.0, params.maxNorm / (norm[0] + 1e-6)); }
}
