// gumbelNoise: standard Gumbel noise, one cipher block per element.
//
// An element depends on its position only, so any invocation may make any element. A workgroup owns WORKGROUP_SIZE * PER
// neighbours and strides over them: the stores of one step are adjacent. f32 is stored as bits made by integers.
// @uses lib/gumbel.wgsl
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;  // invocations per workgroup, 1..256
override PER: u32 = 4u;              // elements per invocation

struct Params {
  count: u32,      // elements of this window
  baseHigh: u32,   // position of the window's first element, high and low word
  baseLow: u32,
  key0: u32,
  key1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> noise: array<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn gumbelNoise(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let key = vec2u(params.key0, params.key1);
  let base = vec2u(params.baseHigh, params.baseLow);
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var step = 0u; step < PER; step++) {
    let i = first + step * WORKGROUP_SIZE;
    if (i < params.count) { noise[i] = gumbelBits(key, counterAt(base, i)); }
  }
}
