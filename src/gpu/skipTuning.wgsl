// skipTuning: a skip connection joined to the backbone, scaled by rho. Values pass as bits wherever nothing is computed, so
// that rho = 1 changes no bit, of NaN and of subnormals neither. A run of y is u's part of a row, then d's.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
override PER: u32 = 4u;   // elements per invocation

// `u` and `d` are the lengths of the parts of a row of y, in elements; `plain`: rho is 1.
struct Params { begin: u32, size: u32, u: u32, d: u32, rho: f32, plain: u32 }

@group(0) @binding(0) var<uniform> params: Params;

fn scaled(bits: u32) -> u32 {
  return select(bitcast<u32>(params.rho * bitcast<f32>(bits)), bits, params.plain != 0u);
}

@group(0) @binding(1) var<storage, read> backbone: array<u32>;
@group(0) @binding(2) var<storage, read> skip: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn concat(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
          @builtin(local_invocation_index) local: u32) {
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i < params.size) {
      let row = i / (params.u + params.d);
      let at = i % (params.u + params.d);
      if (at < params.u) { y[i] = backbone[row * params.u + at]; }
      else { y[i] = scaled(skip[row * params.d + at - params.u]); }
    }
  }
}

@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> sum: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn join(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    // 1 * x is x, so rho = 1 gives the bits of the plain sum.
    if (i < params.size) { sum[i] = a[i] + params.rho * b[i]; }
  }
}

@group(0) @binding(1) var<storage, read> dy: array<u32>;
@group(0) @binding(2) var<storage, read_write> part: array<u32>;

/// One part of dy: the `u` elements from `begin` on of each row of u + d, `size` in all.
@compute @workgroup_size(WORKGROUP_SIZE)
fn split(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
         @builtin(local_invocation_index) local: u32) {
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i < params.size) {
      let row = i / params.u;
      part[i] = scaled(dy[row * (params.u + params.d) + params.begin + i % params.u]);
    }
  }
}
