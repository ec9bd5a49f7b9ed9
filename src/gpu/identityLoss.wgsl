// identityLoss: weight / N * sum of (x - goal)^2. Each invocation adds up one row's share; the rows' shares are then added in a
// fixed order (matmulSum), so that the bits are the same every time.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
override PER: u32 = 4u;   // elements per invocation of the backward

struct Params { rows: u32, width: u32, factor: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> goal: array<f32>;
@group(0) @binding(3) var<storage, read_write> shares: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn identityLoss(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  var sum = 0.0;
  for (var i = row * params.width; i < (row + 1u) * params.width; i++) {
    let d = x[i] - goal[i];
    sum += d * d;
  }
  shares[row] = sum * params.factor;
}

@group(0) @binding(3) var<storage, read> dLoss: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn identityLossBackward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                        @builtin(local_invocation_index) local: u32) {
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i < params.rows * params.width) { dx[i] = 2.0 * dLoss[0] * params.factor * (x[i] - goal[i]); }
  }
}
