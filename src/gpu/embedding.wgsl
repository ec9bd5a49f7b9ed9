// embedding: rows of a table by their ids.
// The gradient of the table is lib/scatterRows.wgsl.
// The forward copies bits, so that NaN and zeros survive as they are.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
override PER: u32 = 4u;          // elements per invocation of the forward
const NAN_BITS = 0x7fc00000u;

struct Params { tokens: u32, rows: u32, width: u32 }

@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> tableBits: array<u32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

/// An id outside of the table (a negative one is a large u32) gives a row of NaN, which no comparison lets pass.
@compute @workgroup_size(WORKGROUP_SIZE)
fn embedding(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let size = params.tokens * params.width;
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i < size) {
      let id = ids[i / params.width];
      if (id < params.rows) { y[i] = tableBits[id * params.width + i % params.width]; }
      else { y[i] = NAN_BITS; }
    }
  }
}
