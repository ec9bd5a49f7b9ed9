// add: y[i] = a[i] + b[i], and its gradient, which is two copies. Each invocation owns PER consecutive elements: on a CPU
// a subgroup then walks one contiguous range.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
override PER: u32 = 4u;   // elements per invocation

struct Params { size: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn add(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
       @builtin(local_invocation_index) local: u32) {
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i < params.size) { y[i] = a[i] + b[i]; }
  }
}
