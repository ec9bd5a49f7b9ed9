// driftLoss: over the tokens that are one piece of the source, the squared distance to the source row, divided by their number and
// by the mean length of these rows. Each invocation makes three shares of one row (distance, length, 1), which are added in
// a fixed order (matmulSum); one invocation finishes.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;

struct Params { rows: u32, width: u32, source: u32, length: u32, padding: i32, weight: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> table: array<f32>;
@group(0) @binding(3) var<storage, read> forms: array<i32>;
@group(0) @binding(4) var<storage, read_write> shares: array<f32>;

/// Whether a token is one piece of the source.
fn counts(row: u32) -> bool {
  let first = forms[row * params.length];
  var alone = first >= 0 && first < i32(params.source) && first != params.padding;
  for (var j = 1u; j < params.length; j++) { alone = alone && forms[row * params.length + j] == params.padding; }
  return alone;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn driftLoss(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  var distance = 0.0;
  var square = 0.0;
  var one = 0.0;
  if (counts(row)) {
    let origin = u32(forms[row * params.length]) * params.width;
    for (var d = 0u; d < params.width; d++) {
      let goal = table[origin + d];
      let off = x[row * params.width + d] - goal;
      distance += off * off;
      square += goal * goal;
    }
    one = 1.0;
  }
  shares[3u * row] = distance;
  shares[3u * row + 1u] = sqrt(square);
  shares[3u * row + 2u] = one;
}

@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> count: array<i32>;
@group(0) @binding(4) var<storage, read_write> norm: array<f32>;

@compute @workgroup_size(1)
fn driftLossFinish() {
  let n = sums[2];
  let mean = sums[1] / max(n, 1.0);
  count[0] = i32(n);
  norm[0] = mean;
  loss[0] = select(0.0, params.weight * sums[0] / (max(n, 1.0) * mean), mean > 0.0);
}

// Backward.
@group(0) @binding(4) var<storage, read> dLoss: array<f32>;
@group(0) @binding(5) var<storage, read> counted: array<i32>;
@group(0) @binding(6) var<storage, read> meanLength: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn driftLossBackward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                     @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let scale = f32(counted[0]) * meanLength[0];
  let factor = select(0.0, 2.0 * params.weight * dLoss[0] / scale, scale > 0.0);
  let alone = counts(row);
  let origin = u32(select(0, forms[row * params.length], alone)) * params.width;
  for (var d = 0u; d < params.width; d++) {
    let at = row * params.width + d;
    dx[at] = select(0.0, factor * (x[at] - table[origin + d]), alone);
  }
}
