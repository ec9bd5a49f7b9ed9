// Naive running maximum along the middle axis of [outer, length, inner]: one invocation per row, plain comparisons.

struct Params { rows: u32, inner: u32, length: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> indices: array<i32>;

@compute @workgroup_size(64)
fn cummax(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= params.rows) { return; }
  let first = row / params.inner * params.length * params.inner + row % params.inner;
  var best = x[first];
  var index = 0;
  for (var t = 0u; t < params.length; t++) {
    let at = first + t * params.inner;
    if (x[at] >= best) {
      best = x[at];
      index = i32(t);
    }
    values[at] = best;
    indices[at] = index;
  }
}
