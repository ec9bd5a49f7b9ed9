// gelu and its gradient, element by element. The curves are those of the gated layer (lib/activations.wgsl). NaN and
// infinities are told by their bits and get their results as bits: WGSL may assume that there are none.
// @uses lib/activations.wgsl
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
override PER: u32 = 4u;   // elements per invocation

struct Params { size: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

const INF_BITS = 0x7f800000u;
const NEG_ZERO = 0x80000000u;
const QUIET = 0x00400000u;

fn isOrdinary(bits: u32) -> bool { return (bits & 0x7fffffffu) < INF_BITS; }

/// The result for NaN and infinities: NaN, +infinity, -0.
fn limitOf(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > INF_BITS) { return bits | QUIET; }
  return select(bits, NEG_ZERO, bits > INF_BITS);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn gelu(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i < params.size) {
      let bits = x[i];
      let ordinary = isOrdinary(bits);
      let value = activation(bitcast<f32>(select(0u, bits, ordinary)));
      y[i] = select(limitOf(bits), bitcast<u32>(value), ordinary);
    }
  }
}

// Backward.
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn geluBackward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i < params.size) {
      let bits = x[i];
      // The slope at an infinity is that far out, where it is 1 or 0 exactly.
      let far = select(-40.0, 40.0, bits < NEG_ZERO);
      let at = select(far, bitcast<f32>(select(0u, bits, isOrdinary(bits))), isOrdinary(bits));
      let nan = (bits & 0x7fffffffu) > INF_BITS;
      dx[i] = select(bitcast<u32>(dy[i] * slope(at)), bits | QUIET, nan);
    }
  }
}
