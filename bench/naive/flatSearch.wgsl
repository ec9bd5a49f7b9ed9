// Naive scores of an exact search: one invocation per pair of a query and a vector.

struct Params { queries: u32, count: u32, d: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<f32>;
@group(0) @binding(2) var<storage, read> vectors: array<f32>;
@group(0) @binding(3) var<storage, read_write> products: array<f32>;

@compute @workgroup_size(64)
fn scores(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.queries * params.count) { return; }
  let query = i / params.count * params.d;
  let vector = i % params.count * params.d;
  var sum = 0.0;
  for (var j = 0u; j < params.d; j++) { sum += queries[query + j] * vectors[vector + j]; }
  products[i] = sum;
}
