// mixHeads: y[r, h, c] = sum over g of weight[h, g] x[r, g, c], and its gradients. The heads are few, so a sum is short: one
// invocation makes an element of y, and neighbours own neighbouring channels. The same kernel with the weight transposed makes dx.
//
// dWeight[h, g] is a sum over all positions and channels: SPANS partial sums per weight, then one, always in the same order.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;  // invocations per workgroup, 1..256
override PER: u32 = 4u;              // elements per invocation of mixHeads
override TRANSPOSED: u32 = 0u;       // 1: weight[g, h] stands for weight[h, g]
const SPANS: u32 = 64u;

struct Params {
  rows: u32,
  heads: u32,
  channels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn mixHeads(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let width = params.heads * params.channels;
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var step = 0u; step < PER; step++) {
    let i = first + step * WORKGROUP_SIZE;
    if (i < params.rows * width) {
      let head = i % width / params.channels;
      let origin = i / width * width + i % params.channels;
      var sum = 0.0;
      for (var g = 0u; g < params.heads; g++) {
        let at = select(head * params.heads + g, g * params.heads + head, TRANSPOSED == 1u);
        sum += weight[at] * x[origin + g * params.channels];
      }
      y[i] = sum;
    }
  }
}

// --- The gradient of the weight. ---

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> given: array<f32>;           // x
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;  // [heads, heads, SPANS]

@compute @workgroup_size(WORKGROUP_SIZE)
fn mixHeadsPartials(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                    @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  let pair = id / SPANS;
  if (pair >= params.heads * params.heads) { return; }
  let rowHead = pair / params.heads * params.channels;
  let columnHead = pair % params.heads * params.channels;
  var sum = 0.0;
  for (var row = id % SPANS; row < params.rows; row += SPANS) {
    let origin = row * params.heads * params.channels;
    for (var c = 0u; c < params.channels; c++) { sum += dy[origin + rowHead + c] * given[origin + columnHead + c]; }
  }
  partials[id] = sum;
}

@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> dWeight: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn mixHeadsSums(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let pair = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (pair >= params.heads * params.heads) { return; }
  var sum = 0.0;
  for (var s = 0u; s < SPANS; s++) { sum += sums[pair * SPANS + s]; }
  dWeight[pair] = sum;
}
