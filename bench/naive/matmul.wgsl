// Naive matrix product: one invocation per output, a dot product in a loop.

struct Params { m: u32, n: u32, k: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8, 8)
fn matmul(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  let column = id.x;
  if (row >= params.m || column >= params.n) { return; }
  var sum = 0.0;
  for (var i = 0u; i < params.k; i++) { sum += a[row * params.k + i] * b[i * params.n + column]; }
  y[row * params.n + column] = sum;
}
