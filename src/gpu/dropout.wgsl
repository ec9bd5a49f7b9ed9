// dropout, and its gradient, which is the same function of dy. Which elements stay follows from the key and their positions, so
// nothing is kept for the backward and any invocation may take any element. The random word is made where it is needed.
// @uses lib/threefry.wgsl
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;  // invocations per workgroup, 1..256
override PER: u32 = 4u;              // elements per invocation

struct Params {
  size: u32,
  threshold: u32,   // an element stays whose word is at least this
  scale: f32,
  key0: u32,
  key1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn dropout(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
  let key = vec2u(params.key0, params.key1);
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var step = 0u; step < PER; step++) {
    let i = first + step * WORKGROUP_SIZE;
    if (i < params.size) {
      let words = threefry2x32(key, vec2u(0u, i));
      y[i] = select(0.0, x[i] * params.scale, (words.x ^ words.y) >= params.threshold);
    }
  }
}
