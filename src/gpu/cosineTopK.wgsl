// cosineTopK: rows scaled to length 1. The products and the selection are those of matmul and topK.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;

struct Params { rows: u32, width: u32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> scaled: array<f32>;

// Squares of less are lost in f32: such a row counts as zero.
const LEAST = 0x1p-100f;

/// Rows first, first + 1, ... of x, each divided by its length.
@compute @workgroup_size(WORKGROUP_SIZE)
fn cosineRows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let origin = (params.first + row) * params.width;
  var squares = 0.0;
  for (var d = 0u; d < params.width; d++) { squares += x[origin + d] * x[origin + d]; }
  let factor = select(0.0, inverseSqrt(max(squares, LEAST)), squares >= LEAST);
  for (var d = 0u; d < params.width; d++) { scaled[row * params.width + d] = x[origin + d] * factor; }
}
