// gatherRows: rows of a matrix by their numbers. Bits are copied, so that NaN and zeros survive as they are. The gradient is
// lib/scatterRows.wgsl.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
override PER: u32 = 4u;          // elements per invocation
const NAN_BITS = 0x7fc00000u;
const NONE = 0xffffffffu;        // -1

struct Params { count: u32, rows: u32, width: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<u32>;        // bits, [rows, width]
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;      // bits, [count, width]

/// An id that is neither a row nor -1 gives a row of NaN, which no comparison lets pass.
@compute @workgroup_size(WORKGROUP_SIZE)
fn gatherRows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i >= params.count * params.width) { return; }
    let id = ids[i / params.width];
    var bits = select(NAN_BITS, 0u, id == NONE);
    if (id < params.rows) { bits = table[id * params.width + i % params.width]; }
    y[i] = bits;
  }
}

@group(0) @binding(1) var<storage, read> table4: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> y4: array<vec4u>;

/// The same for rows of whole fours, counted in fours.
@compute @workgroup_size(WORKGROUP_SIZE)
fn gatherQuads(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i >= params.count * params.width) { return; }
    let id = ids[i / params.width];
    var bits = vec4u(select(NAN_BITS, 0u, id == NONE));
    if (id < params.rows) { bits = table4[id * params.width + i % params.width]; }
    y4[i] = bits;
  }
}
